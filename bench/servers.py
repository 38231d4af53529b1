"""The processes that are measured: a private database, rushes and its peers, started and stopped here."""

import asyncio
import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from app.db.local import private_database
from bench import payload
from bench.seed import connected

ROOT = Path(__file__).parents[1]
START_SECONDS = 20
STOP_SECONDS = 15

SITE = ROOT / "bench/peers/site"

BARE_DATABASE = "bench_bare"

# As many as rushes may have. With 4 and 16 it was some 10 % slower: the counter's lock, held over three round
# trips and the flush of the commit, lets one transaction end at a time.
BARE_POOL_SIZE = 8

# Where Debian's packages nginx and libnginx-mod-nchan put them.
NGINX = Path("/usr/sbin/nginx")
NCHAN = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")


class ServerError(Exception):
    """A process did not start, or ended too early; the message holds the end of what it printed."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. `database_url` is where it records webhooks, None if it records none. `kill` is SIGKILL."""

    name: str
    url: str
    pid: int
    database_url: str | None
    kill: Callable[[], None]


@asynccontextmanager
async def fresh_database() -> AsyncIterator[tuple[Path, str]]:
    """A new private MariaDB: its folder, in which servers may keep their files, and its URL.

    The folder is on the disk of the checkout, not in the system's temporary folder, which may be in memory,
    where nothing is durable and commits cost nothing.
    """
    (ROOT / ".data").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=ROOT / ".data") as name:
        folder = Path(name)
        async with private_database(folder / "data") as url:
            yield folder, url


@asynccontextmanager
async def rushes(
    folder: Path, database_url: str, python: Sequence[str] = (), settings: Mapping[str, str] | None = None
) -> AsyncIterator[Server]:
    """Rushes as a user starts it, its tables in place; `python` are more arguments to the interpreter."""
    await migrate(folder, database_url)
    environment = {
        "DATABASE_URL": database_url,
        "DATA_DIR": str(folder / "rushes"),
        "APP_ENV": "development",
        "LOG_LEVEL": "warning",
        **(settings or {}),
    }
    async with _serving("rushes", [*python, "-m", "app", "serve"], environment, folder) as server:
        yield server


@asynccontextmanager
async def bare(folder: Path, database_url: str) -> AsyncIterator[Server]:
    """The peer with one transaction for each webhook, with rushes' own tables.

    In a database beside rushes' own, so that rushes does not follow its log.
    """
    async with connected(database_url) as cursor:
        await cursor.execute(f"CREATE DATABASE {BARE_DATABASE} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")
    url = urlsplit(database_url)._replace(path=f"/{BARE_DATABASE}").geturl()
    await migrate(folder, url)
    environment = {"DATABASE_URL": url, "BENCH_POOL_SIZE": str(BARE_POOL_SIZE)}
    async with _serving("bare", ["-m", "bench.peers.bare"], environment, folder) as server:
        yield server


@asynccontextmanager
async def noop(folder: Path) -> AsyncIterator[Server]:
    """The peer that stores nothing."""
    async with _serving("no-op", ["-m", "bench.peers.noop"], {}, folder) as server:
        yield server


@asynccontextmanager
async def table(folder: Path, database_url: str) -> AsyncIterator[Server]:
    """The peer that lists received webhooks with one statement, over the table of the rushes beside it."""
    async with _serving("one statement", ["-m", "bench.peers.table"], {"DATABASE_URL": database_url}, folder) as server:
        yield server


@asynccontextmanager
async def site(folder: Path, database_url: str, settings: Mapping[str, str]) -> AsyncIterator[Server]:
    """The site that rushes was made for, as far as bench/peers/site goes; brought and built if it is not there."""
    await _set_up_site()
    environment = {
        "DATABASE_URL": database_url,
        "NODE_ENV": "production",
        "NEXT_TELEMETRY_DISABLED": "1",
        **settings,
    }
    arguments = [str(SITE / "node_modules/next/dist/bin/next"), "start", str(SITE), "--hostname", "127.0.0.1"]
    async with _serving("site", arguments, environment, folder, program=ROOT / "scripts/node") as server:
        yield server


async def _set_up_site() -> None:
    process = await asyncio.create_subprocess_exec(
        *(str(ROOT / "scripts/setup"), "site"), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out = (await process.communicate())[0].decode()
    if process.returncode:
        raise ServerError(f"scripts/setup site failed:\n{out.strip()}")


@asynccontextmanager
async def by_the_book() -> AsyncIterator[Server]:
    """The peer that streams as aiohttp-sse's own examples do."""
    with tempfile.TemporaryDirectory(prefix="bench-sse-") as folder:
        async with _serving("aiohttp-sse", ["-m", "bench.peers.sse"], {}, Path(folder)) as server:
            yield server


_NCHAN = """
daemon off;
worker_processes 1;
worker_rlimit_nofile 60000;
pid {folder}/pid;
lock_file {folder}/lock;
error_log {folder}/error.log;
load_module {module};
events {{ worker_connections 30000; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  nchan_shared_memory_size 512m;
  keepalive_requests 1000000;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location = /healthz {{ return 200 "ok"; }}
    location ~ ^/pub/(.+)$ {{
      nchan_publisher; nchan_channel_id $1; nchan_message_buffer_length 100; nchan_message_timeout 1m;
    }}
    location ~ ^/sub/(.+)$ {{
      nchan_subscriber eventsource websocket; nchan_channel_id $1; nchan_subscriber_first_message newest;
    }}
  }}
}}
"""


@asynccontextmanager
async def nchan() -> AsyncIterator[tuple[str, int]]:
    """Nchan in front of nothing: its address, and the process id of its one worker. Raises ServerError."""
    with tempfile.TemporaryDirectory(prefix="bench-nchan-") as name:
        folder, port = Path(name), _free_port()
        _configure_nchan(folder, port)
        process = await asyncio.create_subprocess_exec(
            *(str(NGINX), "-e", f"{folder}/error.log", "-p", name, "-c", f"{folder}/nginx.conf"),
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        url = f"http://127.0.0.1:{port}"
        try:
            await _healthy("Nchan", url, process, folder / "error.log", "/healthz")
            yield url, _first_child(process.pid)
        finally:
            await _stop(process)


def _configure_nchan(folder: Path, port: int) -> None:
    if not (NGINX.exists() and NCHAN.exists()):
        raise ServerError("Nchan is not installed; make bench does it on Debian and Ubuntu.")
    (folder / "nginx.conf").write_text(_NCHAN.format(folder=folder, port=port, module=NCHAN))
    folder.chmod(0o755)  # nginx's worker is another user when its master is root


def _first_child(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def cpu_seconds(pid: int) -> float:
    """What a process has used of the processor so far, all its threads together; Linux."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def migrate(folder: Path, database_url: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app", "migrate"),
        env=_environment({"DATABASE_URL": database_url}),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out = (await process.communicate())[0].decode()
    if process.returncode:
        raise ServerError(f"rushes migrate failed:\n{out.strip()}")


def _environment(settings: dict[str, str]) -> dict[str, str]:
    """Settings alone, none from the caller's environment; run in a folder without an `.env`."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {"PYTHONPATH": str(ROOT)} | settings


@asynccontextmanager
async def _serving(
    name: str,
    arguments: Sequence[str],
    settings: Mapping[str, str],
    folder: Path,
    program: str | Path = sys.executable,
) -> AsyncIterator[Server]:
    """Run a server on 127.0.0.1, on its settings' port or a free one; stop it with SIGTERM. Raises ServerError."""
    port = settings.get("PORT") or str(_free_port())
    url = f"http://127.0.0.1:{port}"
    log = folder / f"{name}.log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *(str(program), *arguments),
            env=_environment({**settings, "HOST": "127.0.0.1", "PORT": port}),
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the benchmark, which then stops its servers in order
        )
    killed = False

    def kill() -> None:
        nonlocal killed
        killed = True
        process.kill()

    try:
        await _healthy(name, url, process, log)
        yield Server(name, url, process.pid, settings.get("DATABASE_URL"), kill)
        if process.returncode is not None and not killed:
            raise ServerError(f"{name} ended by itself:\n{_tail(log)}")
    finally:
        await _stop(process)


async def _healthy(
    name: str, url: str, process: asyncio.subprocess.Process, log: Path, path: str = payload.PATH
) -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(START_SECONDS * 20):
            if process.returncode is not None:
                raise ServerError(f"{name} did not start:\n{_tail(log)}")
            try:
                async with session.get(url + path) as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)
    raise ServerError(f"{name} was not healthy within {START_SECONDS} s:\n{_tail(log)}")


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:].strip() or "(it printed nothing)"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
