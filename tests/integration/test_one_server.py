"""One server to a private database, and how it ends when its terminal does."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from tests.processes import databases_of, environment, free_port, run, serving, stdout


async def test_second_server_on_a_private_database_says_whose_it_is_and_leaves_it_alone(tmp_path: Path) -> None:
    async with serving(tmp_path) as (process, _, _):
        code, out, err = await run(tmp_path, "serve", PORT=free_port())
        assert (code, out) == (1, "")
        assert err == (
            f"rushes: another server (process {process.pid}) uses the private database in .data: "
            "stop it, or name another folder with DATA_DIR\n"
        )
        assert (await run(tmp_path, "dead", "list"))[0] == 0
        process.kill()
        await process.wait()
    async with serving(tmp_path):
        pass


async def test_second_server_on_a_database_of_the_sites_may_share_the_folder_and_says_so(
    tmp_path: Path, database_url: str
) -> None:
    async with serving(tmp_path, DATABASE_URL=database_url) as (first, _, _):
        async with serving(tmp_path, DATABASE_URL=database_url, WORKERS=2) as (second, _, _):
            second.terminate()
            _, err = await second.communicate()
        assert f'"process": {first.pid}'.encode() in err
        assert err.count(b"data_dir_shared") == 1
        first.terminate()
        assert b"data_dir_shared" not in (await first.communicate())[1]


@pytest.mark.parametrize("workers", [1, 2])
async def test_server_whose_terminal_is_closed_ends_as_cleanly_as_by_sigterm(tmp_path: Path, workers: int) -> None:
    async with serving(tmp_path, WORKERS=workers) as (process, _, _):
        process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(60):
            _, err = await process.communicate()
        assert process.returncode == 0
        assert b"rushes: stopping" in err
    assert databases_of(tmp_path) == []


async def test_server_under_nohup_outlives_its_terminal(tmp_path: Path, database_url: str) -> None:
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", """trap "" HUP; exec "$0" -m app serve""", sys.executable, cwd=tmp_path,
        env=environment(PORT=free_port(), DATABASE_URL=database_url),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        while b"Webhooks go to" not in await stdout(process).readline():
            assert process.returncode is None
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        _, err = await process.communicate()
    assert (process.returncode, err.count(b"rushes: stopping")) == (0, 1)


async def test_server_whose_greeting_nobody_reads_serves_all_the_same(tmp_path: Path, database_url: str) -> None:
    read, write = os.pipe()
    os.close(read)
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app", "serve", cwd=tmp_path, stdout=write, stderr=asyncio.subprocess.PIPE,
        env=environment(PORT=port, DATABASE_URL=database_url),
    )  # fmt: skip
    os.close(write)
    async with asyncio.timeout(60):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            except ConnectionError:
                assert process.returncode is None
                await asyncio.sleep(0.05)
    process.terminate()
    _, err = await process.communicate()
    assert (process.returncode, err) == (0, b"rushes: stopping\n")


async def test_server_without_standard_streams_works_and_ends_as_others_do(database_url: str, tmp_path: Path) -> None:
    """As a supervisor may start it: what is opened first would else be taken for one of them."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", 'exec "$0" -m app serve <&- >&- 2>"$1"', sys.executable, str(tmp_path / "said"),
        cwd=tmp_path, env=environment(DATABASE_URL=database_url, PORT=port),
    )  # fmt: skip
    try:
        async with asyncio.timeout(30), aiohttp.ClientSession() as session:
            while True:
                with suppress(aiohttp.ClientConnectionError):
                    async with session.get(f"http://127.0.0.1:{port}/healthz") as answer:
                        assert answer.status == 200
                        break
                await asyncio.sleep(0.05)
        process.terminate()
        assert await process.wait() == 0, (tmp_path / "said").read_text()
        assert "Assertion" not in (tmp_path / "said").read_text()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
