"""One received webhook in a real browser: what became of it, what it changed, and what one may do to it."""

import re

import pytest
from playwright.async_api import Locator, Page, expect

from tests.client import Client, moved
from tests.databases import Sql
from tests.rows import store
from tests.webhooks import completion, video, webhook

pytestmark = pytest.mark.asyncio(loop_scope="session")


def detail(page: Page) -> Locator:
    return page.locator("rushes-webhook")


async def open_first(page: Page, server: Client, query: str = "") -> None:
    await page.goto(f"{server.url}/admin{query}")
    await page.locator("rushes-webhooks tbody tr a").first.click()
    await expect(detail(page).locator(".detail")).to_be_visible()


async def test_detail_tells_what_a_webhook_changed_and_the_jobs_story(page: Page, server: Client) -> None:
    await server.register("j1")
    await moved(server, "j1", "processing", "generating", "downloading")
    await open_first(page, server)
    await expect(detail(page).locator(".way")).to_contain_text("50 → 75 %")
    await expect(detail(page).locator(".way .badge")).to_have_text("appliqué")
    await expect(detail(page).locator(".timeline li")).to_have_count(4)
    await expect(detail(page).locator(".timeline .own")).to_contain_text("downloading")
    await expect(detail(page).get_by_role("heading").first).to_be_focused()
    await expect(page).to_have_url(re.compile(r"/admin\?webhook=[0-9a-f]{32}$"))
    await expect(detail(page).get_by_role("button", name="Rejouer")).to_be_hidden()


async def test_detail_is_closed_by_a_key_and_the_focus_is_back_at_its_row(page: Page, server: Client) -> None:
    await server.register("j1")
    await moved(server, "j1", "processing", "generating")
    await page.goto(f"{server.url}/admin?status=processing")
    await expect(page.locator("rushes-webhooks tbody a")).to_be_visible()
    await page.keyboard.press("j")
    await expect(page.locator("rushes-webhooks tbody a")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(detail(page).locator(".way")).to_contain_text("0 → 25 %")
    await page.keyboard.press("Escape")
    await expect(detail(page)).to_be_hidden()
    await expect(page.locator("rushes-webhooks tbody a")).to_be_focused()
    await expect(page).to_have_url(f"{server.url}/admin?status=processing")
    await page.go_back()
    await expect(detail(page).locator(".way")).to_contain_text("0 → 25 %")


async def test_dead_letter_shows_what_a_replay_would_change_and_is_replayed_once_it_is_confirmed(
    page: Page, server: Client, sql: Sql
) -> None:
    await server.register("j1")
    store(sql, completion("j1", video("v/1")))
    await open_first(page, server, "?outcome=dead")
    change = detail(page).locator("[data-slot=change]")
    await expect(change).to_contain_text("Rejoué maintenant : appliqué")
    await expect(change.get_by_role("row", name="progress")).to_contain_text("0 → 100")
    await expect(change).to_contain_text("v/1")
    await detail(page).get_by_role("button", name="Rejouer").click()
    asked = page.get_by_role("dialog", name="Rejouer ce webhook ?")
    await asked.get_by_role("button", name="Annuler").click()
    assert sql("SELECT outcome FROM rushes_webhooks") == (("dead",),)
    await detail(page).get_by_role("button", name="Rejouer").click()
    await asked.get_by_role("button", name="Rejouer").click()
    await expect(detail(page).get_by_role("status")).to_have_text(
        re.compile("C’est fait : appliqué. Le job est à 100 %")
    )
    await expect(page.locator("rushes-webhooks tbody .outcome")).to_have_text("appliqué")
    await expect(detail(page).get_by_role("button", name="Rejouer")).to_be_hidden()
    assert sql("SELECT outcome FROM rushes_webhooks") == (("applied",),)


async def test_dead_letter_is_discarded_and_one_that_was_settled_meanwhile_is_told_so(
    page: Page, server: Client, sql: Sql
) -> None:
    await server.send(b"{}")
    await open_first(page, server)
    await detail(page).get_by_role("button", name="Écarter").click()
    await page.get_by_role("dialog").get_by_role("button", name="Écarter").click()
    await expect(detail(page).get_by_role("status")).to_contain_text("C’est fait : écarté")
    await expect(page.locator("rushes-webhooks tbody .outcome")).to_have_text("écarté")
    sql("UPDATE rushes_webhooks SET outcome = 'dead'")
    await page.reload()
    await expect(detail(page).get_by_role("button", name="Écarter")).to_be_visible()
    await detail(page).get_by_role("button", name="Écarter").click()
    sql("UPDATE rushes_webhooks SET outcome = 'applied'")
    await page.get_by_role("dialog").get_by_role("button", name="Écarter").click()
    await expect(detail(page).get_by_role("status")).to_contain_text("Rien n’a changé : appliqué")


async def test_payload_is_text_with_its_numbers_its_hidden_characters_and_a_bound(page: Page, server: Client) -> None:
    body = '{"job_id": "</pre><script>alert(1)</script>", "n": 12345678901234567890, "b": "\u202eevil", "long": "%s"}'
    await server.send((body % ("x" * 500_000)).encode(), {"X-Odd": "<b>bold</b>"})
    await open_first(page, server)
    payload = detail(page).locator("pre")
    await expect(payload).to_contain_text('"</pre><script>alert(1)</script>"')
    await expect(payload).to_contain_text("12345678901234567890")
    await expect(payload.locator(".mark")).to_have_text("U+202E")
    await expect(detail(page).locator("[data-slot=cut]")).to_contain_text(re.compile("100.000 premiers caractères"))
    assert len(await payload.inner_text()) < 101_000
    await detail(page).get_by_text("En-têtes").click()
    await expect(detail(page).get_by_role("row", name="x-odd")).to_contain_text("<b>bold</b>")
    await expect(detail(page).locator("b, script")).to_have_count(0)


async def test_bytes_that_are_no_text_are_shown_and_said_to_be_in_base64(page: Page, server: Client) -> None:
    await server.send(b"\xff\xfe\x00\x01")
    await open_first(page, server)
    await expect(detail(page).locator("pre")).to_have_text("//4AAQ==")
    await expect(detail(page).locator("[data-slot=cut]")).to_contain_text("base64")


async def test_text_of_nothing_but_hidden_characters_does_not_hold_up_the_page(page: Page, server: Client) -> None:
    await server.send(('{"b": "' + "\u202e" * 90_000 + '"}').encode())
    await open_first(page, server)
    await expect(detail(page).locator("pre .mark").first).to_be_visible()
    assert await detail(page).locator("pre .mark").count() < 5_001


async def test_detail_follows_what_happens_to_its_webhook(page: Page, server: Client) -> None:
    await server.send(webhook("j1", "generating"))
    await page.clock.install()
    await open_first(page, server)
    await expect(detail(page).locator(".way .badge")).to_have_text("en attente")
    await server.register("j1")
    await page.clock.run_for(4_000)
    await expect(detail(page).locator(".way .badge")).to_have_text("appliqué")


async def test_webhook_that_is_not_there_is_told_in_words(page: Page, server: Client) -> None:
    await page.goto(f"{server.url}/admin?webhook={'0' * 32}")
    await expect(detail(page).get_by_role("alert")).to_have_text("Cela n’existe plus.")
