"""Videos that lie in an S3 which checks signatures, watched on the page."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, Response, Route, expect

from tests.browser.engines import Browser
from tests.browser.pages import completion, job, open_page, post_webhook, register
from tests.browser.tabs import until
from tests.client import Client, running
from tests.film import GAP, SECONDS, film
from tests.s3 import S3, s3_server
from tests.webhooks import completion as completion_of
from tests.webhooks import video

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Chromium reads 5 MB of scenes to find out what there is, and 20 MB ahead: the last scene is beyond both.
SCENES = 30
LAST = (SCENES - 1) * SECONDS + 2  # seconds into the film, in its last scene
TTL = 5.0  # seconds
FAR_BELOW = (
    "addEventListener('DOMContentLoaded', () => { document.querySelector('#gallery').style.marginTop = '3000px'; })"
)
HAVE_CURRENT_DATA = 2
PARTIAL, FORBIDDEN = 206, 403


@asynccontextmanager
async def with_s3(database_url: str, folder: Path, **settings: float) -> AsyncIterator[tuple[Client, S3]]:
    async with s3_server(folder / "s3") as s3, running(database_url, **s3.settings, **settings) as server:
        s3.put("videos/job-1.mp4", film(SCENES))
        yield server, s3


async def shown(page: Page, server: Client) -> Locator:
    """The player of a film that has just been made, once its first picture is there."""
    await open_page(page, server)
    await register(page, server, "job-1")
    await post_webhook(page, server, "job-1", "completed", has_data=True, data=completion("job-1"))
    player = job(page, "job-1").locator("video")
    await until_picture(player)
    return player


async def until_picture(player: Locator) -> None:
    await player.evaluate(
        """player => new Promise((done) => {
          if (player.readyState >= player.HAVE_CURRENT_DATA) done();
          else player.addEventListener("loadeddata", done, { once: true });
        })"""
    )


async def seek(player: Locator, seconds: float) -> None:
    """As its user would; returns at once."""
    await player.evaluate("(player, seconds) => { player.currentTime = seconds; }", seconds)


async def until_plays_from(player: Locator, seconds: float) -> None:
    """Until its picture moves, there or after it."""
    await player.evaluate(
        """(player, seconds) => new Promise((done) => {
          const look = () => !player.seeking && player.currentTime > seconds + 0.2 && done();
          player.addEventListener("timeupdate", look);
          look();  // on a busy machine the film has ended by now
        })""",
        seconds,
    )
    assert await player.evaluate("player => player.readyState") >= HAVE_CURRENT_DATA
    assert await player.evaluate("player => player.error") is None


async def address_of(player: Locator) -> str:
    return str(await player.evaluate("player => player.src.split('#')[0]"))


def answers_of(page: Page, s3: S3) -> asyncio.Queue[Response]:
    """What the S3 answers the page from now on."""
    answers: asyncio.Queue[Response] = asyncio.Queue()
    page.on("response", lambda answer: answers.put_nowait(answer) if answer.url.startswith(s3.url) else None)
    return answers


async def begins_at(answer: Response) -> int:
    """The first byte that it brings."""
    said = (await answer.all_headers())["content-range"]
    return int(said.removeprefix("bytes ").partition("-")[0])


async def expired(page: Page, address: str) -> int:
    """The status by which the S3 refuses the address once its time is up."""
    async with asyncio.timeout(4 * TTL):
        while (answer := await page.request.get(address, headers={"Range": "bytes=0-0"})).status == PARTIAL:
            await asyncio.sleep(0.1)
    return answer.status


async def test_video_plays_from_a_presigned_address_and_a_seek_asks_for_that_part_alone(
    database_url: str, page: Page, tmp_path: Path
) -> None:
    async with with_s3(database_url, tmp_path) as (server, s3):
        player = await shown(page, server)
        assert "X-Amz-Signature=" in await address_of(player)
        await player.evaluate("player => { player.muted = true; return player.play(); }")
        await until_plays_from(player, 0)

        answers = answers_of(page, s3)
        await seek(player, LAST)
        async with asyncio.timeout(20):
            while await begins_at(answer := await answers.get()) < GAP:
                pass
        assert answer.status == PARTIAL
        await until_plays_from(player, LAST)


async def test_film_whose_address_has_expired_goes_on_where_it_was_from_a_fresh_one(
    database_url: str, page: Page, tmp_path: Path
) -> None:
    async with with_s3(database_url, tmp_path, s3_url_ttl=TTL) as (server, _):
        player = await shown(page, server)
        first = await address_of(player)
        await player.evaluate("player => { player.muted = true; return player.play(); }")
        assert await expired(page, first) == FORBIDDEN
        assert await address_of(player) == first  # what is watched is left alone
        # Chromium itself would try the old address for half a minute before it says that it does not work.
        async with asyncio.timeout(20), page.expect_response("**/api/videos/job-1"):
            await seek(player, LAST)
            await until_plays_from(player, LAST)
        assert await address_of(player) != first
        await expect(job(page, "job-1").locator("[data-slot=broken]")).to_be_hidden()


# In seconds, of the first player of the page.
SEEK = "(seconds) => { document.querySelector('rushes-job video').currentTime = seconds; }"
PLAY = "() => { const video = document.querySelector('rushes-job video'); video.muted = true; return video.play(); }"
IS_AT = """(seconds) => {
  const video = document.querySelector('rushes-job video');
  return video !== null && video.error === null && !video.seeking && video.readyState >= 2
    && video.currentTime > seconds;
}"""


async def test_no_engine_stays_where_a_seek_met_an_address_that_has_expired(
    database_url: str, browser: Browser, tmp_path: Path
) -> None:
    """WebKit says nothing of it."""
    async with with_s3(database_url, tmp_path, s3_url_ttl=TTL) as (server, _):
        await server.register("job-1")
        await server.send(completion_of("job-1", video("videos/job-1.mp4"), at="2030-01-01T00:00:00Z"))
        tab = await browser.new_tab()
        await tab.goto(f"{server.url}/")
        await until(tab, "document.querySelector('rushes-job video')?.readyState >= 2")
        await tab.evaluate(PLAY)
        first = await tab.evaluate("() => document.querySelector('rushes-job video').src.split('#')[0]")
        async with asyncio.timeout(4 * TTL):
            while (answer := await server.session.get(first, headers={"Range": "bytes=0-0"})).status == PARTIAL:
                answer.release()
                await asyncio.sleep(0.1)
        assert answer.status == FORBIDDEN
        await tab.evaluate(SEEK, LAST)
        await until(tab, f"({IS_AT})({LAST})")
        await tab.close()


async def test_place_that_is_chosen_while_a_fresh_address_is_read_is_where_it_goes_on(
    database_url: str, page: Page, tmp_path: Path
) -> None:
    async with with_s3(database_url, tmp_path, s3_url_ttl=TTL) as (server, s3):
        player = await shown(page, server)
        first = await address_of(player)
        await seek(player, 1)
        released = asyncio.Event()

        async def hold(route: Route) -> None:
            await released.wait()
            await route.continue_()

        await page.route(lambda address: address.startswith(s3.url) and not address.startswith(first), hold)
        await expect(player).not_to_have_attribute("src", f"{first}#t=0.001")
        await seek(player, 3)
        released.set()
        await until_picture(player)
        assert await player.evaluate("player => player.currentTime") == 3


async def test_page_that_is_opened_again_has_an_address_that_works(
    database_url: str, page: Page, tmp_path: Path
) -> None:
    async with with_s3(database_url, tmp_path, s3_url_ttl=TTL) as (server, _):
        first = await address_of(await shown(page, server))
        assert await expired(page, first) == FORBIDDEN
        await page.reload()
        player = job(page, "job-1").locator("video")
        await until_picture(player)
        assert await address_of(player) != first


async def test_video_that_is_scrolled_to_long_after_the_page_was_opened_has_an_address_that_works(
    database_url: str, page: Page, tmp_path: Path
) -> None:
    async with with_s3(database_url, tmp_path, s3_url_ttl=TTL) as (server, _):
        await page.set_viewport_size({"width": 390, "height": 300})
        await page.add_init_script(FAR_BELOW)
        await register(page, server, "job-1")
        await post_webhook(page, server, "job-1", "completed", has_data=True, data=completion("job-1"))
        await open_page(page, server)
        player = job(page, "job-1").locator("video")
        told = (await server.read("/api/videos/job-1"))[1]["videos"][0]["file_url"]
        assert await expired(page, told) == FORBIDDEN
        assert await player.get_attribute("src") is None
        async with asyncio.timeout(20), page.expect_response("**/api/videos/job-1"):
            await player.scroll_into_view_if_needed()
            await until_picture(player)


async def test_paused_video_has_a_fresh_address_before_its_own_ends_and_keeps_its_place(
    database_url: str, page: Page, tmp_path: Path
) -> None:
    async with with_s3(database_url, tmp_path, s3_url_ttl=TTL) as (server, _):
        player = await shown(page, server)
        first = await address_of(player)
        await seek(player, 3)
        asked = await page.wait_for_event("response", lambda answer: answer.url.endswith("/api/videos/job-1"))
        assert asked.status == 200
        await expect(player).not_to_have_attribute("src", f"{first}#t=0.001")
        await until_picture(player)
        assert await player.evaluate("player => player.currentTime") == 3
