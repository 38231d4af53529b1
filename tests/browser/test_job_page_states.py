"""The page of one job in each of its states: nobody is shut out, and nothing jumps."""

import re
from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import Page, expect

from tests.browser.axe import needs_axe, problems
from tests.browser.engines import Chromium
from tests.browser.job_pages import BUSY, PROMPT, done, followed, open_job
from tests.browser.pages import completion, post_webhook, register
from tests.client import Client, running

pytestmark = pytest.mark.asyncio(loop_scope="session")

SHIFTS = """window.shifted = 0; new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.shifted += entry.value;
}).observe({ type: "layout-shift", buffered: true });"""


async def shifted(page: Page) -> float:
    """How much has moved since it was asked before, as browsers reckon it."""
    await page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    moved: float = await page.evaluate("() => { const moved = window.shifted; window.shifted = 0; return moved; }")
    return moved


@pytest.mark.parametrize("width", [390, 1440])
async def test_nothing_jumps_when_the_page_opens_nor_when_progress_becomes_a_video(
    page: Page, server: Client, width: int
) -> None:
    await page.add_init_script(SHIFTS)
    await page.set_viewport_size({"width": width, "height": 900})
    await register(page, server, "job-1", PROMPT)
    await post_webhook(page, server, "job-1", "downloading")
    await followed(page, server)
    assert await shifted(page) < 0.02
    await post_webhook(page, server, "job-1", "completed", data=completion("job-1"))
    await expect(page.locator("dl")).to_contain_text("Veo 2.0")
    await expect(page.locator("video")).to_have_js_property("readyState", 4)
    assert await shifted(page) < 0.02


async def failed_of_one_word(page: Page, server: Client) -> None:
    await register(page, server, "job-1", "unbreakable" * 40)
    await post_webhook(page, server, "job-1", "failed", error="https://errors.example/" + "a" * 300)
    await open_job(page, server)
    await expect(page.locator(".reason, [data-slot=error]").first).to_be_visible()


async def failed(page: Page, server: Client) -> None:
    await register(page, server, "job-1", PROMPT)
    await post_webhook(page, server, "job-1", "failed", error=BUSY)
    await followed(page, server)


async def in_progress(page: Page, server: Client) -> None:
    await register(page, server, "job-1", PROMPT)
    await post_webhook(page, server, "job-1", "generating")
    await followed(page, server)


async def completed(page: Page, server: Client) -> None:
    data = completion("job-1")
    filtered = {"raiMediaFilteredCount": 2, "raiMediaFilteredReasons": ["Support codes: 42237218"]}
    data["metadata"] |= {"num_videos_requested": 4, "num_videos_generated": 2, "generateVideoResponse": filtered}
    (first,) = data["videos"]
    data["videos"].append(first | {"filename": "second.mp4", "file_path": "second.mp4"})
    await register(page, server, "job-1", PROMPT)
    await post_webhook(page, server, "job-1", "completed", data=data)
    await followed(page, server)
    await expect(page.locator(".partial")).to_be_visible()


async def deleted(page: Page, server: Client) -> None:
    await done(page, server)
    await followed(page, server)
    await page.locator("[data-slot=erase]").click()
    await expect(page.locator("[data-slot=restore]")).to_be_visible()


async def missing(page: Page, server: Client) -> None:
    await open_job(page, server, "none")


async def unread(page: Page, server: Client) -> None:
    await page.route("**/api/videos/job-1", lambda route: route.fulfill(status=503))
    await open_job(page, server)
    await expect(page.locator(".notice [data-slot=when]")).to_be_visible()


async def interrupted(page: Page, server: Client) -> None:
    await page.route(re.compile("/(events|ws)"), lambda route: route.fulfill(status=503))
    await register(page, server, "job-1", PROMPT)
    await open_job(page, server)
    await expect(page.locator(".banner [data-slot=when]")).to_be_visible()


STATES: dict[str, Callable[[Page, Client], Awaitable[None]]] = {
    "in progress": in_progress,
    "failed": failed,
    "failed, of one word": failed_of_one_word,
    "completed, some filtered": completed,
    "deleted": deleted,
    "missing": missing,
    "unread": unread,
    "interrupted": interrupted,
}


@needs_axe
@pytest.mark.parametrize(("language", "locale"), [("fr", "fr-FR"), ("en", "en-GB")])
@pytest.mark.parametrize("state", STATES)
async def test_nobody_is_shut_out_from_any_state_of_the_page_of_a_job(
    database_url: str, chromium: Chromium, state: str, language: str, locale: str
) -> None:
    async with (
        chromium.context(locale) as context,
        running(database_url, app_language=language, simulated_step=60) as server,
    ):
        page = await context.new_page()
        await page.emulate_media(reduced_motion="reduce")
        await page.clock.install()
        await STATES[state](page, server)
        await page.clock.pause_at((await page.evaluate("Date.now()") + 10_000) / 1000)
        assert await problems(page) == {}
