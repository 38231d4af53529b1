"""What somebody does to videos on the page: cancel, delete and undo, reuse, save and share, and the way to each act."""

from pathlib import Path

import pytest
from playwright.async_api import Page, Route, expect

from app.routes.pages import STATIC
from tests.browser.engines import Browser
from tests.browser.pages import (
    BUSY,
    bar,
    button,
    completed,
    completion,
    erase,
    failed,
    generate,
    job,
    open_page,
    other_tab,
    post_webhook,
    register,
)
from tests.browser.tabs import following, until
from tests.client import Client, running
from tests.s3 import s3_server
from tests.webhooks import webhook

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def open_with_clock_stopped(page: Page, server: Client) -> None:
    """Time passes by `page.clock.run_for` alone, once the page is live: a clock that is only installed goes on."""
    await page.clock.install()
    await open_page(page, server)
    # Ahead of the clock however busy the machine is, and before the page would miss the server's heartbeats.
    await page.clock.pause_at((await page.evaluate("Date.now()") + 10_000) / 1000)


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
    await expect(card.locator("article")).to_be_focused()
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


async def test_deleted_video_leaves_both_tabs_and_undo_brings_it_back_to_its_place(page: Page, server: Client) -> None:
    await open_page(page, server)
    for number in range(3):
        await completed(page, server, f"job-{number}", f"Take {number}")
    other = await other_tab(page, server)
    await page.reload()
    order = [str(await card.get_attribute("job-id")) for card in await other.locator("rushes-job").all()]
    await erase(job(page, order[1]))
    for tab in (page, other):
        await expect(job(tab, order[1])).to_have_count(0)
    assert await state_of(page, server, order[1]) == 404
    undo = page.locator(".toast").get_by_role("button", name="Rétablir")
    await expect(undo).to_be_focused()
    await undo.press("Enter")
    for tab in (page, other):
        await expect(tab.locator("rushes-job")).to_have_count(3)
        assert [await card.get_attribute("job-id") for card in await tab.locator("rushes-job").all()] == order
    await expect(job(page, order[1]).locator(".play")).to_be_focused()
    await other.close()


async def test_undo_is_offered_for_ten_seconds_and_longer_while_it_has_the_focus(page: Page, server: Client) -> None:
    await open_with_clock_stopped(page, server)
    await completed(page, server, "job-1")
    card = await completed(page, server, "job-2", "A tram in Lisbon")
    await card.locator("[data-slot=opener]").click()
    await card.locator("[data-act=delete]").click()
    toast = page.locator(".toast", has_text="Vidéo supprimée")
    await expect(toast).to_be_visible()  # the time would not wait for the answer
    await page.mouse.move(0, 0)
    await page.clock.run_for(9_900)
    await expect(toast).to_be_visible()
    await page.clock.run_for(100)
    await expect(toast).to_have_count(0)
    await erase(job(page, "job-1"))
    await expect(toast.get_by_role("button", name="Rétablir")).to_be_focused()
    await page.clock.run_for(60_000)
    await expect(toast).to_be_visible()


async def test_settings_of_a_finished_video_are_reused(page: Page, server: Client) -> None:
    await open_page(page, server)
    await page.locator("[name=prompt]").focus()
    await page.locator("[name=number_of_videos]").select_option("2")
    await page.locator("[name=duration_seconds]").select_option("6")
    card = await generate(page, "A fox in the snow")
    await expect(card).to_have_attribute("state", "COMPLETED", timeout=30_000)
    await page.locator("[name=prompt]").focus()
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
    for act in await page.locator(".actions > :is(a, button), .menu button").filter(visible=True).all():
        box = await act.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 40
        assert await act.evaluate("node => node.ariaLabel || node.textContent.trim()")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360


async def test_actions_of_a_card_are_one_stop_of_the_tab_key_and_the_arrows_go_between_them(
    page: Page, server: Client
) -> None:
    await open_page(page, server)
    card = await completed(page, server, "job-1")
    actions = card.get_by_role("toolbar")
    await card.locator(".play").focus()
    await page.keyboard.press("Tab")
    await expect(button(actions, "Reprendre le texte et les réglages")).to_be_focused()
    for name in ("Télécharger", "Copier le lien"):
        await page.keyboard.press("ArrowRight")
        await expect(actions.get_by_role("link", name=name)).to_be_focused()
    await page.keyboard.press("End")
    await expect(button(actions, "Détails et suppression")).to_be_focused()
    await page.keyboard.press("ArrowRight")
    await expect(button(actions, "Reprendre le texte et les réglages")).to_be_focused()
    await page.keyboard.press("Tab")
    assert await actions.evaluate("row => !row.contains(document.activeElement)")


async def test_menu_tells_all_that_is_known_and_the_way_back_is_escape(page: Page, server: Client) -> None:
    await open_page(page, server)
    card = await completed(page, server, "job-1")
    await card.locator("[data-slot=opener]").press("Enter")
    menu = card.locator(".menu")
    for fact in ("A lighthouse in the mist", "Veo 2.0", "1280 × 720", "237,4 ko", "1 min 13 s"):
        await expect(menu).to_contain_text(fact)
    await page.keyboard.press("Escape")
    await expect(menu).to_be_hidden()
    await expect(card.locator("[data-slot=opener]")).to_be_focused()


# What is seen first is what there is when the press is over: what comes with an event of its own, comes later.
PRESSED = """opener => {
  opener.click();
  const [at, menu] = [opener, opener.popoverTargetElement].map((node) => node.getBoundingClientRect());
  const gap = Math.min(Math.abs(menu.top - at.bottom), Math.abs(at.top - menu.bottom));
  return { right: menu.right - at.right, gap };
}"""


@pytest.mark.parametrize("width", [390, 1440])
async def test_menu_stands_beside_its_button_from_the_first_moment(page: Page, server: Client, width: int) -> None:
    await page.set_viewport_size({"width": width, "height": 844})
    await open_page(page, server)
    card = await completed(page, server, "job-1")
    await page.wait_for_function("node => !node.getAnimations().length", arg=await card.element_handle())
    place = await card.locator("[data-slot=opener]").evaluate(PRESSED)
    assert abs(place["gap"] - 6) <= 1, place
    assert abs(place["right"]) <= 1 or width == 390, place
    for act in ("page", "erase"):
        box = await card.locator(f".menu [data-slot={act}]").bounding_box()
        assert box is not None
        assert box["height"] >= 40
        at_its_middle = f"document.elementFromPoint({box['x'] + box['width'] / 2}, {box['y'] + box['height'] / 2})"
        assert await page.evaluate(f"{at_its_middle}?.dataset.slot") == act, "it is in sight, and under nothing"


async def test_link_of_a_video_is_copied(page: Page, server: Client) -> None:
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await open_page(page, server)
    card = await completed(page, server, "job-1")
    await card.locator("[data-slot=link]").click()
    await expect(page.locator(".toast", has_text="Lien copié")).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == f"{server.url}/jobs/job-1"


async def test_only_a_prompt_that_is_cut_has_a_button_for_the_rest(page: Page, server: Client) -> None:
    await open_page(page, server)
    short = await completed(page, server, "job-1", "A fox")
    long = await completed(page, server, "job-2", "A very long shot of the sea at dusk. " * 20)
    await page.locator("[data-slot=news]").click()
    await expect(button(short, "Tout lire")).to_be_hidden()
    before = await long.locator(".prompt").bounding_box()
    await button(long, "Tout lire").click()
    after = await long.locator(".prompt").bounding_box()
    assert before is not None
    assert after is not None
    assert after["height"] > 2 * before["height"]
    await expect(button(long, "Réduire")).to_have_attribute("aria-expanded", "true")
    await page.set_viewport_size({"width": 390, "height": 800})
    await expect(button(short, "Tout lire")).to_be_hidden()


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
