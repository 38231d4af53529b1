"""What operators do to many webhooks, and who did what, on the page in a real browser."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.client import Client, running
from tests.databases import Sql
from tests.rows import store
from tests.sign_in import SECRET, token
from tests.webhooks import webhook

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def act(page: Page, verb: str) -> None:
    await page.locator("rushes-bulk").get_by_role("button", name=verb).click()
    await page.get_by_role("dialog").get_by_role("button", name=verb).click()


async def test_those_that_are_selected_are_replayed_one_by_one_and_each_tells_what_became_of_it(
    page: Page, server: Client, sql: Sql
) -> None:
    await server.register("j1")
    store(sql, webhook("j1", "generating"), webhook("nobody", "generating"), webhook("j1", "failed"))
    await page.goto(f"{server.url}/admin?outcome=dead")
    boxes = page.locator("rushes-webhooks tbody").get_by_role("checkbox")
    await expect(boxes).to_have_count(3)
    await boxes.nth(1).check()
    await boxes.nth(2).check()
    bulk = page.get_by_role("region", name="Sélection")
    await expect(bulk).to_contain_text("2 sélectionnés")
    await act(page, "Rejouer")
    await expect(bulk.get_by_role("status")).to_have_text("2 sur 2")
    results = bulk.get_by_role("listitem")
    await expect(results).to_have_text([re.compile("C’est fait : en attente"), re.compile("C’est fait : appliqué")])
    outcomes = page.locator("rushes-webhooks tbody .outcome")
    await expect(outcomes).to_have_text(["mort", "mort", "mort"])  # nothing moves while there is a selection
    await bulk.get_by_role("button", name="Désélectionner").click()
    await expect(bulk).to_be_hidden()
    await expect(outcomes).to_have_text(["mort", "en attente", "appliqué"])


async def test_who_may_only_look_is_told_so_and_changes_nothing(database_url: str, page: Page, sql: Sql) -> None:
    async with running(database_url, auth_jwt_secret=SECRET, viewer_users="eve", admin_hide_payloads=True) as server:
        store(sql, webhook("j1", "generating") | {"data": {"hush": 1}})
        await page.context.add_cookies([{"name": "__session", "value": token("eve"), "url": server.url}])
        await page.goto(f"{server.url}/admin")
        await page.locator("rushes-webhooks tbody a").click()
        detail = page.locator("rushes-webhook")
        await expect(detail).to_contain_text("cachés à qui ne peut que regarder")
        await expect(detail).not_to_contain_text("hush")
        await expect(detail).to_contain_text("Lecture seule : vous pouvez tout voir, et ne rien changer.")
        verbs = re.compile("Rejouer|Écarter|Interrompre")
        await expect(page.get_by_role("button", name=verbs).or_(page.get_by_role("checkbox"))).to_have_count(0)
        await page.get_by_role("link", name="Fermer").click()
        await page.keyboard.press("j")
        await page.keyboard.press("x")
        await expect(page.get_by_role("link", name=re.compile("Rejouer"))).to_have_count(0)
        await expect(page.get_by_role("region", name="Sélection")).to_have_count(0)
        await page.goto(f"{server.url}/admin?view=replays&new=1&outcome=dead")
        await expect(page.get_by_role("alert")).to_have_text("Vous pouvez tout voir, et ne rien changer.")
        await expect(page.get_by_role("button", name=verbs)).to_have_count(0)
        assert sql("SELECT outcome FROM rushes_webhooks") == (("dead",),)


async def test_page_changes_its_language_and_stays_where_it_is(page: Page, server: Client, sql: Sql) -> None:
    store(sql, webhook("j1", "generating"))
    await page.goto(f"{server.url}/admin?outcome=dead")
    await page.get_by_role("button", name="English").click()
    await expect(page.locator("rushes-webhooks tbody .outcome")).to_have_text("dead")
    assert page.url.endswith("/admin?outcome=dead")
    await page.get_by_role("button", name="Français").click()
    await expect(page.locator("rushes-webhooks tbody .outcome")).to_have_text("mort")


async def test_one_is_told_as_one_and_so_is_none_in_french(page: Page, server: Client, sql: Sql) -> None:
    await server.register("j1")
    await server.send(webhook("j1", "generating"))
    await page.goto(f"{server.url}/admin")
    tiles = page.locator("rushes-now .tile")
    await expect(tiles.filter(has_text="Jobs en cours")).to_contain_text("0 en attente · 1 lancé")
    await expect(tiles.filter(has_text="Jobs finis")).to_contain_text("0 réussi · 0 échoué")
    await page.get_by_role("checkbox").check()
    await page.get_by_role("button", name="Écarter").click()
    await expect(page.get_by_role("dialog")).to_contain_text("Écarter 1 webhook ?")


async def test_what_was_done_is_told_at_the_webhook_and_in_the_list_of_acts(
    page: Page, server: Client, sql: Sql
) -> None:
    store(sql, webhook("j<b>\u202e", "generating"), webhook("j2", "generating"))
    await page.goto(f"{server.url}/admin?outcome=dead&job_id=j2")
    await page.locator("rushes-webhooks tbody").get_by_role("checkbox").check()
    await act(page, "Écarter")
    await expect(page.locator("rushes-bulk").get_by_role("status")).to_have_text("1 sur 1")
    await page.locator("rushes-bulk li a").click()
    done = page.locator("rushes-webhook [data-slot=audit] tbody tr")
    await expect(done).to_have_count(1)
    await expect(done).to_contain_text("mort → écarté")
    await page.goto(f"{server.url}/admin")
    await page.locator("rushes-webhooks tbody").get_by_role("checkbox").nth(1).check()
    await act(page, "Rejouer")
    await expect(page.locator("rushes-bulk").get_by_role("status")).to_have_text("1 sur 1")
    await page.get_by_role("link", name="Audit").click()
    acts = page.locator("rushes-audit tbody tr")
    await expect(acts).to_have_count(2)
    await expect(acts.nth(0)).to_contain_text("j<b>U+202E")
    await expect(acts.nth(0)).to_contain_text("mort → en attente")
    await expect(acts.nth(0).locator("ins")).to_have_css("text-decoration-line", "none")  # it is no link
    await expect(acts.nth(1)).to_contain_text("dev")
    await page.locator("rushes-audit").get_by_label("Acte").select_option("discard")
    await expect(acts).to_have_count(1)
    await expect(page).to_have_url(f"{server.url}/admin?view=audit&act=discard")
    await acts.get_by_role("link", name="Webhook").click()
    await expect(page.locator("rushes-webhook")).to_contain_text("j2")
