"""Replays of many on the operator's page, in a real browser: told before they are done, followed, and aborted."""

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.client import Client, running
from tests.databases import Sql
from tests.rows import store
from tests.webhooks import webhook

pytestmark = pytest.mark.asyncio(loop_scope="session")

LONG = 20_000  # the leader has its turn once a second or so, and previews come before


@pytest_asyncio.fixture(loop_scope="session")
async def server(database_url: str) -> AsyncIterator[Client]:
    async with running(database_url, replays_per_second=100_000, parked_poll=10_000) as started:
        yield started


async def test_replay_of_a_filter_is_previewed_confirmed_and_tells_what_each_became(
    page: Page, server: Client, sql: Sql
) -> None:
    await server.register("j1")
    store(sql, webhook("j1", "processing"), webhook("j1", "generating"), webhook("nobody", "pending"))
    await page.goto(f"{server.url}/admin?outcome=dead")
    await page.get_by_role("link", name="Rejouer tous ceux-ci…").click()
    new = page.locator("rushes-replays [data-slot=order]")
    await expect(new).to_contain_text("Issue : mort")
    await expect(new).to_contain_text("Aperçu de 3 sur 3", timeout=LONG)
    await expect(new.locator(".counted")).to_have_text([re.compile("appliqué 2"), re.compile("en attente 1")])
    assert sql("SELECT DISTINCT outcome FROM rushes_webhooks") == (("dead",),)
    await new.get_by_label("Nom").fill("<b>after</b>")
    await new.get_by_role("button", name="Tout rejouer").click()
    await page.get_by_role("dialog").get_by_role("button", name="Rejouer").click()
    one = page.locator("rushes-replays [data-slot=one]")
    await expect(one.get_by_role("heading")).to_have_text("<b>after</b>")
    await expect(one.get_by_role("status")).to_contain_text("fini · 3 sur 3", timeout=LONG)
    results = one.locator("tbody tr")
    await expect(results).to_have_count(3)
    await expect(results.nth(2)).to_contain_text(re.compile("mort.*en attente.*en attente"))
    assert sorted(sql("SELECT outcome FROM rushes_webhooks")) == [("applied",), ("applied",), ("parked",)]
    listed = page.locator("rushes-replays [data-slot=rows] tr")
    await expect(listed.filter(has_text="<b>after</b>")).to_contain_text("3 / 3")
    await results.first.get_by_role("link").click()
    await expect(page.locator("rushes-webhook .way .badge")).to_have_text("appliqué")


async def test_replay_that_is_aborted_stops_and_says_how_far_it_came(database_url: str, page: Page, sql: Sql) -> None:
    async with running(database_url, replays_per_second=1, parked_poll=10_000) as server:
        await server.register("j1")
        store(sql, *(webhook("j1", "generating") for _ in range(60)))
        body = {"outcome": "dead", "name": "slow"}
        async with server.post("/api/admin/replays", json=body) as answer:
            replay = (await answer.json())["id"]
        await page.goto(f"{server.url}/admin?view=replays&replay={replay}")
        one = page.locator("rushes-replays [data-slot=one]")
        await expect(one.get_by_role("status")).to_contain_text("en cours")
        await one.get_by_role("button", name="Interrompre").click()
        await expect(one.get_by_role("status")).to_contain_text(re.compile(r"interrompu · \d+ sur 60"), timeout=LONG)
        await expect(one.get_by_role("button", name="Interrompre")).to_be_hidden()
        assert sql("SELECT COUNT(*) FROM rushes_webhooks WHERE outcome = 'dead'") != ((0,),)


async def test_filter_that_means_nothing_offers_nothing_to_begin(page: Page, server: Client) -> None:
    await page.goto(f"{server.url}/admin?view=replays&new=1&outcome=dead")
    new = page.locator("rushes-replays [data-slot=order]")
    await expect(new).to_contain_text("il n’y a rien à rejouer", timeout=LONG)
    await expect(new.get_by_role("button", name="Tout rejouer")).to_be_hidden()
    await page.goto(f"{server.url}/admin?view=replays&new=1&outcome=applied")
    await expect(page.locator("rushes-replays [role=alert]")).to_contain_text("outcome", timeout=LONG)


async def test_who_uses_keys_alone_is_at_the_new_view_when_the_one_he_was_in_has_gone(
    page: Page, server: Client, sql: Sql
) -> None:
    store(sql, webhook("j1", "generating"))
    await page.goto(f"{server.url}/admin?outcome=dead")
    await page.get_by_role("link", name="Rejouer tous ceux-ci").press("Enter")
    await expect(page.get_by_role("heading", name="Nouveau rejeu")).to_be_focused()
    await page.get_by_role("button", name="Tout rejouer").press("Enter")
    await page.get_by_role("dialog").get_by_role("button", name="Rejouer").press("Enter")
    await expect(page.get_by_role("heading", name="Sans nom")).to_be_focused()


async def test_audit_tells_what_a_replay_was_of_in_few_words(page: Page, server: Client, sql: Sql) -> None:
    store(sql, webhook("j1", "generating"))
    await page.goto(f"{server.url}/admin?view=replays&new=1&outcome=dead")
    await page.get_by_role("textbox", name="Nom").fill("after")
    await page.get_by_role("button", name="Tout rejouer").click()
    await page.get_by_role("dialog").get_by_role("button", name="Rejouer").click()
    await expect(page.get_by_role("heading", name="after")).to_be_visible()
    await page.goto(f"{server.url}/admin?view=audit&act=replay_many")
    told = page.locator("rushes-audit tbody ins")
    await expect(told).to_have_text(re.compile(r"^name: after, filter: \(mort, to: [-0-9T:.]+Z\)$"))


async def test_what_is_empty_is_no_stop_for_the_keys(page: Page, server: Client) -> None:
    for view in ("replays", "audit", "generations"):
        await page.goto(f"{server.url}/admin?view={view}")
        shown = page.locator(f"section[data-view={view}]")
        await expect(shown.locator(".empty")).to_be_visible()
        stops = await shown.locator(".scroller").evaluate_all("nodes => nodes.map((node) => node.checkVisibility())")
        assert stops
        assert not any(stops), view
