"""The composer: large at first, then a line above the videos; what is typed and chosen there is not lost."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, Page, Route, expect

from app.appkeys import SETTINGS
from app.routes.orders import Order
from tests.browser.pages import PNG, job, open_page, post_webhook, register
from tests.client import Client, running
from tests.databases import Sql
from tests.sign_in import SECRET, SENDERS, token
from tests.webhooks import webhook

pytestmark = pytest.mark.asyncio(loop_scope="session")

SENDS = {"X-Webhook-Secret": SENDERS}

GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")

# As the browser hands over what is dropped, or pasted.
HAND_OVER = """(form, [type, base64]) => {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const brought = new DataTransfer();
  brought.items.add(new File([bytes], "a.png", { type: "image/png" }));
  const how = type === "paste" ? { clipboardData: brought } : { dataTransfer: brought };
  const event = type === "paste" ? new ClipboardEvent(type, { ...how, bubbles: true, cancelable: true })
    : new DragEvent(type, { ...how, bubbles: true, cancelable: true });
  return !form.dispatchEvent(event);
}"""


def prompt(page: Page) -> Locator:
    return page.locator("[name=prompt]")


async def sent(page: Page) -> dict[str, Any]:
    """What is asked for by a press of the button."""
    async with page.expect_request("**/api/videos/generate") as request:
        await page.locator("rushes-prompt [type=submit]").click()
    return dict((await request.value).post_data_json or {})


async def test_composer_is_a_line_above_the_videos_that_opens_over_them_and_moves_none(
    page: Page, server: Client
) -> None:
    await register(page, server, "job-1")
    await open_page(page, server)
    card = job(page, "job-1")
    await page.emulate_media(reduced_motion="reduce")
    line = await page.locator(".slate").bounding_box()
    before = await card.bounding_box()
    assert line is not None
    assert line["height"] < 70
    await expect(page.locator("[name=aspect_ratio]")).to_be_hidden()
    await prompt(page).focus()
    await expect(page.locator("[name=aspect_ratio]")).to_be_visible()
    assert await card.bounding_box() == before
    await page.keyboard.press("Escape")
    await expect(page.locator("[name=aspect_ratio]")).to_be_hidden()
    await page.set_viewport_size({"width": 390, "height": 300})
    await page.mouse.wheel(0, 250)
    await expect(page.locator(".wordmark")).not_to_be_in_viewport()
    await expect(prompt(page)).to_be_in_viewport()  # it stays


async def test_draft_and_settings_are_there_after_a_reload_and_the_draft_is_gone_once_it_is_sent(
    page: Page, server: Client
) -> None:
    await open_page(page, server)
    await prompt(page).fill("A tram in Lisbon")
    await page.locator("[name=duration_seconds]").select_option("6")
    await page.locator("[name=person_generation]").select_option("DONT_ALLOW")
    await page.reload()
    await expect(prompt(page)).to_have_value("A tram in Lisbon")
    order = await sent(page)
    assert (order["prompt"], order["duration_seconds"]) == ("A tram in Lisbon", 6)
    assert order["person_generation"] == "DONT_ALLOW"
    await expect(prompt(page)).to_have_value("")
    await page.reload()
    await expect(prompt(page)).to_have_value("")
    await expect(page.locator("[name=duration_seconds]")).to_have_value("6")


@pytest.mark.parametrize("way", ["file", "drop", "drop beside it", "paste"])
async def test_image_is_sent_with_the_order_however_it_came_and_once(
    page: Page, server: Client, tmp_path: Path, way: str
) -> None:
    await open_page(page, server)
    await prompt(page).fill("It begins with this")
    if way == "file":
        (tmp_path / "a.png").write_bytes(PNG)
        await page.locator("rushes-image input").set_input_files(tmp_path / "a.png")
    else:
        where = page.locator("#gallery" if "beside" in way else ".slate")
        assert await where.evaluate(HAND_OVER, [way.split(maxsplit=1)[0], base64.b64encode(PNG).decode()]), (
            "the page stays"
        )
    await expect(page.get_by_role("img", name="L’image de départ")).to_be_visible()
    assert base64.b64decode((await sent(page))["input_image_base64"]) == PNG
    await expect(page.get_by_role("img", name="L’image de départ")).to_be_hidden()
    await prompt(page).fill("Another one")
    assert "input_image_base64" not in await sent(page)


async def test_file_that_is_no_image_or_too_large_is_refused_and_what_was_typed_stays(
    page: Page, server: Client, tmp_path: Path
) -> None:
    await open_page(page, server)
    await prompt(page).fill("The sea")
    (tmp_path / "a.txt").write_text("no image")
    (tmp_path / "a.png").write_bytes(bytes(9_100_000))
    (tmp_path / "page.png").write_text("<!doctype html><script>alert(1)</script>")
    (tmp_path / "half.png").write_bytes(PNG[:40])
    (tmp_path / "gif.jpg").write_bytes(GIF)
    problem = page.locator("#prompt-problem")
    for name in ("a.txt", "page.png", "half.png", "gif.jpg"):
        await page.locator("rushes-image input").set_input_files(tmp_path / name)
        await expect(problem, name).to_contain_text("PNG ou JPEG")
        await expect(page.get_by_role("img", name="L’image de départ")).to_be_hidden()
        await prompt(page).press("End")
        await prompt(page).press("Space")
        await prompt(page).press("Backspace")
        await expect(problem).to_be_hidden()
    await page.locator("rushes-image input").set_input_files(tmp_path / "a.png")
    await expect(problem).to_contain_text("9,1 Mo")
    await expect(prompt(page)).to_have_value("The sea")
    await prompt(page).press("End")
    await prompt(page).press("!")
    await expect(problem).to_be_hidden()


async def test_largest_image_that_the_page_takes_is_one_that_the_server_takes(
    database_url: str, page: Page, tmp_path: Path
) -> None:
    async with running(database_url, max_image_body_bytes=300_000) as server:
        await open_page(page, server)
        most = (300_000 - 65_536) // 4 * 3
        (tmp_path / "a.png").write_bytes(PNG.ljust(most + 1, b"\0"))
        await page.locator("rushes-image input").set_input_files(tmp_path / "a.png")
        await expect(page.locator("#prompt-problem")).to_contain_text(": 175,8 ko au plus".replace("8 k", "8\u202fk"))
        (tmp_path / "a.png").write_bytes(PNG.ljust(most, b"\0"))
        await page.locator("rushes-image input").set_input_files(tmp_path / "a.png")
        await expect(page.get_by_role("img", name="L’image de départ")).to_be_visible()
        await prompt(page).fill("\x01" * 10_000)
        async with page.expect_response("**/api/videos/generate") as answer:
            await page.locator("rushes-prompt [type=submit]").click()
        assert (await answer.value).status == 202


async def test_prompt_is_counted_and_no_longer_than_the_server_takes(page: Page, server: Client) -> None:
    await open_page(page, server)
    (most,) = [part.max_length for part in Order.model_fields["prompt"].metadata if hasattr(part, "max_length")]
    assert await prompt(page).get_attribute("maxlength") == str(most)
    await prompt(page).fill("x" * 1234)
    await expect(page.locator(".counter")).to_have_text("1 234 / 10 000".replace(" ", "\u202f"))


async def test_control_and_enter_send_and_the_word_of_it_leaves_by_itself(page: Page, server: Client) -> None:
    await page.clock.install()
    await open_page(page, server)
    await page.clock.pause_at((await page.evaluate("Date.now()") + 10_000) / 1000)
    await prompt(page).fill("The sea")
    await expect(page.locator("kbd")).to_have_text("Ctrl ⏎")
    await prompt(page).press("Control+Enter")
    await expect(page.locator(".hint")).to_contain_text("C’est parti")
    await page.clock.run_for(8_000)
    await expect(page.locator(".hint")).to_be_empty()


async def test_nothing_offers_an_order_where_nobody_makes_videos(database_url: str, page: Page) -> None:
    safe = {"app_env": "production", "auth_jwt_secret": SECRET, "webhook_secret": SENDERS}
    async with running(database_url, **safe) as server:
        await nothing_is_offered(page, server)


async def nothing_is_offered(page: Page, server: Client) -> None:
    name = server.app[SETTINGS].auth_cookie
    await page.context.add_cookies([{"name": name, "value": token("u1"), "url": server.url}])
    async with server.post("/api/videos", json={"job_id": "j1", "prompt": "p", "user_id": "u1"}, headers=SENDS) as made:
        assert made.status == 201
    failure = webhook("j1", "failed") | {"error": "429 RESOURCE_EXHAUSTED"}
    assert (await server.send(failure, SENDS))[0] == 200
    await page.goto(server.url)
    card = job(page, "j1")
    await expect(card).to_have_attribute("state", "FAILED")
    await expect(card.locator("[data-act=dismiss]")).to_be_visible()
    for offered in ("[data-act=again]", "[data-slot=edit]"):
        await expect(card.locator(offered)).to_be_hidden()
    await expect(page.locator("rushes-prompt")).to_be_hidden()
    await expect(page.locator("[role=heading][aria-level='1']")).to_have_text("Rushes")  # the page has a first one


async def ordered(page: Page, server: Client, **more: Any) -> Locator:
    """The card of a failed job that was ordered so."""
    await open_page(page, server)
    body = {"job_id": "job-1", "prompt": "A fox in the snow", "aspect_ratio": "9:16", "number_of_videos": 2}
    await page.request.post(f"{server.url}/api/videos", data=body | more)
    await post_webhook(page, server, "job-1", "failed", error="quota")
    return job(page, "job-1")


ORDER = {"duration_seconds": 6, "person_generation": "DONT_ALLOW"}
AS_BASE64 = base64.b64encode(PNG).decode()


async def test_order_that_is_edited_and_sent_again_is_in_the_composer_wholly_persons_and_image_too(
    page: Page, server: Client
) -> None:
    card = await ordered(page, server, **ORDER, input_image_base64=AS_BASE64)
    await page.reload()
    await card.locator("[data-slot=edit]").click()
    await expect(prompt(page)).to_have_value("A fox in the snow")
    await expect(page.locator("[name=person_generation]")).to_have_value("DONT_ALLOW")
    await expect(page.get_by_role("img", name="L’image de départ")).to_be_visible()
    order = await sent(page)
    assert order == {
        "prompt": "A fox in the snow", "aspect_ratio": "9:16", "number_of_videos": 2, "input_image_base64": AS_BASE64,
    } | ORDER  # fmt: skip


async def test_order_that_is_sent_before_its_image_was_read_waits_for_it(page: Page, server: Client) -> None:
    card = await ordered(page, server, **ORDER, input_image_base64=AS_BASE64)
    may_go_on = asyncio.Event()

    async def hold(route: Route) -> None:
        await may_go_on.wait()
        await route.continue_()

    await page.route("**/image", hold)
    await card.locator("[data-slot=edit]").click()
    async with page.expect_request("**/api/videos/generate") as request:
        await page.locator("rushes-prompt [type=submit]").click()
        await expect(page.locator("rushes-prompt [type=submit]")).to_have_attribute("aria-disabled", "true")
        may_go_on.set()
    asked = (await request.value).post_data_json or {}
    assert (asked["input_image_base64"], asked["person_generation"]) == (AS_BASE64, "DONT_ALLOW")


async def test_order_without_an_image_takes_the_one_that_was_chosen_out_of_the_composer(
    page: Page, server: Client
) -> None:
    card = await ordered(page, server)
    await page.locator(".slate").evaluate(HAND_OVER, ["drop", AS_BASE64])
    await expect(page.get_by_role("img", name="L’image de départ")).to_be_visible()
    await card.locator("[data-slot=edit]").click()
    await expect(page.get_by_role("img", name="L’image de départ")).to_be_hidden()


@pytest.mark.parametrize("why", ["gone", "network"])
async def test_image_that_is_no_longer_there_or_cannot_be_read_is_told_and_the_rest_is_in_the_composer(
    page: Page, server: Client, sql: Sql, why: str
) -> None:
    card = await ordered(page, server, **ORDER, input_image_base64=AS_BASE64)
    if why == "gone":
        sql("UPDATE video_generations SET inputImageBase64 = 'no base64 any more'")
    else:
        await page.route("**/image", lambda route: route.abort())
    await card.locator("[data-slot=edit]").click()
    said = {"gone": "n’est plus conservée", "network": "n’a pas pu être lue"}[why]
    await expect(page.locator("#prompt-problem")).to_contain_text(said)
    await expect(page.locator("[name=person_generation]")).to_have_value("DONT_ALLOW")
    assert "input_image_base64" not in await sent(page)


async def test_what_the_user_chooses_while_an_order_is_read_stays(page: Page, server: Client) -> None:
    card = await ordered(page, server, **ORDER, input_image_base64=AS_BASE64)
    may_go_on = asyncio.Event()

    async def hold(route: Route) -> None:
        await may_go_on.wait()
        await route.continue_()

    await page.route("**/api/videos/job-1", hold)
    await card.locator("[data-slot=edit]").click()
    await page.locator("[name=person_generation]").select_option("ALLOW_ADULT")
    async with page.expect_response("**/image"):
        may_go_on.set()
    await expect(page.get_by_role("img", name="L’image de départ")).to_be_visible()
    await expect(page.locator("[name=person_generation]")).to_have_value("ALLOW_ADULT")
