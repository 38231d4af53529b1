"""The page of one job: followed live and played, by whom it may be seen, and what it leads to."""

import re
from typing import Any

import pytest
from playwright.async_api import Locator, Page, Route, expect

from app.appkeys import SETTINGS
from tests.browser.engines import Browser
from tests.browser.job_pages import PROMPT, STORY, done, followed, open_job, steps
from tests.browser.pages import bar, button, completion, generate, job, open_page, post_webhook, register
from tests.browser.tabs import until
from tests.client import Client, running
from tests.databases import Sql
from tests.sign_in import SECRET, SENDERS, bearer, token
from tests.webhooks import completion as completion_of
from tests.webhooks import video, webhook

pytestmark = pytest.mark.asyncio(loop_scope="session")

# What is told of a film once its picture moves.
MOVES = """video => new Promise((done, fail) => {
  const look = () => video.currentTime > 0.2
    && done([video.videoWidth, video.videoHeight, Math.round(video.duration)]);
  video.addEventListener("timeupdate", look);
  video.addEventListener("error", () => fail(video.error.message));
  look();
})"""


async def play(player: Locator) -> list[int]:
    """Presses the picture; width, height and seconds of the film that plays then."""
    await player.locator(".play").click()
    video = player.locator("video")
    told: list[int] = await video.evaluate(MOVES)
    await expect(video).to_have_js_property("paused", value=False)
    return told


async def test_job_is_followed_to_its_takes_and_every_event_is_told_without_a_reload(
    page: Page, server: Client
) -> None:
    await server.register("job-1", prompt=PROMPT, aspect_ratio="9:16")
    shown = await followed(page, server)
    await page.evaluate("document.documentElement.dataset.visit = 'first'")
    await expect(shown.locator(".whole").first).to_have_text(PROMPT)
    await post_webhook(page, server, "job-1", "generating")
    data = completion("job-1")
    (first,) = data["videos"]
    form = {"aspect_ratio": "9:16", "duration_seconds": 5, "dimensions": {"width": 720, "height": 1280}}
    data["videos"] = [
        first | form | {"file_path": f"k/{take}", "file_url": f"/simulated/9x16-5s-{take}.mp4"} for take in (1, 2, 3)
    ]
    await post_webhook(page, server, "job-1", "completed", data=data)
    await expect(shown).to_have_attribute("state", "COMPLETED")
    await expect(page.locator("[data-slot=said]")).to_have_text("Vidéo prête")
    assert await steps(page) == [
        "En attente de traitement", "Génération de la vidéo en cours", "Génération terminée avec succès",
    ]  # fmt: skip
    await expect(page.locator(".between").last).to_have_text("+ 1 s")
    films = set()
    for number in (1, 2, 3):
        await button(page, f"Prise {number}").click()
        player = page.locator("rushes-video:not([hidden])")
        await expect(player).to_have_count(1)
        assert await play(player) == [720, 1280, 5]
        films.add(await player.locator("video").evaluate("video => video.currentSrc"))
    assert len(films) == 3
    assert await page.locator("video").evaluate_all("all => all.filter((video) => !video.paused).length") == 1
    await expect(page.locator("dl")).to_contain_text("720 × 1280")
    await expect(page).to_have_title(f"{PROMPT} · rushes")
    assert await page.evaluate("document.documentElement.dataset.visit") == "first"


async def test_link_is_followed_from_progress_to_a_video_in_every_engine(browser: Browser, server: Client) -> None:
    await server.register("job-1", prompt=PROMPT)
    tab = await browser.new_tab()
    await tab.goto(f"{server.url}/jobs/job-1")
    await until(tab, "document.querySelector('rushes-connection').getAttribute('state') === 'live'")
    assert (await server.send(webhook("job-1", "generating")))[0] == 200
    await until(tab, "document.querySelector('[role=progressbar]').getAttribute('aria-valuenow') === '50'")
    film = video("k", file_url="/simulated/16x9-8s-1.mp4")
    assert (await server.send(completion_of("job-1", film)))[0] == 200
    await until(tab, "document.querySelector('rushes-video video')?.checkVisibility()")
    await until(tab, "document.querySelectorAll('.timeline li').length === 3")
    await tab.evaluate("document.querySelector('[data-slot=erase]').click()")  # the page scrolls smoothly below a mouse
    await until(tab, "document.querySelector('[data-slot=restore]').checkVisibility()")


async def test_webhook_moves_the_bar_and_the_tab_tells_of_it(page: Page, server: Client) -> None:
    await register(page, server, "job-1", PROMPT)
    shown = await followed(page, server)
    for status, value in (("processing", "25"), ("generating", "50"), ("downloading", "75")):
        await post_webhook(page, server, "job-1", status)
        await expect(bar(shown)).to_have_attribute("aria-valuenow", value)
    await expect(page).to_have_title(re.compile(r"^75 % · "))
    assert len(await steps(page)) == 4


async def test_page_says_the_same_to_everybody_and_nothing_of_the_job(database_url: str) -> None:
    async with running(database_url, auth_jwt_secret=SECRET, webhook_secret=SENDERS) as server:
        order = {"job_id": "job-1", "user_id": "u1", "prompt": PROMPT}
        sender = {"X-Webhook-Secret": SENDERS}
        async with server.session.post(f"{server.url}/api/videos", json=order, headers=sender) as answer:
            assert answer.status == 201
        told = set()
        for path, headers in (
            ("job-1", bearer("u1")),
            ("job-1", bearer("u2")),
            ("job-1", {}),
            ("none", {}),
            ("%E0", {}),
        ):
            async with server.session.get(f"{server.url}/jobs/{path}", headers=headers) as answer:
                assert answer.status == 200
                assert "unsafe" not in answer.headers["Content-Security-Policy"]
                told.add(await answer.text())
        (text,) = told
        assert PROMPT not in text
        assert 'property="og:title" content="rushes"' in text
        assert "<!-- " not in text


@pytest.mark.parametrize("path", ["none", "%E0", "%20", "a%2Fb"])
async def test_video_that_is_not_there_is_told_kindly(page: Page, server: Client, path: str) -> None:
    shown = await open_job(page, server, path)
    await expect(shown.locator("h1").filter(visible=True)).to_have_text("Cette vidéo n’est pas ici")
    await expect(page.get_by_role("link", name="Toutes les vidéos").last).to_have_attribute("href", "/")
    await expect(shown.locator("rushes-connection")).to_be_hidden()


async def sign_in(page: Page, server: Client, *who: Any, **claims: Any) -> None:
    name = server.app[SETTINGS].auth_cookie
    await page.context.add_cookies([{"name": name, "value": token(*who, **claims), "url": server.url}])


async def test_colleague_sees_and_follows_a_job_and_may_only_look_while_a_stranger_sees_nothing(
    database_url: str, page: Page
) -> None:
    async with running(database_url, auth_jwt_secret=SECRET, webhook_secret=SENDERS) as server:
        order = {"job_id": "job-1", "user_id": "u1", "organization_id": "o1", "prompt": PROMPT}
        sender = {"X-Webhook-Secret": SENDERS}
        async with server.session.post(f"{server.url}/api/videos", json=order, headers=sender) as answer:
            assert answer.status == 201
        await sign_in(page, server, "u2", 600, org_id="o1")
        shown = await followed(page, server)
        await expect(shown.locator(".whole").first).to_have_text(PROMPT)
        await server.send(webhook("job-1", "generating"), sender)
        await expect(bar(shown)).to_have_attribute("aria-valuenow", "50")
        await server.send(completion_of("job-1", video("k", file_url="/static/simulated.mp4")), sender)
        await expect(shown.locator("[data-slot=download]")).to_be_visible()
        names = await page.locator(".page-actions > :is(a, button)").filter(visible=True).all_inner_texts()
        assert names == ["Copier le lien", "Télécharger"]
        await sign_in(page, server, "u3", 600, org_id="o2")
        await open_job(page, server)
        await expect(page.locator(".notice h1")).to_have_text("Cette vidéo n’est pas ici")
        assert PROMPT not in await page.content()
        await sign_in(page, server, "boss", 600, role="admin")
        await open_job(page, server)
        await expect(button(page, "Supprimer")).to_be_visible()


async def test_signed_out_page_says_so_and_opens_after_the_sign_in(database_url: str, page: Page) -> None:
    async with running(database_url, auth_jwt_secret=SECRET, webhook_secret=SENDERS) as server:
        order = {"job_id": "job-1", "user_id": "u1", "prompt": PROMPT}
        async with server.session.post(
            f"{server.url}/api/videos", json=order, headers={"X-Webhook-Secret": SENDERS}
        ) as answer:
            assert answer.status == 201
        shown = await open_job(page, server)
        await expect(page.locator(".notice h1")).to_have_text("Connectez-vous pour voir cette vidéo")
        await sign_in(page, server, "u1", 600)
        await page.evaluate("window.dispatchEvent(new Event('focus'))")
        await expect(shown).to_have_attribute("view", "job")


async def test_page_that_could_not_be_read_is_tried_again_by_itself(page: Page, server: Client) -> None:
    await register(page, server, "job-1", PROMPT)
    refuse = {"status": 503, "json": {"error": "Not now", "code": "unavailable"}}
    await page.route("**/api/videos/job-1", lambda route: route.fulfill(**refuse), times=2)  # one is made up for
    shown = await open_job(page, server)
    await expect(page.locator(".notice")).to_contain_text("n’a pas pu être chargée")
    await expect(shown).to_have_attribute("view", "job", timeout=STORY)


async def test_video_whose_address_works_no_more_gets_another_one(page: Page, server: Client) -> None:
    await done(page, server)

    async def with_a_dead_address(route: Route) -> None:
        response = await route.fetch()
        job = await response.json()
        job["videos"][0]["file_url"] = "/static/none.mp4"
        await route.fulfill(response=response, json=job)

    await page.route("**/api/videos/job-1", with_a_dead_address, times=1)
    await open_job(page, server)
    await expect(page.locator("video")).to_have_js_property("readyState", 4, timeout=STORY)
    assert str(await page.locator("video").evaluate("video => video.currentSrc")).endswith("/simulated.mp4#t=0.001")


async def test_files_beyond_those_of_one_answer_are_takes_too(page: Page, server: Client) -> None:
    await server.register("job-1")
    for part in range(2):
        files = [video(f"k{part}/{number}", file_url="/static/simulated.mp4") for number in range(70)]
        assert (await server.send(completion_of("job-1", *files, at=f"2025-10-23T14:30:0{part}Z")))[0] == 200
    await open_job(page, server)
    await expect(page.locator(".page-takes button")).to_have_count(140)
    await button(page, "Prise 140").click()
    await expect(page.locator("rushes-video")).to_have_count(2)


async def test_card_leads_to_the_page_of_its_job(page: Page, server: Client) -> None:
    await open_page(page, server)
    card = await generate(page, "A fox in the snow")
    await card.locator("[data-slot=opener]").click()
    await card.get_by_role("link", name="Ouvrir sa page").click()
    await expect(page.locator(".whole").first).to_have_text("A fox in the snow")
    await page.go_back()
    await expect(job(page, str(await page.locator("rushes-job").get_attribute("job-id")))).to_be_visible()


async def test_no_console_errors_under_the_content_security_policy(page: Page, server: Client) -> None:
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    await done(page, server)
    await followed(page, server)
    assert (await play(page.locator("rushes-video")))[:2] == [1280, 720]
    assert problems == []


async def test_keyboard_goes_from_the_skip_link_through_player_and_takes_to_the_acts(
    page: Page, server: Client
) -> None:
    await register(page, server, "job-1", PROMPT)
    data = completion("job-1")
    (first,) = data["videos"]
    data["videos"].append(first | {"filename": "second.mp4", "file_path": "second.mp4"})
    await post_webhook(page, server, "job-1", "completed", data=data)
    await followed(page, server)
    await page.keyboard.press("Tab")
    await expect(page.locator(".skip")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#job-page")).to_be_focused()
    await page.keyboard.press("Tab")
    player = page.locator("rushes-video:not([hidden])")
    await expect(player.locator(".play")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(player.locator("video")).to_have_js_property("paused", value=False)
    await page.keyboard.press("Tab")
    await expect(player.get_by_role("slider", name="Position")).to_be_focused()
    await button(page, "Prise 2").focus()
    await page.keyboard.press("Space")
    await expect(button(page, "Prise 2")).to_have_attribute("aria-pressed", "true")
    for name in ("Copier le lien", "Télécharger", "Supprimer"):
        await page.keyboard.press("Tab")
        await expect(page.locator(".page-actions > :focus")).to_have_text(name)


async def test_steps_of_more_than_one_day_tell_their_day(page: Page, server: Client, sql: Sql) -> None:
    await server.register("job-1", prompt=PROMPT)
    await post_webhook(page, server, "job-1", "completed", data=completion("job-1"))
    await open_job(page, server)
    times = page.locator(".timeline time")
    await expect(times.last).to_contain_text(re.compile(r"^\d\d/\d\d/2025 \d\d:\d\d:\d\d$"))
    same = await times.last.get_attribute("datetime")
    sql("UPDATE rushes_events SET data = JSON_SET(data, '$.occurred_at', %s)", same)
    await page.reload()
    await expect(times.first).to_contain_text(re.compile(r"^\d\d:\d\d:\d\d$"))
