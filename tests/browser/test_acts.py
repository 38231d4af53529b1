"""What somebody does to videos on the page: cancel, try again, dismiss, delete and undo; and what a failure says."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, Page, Route, expect

from app.appkeys import FOLLOWER
from app.routes.pages import STATIC
from tests.browser.engines import Browser, Chromium
from tests.browser.pages import bar, completion, generate, job, open_page, post_webhook, register
from tests.browser.tabs import following, until
from tests.client import Client, running
from tests.databases import Sql
from tests.s3 import s3_server
from tests.webhooks import webhook

pytestmark = pytest.mark.asyncio(loop_scope="session")

# As browsers do that are told to keep nothing.
DENIED = """for (const name of ["localStorage", "sessionStorage"]) {
  Object.defineProperty(window, name, { get() { throw new DOMException("denied", "SecurityError"); } });
}"""
BUSY = "429 RESOURCE_EXHAUSTED. Resource exhausted. Please try again later."
NO_ACCESS = "403 PERMISSION_DENIED: the caller does not have permission"
FILTERED = {"raiMediaFilteredCount": 2, "raiMediaFilteredReasons": ["Support codes: 42237218"]}


def button(card: Locator, name: str) -> Locator:
    return card.get_by_role("button", name=name, exact=True)


async def completed(
    page: Page, server: Client, job_id: str, prompt: str = "A lighthouse in the mist", **data: Any
) -> Locator:
    await register(page, server, job_id, prompt)
    await post_webhook(page, server, job_id, "completed", has_data=True, data=completion(job_id) | data)
    card = job(page, job_id)
    await expect(card).to_have_attribute("state", "COMPLETED")
    return card


async def failed(
    page: Page, server: Client, job_id: str, error: str, prompt: str = "A lighthouse in the mist"
) -> Locator:
    await register(page, server, job_id, prompt)
    await post_webhook(page, server, job_id, "failed", error=error)
    card = job(page, job_id)
    await expect(card).to_have_attribute("state", "FAILED")
    return card


async def open_with_clock_stopped(page: Page, server: Client) -> None:
    """Time passes by `page.clock.run_for` alone, once the page is live: a clock that is only installed goes on."""
    await page.clock.install()
    await open_page(page, server)
    # Ahead of the clock however busy the machine is, and before the page would miss the server's heartbeats.
    await page.clock.pause_at((await page.evaluate("Date.now()") + 10_000) / 1000)


async def other_tab(page: Page, server: Client) -> Page:
    other = await page.context.new_page()
    await open_page(other, server)
    return other


async def state_of(page: Page, server: Client, job_id: str) -> str | int:
    answer = await page.request.get(f"{server.url}/api/videos/{job_id}")
    return (await answer.json())["state"] if answer.ok else answer.status


async def test_second_press_cancels_a_generation_and_the_first_one_alone_does_not(page: Page, server: Client) -> None:
    await register(page, server, "job-1")
    await open_page(page, server)
    card = job(page, "job-1")
    await button(card, "Annuler").dblclick()  # one press, to whoever is in a hurry
    await expect(card.get_by_role("status")).to_contain_text("encore une fois")
    assert await state_of(page, server, "job-1") == "PENDING"
    await button(card, "Confirmer l’annulation").click()
    await expect(card).to_have_attribute("state", "FAILED")
    await expect(card.get_by_text("Génération annulée").filter(visible=True)).to_have_count(1)
    assert await state_of(page, server, "job-1") == "FAILED"
    await expect(card.locator(".prompt")).to_be_focused()
    await expect(page.locator(".toast")).to_have_count(0)  # who cancelled knows


async def test_first_press_of_cancel_is_forgotten_after_five_seconds(page: Page, server: Client) -> None:
    await register(page, server, "job-1")
    await open_with_clock_stopped(page, server)
    card = job(page, "job-1")
    await button(card, "Annuler").press("Enter")
    await expect(button(card, "Confirmer l’annulation")).to_be_focused()
    await page.clock.run_for(4_999)
    await expect(button(card, "Confirmer l’annulation")).to_be_focused()
    await page.clock.run_for(1)
    await expect(button(card, "Annuler")).to_be_focused()
    assert await state_of(page, server, "job-1") == "PENDING"


async def test_cancel_of_what_has_ended_meanwhile_is_refused_in_the_pages_words(page: Page, server: Client) -> None:
    await register(page, server, "job-1")
    await open_page(page, server)
    await button(job(page, "job-1"), "Annuler").click()

    async def too_late(route: Route) -> None:
        await post_webhook(page, server, "job-1", "completed", has_data=True, data=completion("job-1"))
        await route.continue_()

    await page.route("**/cancel", too_late)
    await button(job(page, "job-1"), "Confirmer l’annulation").click()
    await expect(page.locator(".toast", has_text="déjà terminée")).to_be_visible()
    await expect(job(page, "job-1")).to_have_attribute("state", "COMPLETED")


async def test_failure_says_what_to_do_and_its_reason_and_can_be_tried_again(page: Page, server: Client) -> None:
    await open_page(page, server)
    card = await failed(page, server, "job-1", BUSY)
    await expect(card.locator(".advice")).to_contain_text("très demandé")
    await expect(card.locator(".reason")).to_contain_text("RESOURCE_EXHAUSTED")
    await button(card, "Réessayer").click()
    await expect(card).to_have_count(0)  # the new one stands for it
    again = page.locator("rushes-job", has_text="A lighthouse in the mist")
    await expect(again).to_have_count(1)
    await expect(again.locator(".prompt")).to_be_focused()
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
    async with chromium.context("en-GB") as context, running(database_url, app_language="fr") as server:
        page = await context.new_page()
        await open_page(page, server)
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
    await expect(first.locator(".prompt")).to_be_focused()
    await expect(job(other, "job-1")).to_be_visible()
    await other.close()


async def test_deleted_video_leaves_both_tabs_and_undo_brings_it_back_to_its_place(page: Page, server: Client) -> None:
    await open_page(page, server)
    for number in range(3):
        await completed(page, server, f"job-{number}", f"Take {number}")
    other = await other_tab(page, server)
    await page.reload()
    order = [str(await card.get_attribute("job-id")) for card in await other.locator("rushes-job").all()]
    await job(page, order[1]).locator("[data-act=delete]").press("Enter")
    for tab in (page, other):
        await expect(job(tab, order[1])).to_have_count(0)
    assert await state_of(page, server, order[1]) == 404
    undo = page.locator(".toast").get_by_role("button", name="Rétablir")
    await expect(undo).to_be_focused()
    await undo.press("Enter")
    for tab in (page, other):
        await expect(tab.locator("rushes-job")).to_have_count(3)
        assert [await card.get_attribute("job-id") for card in await tab.locator("rushes-job").all()] == order
    await expect(job(page, order[1]).locator("video")).to_be_focused()
    await other.close()


async def test_undo_is_offered_for_ten_seconds_and_longer_while_it_has_the_focus(page: Page, server: Client) -> None:
    await open_with_clock_stopped(page, server)
    await completed(page, server, "job-1")
    card = await completed(page, server, "job-2", "A tram in Lisbon")
    await page.locator(".toast [data-action=close]").last.click()
    await page.locator(".toast [data-action=close]").last.click()
    await card.locator("[data-act=delete]").click()
    toast = page.locator(".toast", has_text="Vidéo supprimée")
    await expect(toast).to_be_visible()  # the time would not wait for the answer
    await page.mouse.move(0, 0)
    await page.clock.run_for(9_900)
    await expect(toast).to_be_visible()
    await page.clock.run_for(100)
    await expect(toast).to_have_count(0)
    await job(page, "job-1").locator("[data-act=delete]").press("Enter")
    await expect(toast.get_by_role("button", name="Rétablir")).to_be_focused()
    await page.clock.run_for(60_000)
    await expect(toast).to_be_visible()


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


async def test_settings_of_a_finished_video_are_reused(page: Page, server: Client) -> None:
    await open_page(page, server)
    await page.locator("[name=number_of_videos]").select_option("2")
    await page.locator("[name=duration_seconds]").select_option("6")
    card = await generate(page, "A fox in the snow")
    await expect(card).to_have_attribute("state", "COMPLETED", timeout=30_000)
    await page.locator("[name=number_of_videos]").select_option("1")
    await page.locator("[name=duration_seconds]").select_option("8")
    await card.locator("[data-slot=reuse]").click()
    await expect(page.locator("[name=prompt]")).to_have_value("A fox in the snow")
    await expect(page.locator("[name=number_of_videos]")).to_have_value("2")
    await expect(page.locator("[name=duration_seconds]")).to_have_value("6")


async def test_video_of_this_server_is_saved_under_its_name(page: Page, server: Client) -> None:
    await open_page(page, server)
    card = await completed(page, server, "job-1")
    async with page.expect_download() as saved:
        await card.locator("[data-slot=download]").click()
    assert (await saved.value).suggested_filename == "job-1.mp4"


async def test_video_in_s3_is_saved_from_an_address_that_is_signed_for_it_when_it_is_wanted(
    database_url: str, page: Page, tmp_path: Path
) -> None:
    async with s3_server(tmp_path / "s3") as s3, running(database_url, **s3.settings) as server:
        s3.put("videos/job-1.mp4", (STATIC / "simulated.mp4").read_bytes())
        await open_page(page, server)
        card = await completed(page, server, "job-1")
        link = card.locator("[data-slot=download]")
        file = (await (await page.request.get(f"{server.url}/api/videos/job-1")).json())["videos"][0]
        assert await link.get_attribute("href") == f"/api/videos/job-1/files/{file['id']}/download"
        assert await link.get_attribute("target") == ""
        async with page.expect_response("**/download") as asked:
            await link.click()
        answer = await asked.value
        assert answer.status == 302
        address = answer.headers["location"]
        assert "response-content-disposition=attachment" in address
        assert (await page.request.get(address)).status == 200


async def test_video_of_another_site_does_not_replace_the_page(page: Page, server: Client) -> None:
    await open_page(page, server)
    data = completion("job-1")
    data["videos"][0]["file_url"] = "https://files.example/job-1.mp4"
    card = await completed(page, server, "job-1", videos=data["videos"])
    link = card.locator("[data-slot=download]")
    assert str(await link.get_attribute("href")).startswith("/api/videos/job-1/files/")
    assert await link.get_attribute("target") == "_blank"


async def test_every_act_has_a_name_and_a_place_for_a_finger(page: Page, server: Client) -> None:
    await page.set_viewport_size({"width": 360, "height": 800})
    await open_page(page, server)
    await completed(page, server, "job-1")
    await failed(page, server, "job-2", BUSY)
    await register(page, server, "job-3")
    await post_webhook(page, server, "job-3", "generating")
    await expect(bar(job(page, "job-3"))).to_have_attribute("aria-valuenow", "50")
    for act in await page.locator(".actions > :is(a, button)").filter(visible=True).all():
        box = await act.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 40
        assert await act.evaluate("node => node.ariaLabel || node.textContent.trim()")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360


async def test_who_follows_a_job_that_is_deleted_is_told_so_and_that_it_is_over(
    browser: Browser, server: Client
) -> None:
    await server.register("job-1")
    tab = await following(browser, server.url, "job-1", timing={"endFailed": 600_000})
    assert (await server.send(webhook("job-1", "failed")))[0] == 200
    await until(tab, "seen.at(-1).event === 'failed'")
    async with server.delete("/api/videos/job-1") as answer:
        assert answer.status == 200
    await until(tab, "seen.at(-1).event === 'deleted' && states.at(-1).state === 'over'")


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
