"""The operator's page in a real browser: who sees it, what there is now, and the keys."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.browser.pages import register
from tests.client import Client, running
from tests.sign_in import SECRET, token

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def sign_in(page: Page, server: Client, text: str) -> None:
    await page.context.add_cookies([{"name": "__session", "value": text, "url": server.url}])


async def test_who_is_no_admin_is_told_so_and_sees_no_figure(database_url: str, page: Page) -> None:
    async with running(database_url, auth_jwt_secret=SECRET) as server:
        await page.goto(f"{server.url}/admin")
        refused = page.get_by_role("alert")
        await expect(refused).to_contain_text("Connectez-vous pour voir cette page")
        await sign_in(page, server, token("u1"))
        await page.get_by_role("button", name="Réessayer").click()
        await expect(refused).to_contain_text("Cette page est réservée aux administrateurs")
        await expect(page.locator(".tile")).to_have_count(0)
        await expect(page.get_by_role("navigation")).to_be_hidden()
        await sign_in(page, server, token("u2", role="admin"))
        await page.get_by_role("button", name="Réessayer").click()
        await expect(page.locator(".tile[data-name=dead]")).to_be_visible()
        await expect(page.locator("[data-slot=refused]")).to_be_hidden()


async def test_operator_sees_what_there_is_now_and_nothing_breaks_the_policy(page: Page, server: Client) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    await register(page, server, "j1")
    await register(page, server, "j2")
    await server.send(b"{}")
    await page.goto(f"{server.url}/admin")
    await expect(page).to_have_title("Webhooks · Exploitation · rushes")
    await expect(page.locator(".tile[data-name=unfinished] .figure")).to_have_text("2")
    await expect(page.locator(".tile[data-name=dead] .figure")).to_have_text("1")
    await expect(page.locator(".tile[data-name=versions] .by")).to_contain_text("1 processus")
    await expect(page.locator("rushes-connection")).to_have_attribute("state", "live")
    assert [text for text in said if "Content Security Policy" in text] == []
    policy = (await page.request.get(f"{server.url}/admin")).headers["content-security-policy"]
    assert "unsafe" not in policy


async def test_keys_are_told_by_a_key_and_can_be_turned_off_for_good(page: Page, server: Client) -> None:
    await page.goto(f"{server.url}/admin")
    await expect(page.locator(".tile").first).to_be_visible()
    keys = page.get_by_role("dialog", name="Raccourcis clavier")
    await page.keyboard.press("?")
    await expect(keys).to_be_visible()
    await expect(keys.locator("kbd")).to_have_text(["/", "j", "k", "Entrée", "x", "Échap", "?"])
    await keys.get_by_role("checkbox").uncheck()
    await page.keyboard.press("Escape")
    await expect(keys).to_be_hidden()
    await page.reload()
    await expect(page.locator(".tile").first).to_be_visible()
    await page.keyboard.press("?")
    await page.get_by_role("button", name="Raccourcis clavier").click()
    await expect(keys).to_be_visible()
    await expect(keys.get_by_role("checkbox")).not_to_be_checked()


async def test_operator_is_told_what_fails_and_that_it_is_over(page: Page, server: Client) -> None:
    await page.clock.install()
    await page.route("**/api/admin/stats", lambda route: route.fulfill(status=503, json={"error": "x", "code": "away"}))
    await page.goto(f"{server.url}/admin")
    await expect(page.locator("[data-slot=trouble]")).to_have_text("x")
    await expect(page.locator("rushes-connection")).to_have_attribute("state", "offline")
    await page.unroute("**/api/admin/stats")
    await page.clock.run_for(10_000)
    await expect(page.locator(".tile[data-name=dead]")).to_be_visible()
    await expect(page.locator("[data-slot=trouble]")).to_be_hidden()
    await expect(page.locator("rushes-connection")).to_have_attribute("state", re.compile("live"))
