"""The `rushes` command as people run it: a process of its own, in a folder of its own."""

import asyncio
import os
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from tests import forks
from tests.matching import found

ROOT = Path(__file__).parents[1]

# Tests write rows of days they name, which no purge of a server of theirs deletes on whatever day they run.
FOR_GOOD = {"RETENTION_DAYS": 36_500, "AUDIT_DAYS": 36_500}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(**settings: Any) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TMPDIR")}
    return kept | {"PYTHONPATH": str(ROOT)} | {k: str(v) for k, v in (FOR_GOOD | settings).items()}


async def start(folder: Path, *arguments: str, **settings: Any) -> Process:
    """By a fork of a process that has imported all of it: `tests.forks`."""
    if forks.AVAILABLE:
        return await forks.start(folder, *arguments, environment=environment(**settings))
    return await really_start(folder, *arguments, **settings)


async def really_start(folder: Path, *arguments: str, **settings: Any) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app", *arguments, cwd=folder, env=environment(**settings),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


def stdout(process: Process) -> asyncio.StreamReader:
    """Of one that was started with a pipe there."""
    assert process.stdout is not None
    return process.stdout


def stderr(process: Process) -> asyncio.StreamReader:
    """The same."""
    assert process.stderr is not None
    return process.stderr


def let_go(process: Process) -> None:
    """Closes the pipes of one that has ended, which would else be left to the garbage collector."""
    process._transport.close()  # type: ignore[attr-defined]  # it has no public name


async def run(folder: Path, *arguments: str, start: Any = start, **settings: Any) -> tuple[int, str, str]:
    process = await start(folder, *arguments, **settings)
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@asynccontextmanager
async def serving(folder: Path, *, start: Any = start, **settings: Any) -> AsyncIterator[tuple[Process, str, str]]:
    """(process, its address, what it printed until it was ready); its private database can be used, if that is what it
    serves."""
    process = await start(folder, "serve", **({"PORT": free_port()} | settings))
    printed = ""
    try:
        async with asyncio.timeout(60):
            while "Webhooks go to" not in printed:
                line = await stdout(process).readline()
                assert line, (await stderr(process).read()).decode()
                printed += line.decode()
        url = found(r"http://[\d.]+:\d+", printed)[0]
        if "DATABASE_URL" not in settings and "until the database can be used" in printed:
            await usable(url)
        yield process, url, printed
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        let_go(process)


async def usable(url: str) -> None:
    """Until every worker says that its database can be used. On a busy machine a first start may take a while."""
    async with asyncio.timeout(30):
        good = 0
        while good < 12:  # each over a connection of its own, which goes to one worker or another
            async with aiohttp.ClientSession() as session, session.get(f"{url}/readyz") as answer:
                good = good + 1 if answer.status == 200 else 0


def databases_of(folder: Path) -> list[int]:
    """Processes that serve the folder's private database."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes()
        except OSError:
            continue
        if b"--datadir=" + bytes(folder) in command:
            found.append(int(path.parent.name))
    return found


def workers_of(process: Process) -> list[int]:
    """Process ids of a server's workers, the oldest first; none of one that has ended."""
    found: list[int] = []
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return found
    for pid in map(int, children.split()):
        with suppress(OSError):
            if b"app.commands.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found
