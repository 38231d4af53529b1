"""The gallery as somebody keeps it open: nothing jumps, what is looked for is found, places are kept."""

from typing import Any

import pytest
from playwright.async_api import Locator, Page, Route, expect

from tests.browser.pages import bar, completion, job, open_page, post_webhook, register
from tests.client import Client
from tests.databases import Sql
from tests.tables import add

pytestmark = pytest.mark.asyncio(loop_scope="session")

SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const { value, hadRecentInput } of list.getEntries()) if (!hadRecentInput) window.shifts.push(value);
}).observe({ type: "layout-shift", buffered: true });
"""
CLS = 0.02  # a tenth of what is told to be good


def strip(page: Page) -> Locator:
    return page.locator("[data-slot=strip] > rushes-job")


def grid(page: Page) -> Locator:
    return page.locator("[data-slot=grid] > rushes-job")


def news(page: Page) -> Locator:
    return page.locator("[data-slot=news]")


async def ids(cards: Locator) -> list[Any]:
    return [await card.get_attribute("job-id") for card in await cards.all()]


async def done(page: Page, server: Client, *job_ids: str) -> None:
    """Videos that were made before the page is looked at."""
    for job_id in job_ids:
        await register(page, server, job_id, f"The sea, {job_id}")
        await post_webhook(page, server, job_id, "completed", has_data=True, data=completion(job_id))


async def two_frames(page: Page) -> None:
    """What was laid out has been drawn, and observers of it were told."""
    await page.evaluate("() => new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(() => go())))")


async def shifted(page: Page) -> float:
    await two_frames(page)
    value: float = await page.evaluate("shifts.splice(0).reduce((sum, value) => sum + value, 0)")
    return value


async def test_nothing_moves_when_a_card_becomes_a_video_and_the_reader_lets_it_in(page: Page, server: Client) -> None:
    await page.add_init_script(SHIFTS)
    await done(page, server, "old-1", "old-2", "old-3", "old-4")
    for job_id in ("new-1", "new-2"):
        await register(page, server, job_id)
    await open_page(page, server)
    await expect(bar(job(page, "new-1"))).to_be_visible()
    await post_webhook(page, server, "new-1", "generating")
    await expect(bar(job(page, "new-1"))).to_have_attribute("aria-valuenow", "50")
    await shifted(page)
    await post_webhook(page, server, "new-1", "completed", has_data=True, data=completion("new-1"))
    await expect(job(page, "new-1").locator("video")).to_be_visible()
    await expect(news(page)).to_have_text("1 nouvelle vidéo")
    assert await shifted(page) < CLS
    assert await ids(strip(page)) == ["new-2", "new-1"]
    await news(page).click()
    await expect(grid(page)).to_have_count(5)
    assert await ids(grid(page)) == ["new-1", "old-4", "old-3", "old-2", "old-1"]
    assert await ids(strip(page)) == ["new-2"]
    await expect(news(page)).to_be_hidden()


async def test_first_video_of_an_empty_gallery_comes_into_it_by_itself_and_moves_nothing(
    page: Page, server: Client
) -> None:
    await page.add_init_script(SHIFTS)
    await register(page, server, "job-1")
    await open_page(page, server)
    await post_webhook(page, server, "job-1", "generating")
    await expect(bar(job(page, "job-1"))).to_have_attribute("aria-valuenow", "50")
    await shifted(page)
    await post_webhook(page, server, "job-1", "completed", has_data=True, data=completion("job-1"))
    await expect(grid(page)).to_have_count(1)
    await expect(grid(page).locator("video")).to_be_visible()
    assert await shifted(page) < CLS


async def test_first_video_stays_where_its_reader_has_opened_its_menu(page: Page, server: Client) -> None:
    await register(page, server, "job-1")
    await open_page(page, server)
    card = job(page, "job-1")
    await card.locator("[data-slot=opener]").click()
    await expect(card.locator(".menu")).to_be_visible()
    await post_webhook(page, server, "job-1", "completed", has_data=True, data=completion("job-1"))
    await expect(card).to_have_attribute("state", "COMPLETED")
    await expect(strip(page)).to_have_count(1)
    await expect(card.locator(".menu")).to_be_visible()
    await expect(card.locator(".menu")).to_contain_text("1280 × 720")
    await page.keyboard.press("Escape")
    await expect(card.locator("[data-slot=opener]")).to_be_focused()
    await news(page).click()
    await expect(grid(page)).to_have_count(1)


async def test_strip_has_what_goes_on_and_what_failed_newest_first_and_the_same_after_a_reload(
    page: Page, server: Client
) -> None:
    await open_page(page, server)
    for number in range(4):
        await register(page, server, f"job-{number}")
    await post_webhook(page, server, "job-1", "failed", error="Quota exceeded")
    await post_webhook(page, server, "job-0", "generating")
    await post_webhook(page, server, "job-2", "completed", has_data=True, data=completion("job-2"))
    await expect(job(page, "job-2")).to_have_attribute("state", "COMPLETED")
    await expect(bar(job(page, "job-0"))).to_have_attribute("aria-valuenow", "50")
    assert await ids(strip(page)) == ["job-3", "job-2", "job-1", "job-0"]
    await page.reload()
    await expect(grid(page)).to_have_count(1)
    assert await ids(strip(page)) == ["job-3", "job-1", "job-0"]
    assert await ids(grid(page)) == ["job-2"]


async def test_newest_of_many_that_go_on_is_in_sight(page: Page, server: Client) -> None:
    await page.emulate_media(reduced_motion="reduce")
    await open_page(page, server)
    for number in range(8):
        await register(page, server, f"job-{number}")
        await expect(job(page, f"job-{number}")).to_be_visible()
    await two_frames(page)
    assert await page.locator("[data-slot=strip]").evaluate("strip => strip.scrollWidth > strip.clientWidth")
    await expect(job(page, "job-7")).to_be_in_viewport(ratio=1)


async def test_video_that_plays_stays_where_it_is_when_the_strip_opens_above_it(page: Page, server: Client) -> None:
    await done(page, server, *(f"old-{number}" for number in range(7)))  # there is room to scroll
    await page.emulate_media(reduced_motion="reduce")  # what still arrives moves by itself
    await open_page(page, server)
    video = grid(page).locator("video").first
    await video.evaluate("video => { video.muted = true; return video.play(); }")
    before = await video.bounding_box()
    await register(page, server, "new-1")
    await post_webhook(page, server, "new-1", "generating")
    await expect(strip(page)).to_have_count(1)
    await two_frames(page)
    assert await video.bounding_box() == pytest.approx(before, abs=1)  # pages are scrolled by whole pixels
    assert not await video.evaluate("video => video.paused")


def many(sql: Sql, count: int) -> None:
    """So many finished videos, a minute apart: v-000 is the oldest."""
    for number in range(count):
        made = f"2026-11-20 {10 + number // 60}:{number % 60:02d}:00"
        add(sql, f"v-{number:03d}", made, status="COMPLETED", completedAt=made, prompt=f"Take {number}")


async def top_of(card: Locator) -> float:
    top: float = await card.evaluate("card => card.getBoundingClientRect().top")
    return top


async def test_earlier_pages_come_as_the_reader_scrolls(page: Page, server: Client, sql: Sql) -> None:
    many(sql, 40)
    await open_page(page, server)
    await expect(job(page, "v-039")).to_be_visible()
    assert await grid(page).count() < 40
    while await grid(page).count() < 40:
        async with page.expect_response("**/api/videos/user?*cursor=*"):
            await page.mouse.move(300, 300)
            await page.mouse.wheel(0, 20_000)
        await two_frames(page)
    assert await ids(grid(page)) == [f"v-{number:03d}" for number in reversed(range(40))]
    await expect(page.locator("[data-slot=more]")).to_be_hidden()


@pytest.mark.parametrize("way", ["reload", "back"])
async def test_reader_who_comes_back_is_where_he_was(page: Page, server: Client, sql: Sql, way: str) -> None:
    many(sql, 60)
    await page.emulate_media(reduced_motion="reduce")
    await open_page(page, server)
    card = job(page, "v-015")
    while not await card.count():
        await page.locator("[data-slot=more]").scroll_into_view_if_needed()
        await two_frames(page)
    await card.evaluate("card => card.scrollIntoView({ block: 'start' })")
    before = await top_of(card)
    if way == "reload":
        await page.reload()
    else:
        await page.goto(f"{server.url}/docs")
        await page.go_back()
    await expect(card).to_be_in_viewport()
    assert await top_of(card) == pytest.approx(before, abs=2)


async def test_search_finds_by_prompt_and_state_says_so_in_the_address_and_ends(
    page: Page, server: Client, sql: Sql
) -> None:
    many(sql, 14)
    add(sql, "fox", "2026-11-20 09:00:00", status="COMPLETED", completedAt="2026-11-20 09:01:00", prompt="A Fox")
    add(sql, "lost", "2026-11-20 09:00:00", status="FAILED", completedAt="2026-11-20 09:01:00", prompt="A lost fox")
    found = page.locator("[data-slot=found] > rushes-job")
    await open_page(page, server)
    await page.get_by_role("searchbox").fill("fox")
    await expect(found).to_have_count(1)
    await expect(found).to_have_attribute("job-id", "fox")
    await expect(grid(page).first).to_be_hidden()
    await page.reload()  # the address says what was looked for
    await expect(page.get_by_role("searchbox")).to_have_value("fox")
    await expect(found).to_have_attribute("job-id", "fox")
    await page.locator("rushes-search select").select_option("failed")
    await expect(found).to_have_attribute("job-id", "lost")
    await page.get_by_role("searchbox").fill("a whale")
    await expect(page.locator("[data-slot=none]")).to_be_visible()
    await page.locator("[data-slot=none] button").click()
    await expect(grid(page).first).to_be_visible()
    assert page.url == f"{server.url}/"


async def test_search_that_is_refused_leaves_what_was_shown(page: Page, server: Client, sql: Sql) -> None:
    many(sql, 3)
    await open_page(page, server)
    refusal = {"error": "No.", "code": "internal"}
    await page.route("**/api/videos/user?*q=*", lambda route: route.fulfill(status=500, json=refusal))
    await page.get_by_role("searchbox").fill("fox")
    await expect(page.locator(".toast", has_text="n’ont pas pu être chargées")).to_be_visible()
    await register(page, server, "job-1")  # whatever else comes
    await expect(job(page, "job-1")).to_be_visible()
    await expect(job(page, "v-002")).to_be_visible()


async def test_what_was_found_goes_on_with_what_the_stream_brings(page: Page, server: Client) -> None:
    await register(page, server, "job-1", "A fox")
    await register(page, server, "job-2", "A bear")
    await page.goto(f"{server.url}/?state=active&q=fox")
    found = page.locator("[data-slot=found] > rushes-job")
    await expect(found).to_have_count(1)
    await post_webhook(page, server, "job-1", "generating")
    await expect(bar(found)).to_have_attribute("aria-valuenow", "50")
    await post_webhook(page, server, "job-1", "completed", has_data=True, data=completion("job-1"))
    await expect(found.locator("video")).to_be_visible()
    await news(page).click()  # leads out of the search, to the video in the gallery
    await expect(grid(page)).to_have_attribute("job-id", "job-1")
    await expect(grid(page)).to_be_visible()
    await found.wait_for(state="detached")


async def test_page_that_is_refused_is_asked_for_again_by_hand_alone(page: Page, server: Client, sql: Sql) -> None:
    many(sql, 14)
    asked = 0

    async def refuse(route: Route) -> None:
        nonlocal asked
        asked += 1
        await route.fulfill(status=500, json={"error": "No.", "code": "internal"})

    await page.route("**/api/videos/user?*cursor=*", refuse)
    await page.set_viewport_size({"width": 1440, "height": 2000})  # the end is in sight
    await open_page(page, server)
    more = page.get_by_role("button", name="Afficher les précédentes")
    await expect(page.locator(".toast", has_text="n’ont pas pu être chargées")).to_be_visible()
    await register(page, server, "job-1")  # whatever else comes
    await expect(job(page, "job-1")).to_be_visible()
    await two_frames(page)
    assert asked == 1
    await page.unroute("**/api/videos/user?*cursor=*")
    await more.click()
    await expect(grid(page)).to_have_count(14)
