"""The list of received webhooks followed by the stream of the API, in a real browser: across processes and restarts."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, Route, expect

from tests.client import Client, moved, running
from tests.databases import Sql
from tests.processes import free_port, serving
from tests.rows import store
from tests.webhooks import webhook

pytestmark = pytest.mark.asyncio(loop_scope="session")

LONG = 15_000


@pytest_asyncio.fixture(loop_scope="session")
async def server(database_url: str) -> AsyncIterator[Client]:
    async with running(database_url, parked_poll=10_000) as started:
        yield started


def rows(page: Page) -> Locator:
    return page.locator("rushes-webhooks tbody tr")


async def follow(page: Page, server: Client, query: str = "") -> None:
    """Opens the list, and lets it be read no more: what comes from now on comes by the stream."""
    read = 0

    async def once(route: Route) -> None:
        nonlocal read
        read += 1
        # The list itself, and the look at the newest when the stream opens.
        await (route.continue_() if read <= 2 else route.abort())

    await page.route(re.compile(r"/api/admin/webhooks\?"), once)
    async with (
        page.expect_response(re.compile("/api/admin/events")),
        page.expect_response(lambda answer: "/api/admin/webhooks?" in answer.url and read == 2),
    ):
        await page.goto(f"{server.url}/admin{query}")


async def test_webhooks_of_every_process_appear_by_the_stream(page: Page, server: Client, database_url: str) -> None:
    await server.register("j1")
    await follow(page, server)
    async with running(database_url, parked_poll=10_000) as other:
        await moved(other, "j1", "processing")
        await server.send(b"{}")
        await other.send(webhook("nobody", "generating"))
        fresh = page.get_by_role("button", name="3 nouveaux")
        await fresh.click(timeout=LONG)
        await expect(rows(page).locator(".outcome")).to_have_text(["en attente", "mort", "appliqué"])
        await other.register("nobody")
        await expect(rows(page).first.locator(".outcome")).to_have_text("appliqué", timeout=LONG)


async def test_row_that_the_filter_means_no_more_shows_what_it_has_become(page: Page, server: Client, sql: Sql) -> None:
    await server.register("j1")
    (webhook_id,) = store(sql, webhook("j1", "generating"))
    await follow(page, server, "?outcome=dead")
    await expect(rows(page)).to_have_count(1)
    async with server.post(f"/api/admin/webhooks/{webhook_id}/replay") as answer:
        assert answer.status == 200
    await expect(rows(page).locator(".outcome")).to_have_text("appliqué", timeout=LONG)


async def test_what_came_while_the_server_was_away_is_there_once_it_is_back(
    page: Page, server: Client, database_url: str, tmp_path: Path
) -> None:
    settings = {"DATABASE_URL": database_url, "PORT": free_port(), "DATA_DIR": str(tmp_path)}
    await server.register("j1")
    async with serving(tmp_path, **settings) as (_, url, _):
        async with page.expect_response(re.compile("/api/admin/events")):
            await page.goto(f"{url}/admin")
        await expect(page.locator("rushes-webhooks [data-slot=empty]")).to_be_visible()
    await moved(server, "j1", "processing", "generating")
    async with serving(tmp_path, **settings):
        await moved(server, "j1", "downloading")
        await page.get_by_role("button", name="3 nouveaux").click(timeout=LONG)
        await expect(rows(page).locator(".status")).to_have_text(["downloading", "generating", "processing"])
