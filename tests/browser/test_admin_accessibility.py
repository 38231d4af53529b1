"""What axe finds on the operator's page, in each of its states: nothing, at any width, light and dark."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import Page, expect

from app.appkeys import POOL, RECONCILER
from tests.browser.axe import LOCALES, needs_axe, problems
from tests.browser.engines import Chromium
from tests.client import Client, moved, running
from tests.webhooks import completion, video, webhook

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def some_webhooks(server: Client) -> None:
    await server.register("j1")
    await moved(server, "j1", "processing", "generating")
    await server.send(completion("j1", video("v/1")))
    await server.send(webhook("nobody-with-quite-a-long-name-of-its-own", "generating"))
    await server.send(
        '{"job_id": "<b>\u202e", "status": "a status that is much longer than those that there are"}'.encode()
    )


async def listed(page: Page, server: Client) -> None:
    await page.goto(f"{server.url}/admin")
    await expect(page.locator("rushes-webhooks tbody tr")).to_have_count(5)
    await page.get_by_role("checkbox").nth(1).check()


async def filtered(page: Page, server: Client) -> None:
    await page.goto(f"{server.url}/admin?from=2025-10-23&q=nothing+says+this")
    await expect(page.locator("rushes-webhooks [data-slot=empty]")).to_be_visible()


async def in_detail(page: Page, server: Client) -> None:
    await page.goto(f"{server.url}/admin")
    await page.locator("rushes-webhooks tbody a").nth(2).click()
    await expect(page.locator("rushes-webhook .timeline .own")).to_be_visible()
    await page.locator("rushes-webhook summary").click()


async def parked(page: Page, server: Client) -> None:
    await page.goto(f"{server.url}/admin?outcome=parked")
    await page.locator("rushes-webhooks tbody a").click()
    await expect(page.locator("rushes-webhook [data-slot=change]")).to_be_visible()


async def asked(page: Page, server: Client) -> None:
    await parked(page, server)
    await page.locator("rushes-webhook [data-act=discard]").click()
    await expect(page.locator("dialog#confirm")).to_be_visible()


async def figures(page: Page, server: Client) -> None:
    await page.goto(f"{server.url}/admin?view=figures")
    await expect(page.locator("figure")).to_have_count(5)
    for summary in await page.locator("figure summary").all():
        await summary.click()
    await expect(page.locator("figure tbody tr").first).to_be_visible()


async def generations(page: Page, server: Client) -> None:
    async with asyncio.timeout(15):
        while (await server.read("/api/admin/generations"))[1]["count"] == 0:
            await asyncio.sleep(0.05)
    await page.goto(f"{server.url}/admin?view=generations")
    await expect(page.locator("rushes-generations tbody tr").first).to_be_visible()


async def acts(page: Page, server: Client) -> None:
    await page.goto(f"{server.url}/admin?outcome=parked")
    await page.get_by_role("checkbox").first.check()
    await page.locator("rushes-bulk [data-act=discard]").click()
    await page.locator("dialog [value=yes]").click()
    await expect(page.locator("rushes-bulk li")).to_have_count(1)
    await page.locator("rushes-bulk li a").click()
    await expect(page.locator("rushes-webhook [data-slot=audit] tr")).to_have_count(1)


async def audit(page: Page, server: Client) -> None:
    await acts(page, server)
    await page.goto(f"{server.url}/admin?view=audit")
    await expect(page.locator("rushes-audit tbody tr")).to_have_count(1)


async def replay_previewed(page: Page, server: Client) -> None:
    await page.goto(f"{server.url}/admin?view=replays&new=1&outcome=parked")
    await expect(page.locator("rushes-replays [data-slot=begin]")).to_be_visible(timeout=20_000)


async def replay_done(page: Page, server: Client) -> None:
    await replay_previewed(page, server)
    await page.locator("rushes-replays [name=name]").fill("after the outage")
    await page.locator("rushes-replays [type=submit], rushes-replays .primary").click()
    await page.locator("dialog [value=yes]").click()
    await expect(page.locator("rushes-replays [data-slot=results] tr")).to_have_count(1, timeout=20_000)


async def stalled(page: Page, server: Client) -> None:
    await server.app[POOL].run(
        "INSERT INTO video_generations (id, prompt, authorId, createdAt, updatedAt)"
        " VALUES ('of-whom-nobody-reports', 'p', 'u', '2026-01-01', '2026-01-01')"
    )
    await server.app[RECONCILER]._jobs.find()
    await page.goto(f"{server.url}/admin")
    await page.locator("rushes-stalled summary").click()
    await page.locator("rushes-stalled tbody button").click()
    await expect(page.locator("rushes-stalled [role=status]")).to_contain_text("→")


async def keys(page: Page, server: Client) -> None:
    await page.goto(f"{server.url}/admin")
    await expect(page.locator(".tile").first).to_be_visible()
    await page.keyboard.press("?")
    await expect(page.locator("dialog#keys")).to_be_visible()


STATES: dict[str, Callable[[Page, Client], Awaitable[None]]] = {
    "list": listed,
    "empty list": filtered,
    "detail": in_detail,
    "detail of a parked one": parked,
    "asked": asked,
    "figures": figures,
    "generations": generations,
    "acts": acts,
    "audit": audit,
    "replay previewed": replay_previewed,
    "replay done": replay_done,
    "stalled": stalled,
    "keys": keys,
}


@needs_axe
@pytest.mark.parametrize("language", LOCALES)
@pytest.mark.parametrize("state", STATES)
async def test_no_operator_is_shut_out_from_any_state_of_the_page(
    database_url: str, chromium: Chromium, state: str, language: str
) -> None:
    async with (
        chromium.context(LOCALES[language]) as context,
        running(database_url, app_language=language) as server,
    ):
        page = await context.new_page()
        await page.emulate_media(reduced_motion="reduce")
        await page.clock.install()
        await some_webhooks(server)
        await STATES[state](page, server)
        assert await problems(page) == {}


@needs_axe
async def test_whoever_is_refused_is_told_so_in_a_way_that_all_can_read(database_url: str, page: Page) -> None:
    async with running(database_url, auth_jwt_secret="a secret of thirty-two characters") as server:
        await page.clock.install()
        await page.goto(f"{server.url}/admin")
        await expect(page.locator("[data-slot=refused]")).to_be_visible()
        assert await problems(page) == {}
