"""A real Chromium against a real server."""

import shutil
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, async_playwright

from tests.conftest import Server, running

CHROMIUM = next(
    (found for name in ("chromium-headless-shell", "chromium", "chrome") if (found := shutil.which(name))), None
)


@pytest.fixture
async def server(database_url) -> AsyncIterator[Server]:
    async with running(database_url, simulated_step=0.3) as started:
        yield started


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
        )
        context = await browser.new_context(locale="fr-FR")
        yield await context.new_page()
        await browser.close()
