"""What the page of one job is to its reader: in his language, signed out, away from the server, without a file."""

import re

import pytest
from playwright.async_api import Page, expect

from app.appkeys import ESTIMATES, SETTINGS
from app.domain.estimate import Kind
from tests.browser.engines import Chromium
from tests.browser.job_pages import BUSY, PROMPT, done, followed, open_job
from tests.browser.pages import button, post_webhook, register
from tests.client import Client, running
from tests.sign_in import SECRET, SENDERS, token
from tests.webhooks import webhook

pytestmark = pytest.mark.asyncio(loop_scope="session")

SIGNS = {"auth_jwt_secret": SECRET, "webhook_secret": SENDERS, "sign_in_url": "https://accounts.example/in?r={url}"}
SENDS = {"X-Webhook-Secret": SENDERS}
AWAY = {"status": 503, "headers": {"Retry-After": "60"}, "json": {"error": "Away.", "code": "unavailable"}}


async def owned(server: Client) -> None:
    """Has u1's job."""
    order = {"job_id": "job-1", "user_id": "u1", "prompt": PROMPT}
    async with server.post("/api/videos", json=order, headers=SENDS) as answer:
        assert answer.status == 201


async def sign_in(page: Page, server: Client) -> None:
    name = server.app[SETTINGS].auth_cookie
    await page.context.add_cookies([{"name": name, "value": token("u1", 600), "url": server.url}])


async def test_page_changes_its_language_and_what_the_server_says_of_the_job_with_it(
    database_url: str, chromium: Chromium
) -> None:
    async with chromium.context("en-GB") as context, running(database_url, app_language="fr") as server:
        page = await context.new_page()
        await register(page, server, "job-1", PROMPT)
        await post_webhook(page, server, "job-1", "generating")
        shown = await followed(page, server)
        await expect(page.locator(".timeline .event").last).to_have_text("Generating the video")
        await button(page, "Français").click()
        await expect(page.locator("html")).to_have_attribute("lang", "fr")
        await expect(page.locator(".timeline .event").last).to_have_text("Génération de la vidéo en cours")
        await expect(shown.get_by_role("progressbar")).to_have_attribute("aria-valuetext", re.compile("Génération"))


async def test_who_opens_it_signed_out_is_led_to_sign_in_and_back_to_it(database_url: str, page: Page) -> None:
    async with running(database_url, **SIGNS) as server:
        await open_job(page, server)
        link = page.locator(".notice").get_by_role("link", name="Se connecter")
        await expect(link).to_have_attribute(
            "href", re.compile(r"^https://accounts\.example/in\?r=http%3A%2F%2F127.*%2Fjobs%2Fjob-1$")
        )


async def test_who_is_signed_out_on_the_open_page_is_led_to_sign_in(database_url: str, page: Page) -> None:
    async with running(database_url, **SIGNS) as server:
        await owned(server)
        await sign_in(page, server)
        await followed(page, server)
        await page.context.clear_cookies()
        await page.context.set_offline(True)
        await page.context.set_offline(False)
        await expect(page.locator(".banner").get_by_role("link", name="Se connecter")).to_be_visible()
        await expect(page.locator(".whole").first).to_have_text(PROMPT)


async def test_next_try_is_counted_down(page: Page, server: Client) -> None:
    await page.clock.install()
    await page.route("**/api/videos/job-1", lambda route: route.fulfill(**AWAY))
    await open_job(page, server)
    when = page.locator(".notice [data-slot=when]")
    await expect(when).to_have_text(re.compile(r"Nouvel essai dans (1 min 00 s|59 s)\."))
    await page.clock.run_for(20_000)
    await expect(when).to_have_text(re.compile(r"Nouvel essai dans (40|39|38) s\."))
    await expect(page.locator(".notice")).not_to_contain_text("Away")


async def test_next_try_of_the_stream_is_counted_down_and_the_job_stays(page: Page, server: Client) -> None:
    await register(page, server, "job-1", PROMPT)
    await page.route(re.compile("/(events|ws)"), lambda route: route.fulfill(**AWAY))
    await open_job(page, server)
    await expect(page.locator(".banner [data-slot=when]")).to_have_text(re.compile(r"Nouvel essai dans \d+"))
    await expect(page.locator(".banner [role=status]")).to_contain_text("Le direct est interrompu")
    await expect(page.locator(".banner")).not_to_contain_text("Away")
    await expect(page.locator(".whole").first).to_be_visible()


async def test_page_that_loses_the_network_says_so_stops_to_estimate_and_goes_on_when_it_is_back(
    page: Page, server: Client
) -> None:
    known = server.app[ESTIMATES]
    for _ in range(5):
        known.observe(Kind("veo-2.0-generate-001", 8, 1), (1, 1, 60, 1, None))
    await register(page, server, "job-1", PROMPT)
    await post_webhook(page, server, "job-1", "generating")
    shown = await followed(page, server)
    await expect(shown.locator("[data-slot=eta]")).to_have_text(re.compile(r"≈"))
    await page.context.set_offline(True)
    await expect(page.locator(".banner")).to_contain_text("hors ligne")
    await expect(shown.locator("[data-slot=eta]")).to_be_empty()
    await page.context.set_offline(False)
    await expect(page.locator(".banner")).to_be_hidden()
    await expect(shown.locator("[data-slot=eta]")).to_have_text(re.compile(r"≈"))


async def test_file_that_is_gone_is_not_offered_for_download_and_can_be_tried_again(page: Page, server: Client) -> None:
    await page.route("**/static/simulated.mp4", lambda route: route.fulfill(status=404, body=""))
    await done(page, server)
    await open_job(page, server)
    await expect(page.locator("rushes-video [data-slot=broken]")).to_be_visible()
    await expect(page.locator("[data-slot=download]")).to_be_hidden()
    await page.unroute("**/static/simulated.mp4")
    await page.locator("rushes-video").get_by_role("button", name="Réessayer").click()
    await expect(page.locator("video")).to_have_js_property("readyState", 4)
    await expect(page.locator("[data-slot=download]")).to_be_visible()


async def test_new_try_is_not_offered_where_nobody_takes_orders(database_url: str, page: Page) -> None:
    async with running(database_url, app_env="production", **SIGNS) as server:
        await owned(server)
        failure = webhook("job-1", "failed") | {"error": BUSY}
        assert (await server.send(failure, SENDS))[0] == 200
        await sign_in(page, server)
        await followed(page, server)
        await expect(button(page, "Supprimer")).to_be_visible()
        await expect(button(page, "Réessayer")).to_be_hidden()
