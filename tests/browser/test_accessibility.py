"""What axe finds on the page, in each of its states: nothing, at any width, light and dark, in both languages."""

from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import FilePayload, Page, expect

from tests.browser.axe import AXE, LOCALES, SCHEMES, found, needs_axe, problems
from tests.browser.engines import Chromium
from tests.browser.pages import LOOKED_AWAY, PNG, bar, completion, erase, job, open_page, post_webhook, register
from tests.client import Client, running
from tests.sign_in import SECRET, SENDERS

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROMPT = "A lighthouse in the mist, static shot, its beam sweeping slowly over the sea"


async def failed_with_advice(page: Page, server: Client) -> None:
    await register(page, server, "job-1", PROMPT)
    await post_webhook(page, server, "job-1", "failed", error="429 RESOURCE_EXHAUSTED. Please try again later.")
    await expect(job(page, "job-1").locator(".advice")).to_be_visible()


async def ended_out_of_sight(page: Page, server: Client) -> None:
    await page.evaluate(LOOKED_AWAY)
    for job_id in ("job-1", "job-2", "job-3"):
        await register(page, server, job_id, PROMPT)
        await post_webhook(page, server, job_id, "completed", has_data=True, data=completion(job_id))
    await expect(page.locator(".toast[data-kind=ready]")).to_contain_text("3")
    await register(page, server, "job-4", PROMPT)
    await post_webhook(page, server, "job-4", "failed", error="Quota exceeded")
    await expect(page.locator(".toast[data-kind=failed]")).to_be_visible()


async def partial_result(page: Page, server: Client) -> None:
    data = completion("job-1")
    filtered = {"raiMediaFilteredCount": 2, "raiMediaFilteredReasons": ["Support codes: 42237218"]}
    data["metadata"] |= {"num_videos_requested": 4, "num_videos_generated": 2, "generateVideoResponse": filtered}
    await register(page, server, "job-1", PROMPT)
    await post_webhook(page, server, "job-1", "completed", has_data=True, data=data)
    await expect(job(page, "job-1").locator(".partial")).to_be_visible()


async def cancel_asked(page: Page, server: Client) -> None:
    await register(page, server, "job-1", PROMPT)
    await post_webhook(page, server, "job-1", "generating")
    await expect(bar(job(page, "job-1"))).to_have_attribute("aria-valuenow", "50")
    await job(page, "job-1").locator("[data-slot=cancel]").click()
    await expect(job(page, "job-1").get_by_role("status")).not_to_be_empty()


async def undo_offered(page: Page, server: Client, job_id: str = "job-1") -> None:
    await register(page, server, job_id, PROMPT)
    await post_webhook(page, server, job_id, "completed", has_data=True, data=completion(job_id))
    await erase(job(page, job_id))
    await expect(page.locator(".toast[data-kind=notice] [data-action=show]")).to_be_focused()


async def edit_and_again(page: Page, server: Client) -> None:
    await failed_with_advice(page, server)
    await job(page, "job-1").locator("[data-slot=edit]").click()
    await expect(page.locator("[name=prompt]")).to_have_value(PROMPT)


async def empty(page: Page, server: Client) -> None:
    await expect(page.locator(".empty")).to_be_visible()


async def menu_open(page: Page, server: Client) -> None:
    await register(page, server, "job-1", PROMPT)
    await post_webhook(page, server, "job-1", "completed", has_data=True, data=completion("job-1"))
    await job(page, "job-1").locator("[data-slot=opener]").click()
    await expect(job(page, "job-1").locator(".menu")).to_be_visible()


async def playing_beside_the_strip(page: Page, server: Client) -> None:
    for job_id in ("job-1", "job-2", "job-3"):
        await register(page, server, job_id, PROMPT * 4)
    await post_webhook(page, server, "job-2", "failed", error="429 RESOURCE_EXHAUSTED. Please try again later.")
    await post_webhook(page, server, "job-1", "completed", has_data=True, data=completion("job-1"))
    await page.locator("[data-slot=news]").click()
    await register(page, server, "job-4")
    await post_webhook(page, server, "job-4", "completed", has_data=True, data=completion("job-4"))
    await expect(page.locator("[data-slot=news]")).to_be_visible()
    await job(page, "job-1").locator(".play").click()
    await expect(job(page, "job-1").locator(".scrubber")).to_be_visible()


async def nothing_found(page: Page, server: Client) -> None:
    await register(page, server, "job-1", PROMPT)
    await page.get_by_role("searchbox").fill("a whale")
    await page.get_by_role("searchbox").press("Enter")
    await expect(page.locator("[data-slot=none]")).to_be_visible()


async def composing(page: Page, server: Client) -> None:
    await register(page, server, "job-1", PROMPT)
    await page.locator("[name=prompt]").fill(PROMPT)
    image = FilePayload(name="a.png", mimeType="image/png", buffer=PNG)
    await page.locator("rushes-image input").set_input_files(image)
    await expect(page.locator(".image")).to_be_visible()


async def found_one(page: Page, server: Client) -> None:
    await menu_open(page, server)
    await page.keyboard.press("Escape")
    await page.get_by_role("searchbox").fill("lighthouse")
    await page.get_by_role("searchbox").press("Enter")
    await expect(page.locator("[data-slot=found] video")).to_be_visible()


async def offline(page: Page, server: Client) -> None:
    await register(page, server, "job-1", PROMPT)
    await expect(job(page, "job-1")).to_be_visible()
    await page.context.set_offline(True)
    await expect(page.locator(".banner")).to_be_visible()


async def file_is_gone(page: Page, server: Client) -> None:
    data = completion("job-1")
    data["videos"][0]["file_url"] = "/static/gone.mp4"
    await register(page, server, "job-1", PROMPT)
    await post_webhook(page, server, "job-1", "completed", has_data=True, data=data)
    await expect(job(page, "job-1").locator("[data-slot=broken]")).to_be_visible()


STATES: dict[str, Callable[[Page, Client], Awaitable[None]]] = {
    "failed with advice": failed_with_advice,
    "ended out of sight": ended_out_of_sight,
    "partial result": partial_result,
    "cancel asked": cancel_asked,
    "undo offered": undo_offered,
    "edit and again": edit_and_again,
    "empty": empty,
    "menu open": menu_open,
    "playing beside the strip": playing_beside_the_strip,
    "nothing found": nothing_found,
    "found": found_one,
    "composing": composing,
    "offline": offline,
    "file is gone": file_is_gone,
}


@needs_axe
@pytest.mark.parametrize("language", LOCALES)
@pytest.mark.parametrize("state", STATES)
async def test_nobody_is_shut_out_from_any_state_of_the_page(
    database_url: str, chromium: Chromium, state: str, language: str
) -> None:
    async with (
        chromium.context(LOCALES[language]) as context,
        running(database_url, app_language=language, simulated_step=60) as server,
    ):
        page = await context.new_page()
        # Things that are half faded in have the contrast of neither end.
        await page.emulate_media(reduced_motion="reduce")
        await page.clock.install()
        await open_page(page, server)
        await page.clock.pause_at((await page.evaluate("Date.now()") + 10_000) / 1000)  # nothing leaves by itself
        await STATES[state](page, server)
        assert await problems(page) == {}


async def test_what_gets_the_focus_is_not_hidden_behind_an_announcement(page: Page, server: Client) -> None:
    await page.set_viewport_size({"width": 390, "height": 700})
    await page.emulate_media(reduced_motion="reduce")
    await open_page(page, server)
    for number in range(6):
        await register(page, server, f"job-{number}", PROMPT)
    await undo_offered(page, server, "job-6")  # with the focus in it, it stays
    toast = page.locator(".toast[data-kind=notice]")
    for number in range(6):
        cancel = job(page, f"job-{number}").locator("[data-slot=cancel]")
        await toast.hover()
        await cancel.focus()
        under, over = await cancel.bounding_box(), await toast.bounding_box()
        assert under is not None
        assert over is not None
        assert under["y"] + under["height"] <= over["y"]


async def test_way_through_a_card_by_the_tab_key_is_short_and_each_stop_has_a_name(page: Page, server: Client) -> None:
    await register(page, server, "job-1", PROMPT)
    await post_webhook(page, server, "job-1", "completed", has_data=True, data=completion("job-1"))
    await open_page(page, server)
    card = job(page, "job-1")
    await expect(card.locator(".play")).to_be_visible()
    await page.locator("rushes-search select").focus()
    names = []
    while True:
        await page.keyboard.press("Tab")
        if not await card.evaluate("card => card.contains(document.activeElement)"):
            break
        names.append(
            await page.evaluate("document.activeElement.ariaLabel || document.activeElement.textContent.trim()")
        )
    assert names == [f"Lire : {PROMPT}", "Reprendre le texte et les réglages"]


@needs_axe
async def test_nobody_is_shut_out_from_the_pages_for_who_is_signed_out_or_lost(
    database_url: str, chromium: Chromium
) -> None:
    signs = {"auth_jwt_secret": SECRET, "webhook_secret": SENDERS, "sign_in_url": "/sign-in"}
    async with chromium.context() as context, running(database_url, **signs) as server:
        page = await context.new_page()
        await page.emulate_media(reduced_motion="reduce")
        await page.clock.install()
        wrong = {}
        for address, sign in (("/", ".signed-out"), ("/jobs/job-1", ".notice h1"), ("/nowhere", "h1")):
            await page.goto(server.url + address)
            await expect(page.locator(sign)).to_be_visible()
            await page.evaluate(AXE.read_text())
            for scheme in SCHEMES:
                await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                wrong[address, scheme] = await found(page)
        assert {where: what for where, what in wrong.items() if what} == {}
