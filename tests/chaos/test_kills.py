"""Whatever is killed, whenever: what was answered with 2xx is in the database, once.

A short run is part of the suite; `make chaos` kills more often (RUSHES_CHAOS=1).
"""

import asyncio
import contextlib
import os
import random
import signal
from pathlib import Path

import pymysql
import pytest

from app.db.local import private_database
from tests.load import LONG, Killable, Load, prepare, report, verify

SERVER_KILLS = 200 if LONG else 6
DATABASE_KILLS = 10 if LONG else 3


async def drained(url: str, load: Load) -> None:
    """Until everything that was queued on disk is in the database."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(AssertionError, pymysql.err.OperationalError):
                await asyncio.to_thread(verify, url, load)
                return
            await asyncio.sleep(0.2)


@pytest.mark.timeout(1800)
async def test_server_killed_at_random_under_load_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    async with private_database(tmp_path / "database") as url:
        await asyncio.to_thread(prepare, url)
        server = Killable(tmp_path, url)
        await server.start()
        load = Load(server.url)
        sending = asyncio.create_task(load.run())
        chance = random.Random(7)
        for _ in range(SERVER_KILLS):
            await load.until(chance.randint(1, 60))
            await asyncio.sleep(chance.random() * 0.05)
            await server.end(signal.SIGKILL)
            await server.start()
        await load.until(50)
        load.stop = True
        await sending
        await drained(url, load)
        await server.end(signal.SIGTERM)
        verify(url, load)
    report("server killed", SERVER_KILLS, load)


@pytest.mark.timeout(1800)
async def test_database_killed_under_load_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    folder = tmp_path / "database"
    stack = contextlib.AsyncExitStack()
    url = await stack.enter_async_context(private_database(folder))
    await asyncio.to_thread(prepare, url)
    server = Killable(tmp_path, url)
    await server.start()
    load = Load(server.url)
    sending = asyncio.create_task(load.run())
    chance = random.Random(11)
    for _ in range(DATABASE_KILLS):
        await load.until(chance.randint(20, 150))
        os.kill(int((folder / "mysql.pid").read_text()), signal.SIGKILL)
        await load.until(40)  # they are queued on disk meanwhile, and answered
        await stack.aclose()
        stack = contextlib.AsyncExitStack()
        assert await stack.enter_async_context(private_database(folder)) == url
        await load.until(100)
    load.stop = True
    await sending
    await drained(url, load)
    assert 202 in load.acknowledged.values()
    await server.end(signal.SIGTERM)
    verify(url, load)
    await stack.aclose()
    report("database killed", DATABASE_KILLS, load)
