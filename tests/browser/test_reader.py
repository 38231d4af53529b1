"""What the page is to its reader: in his language, away from the network, signed out, without JavaScript, lost."""

import re

import pytest
from playwright.async_api import Page, expect

from app.appkeys import ESTIMATES, SETTINGS
from app.domain.estimate import Kind
from tests.browser.engines import Chromium
from tests.browser.pages import job, open_page, post_webhook, register
from tests.client import Client, running
from tests.databases import Sql
from tests.sign_in import SECRET, SENDERS, token
from tests.tables import add

pytestmark = pytest.mark.asyncio(loop_scope="session")

SIGN_IN = "/docs?back={url}"  # any page of ours will do
WIDE = 2560


async def test_page_is_in_the_browsers_language_until_its_reader_chooses_another(
    database_url: str, chromium: Chromium
) -> None:
    async with chromium.context("en-GB") as context, running(database_url, app_language="fr") as server:
        page = await context.new_page()
        await open_page(page, server)
        await expect(page.locator("rushes-connection")).to_have_text("Live")
        await page.get_by_role("button", name="Français").click()
        await expect(page.locator("rushes-connection")).to_have_text("En direct")
        await page.reload()
        await expect(page.locator("html")).to_have_attribute("lang", "fr")
        await page.get_by_role("button", name="English").click()
        await expect(page.locator("rushes-connection")).to_have_text("Live")


async def test_reader_whose_browser_speaks_neither_language_has_that_of_the_server(
    database_url: str, chromium: Chromium
) -> None:
    async with chromium.context("fi-FI") as context, running(database_url, app_language="en") as server:
        page = await context.new_page()
        await open_page(page, server)
        await expect(page.locator("html")).to_have_attribute("lang", "en")


async def sign_in(page: Page, server: Client, seconds: float = 600) -> None:
    name = server.app[SETTINGS].auth_cookie
    cookie = token("dev", seconds)
    await page.context.add_cookies([{"name": name, "value": cookie, "url": server.url}])


async def test_who_is_signed_out_on_an_open_page_is_led_to_sign_in_and_comes_back_to_draft_and_place(
    database_url: str, page: Page, sql: Sql
) -> None:
    for number in range(40):
        made = f"2026-11-20 10:{number:02d}:00"
        add(sql, f"v-{number:03d}", made, status="COMPLETED", completedAt=made)
    signs = {"auth_jwt_secret": SECRET, "webhook_secret": SENDERS, "sign_in_url": SIGN_IN}
    async with running(database_url, **signs) as server:
        await page.emulate_media(reduced_motion="reduce")
        await sign_in(page, server)
        await open_page(page, server)
        await page.locator("[name=prompt]").fill("A tram in Lisbon")
        card = job(page, "v-020")
        while not await card.count():
            await page.locator("[data-slot=more]").scroll_into_view_if_needed()
        await card.evaluate("card => card.scrollIntoView({ block: 'center' })")
        await page.context.clear_cookies()
        async with page.expect_response("**/api/videos/generate") as answered:
            await page.locator("rushes-prompt [type=submit]").click()
        assert (await answered.value).status == 401
        await expect(page.locator("#prompt-problem")).to_contain_text("plus connecté")
        top = await card.evaluate("card => card.offsetTop - scrollY")
        link = page.locator("#prompt-problem + a")
        await link.evaluate("link => link.click()")  # a press by the pointer may scroll
        await page.wait_for_url("**/docs?back=*")
        assert page.url.endswith(f"back={server.url.replace(':', '%3A').replace('/', '%2F')}%2F")
        await sign_in(page, server)
        await page.goto(server.url)
        await expect(page.locator("[name=prompt]")).to_have_value("A tram in Lisbon")
        await expect(card).to_be_in_viewport()
        assert await card.evaluate("card => card.offsetTop - scrollY") == pytest.approx(top, abs=2)


async def test_page_that_opens_signed_out_leads_to_sign_in(database_url: str, page: Page) -> None:
    signs = {"auth_jwt_secret": SECRET, "webhook_secret": SENDERS, "sign_in_url": "https://accounts.example/in?r={url}"}
    async with running(database_url, **signs) as server:
        await page.goto(server.url)
        link = page.locator(".signed-out").get_by_role("link", name="Se connecter")
        await expect(link).to_have_attribute("href", re.compile(r"^https://accounts\.example/in\?r=http%3A%2F%2F127"))


async def test_page_that_loses_the_network_says_so_at_once_stops_to_estimate_and_goes_on_when_it_is_back(
    page: Page, server: Client
) -> None:
    known = server.app[ESTIMATES]
    for _ in range(5):
        known.observe(Kind("veo-2.0-generate-001", 8, 1), (1, 1, 60, 1, None))
    await open_page(page, server)
    await register(page, server, "job-1")
    await post_webhook(page, server, "job-1", "generating")
    card = job(page, "job-1")
    await expect(card.locator("[data-slot=eta]")).to_have_text(re.compile(r"≈"))
    await page.context.set_offline(True)
    await expect(page.locator("rushes-connection")).to_have_attribute("state", "offline", timeout=1_000)
    await expect(page.locator(".banner")).to_contain_text("hors ligne")
    await expect(card.locator("[data-slot=eta]")).to_be_empty()
    await page.context.set_offline(False)
    await expect(page.locator("rushes-connection")).to_have_attribute("state", "live")
    await expect(page.locator(".banner")).to_be_hidden()
    await expect(card.locator("[data-slot=eta]")).to_have_text(re.compile(r"≈"))


async def test_one_failed_read_is_tried_again_and_nothing_is_missed(page: Page, server: Client) -> None:
    await open_page(page, server)
    await page.route("**/api/videos/job-1", lambda route: route.abort(), times=1)
    await register(page, server, "job-1", "Rain on a tin roof")
    await expect(job(page, "job-1")).to_contain_text("Rain on a tin roof")  # which events do not say


async def test_next_try_is_counted_down(page: Page, server: Client) -> None:
    refusal = {"status": 503, "headers": {"Retry-After": "60"}, "json": {"error": "Away.", "code": "unavailable"}}
    await page.clock.install()
    await page.route("**/api/videos/user?*", lambda route: route.fulfill(**refusal))
    await page.goto(server.url)
    when = page.locator("#gallery > .problem [data-slot=when]")
    await expect(when).to_have_text(re.compile(r"Nouvel essai dans (1 min 00 s|59 s)\."))
    await page.clock.run_for(20_000)
    await expect(when).to_have_text(re.compile(r"Nouvel essai dans (40|39|38) s\."))
    await expect(page.locator("#gallery > .problem [role=alert]")).not_to_contain_text("Away")


async def test_what_the_server_refuses_is_told_in_the_readers_language(page: Page, server: Client) -> None:
    await open_page(page, server)
    details = [{"field": "prompt", "message": "String should match pattern"}]
    refusal = {"error": "Invalid request: prompt: no.", "code": "invalid_request", "details": details}
    await page.route("**/api/videos/generate", lambda route: route.fulfill(status=400, json=refusal))
    await page.locator("[name=prompt]").fill("A tram")
    await page.locator("rushes-prompt [type=submit]").click()
    await expect(page.locator("#prompt-problem")).to_have_text(
        "Cette demande n’est pas acceptée telle quelle.\nÀ revoir : prompt"
    )


async def test_without_javascript_there_is_one_sentence_and_no_form(page: Page, server: Client) -> None:
    assert page.context.browser is not None
    context = await page.context.browser.new_context(java_script_enabled=False, locale="fr-FR")
    try:
        plain = await context.new_page()
        await plain.goto(server.url)
        await expect(plain.locator(".noscript [lang=fr]")).to_be_visible()
        await expect(plain.locator(".noscript [lang=en]")).to_be_hidden()
        await expect(plain.locator("form").first).to_be_hidden()
    finally:
        await context.close()


async def test_address_that_leads_nowhere_says_so_and_leads_home(page: Page, server: Client) -> None:
    answer = await page.goto(f"{server.url}/nowhere")
    assert answer is not None
    assert answer.status == 404
    await expect(page.get_by_role("heading")).to_have_text("Rien ici")
    await page.get_by_role("link", name="Voir mes vidéos").click()
    await expect(page.locator("rushes-connection")).to_have_attribute("state", "live")


async def test_program_that_asks_for_what_is_not_there_gets_json(server: Client) -> None:
    status, body = await server.read("/nowhere")
    assert (status, body["code"]) == (404, "not_found")


async def test_wide_screen_is_not_left_empty(page: Page, server: Client) -> None:
    await page.set_viewport_size({"width": WIDE, "height": 1200})
    await open_page(page, server)
    assert await page.locator("main").evaluate("main => main.getBoundingClientRect().width") > 0.9 * WIDE
