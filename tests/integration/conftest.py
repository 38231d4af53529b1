"""What several of the modules here begin with."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from app.db.pool import Pool
from app.db.rollups import Rollups
from app.db.spool.spool import Spool
from app.upkeep.leader import Leader
from tests.backend import Backend
from tests.databases import Sql, empty
from tests.push import PushService, push_service
from tests.sign_in import Issuer
from tests.spools import MUCH
from tests.world import Clock
from tests.writing import Harness, writing


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    found = Issuer()
    app = web.Application()
    app.router.add_get("/jwks", found.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/jwks"
    yield found
    await runner.cleanup()


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    made = Backend()
    app = web.Application()
    app.router.add_get("/api/videos/status/{job_id}", made.status)
    app.router.add_post("/api/videos/generate", made.start)
    async with TestServer(app) as server:
        made.url = str(server.make_url("/"))
        yield made
        made.gate.set()


@pytest.fixture
def empty_url(database_url: str, sql: Sql) -> str:
    """A database with nothing in it."""
    empty(sql)
    return database_url


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    made = Pool(database_url, 4, 10.0)
    yield made
    made.close()


@pytest.fixture
async def harness(database_url: str) -> AsyncIterator[Harness]:
    async with writing(database_url) as made:
        yield made


@pytest.fixture
def rollups(pool: Pool) -> Rollups:
    return Rollups(pool)


@pytest.fixture
async def leader(database_url: str) -> AsyncIterator[Leader]:
    made = Leader(database_url)
    yield made
    made.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("app.times.time", made)
    return made


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    """Open, in a folder of its own."""
    opened = Spool(tmp_path / "spool", MUCH)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def service() -> AsyncIterator[PushService]:
    """Where browsers are pushed to."""
    async with push_service() as started:
        yield started
