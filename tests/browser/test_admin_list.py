"""The list of received webhooks in a real browser: what is meant, how it changes, and by keys alone."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Locator, Page, Route, expect

from app import times
from tests.browser.pages import register
from tests.client import Client, moved
from tests.databases import Sql
from tests.rows import add_received, store
from tests.webhooks import webhook

pytestmark = pytest.mark.asyncio(loop_scope="session")

POLL = 4_000


def rows(page: Page) -> Locator:
    return page.locator("rushes-webhooks tbody tr")


async def open_list(page: Page, server: Client, query: str = "", count: int | None = None) -> None:
    await page.clock.install()
    await page.goto(f"{server.url}/admin{query}")
    await expect(page.locator("rushes-webhooks table")).to_have_attribute("aria-busy", "false")
    if count is not None:
        await expect(rows(page)).to_have_count(count)


async def test_a_webhook_that_arrives_is_told_and_moves_nothing_until_it_is_asked_for(
    page: Page, server: Client
) -> None:
    await server.register("j1")
    await moved(server, "j1", "processing")
    await open_list(page, server, count=1)
    await moved(server, "j1", "generating", "downloading")
    await page.clock.run_for(POLL)
    fresh = page.get_by_role("button", name="2 nouveaux")
    await expect(fresh).to_be_visible()
    await expect(rows(page)).to_have_count(1)
    said = page.get_by_role("status")
    await expect(said).to_be_empty()
    await page.clock.run_for(5_000)
    await expect(said).to_have_text("2 nouveaux")
    await fresh.click()
    await expect(rows(page).locator(".status")).to_have_text(["downloading", "generating", "processing"])
    await expect(rows(page).first.locator("a")).to_be_focused()
    await expect(fresh).to_be_hidden()


async def test_a_row_changes_in_its_place_and_not_while_rows_are_selected(page: Page, server: Client) -> None:
    await server.send(webhook("j1", "generating"))
    await server.send(webhook("j2", "generating"))
    await open_list(page, server, count=2)
    first, second = rows(page).nth(0), rows(page).nth(1)
    await expect(first.locator(".outcome")).to_have_text("en attente")
    await second.get_by_role("checkbox").check()
    await expect(page.locator("[data-slot=paused]")).to_be_visible()
    other = await page.context.new_page()
    await other.goto(f"{server.url}/admin")
    await expect(rows(other).nth(0).locator(".outcome")).to_have_text("en attente")
    await server.register("j2")  # what is parked for it is applied before the answer
    await page.clock.run_for(POLL)
    await expect(rows(other).nth(0).locator(".outcome")).to_have_text("appliqué")
    await other.close()
    await expect(first.locator(".outcome")).to_have_text("en attente")
    await second.get_by_role("checkbox").uncheck()
    await expect(first.locator(".outcome")).to_have_text("appliqué")
    await expect(page.locator("[data-slot=fresh]")).to_be_hidden()


async def test_where_no_stream_can_be_had_the_list_is_live_all_the_same(page: Page, server: Client, sql: Sql) -> None:
    async def refuse(route: Route) -> None:
        await route.abort()

    await server.register("j1")
    (webhook_id,) = store(sql, webhook("j1", "generating"))
    await page.route("**/api/admin/events?*", refuse)
    await open_list(page, server, "?outcome=dead", count=1)
    async with server.post(f"/api/admin/webhooks/{webhook_id}/replay") as answer:
        assert answer.status == 200
    await server.send(b"{}")
    await page.clock.run_for(POLL)
    await expect(page.get_by_role("button", name="1 nouveau")).to_be_visible()
    await expect(rows(page).locator(".outcome")).to_have_text("appliqué")


async def test_while_nobody_sees_the_page_nothing_moves_and_afterwards_nothing_is_missing(
    page: Page, server: Client
) -> None:
    async def seen(yes: bool) -> None:
        await page.evaluate(
            """hidden => {
              Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
              document.dispatchEvent(new Event("visibilitychange"));
            }""",
            not yes,
        )

    await server.send(webhook("j1", "generating"))
    await open_list(page, server, count=1)
    await seen(False)
    await server.register("j1")
    await moved(server, "j1", "downloading")
    await page.clock.run_for(2 * POLL)
    await expect(rows(page).locator(".outcome")).to_have_text("en attente")
    await expect(page.locator("[data-slot=fresh]")).to_be_hidden()
    await seen(True)
    await expect(rows(page).locator(".outcome")).to_have_text("appliqué")
    await expect(page.get_by_role("button", name="1 nouveau")).to_be_visible()


async def test_the_address_holds_the_filter_and_going_back_takes_it_back(page: Page, server: Client) -> None:
    await server.send(b"{}")
    await server.send(webhook("j1", "generating"))
    await open_list(page, server, count=2)
    await page.get_by_label("Issue").select_option("dead")
    await expect(rows(page)).to_have_count(1)
    await expect(page).to_have_url(f"{server.url}/admin?outcome=dead")
    await page.locator("rushes-filters").get_by_label("Job").fill("j 1&")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("Aucun webhook ne correspond.")).to_be_visible()
    await expect(page).to_have_url(f"{server.url}/admin?outcome=dead&job_id=j+1%26")
    await page.go_back()
    await expect(rows(page)).to_have_count(1)
    await expect(page.locator("rushes-filters").get_by_label("Job")).to_have_value("")
    await page.get_by_role("link", name="Tout effacer").click()
    await expect(rows(page)).to_have_count(2)
    await expect(page).to_have_url(f"{server.url}/admin")


async def test_an_address_that_was_sent_shows_what_it_means(page: Page, server: Client) -> None:
    await open_list(page, server, "?outcome=parked&status=failed&from=2025-10-23T14:00:00Z&to=2025-10-24&version=v9")
    assert await page.get_by_label("Issue").input_value() == "parked"
    assert await page.locator("rushes-filters").get_by_label("Statut").input_value() == "failed"
    assert await page.get_by_label("Version").input_value() == "v9"
    await expect(page.get_by_label("Depuis")).to_have_value(re.compile("2025-10-23T1"))
    await expect(page.locator("[data-slot=window]")).to_have_text(re.compile("du 23 oct. 2025.* au 24 oct. 2025"))


async def test_filters_count_and_give_away_as_csv_what_they_show(page: Page, server: Client) -> None:
    await server.register("j1")
    await moved(server, "j1", "processing", "generating")
    await server.send(b"{}")
    await server.send(webhook("j2", "generating"))
    await open_list(page, server, "?last=24h", count=4)
    await expect(page.locator("rushes-webhooks [data-slot=count]")).to_have_text("4 webhooks")
    await page.locator("rushes-filters").get_by_label("Statut").select_option("generating")
    await expect(rows(page)).to_have_count(2)
    await expect(page.locator("rushes-webhooks [data-slot=count]")).to_have_text("2 webhooks")
    await expect(page.locator("[data-slot=window]")).to_have_text(re.compile("depuis le "))
    await page.get_by_label("Texte de l’erreur").fill("unknown_JOB")
    await page.keyboard.press("Enter")
    await expect(page.locator("rushes-webhooks [data-slot=count]")).to_have_text("1 webhook")
    await expect(page).to_have_url(f"{server.url}/admin?status=generating&q=unknown_JOB&last=24h")
    async with page.expect_download() as downloading:
        await page.get_by_role("link", name="CSV").click()
    lines = (await (await downloading.value).path()).read_text().splitlines()
    assert len(lines) == 2
    assert "j2" in lines[1]


async def test_the_list_is_walked_searched_and_selected_by_keys_alone(page: Page, server: Client) -> None:
    await server.register("j1")
    await moved(server, "j1", "processing", "generating", "downloading")
    await open_list(page, server, count=3)
    links = rows(page).locator("a")
    for key, at in (("j", 0), ("j", 1), ("j", 2), ("j", 2), ("k", 1)):
        await page.keyboard.press(key)
        await expect(links.nth(at)).to_be_focused()
    await page.keyboard.press("x")
    await expect(rows(page).nth(1).get_by_role("checkbox")).to_be_checked()
    await page.keyboard.press("/")
    await expect(page.get_by_label("Texte de l’erreur")).to_be_focused()
    await page.keyboard.type("jk?/x")
    await expect(page.get_by_label("Texte de l’erreur")).to_have_value("jk?/x")


async def test_earlier_webhooks_come_when_they_are_asked_for(page: Page, server: Client, sql: Sql) -> None:
    ids = store(sql, *(webhook(f"j{number}", "generating") for number in range(60)))
    await open_list(page, server, count=50)
    await page.get_by_role("button", name="Afficher les précédents").click()
    await expect(rows(page)).to_have_count(60)
    assert await rows(page).evaluate_all("rows => rows.map((row) => row.dataset.id)") == sorted(ids, reverse=True)
    await expect(page.get_by_role("button", name="Afficher les précédents")).to_be_hidden()


async def test_what_senders_write_is_text_and_hides_nothing(page: Page, server: Client) -> None:
    await server.send('{"job_id": "<img src=x onerror=alert(1)>\u202etxt", "status": "\u0007done"}'.encode())
    await server.send(b"\xff\xfe\x00")
    await open_list(page, server, count=2)
    await expect(rows(page).nth(1).locator(".job")).to_have_text("<img src=x onerror=alert(1)>U+202Etxt")
    await expect(rows(page).nth(1).locator(".job .mark")).to_have_text("U+202E")
    await expect(rows(page).nth(0)).to_contain_text("invalid_payload")
    await expect(page.locator("rushes-webhooks img")).to_have_count(0)


async def test_search_that_is_answered_in_steps_goes_on_by_itself(
    page: Page, server: Client, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.db.webhook_list.PAGE_SECONDS", 0.0)
    add_received(sql, 5_000, times.microseconds_of("2026-11-01 00:00:00"))
    await page.goto(f"{server.url}/admin?q=number+1.")
    await expect(rows(page)).to_have_count(1)
    await expect(page.locator("rushes-webhooks [data-slot=more]")).to_be_hidden()


async def test_time_that_nobody_touched_stays_what_it_was(page: Page, server: Client, sql: Sql) -> None:
    """02:30 is there twice in Paris on that day: this is the second one."""
    store(sql, webhook("j1", "generating"))
    session = await page.context.new_cdp_session(page)
    await session.send("Emulation.setTimezoneOverride", {"timezoneId": "Europe/Paris"})
    await page.goto(f"{server.url}/admin?from=2026-10-25T01:30:00.250Z")
    await expect(page.locator("rushes-filters [name=from]")).to_have_value(re.compile("^2026-10-25T02:30"))
    await page.locator("rushes-filters [name=outcome]").select_option("dead")
    await page.get_by_role("button", name="Filtrer").click()
    await expect(page).to_have_url(re.compile("outcome=dead"))
    assert parse_qs(urlsplit(page.url).query)["from"] == ["2026-10-25T01:30:00.250Z"]


async def test_list_without_any_webhook_says_what_is_to_come(page: Page, server: Client) -> None:
    await page.goto(f"{server.url}/admin")
    await expect(page.locator("rushes-webhooks .empty")).to_contain_text("Aucun webhook reçu encore")
    await page.goto(f"{server.url}/admin?outcome=dead")
    await expect(page.locator("rushes-webhooks .empty")).to_have_text("Aucun webhook ne correspond.")


async def test_what_the_filter_cannot_be_is_told(page: Page, server: Client) -> None:
    await register(page, server, "j1")
    await open_list(page, server, "?outcome=lost")
    await expect(page.locator("rushes-webhooks [role=alert]")).to_contain_text("outcome")
