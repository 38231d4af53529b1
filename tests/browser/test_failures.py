"""What a failure says on the page, and what can be done about it: tried again, once, or dismissed, in every tab."""

import asyncio

import pytest
from playwright.async_api import Page, Route, expect

from app.appkeys import FOLLOWER
from tests.browser.engines import Chromium
from tests.browser.pages import (
    BUSY,
    button,
    completed,
    completion,
    failed,
    job,
    open_page,
    other_tab,
    post_webhook,
    register,
)
from tests.client import Client, running
from tests.databases import Sql

pytestmark = pytest.mark.asyncio(loop_scope="session")

# As browsers do that are told to keep nothing.
DENIED = """for (const name of ["localStorage", "sessionStorage"]) {
  Object.defineProperty(window, name, { get() { throw new DOMException("denied", "SecurityError"); } });
}"""
NO_ACCESS = "403 PERMISSION_DENIED: the caller does not have permission"
FILTERED = {"raiMediaFilteredCount": 2, "raiMediaFilteredReasons": ["Support codes: 42237218"]}


async def test_failure_says_what_to_do_and_its_reason_and_can_be_tried_again(page: Page, server: Client) -> None:
    await open_page(page, server)
    card = await failed(page, server, "job-1", BUSY)
    await expect(card.locator(".advice")).to_contain_text("très demandé")
    await expect(card.locator(".reason")).to_contain_text("RESOURCE_EXHAUSTED")
    await button(card, "Réessayer").click()
    await expect(card).to_have_count(0)  # the new one stands for it
    again = page.locator("rushes-job", has_text="A lighthouse in the mist")
    await expect(again).to_have_count(1)
    await expect(again.locator("article")).to_be_focused()
    await expect(again).to_have_attribute("state", "COMPLETED", timeout=30_000)


async def lose_answer(route: Route) -> None:
    await route.fetch()
    await route.abort()


async def test_pressing_again_in_two_tabs_makes_one_new_video(page: Page, server: Client, sql: Sql) -> None:
    await open_page(page, server)
    card = await failed(page, server, "job-1", BUSY)
    other = await other_tab(page, server)
    both = asyncio.Barrier(2)

    async def wait_for_the_other(route: Route) -> None:
        async with asyncio.timeout(20):
            await both.wait()
        await route.continue_()

    await page.context.route("**/retry", wait_for_the_other)
    for of in (card, job(other, "job-1")):
        await button(of, "Réessayer").click()
    for tab in (page, other):
        await expect(job(tab, "job-1")).to_have_count(0)
        await expect(tab.locator("rushes-job")).to_have_count(1)
    assert sql("SELECT COUNT(*) FROM video_generations") == ((2,),)


@pytest.mark.parametrize("storage", ["kept", "denied"])
async def test_pressing_again_after_no_answer_and_a_reload_makes_one_new_video(
    page: Page, server: Client, sql: Sql, storage: str
) -> None:
    if storage == "denied":
        await page.add_init_script(DENIED)
    await open_page(page, server)
    card = await failed(page, server, "job-1", BUSY)
    await page.route("**/retry", lose_answer, times=1)
    await button(card, "Réessayer").click()
    await expect(page.locator(".toast", has_text="n’a pas abouti")).to_be_visible()
    await page.reload()
    await button(card, "Réessayer").click()
    await expect(card).to_have_count(0)
    await expect(page.locator("rushes-job")).to_have_count(1)
    assert sql("SELECT COUNT(*) FROM video_generations") == ((2,),)


async def test_try_that_was_refused_is_followed_by_a_new_one_in_every_tab(
    page: Page, database_url: str, sql: Sql
) -> None:
    async with running(database_url, generator_url="http://127.0.0.1:9") as server:
        await open_page(page, server)
        card = await failed(page, server, "job-1", BUSY)
        other = await other_tab(page, server)
        for tries, of in enumerate((card, job(other, "job-1"), card), 1):
            async with of.page.expect_response("**/retry") as answered:
                await button(of, "Réessayer").click()
            assert (await answered.value).status == 502
            assert sql("SELECT COUNT(*) FROM video_generations") == ((1 + tries,),)
            await expect(of.page.locator(".toast", has_text="n’a pas abouti").first).to_be_visible()


async def test_pressing_again_after_no_answer_makes_one_new_video(page: Page, server: Client) -> None:
    await open_page(page, server)
    card = await failed(page, server, "job-1", BUSY)
    keys = []

    async def lose_the_answer(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        await route.fetch()
        await route.abort()

    await page.route("**/retry", lose_the_answer, times=1)
    await button(card, "Réessayer").click()
    await expect(page.locator(".toast", has_text="n’a pas abouti")).to_be_visible()
    async with page.expect_request("**/retry") as second:
        await button(card, "Réessayer").click()
    assert (await second.value).headers["idempotency-key"] == keys[0]
    await expect(card).to_have_count(0)
    await expect(page.locator("rushes-job")).to_have_count(1)


async def test_advice_is_in_the_language_of_the_page_whatever_the_browser_prefers(
    database_url: str, chromium: Chromium
) -> None:
    async with chromium.context("en-GB") as context, running(database_url, app_language="en") as server:
        page = await context.new_page()
        await open_page(page, server)
        await page.locator("[data-action=language]").click()
        await expect(page.locator("rushes-connection")).to_have_text("En direct")
        assert await page.evaluate("document.documentElement.lang") == "fr"
        card = await failed(page, server, "job-1", BUSY)
        await expect(card.locator(".advice")).to_contain_text("très demandé")


async def test_failure_that_another_try_cannot_mend_offers_none_but_its_text_and_settings(
    page: Page, server: Client
) -> None:
    await open_page(page, server)
    answer = await page.request.post(
        f"{server.url}/api/videos", data={"job_id": "job-1", "prompt": "A tram in Lisbon", "aspect_ratio": "9:16"}
    )
    assert answer.status == 201
    await post_webhook(page, server, "job-1", "failed", error=NO_ACCESS)
    card = job(page, "job-1")
    await expect(card.locator(".advice")).to_contain_text("C'est à nous d'intervenir")
    await expect(button(card, "Réessayer")).to_be_hidden()
    await button(card, "Modifier").click()
    await expect(page.locator("[name=prompt]")).to_have_value("A tram in Lisbon")
    await expect(page.locator("[name=prompt]")).to_be_focused()
    await expect(page.locator("[name=aspect_ratio]")).to_have_value("9:16")


async def test_failure_dismissed_in_one_tab_leaves_the_other_and_the_focus_moves_on(page: Page, server: Client) -> None:
    await open_page(page, server)
    first = await failed(page, server, "job-1", BUSY)
    await failed(page, server, "job-2", BUSY, "A tram in Lisbon")
    other = await other_tab(page, server)
    for job_id in ("job-1", "job-2"):
        await expect(job(other, job_id)).to_be_visible()
    await job(page, "job-2").locator("[data-act=dismiss]").press("Enter")
    await expect(job(page, "job-2")).to_have_count(0)
    await expect(job(other, "job-2")).to_have_count(0)
    await expect(first.locator("article")).to_be_focused()
    await expect(job(other, "job-1")).to_be_visible()
    await other.close()


async def test_partial_result_says_how_many_came_and_what_became_of_the_others(page: Page, server: Client) -> None:
    await open_page(page, server)
    data = completion("job-1")
    data["metadata"] |= {"num_videos_requested": 4, "num_videos_generated": 2, "generateVideoResponse": FILTERED}
    (first,) = data["videos"]
    videos = [first, first | {"filename": "second.mp4", "file_path": "second.mp4"}]
    card = await completed(page, server, "job-1", metadata=data["metadata"], videos=videos)
    partial = card.locator(".partial")
    await expect(partial).to_contain_text("2 sur 4 ; 2 ont été filtrées.")
    await expect(partial).to_contain_text("Un nouvel essai peut passer")
    await expect(card.locator("video").first).to_be_visible()


async def test_reason_of_a_failure_is_there_whole_however_small_its_card_is(page: Page, server: Client) -> None:
    await open_page(page, server)
    reason = "The service said: " + "no, and once more no, " * 20 + "for good."
    card = await failed(page, server, "job-1", reason)
    await card.locator("[data-slot=opener]").click()
    await expect(card.locator(".menu")).to_contain_text("for good.")


async def test_job_that_failed_while_the_page_was_closed_is_told_on_opening_until_it_is_dismissed(
    page: Page, server: Client
) -> None:
    for number in range(2):
        await register(page, server, f"job-{number}", f"Take {number}")
        await post_webhook(page, server, f"job-{number}", "failed", error=BUSY)
    await open_page(page, server)
    for number in range(2):
        await expect(job(page, f"job-{number}").locator(".advice")).to_contain_text("très demandé")
    await expect(page.locator(".toast")).to_have_count(0)  # what is old is no news
    await job(page, "job-0").locator("[data-act=dismiss]").click()
    await expect(job(page, "job-0")).to_have_count(0)
    await page.evaluate("localStorage.clear()")  # the server knows it
    await page.reload()
    await expect(job(page, "job-1")).to_be_visible()
    await expect(job(page, "job-0")).to_have_count(0)


async def test_failure_dismissed_while_the_stream_was_away_is_gone_when_the_list_is_read_again(
    page: Page, server: Client, sql: Sql
) -> None:
    await open_page(page, server)
    card = await failed(page, server, "job-1", BUSY)
    sql("UPDATE rushes_events SET data = '{}' WHERE id = 2")  # the log was taken back: the list is read again
    async with page.expect_response("**/api/videos/user?*"):
        server.app[FOLLOWER]._was_away = True
    await expect(card).to_be_visible()
    sql("UPDATE rushes_jobs SET dismissed_at = NOW(6)")
    sql("UPDATE rushes_events SET data = '{\"x\": 1}' WHERE id = 2")
    async with page.expect_response("**/api/videos/user?*", timeout=30_000):
        server.app[FOLLOWER]._was_away = True
    await expect(card).to_have_count(0)
