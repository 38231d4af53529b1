"""Real browsers against a real server. `RUSHES_BROWSERS` names those that take part: `make test-browsers`.

Tests and fixtures here share one event loop (each module says so), to which Chromium belongs: it is started once.
"""

import os
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.browser import engines
from tests.browser.engines import Browser, Chromium, Engine, Program
from tests.browser.firefox import Firefox
from tests.browser.webkit import Webkit
from tests.client import Client, opened, running

# Milliseconds: on a busy machine a request of the page may take longer than the five seconds of the default.
expect.set_options(timeout=20_000)

PROGRAMS: dict[str, type[Program]] = {"firefox": Firefox, "webkit": Webkit}
CHOSEN = os.environ.get("RUSHES_BROWSERS", "chromium").split()


@pytest_asyncio.fixture(loop_scope="session")
async def server(database_url: str) -> AsyncIterator[Client]:
    async with running(database_url, simulated_step=0.3) as started:
        yield await opened(started)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Chromium]:
    async with engines.chromium() as started:
        yield started


@pytest.fixture(scope="session", params=CHOSEN)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    if request.param == "chromium":
        yield request.getfixturevalue("chromium")
        return
    started = PROGRAMS[request.param]()
    started.start(tmp_path_factory.mktemp(request.param))
    yield started
    started.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def browser(engine: Engine) -> AsyncIterator[Browser]:
    async with engine.browser() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def page(chromium: Chromium) -> AsyncIterator[Page]:
    """Chromium's, for what only Playwright can look at."""
    async with chromium.context() as context:
        yield await context.new_page()
