"""Videos that lie in an S3 which checks signatures, watched on the page."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, Response, expect

from tests.browser.pages import completion, job, open_page, post_webhook, register
from tests.client import Client, running
from tests.film import GAP, SECONDS, film
from tests.s3 import S3, s3_server

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Chromium reads 5 MB of scenes to find out what there is, and 20 MB ahead: the last scene is beyond both.
SCENES = 30
LAST = (SCENES - 1) * SECONDS + 2  # seconds into the film, in its last scene
TTL = 5.0  # seconds
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
          player.addEventListener("timeupdate", () => !player.seeking && player.currentTime > seconds + 0.2 && done());
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
        assert await expired(page, first) == FORBIDDEN
        # Chromium itself would try the old address for half a minute before it says that it does not work.
        async with asyncio.timeout(20), page.expect_response("**/api/videos/job-1"):
            await player.evaluate("player => { player.muted = true; player.play(); }")
            await seek(player, LAST)
            await until_plays_from(player, LAST)
        assert await address_of(player) != first
        await expect(job(page, "job-1").locator("[data-slot=broken]")).to_be_hidden()


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
        await page.set_viewport_size({"width": 390, "height": 100})  # the gallery begins far below it
        await register(page, server, "job-1")
        await post_webhook(page, server, "job-1", "completed", has_data=True, data=completion("job-1"))
        await open_page(page, server)
        player = job(page, "job-1").locator("video")
        told = (await server.read("/api/videos/job-1"))[1]["videos"][0]["file_url"]
        assert await expired(page, told) == FORBIDDEN
        assert await address_of(player) == ""
        async with asyncio.timeout(20), page.expect_response("**/api/videos/job-1"):
            await player.scroll_into_view_if_needed()
            await until_picture(player)
