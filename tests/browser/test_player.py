"""The player: pressed or looked at it plays, out of sight it lets go of the file, without one it says so."""

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.pages import completion, job, open_page, post_webhook, register
from tests.client import Client

pytestmark = pytest.mark.asyncio(loop_scope="session")

FAR_AWAY = "document.body.style.paddingTop = '4000px'"


async def shown(page: Page, server: Client, job_id: str = "job-1") -> Locator:
    """The player of a finished video."""
    await register(page, server, job_id)
    await post_webhook(page, server, job_id, "completed", has_data=True, data=completion(job_id))
    await open_page(page, server)
    player = job(page, job_id).locator("rushes-video")
    await expect(player.locator("video")).to_have_js_property("readyState", 4)
    return player


async def plays(player: Locator) -> None:
    await expect(player.locator("video")).to_have_js_property("paused", value=False)


async def rests(player: Locator) -> None:
    await expect(player.locator("video")).to_have_js_property("paused", value=True)


async def time_of(player: Locator) -> float:
    seconds: float = await player.locator("video").evaluate("video => video.currentTime")
    return seconds


async def test_press_plays_without_a_sound_and_another_one_pauses(page: Page, server: Client) -> None:
    await page.emulate_media(reduced_motion="reduce")
    player = await shown(page, server)
    await rests(player)
    await player.locator(".play").click()
    await plays(player)
    assert await player.locator("video").evaluate("video => video.muted")
    await player.locator(".play").click()
    await rests(player)


async def test_mouse_that_rests_on_a_video_plays_it_until_it_leaves_and_a_press_keeps_it_going(
    page: Page, server: Client
) -> None:
    player = await shown(page, server)
    await player.hover()
    await plays(player)
    await page.mouse.move(0, 0)
    await rests(player)
    await player.hover()
    await plays(player)
    await player.locator(".play").click()
    await page.mouse.move(0, 0)
    await plays(player)


async def test_nothing_plays_by_itself_for_who_wants_no_motion(page: Page, server: Client) -> None:
    await page.clock.install()
    await page.emulate_media(reduced_motion="reduce")
    player = await shown(page, server)
    await player.hover()
    await page.clock.run_for(1_000)
    await rests(player)
    await expect(player.locator(".scrubber")).to_be_visible()


async def test_keyboard_plays_seeks_and_finds_the_controls_once_it_has_started(page: Page, server: Client) -> None:
    player = await shown(page, server)
    await player.locator(".play").focus()
    await page.keyboard.press("Tab")
    await expect(player.locator(".scrubber")).not_to_be_focused()  # a card that rests has one stop here
    await player.locator(".play").press("Enter")
    await plays(player)
    await player.locator(".play").press("Enter")
    await rests(player)
    before = await time_of(player)
    for _ in range(2):
        await page.keyboard.press("ArrowRight")
    assert await time_of(player) == pytest.approx(before + 2, abs=0.1)
    await page.keyboard.press("Tab")
    await expect(player.get_by_role("slider", name="Position")).to_be_focused()
    await expect(player.get_by_role("slider")).to_have_attribute("aria-valuetext", "0:02 / 0:08")
    await page.keyboard.press("End")
    assert await time_of(player) == pytest.approx(8, abs=0.2)
    await page.keyboard.press("Tab")
    sound = player.get_by_role("button", name="Son")
    await sound.press("Space")
    await expect(sound).to_have_attribute("aria-pressed", "true")
    await expect(player.locator("video")).to_have_js_property("muted", value=False)


async def test_video_out_of_sight_lets_go_of_its_file_and_is_where_it_was_when_it_comes_back(
    page: Page, server: Client
) -> None:
    player = await shown(page, server)
    video = player.locator("video")
    await video.evaluate("video => { video.currentTime = 3; }")
    await player.locator(".play").click()
    await plays(player)
    await page.mouse.move(0, 0)
    await page.evaluate(FAR_AWAY)
    await expect(video).to_have_js_property("paused", value=True)
    await expect(video).to_have_js_property("networkState", 0)  # it has none
    await page.evaluate("document.body.style.paddingTop = ''")
    await expect(video).to_have_js_property("readyState", 4)
    assert await time_of(player) >= 3
    await rests(player)


async def test_file_that_is_gone_is_not_offered_for_download_and_can_be_tried_again(page: Page, server: Client) -> None:
    gone = {"status": 404, "body": ""}
    await page.route("**/static/simulated.mp4", lambda route: route.fulfill(**gone))
    await register(page, server, "job-1")
    await post_webhook(page, server, "job-1", "completed", has_data=True, data=completion("job-1"))
    await open_page(page, server)
    card = job(page, "job-1")
    await expect(card.locator("[data-slot=broken]")).to_be_visible()
    await expect(card.locator("[data-slot=download]")).to_be_hidden()
    await expect(card.locator(".play")).to_be_hidden()
    await page.unroute("**/static/simulated.mp4")
    await card.locator("[data-slot=again]", has_text="Réessayer").filter(visible=True).click()
    await expect(card.locator("video")).to_have_js_property("readyState", 4)
    await expect(card.locator("[data-slot=download]")).to_be_visible()


async def test_video_that_breaks_off_goes_on_where_it_was(page: Page, server: Client) -> None:
    player = await shown(page, server)
    video = player.locator("video")
    await video.evaluate("video => { video.currentTime = 4; }")
    await player.locator(".play").click()
    await plays(player)
    async with page.expect_response("**/api/videos/job-1"):
        await video.evaluate(
            "video => { video.src = '/gone.mp4'; video.currentTime = 4; video.play().catch(() => {}); }"
        )
    await plays(player)
    assert await time_of(player) >= 4


async def test_video_that_stands_still_asks_for_another_address(page: Page, server: Client) -> None:
    await page.clock.install()
    player = await shown(page, server)
    await page.route("**/stuck.mp4", lambda _: None)  # no answer, as from a server that hangs
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/job-1") else None)
    await player.locator("video").evaluate(
        """video => new Promise((done) => {
          video.addEventListener("waiting", done, { once: true });
          video.src = "/stuck.mp4";
          video.play().catch(() => {});
        })"""
    )
    await page.clock.run_for(4_000)
    assert asked == []
    async with page.expect_response("**/api/videos/job-1"):
        await page.clock.run_for(2_000)
    await expect(player.locator("video")).to_have_attribute("src", f"{server.url}/static/simulated.mp4#t=0.001")
    await plays(player)
