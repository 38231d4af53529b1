"""What several of the modules here begin with."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from app.db.pool import Pool
from app.db.rollups import Rollups
from app.upkeep.leader import Leader
from tests.backend import Backend
from tests.databases import Sql, empty
from tests.sign_in import Issuer
from tests.world import Clock


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
