"""The page in a real browser: what somebody who waits for a video sees, without touching anything.

No `page.wait_for_function` here: it needs `eval`, which the page's Content-Security-Policy rightly refuses.
"""

import asyncio
import re

import pytest
from playwright.async_api import Locator, Page, Route, expect

from app.appkeys import ESTIMATES, FOLLOWER, SETTINGS
from app.domain.estimate import Kind
from app.routes.pages import STATIC
from tests.browser.pages import bar, completion, generate, job, open_page, post_webhook, register
from tests.client import Client, running
from tests.databases import Sql
from tests.sign_in import SECRET, token
from tests.tables import UNASKED, add

pytestmark = pytest.mark.asyncio(loop_scope="session")


# The simulated generator takes a few seconds for a whole story; a loaded machine more.
STORY = 30_000


async def plays(video: Locator) -> float:
    """Plays it until the picture moves; seconds into the video."""
    seconds: float = await video.evaluate(
        """video => new Promise((done, fail) => {
          video.muted = true;
          video.addEventListener("timeupdate", () => video.currentTime > 0.2 && done(video.currentTime));
          video.play().catch(fail);
        })"""
    )
    return seconds


async def place(card: Locator) -> list[int]:
    """Where it stands and how large it is, whatever is moving in it."""
    found: list[int] = await card.evaluate(
        "card => [card.offsetLeft, card.offsetTop, card.offsetWidth, card.offsetHeight]"
    )
    return found


async def test_card_takes_the_tenth_event_of_the_log_after_the_ninth(page: Page, server: Client) -> None:
    await open_page(page, server)
    await register(page, server, "j1")
    for _ in range(10):
        await post_webhook(page, server, "j1", "generating")
    await post_webhook(page, server, "j1", "completed", has_data=True, data=completion("j1"))
    await expect(job(page, "j1")).to_have_attribute("state", "COMPLETED")


async def test_typing_a_prompt_shows_progress_then_the_video_playing_without_reload(page: Page, server: Client) -> None:
    await open_page(page, server)
    await page.evaluate("document.documentElement.dataset.visit = 'first'")
    card = await generate(page, "A fox crosses a birch forest")
    await expect(bar(card)).to_be_visible()
    await expect(card).to_have_attribute("state", "PROCESSING")
    await expect(card).to_have_attribute("state", "COMPLETED", timeout=STORY)
    await expect(bar(card)).to_be_hidden()
    await expect(card.locator("rushes-video video")).to_be_visible()
    assert await plays(card.locator("video")) > 0.2
    await expect(page.locator(".toast")).to_have_count(0)  # it is there to be seen
    assert await page.evaluate("document.documentElement.dataset.visit") == "first"


async def test_a_webhook_moves_the_bar_of_an_open_page(page: Page, server: Client) -> None:
    await register(page, server, "job-1")
    await open_page(page, server)
    await expect(bar(job(page, "job-1"))).to_have_attribute("aria-valuenow", "0")
    for status, value in (("processing", "25"), ("generating", "50"), ("downloading", "75")):
        await post_webhook(page, server, "job-1", status)
        await expect(bar(job(page, "job-1"))).to_have_attribute("aria-valuenow", value)


async def test_bar_creeps_on_between_two_words_and_the_tab_tells_of_it_while_hearers_are_told_of_stages(
    page: Page, server: Client
) -> None:
    known = server.app[ESTIMATES]
    for _ in range(5):
        known.observe(Kind("veo-2.0-generate-001", 8, 1), (0.1, None, 3.0, 1.0, None))
    await open_page(page, server)
    await register(page, server, "j1")
    await post_webhook(page, server, "j1", "generating")
    card = job(page, "j1")
    await expect(card.locator("[data-slot=eta]")).to_have_text(re.compile(r"≈ \d+ s"))
    await expect(card.locator("[data-slot=number]")).to_have_text(re.compile("5[3-9]|6[0-9]|7[0-2]"))
    await expect(page).to_have_title(re.compile(r"^(5[3-9]|6\d|7[0-2]) % · (≈ \d+ s · )?rushes$"))
    assert "data:image/svg" in (await page.locator("link[rel=icon]").get_attribute("href") or "")
    await expect(bar(card)).to_have_attribute("aria-valuenow", "50")
    await expect(card.locator("[data-slot=eta]")).to_have_text("plus long que d’habitude", timeout=20_000)
    await post_webhook(page, server, "j1", "completed", data=completion("j1"))
    await expect(page).to_have_title("rushes")
    await expect(page.locator("link[rel=icon]")).to_have_attribute("href", re.compile("favicon.svg$"))


async def test_a_job_registered_elsewhere_appears_with_its_prompt(page: Page, server: Client) -> None:
    await open_page(page, server)
    await register(page, server, "job-1", "Rain on a tin roof")
    await post_webhook(page, server, "job-1", "generating")
    await expect(job(page, "job-1")).to_contain_text("Rain on a tin roof")
    await expect(bar(job(page, "job-1"))).to_have_attribute("aria-valuenow", "50")


async def test_the_card_keeps_its_place_and_size_when_the_video_arrives(page: Page, server: Client) -> None:
    for job_id in ("job-0", "job-1"):
        await register(page, server, job_id)
    await open_page(page, server)
    await post_webhook(page, server, "job-1", "generating")
    await expect(bar(job(page, "job-1"))).to_have_attribute("aria-valuenow", "50")
    before = await place(job(page, "job-1"))
    await post_webhook(page, server, "job-1", "completed", has_data=True, data=completion("job-1"))
    await expect(job(page, "job-1")).to_contain_text("1280 × 720")
    assert await place(job(page, "job-1")) == before


async def test_a_failed_job_shows_its_error_until_dismissed(page: Page, server: Client) -> None:
    await register(page, server, "job-1")
    await open_page(page, server)
    await post_webhook(page, server, "job-1", "failed", error="Blocked by the safety filter")
    card = job(page, "job-1")
    await expect(card).to_have_attribute("state", "FAILED")
    await expect(card).to_contain_text("Blocked by the safety filter")
    await page.reload()
    await expect(card).to_contain_text("Blocked by the safety filter")
    await card.locator("[data-act=dismiss]").click()
    await expect(card).to_have_count(0)


async def test_a_failed_job_that_is_tried_again_shows_its_progress(page: Page, server: Client) -> None:
    await register(page, server, "job-1")
    await open_page(page, server)
    await post_webhook(page, server, "job-1", "failed", error="Quota exceeded")
    await expect(job(page, "job-1")).to_have_attribute("state", "FAILED")
    await post_webhook(page, server, "job-1", "generating")
    await expect(bar(job(page, "job-1"))).to_be_visible()
    await expect(bar(job(page, "job-1"))).to_have_attribute("aria-valuenow", "50")


async def test_two_tabs_show_the_same_progress(page: Page, server: Client) -> None:
    await register(page, server, "job-1")
    other = await page.context.new_page()
    for tab in (page, other):
        await open_page(tab, server)
    await post_webhook(page, server, "job-1", "downloading")
    for tab in (page, other):
        await expect(bar(job(tab, "job-1"))).to_have_attribute("aria-valuenow", "75")
    await post_webhook(page, server, "job-1", "completed", has_data=True, data=completion("job-1"))
    for tab in (page, other):
        await expect(job(tab, "job-1").locator("video")).to_be_visible()
    await other.close()


async def test_a_slow_answer_never_takes_back_a_newer_event(page: Page, server: Client) -> None:
    """The page asks for an unknown job's prompt; meanwhile the job moves on."""
    await open_page(page, server)
    asked, moved = asyncio.Event(), asyncio.Event()

    async def answer_late(route: Route) -> None:
        response = await route.fetch()
        asked.set()
        await moved.wait()
        await route.fulfill(response=response)

    await page.route("**/api/videos/job-1", answer_late)
    await register(page, server, "job-1", "Rain on a tin roof")
    await post_webhook(page, server, "job-1", "processing")
    await asyncio.wait_for(asked.wait(), 10)
    await post_webhook(page, server, "job-1", "downloading")
    await expect(bar(job(page, "job-1"))).to_have_attribute("aria-valuenow", "75")
    moved.set()
    await expect(job(page, "job-1")).to_contain_text("Rain on a tin roof")
    await expect(bar(job(page, "job-1"))).to_have_attribute("aria-valuenow", "75")


@pytest.mark.parametrize("status", [401, 404, 429, 503])
async def test_a_refused_stream_is_explained_and_what_was_missed_is_caught_up(
    page: Page, server: Client, status: int
) -> None:
    await register(page, server, "job-1")
    refuse = {"status": status, "json": {"error": "Not now", "code": "not_now"}}
    await page.route("**/events?*", lambda route: route.fulfill(**refuse))
    await page.goto(server.url)
    await expect(page.locator(".banner")).to_be_visible()
    await expect(page.locator("rushes-connection")).to_have_attribute("state", "offline")
    await post_webhook(page, server, "job-1", "generating")
    await page.unroute("**/events?*")
    await expect(bar(job(page, "job-1"))).to_have_attribute("aria-valuenow", "50", timeout=STORY)
    await expect(page.locator(".banner")).to_be_hidden()


async def test_pressing_again_after_no_answer_does_not_make_a_second_video(page: Page, server: Client) -> None:
    await open_page(page, server)
    keys = []

    async def lose_the_answer(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        await route.fetch()
        await route.abort()

    await page.route("**/api/videos/generate", lose_the_answer, times=1)
    await page.locator("[name=prompt]").fill("A tram in Lisbon")
    await page.locator("rushes-prompt [type=submit]").click()
    await expect(page.locator("#prompt-problem")).to_be_visible()
    async with page.expect_request("**/api/videos/generate") as second:
        await page.locator("rushes-prompt [type=submit]").click()
    assert (await second.value).headers["idempotency-key"] == keys[0]
    await expect(page.locator("#prompt-problem")).to_be_hidden()
    await expect(page.locator("rushes-job", has_text="A tram in Lisbon")).to_have_count(1)


async def test_pressing_again_after_no_answer_and_a_reload_does_not_make_a_second_video(
    page: Page, server: Client, sql: Sql
) -> None:
    await open_page(page, server)

    async def lose_the_answer(route: Route) -> None:
        await route.fetch()
        await route.abort()

    await page.route("**/api/videos/generate", lose_the_answer, times=1)
    await page.locator("[name=prompt]").fill("A tram in Lisbon")
    await page.locator("rushes-prompt [type=submit]").click()
    await expect(page.locator("#prompt-problem")).to_be_visible()
    await page.reload()
    for number in (1, 2):  # once it was answered, the same prompt is a new order
        await page.locator("[name=prompt]").fill("A tram in Lisbon")
        async with page.expect_response("**/api/videos/generate") as answered:
            await page.locator("rushes-prompt [type=submit]").click()
        assert (await answered.value).status == 202
        await expect(page.locator("[name=prompt]")).to_have_value("")
        assert sql("SELECT COUNT(*) FROM video_generations") == ((number,),)


async def test_signed_out_page_says_so_calmly_and_opens_after_the_sign_in(database_url: str, page: Page) -> None:
    async with running(database_url, auth_jwt_secret=SECRET, webhook_secret="s" * 20) as server:
        await page.goto(server.url)
        await expect(page.locator(".signed-out")).to_be_visible()
        await expect(page.locator("rushes-prompt")).to_be_hidden()
        await expect(page.locator(".problem").filter(visible=True)).to_have_count(0)
        name = server.app[SETTINGS].auth_cookie
        await page.context.add_cookies([{"name": name, "value": token("u1"), "url": server.url}])
        await page.evaluate("window.dispatchEvent(new Event('focus'))")
        await expect(page.locator("rushes-connection")).to_have_attribute("state", "live")
        await expect(page.locator("rushes-prompt")).to_be_visible()


async def test_no_console_errors_under_the_content_security_policy(page: Page, server: Client) -> None:
    problems = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    response = await page.goto(server.url)
    assert response is not None
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    card = await generate(page, "A lighthouse in the mist")
    await expect(card).to_have_attribute("state", "COMPLETED", timeout=STORY)
    assert await plays(card.locator("video")) > 0.2
    await register(page, server, "job-1")
    await post_webhook(page, server, "job-1", "failed", error="Quota exceeded")
    await expect(job(page, "job-1")).to_have_attribute("state", "FAILED")
    assert problems == []


async def test_the_page_fits_a_phone(page: Page, server: Client) -> None:
    await page.set_viewport_size({"width": 360, "height": 800})
    await open_page(page, server)
    await assert_fits(page)
    for number, prompt in enumerate(("The sea", "A very long shot of the sea at dusk. " * 20, "unbreakable" * 40)):
        await register(page, server, f"job-{number}", prompt)
        await post_webhook(page, server, f"job-{number}", "generating")
        await expect(bar(job(page, f"job-{number}"))).to_have_attribute("aria-valuenow", "50")
    await assert_fits(page)
    await post_webhook(page, server, "job-0", "completed", has_data=True, data=completion("job-0"))
    await post_webhook(page, server, "job-1", "failed", error="https://errors.example/" + "a" * 300)
    await expect(job(page, "job-0")).to_have_attribute("state", "COMPLETED")
    await expect(job(page, "job-1")).to_have_attribute("state", "FAILED")
    await assert_fits(page)


@pytest.mark.parametrize("state", ["PROCESSING", "FAILED", "COMPLETED"])
async def test_no_long_word_of_a_row_widens_a_phone_s_page(page: Page, database_url: str, sql: Sql, state: str) -> None:
    word = "x" * 190
    columns = {"prompt": "x" * 9000, "aspectRatio": word, "model": word, "modelVersion": word, "message": word}
    ended = "2026-11-20 13:01:00" if state != "PROCESSING" else None
    add(sql, word, "2026-11-20 13:00:00", status=state, completedAt=ended, error="x" * 16_000, **columns)
    sql(
        "INSERT INTO video_files (id, filename, s3Key, fileUrl, fileSize, durationSeconds, aspectRatio, width, height,"
        " generationId) VALUES ('f', %s, 'k', '/static/simulated.mp4', 1, 8, %s, 1, 1, %s)",
        word,
        word,
        word,
    )
    await page.set_viewport_size({"width": 360, "height": 800})
    async with running(database_url, **UNASKED) as server:
        await open_page(page, server)
        card = job(page, word)
        await expect(card).to_have_attribute("state", state)
        await assert_fits(page)
        outside = (
            "node => [...node.querySelectorAll('.facts, .menu *')].some(e => e.getBoundingClientRect().right > 360)"
        )
        await card.locator("[data-slot=opener]").click()
        await expect(card.locator(".menu")).to_be_visible()  # it has what the line of facts has no room for
        assert not await card.evaluate(outside)
        await assert_fits(page)


async def assert_fits(page: Page) -> None:
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("width", [320, 390, 820])
async def test_long_message_of_a_card_in_the_strip_stays_within_its_frame(
    page: Page, server: Client, width: int
) -> None:
    await page.set_viewport_size({"width": width, "height": 844})
    await open_page(page, server)
    await register(page, server, "job-1")
    await post_webhook(page, server, "job-1", "downloading")
    card = job(page, "job-1")
    await expect(card.locator("[data-slot=message]")).to_contain_text("Téléchargement")
    await card.locator("[data-slot=message]").evaluate("node => node.textContent = 'Downloading from afar '.repeat(4)")
    sticks_out = """card => {
      const edge = card.querySelector(".frame").getBoundingClientRect().right;
      return [...card.querySelectorAll(".stage, .bar, .reading > *")].filter(
        (node) => node.getBoundingClientRect().right > edge + 0.5
      ).map((node) => node.className);
    }"""
    assert await card.evaluate(sticks_out) == []


@pytest.mark.skipif(not (STATIC / "vendor/swagger-ui").is_dir(), reason="npm's packages could not be had")
async def test_request_can_be_tried_on_the_page_of_the_api(page: Page, server: Client) -> None:
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    await page.goto(f"{server.url}/docs")
    operation = page.locator(".opblock", has_text="/healthz")
    await operation.locator(".opblock-summary-control").click()
    await operation.get_by_role("button", name="Try it out").click()
    await operation.get_by_role("button", name="Execute").click()
    await expect(operation.locator(".live-responses-table tbody .response-col_status")).to_contain_text("200")
    assert problems == []


async def test_card_of_a_job_that_a_bounded_list_does_not_name_stays_and_goes_on(
    database_url: str, page: Page, sql: Sql
) -> None:
    async with running(database_url, list_max_bytes=600) as server:
        await page.goto(server.url)
        for job_id in ("job-1", "job-2"):
            await register(page, server, job_id)
            await expect(job(page, job_id)).to_be_visible()
        # The log was taken back: the page reads its list again, which names the newest only.
        async with page.expect_response("**/api/videos/job-1"):
            sql("UPDATE rushes_events SET data = '{}' WHERE id = 2")
            server.app[FOLLOWER]._was_away = True
        assert [entry["id"] for entry in (await server.read("/api/videos/user"))[1]["active"]] == ["job-2"]
        await post_webhook(page, server, "job-1", "generating")
        await expect(bar(job(page, "job-1"))).to_have_attribute("aria-valuenow", "50", timeout=STORY)
        await expect(job(page, "job-2")).to_be_visible()
