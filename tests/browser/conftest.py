"""Real browsers against a real server. `RUSHES_BROWSERS` names those that take part: `make test-browsers`."""

import os
from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import Page, async_playwright

from tests.browser.engines import CHROMIUM, CHROMIUM_OPTIONS, ENGINES, Browser, Engine
from tests.client import Client, running

CHOSEN = os.environ.get("RUSHES_BROWSERS", "chromium").split()


@pytest.fixture
async def server(database_url) -> AsyncIterator[Client]:
    async with running(database_url, simulated_step=0.3) as started:
        yield started


@pytest.fixture(scope="session", params=CHOSEN)
def engine(request, tmp_path_factory) -> Iterator[Engine]:
    started = ENGINES[request.param]()
    started.start(tmp_path_factory.mktemp(request.param))
    yield started
    started.stop()


@pytest.fixture
async def browser(engine) -> AsyncIterator[Browser]:
    async with engine.browser() as opened:
        yield opened


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """Chromium's, for what only Playwright can look at."""
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_OPTIONS)
        context = await chromium.new_context(locale="fr-FR")
        yield await context.new_page()
        await chromium.close()
