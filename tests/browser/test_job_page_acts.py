"""What somebody does on the page of one job: try again, cancel, delete and undo, copy the link, save, reuse."""

import asyncio
import base64
import re

import pytest
from playwright.async_api import Page, Route, expect

from tests.browser.job_pages import BUSY, PROMPT, STORY, done, followed, open_job, steps
from tests.browser.pages import PNG, button, completion, post_webhook, register
from tests.client import Client

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_failure_says_what_to_do_and_why_and_a_new_try_has_its_own_page(page: Page, server: Client) -> None:
    await register(page, server, "job-1", PROMPT)
    shown = await followed(page, server)
    await post_webhook(page, server, "job-1", "failed", error=BUSY)
    await expect(shown.locator(".advice")).to_contain_text("très demandé")
    await expect(shown.locator("[data-slot=error]")).to_have_text(BUSY)
    await button(page, "Réessayer").click()
    await page.wait_for_url(re.compile(r"/jobs/(?!job-1$)"))
    await expect(page.locator("rushes-job-page")).to_have_attribute("state", "COMPLETED", timeout=STORY)
    await expect(page.locator(".whole").first).to_have_text(PROMPT)
    assert (await server.read("/api/videos/user"))[1]["failed"] == []  # the new one stands for it


async def test_second_press_cancels_and_the_first_one_alone_does_not(page: Page, server: Client) -> None:
    await register(page, server, "job-1", PROMPT)
    shown = await followed(page, server)
    await button(page, "Annuler").dblclick()
    await expect(page.locator("[data-slot=said]")).to_contain_text("encore une fois")
    await expect(shown).to_have_attribute("state", "PENDING")
    await button(page, "Confirmer l’annulation").click()
    await expect(shown).to_have_attribute("state", "FAILED")
    await expect(page.locator("[data-slot=failed]")).to_have_text("Génération annulée")
    await expect(button(page, "Copier le lien")).to_be_focused()


async def test_deleted_video_can_be_had_back_and_is_told_of_in_other_tabs(page: Page, server: Client) -> None:
    await done(page, server)
    shown = await followed(page, server)
    other = await page.context.new_page()
    await followed(other, server)
    await button(page, "Supprimer").press("Enter")
    await expect(button(page, "Rétablir")).to_be_focused()
    assert (await page.request.get(f"{server.url}/api/videos/job-1")).status == 404
    await expect(other.locator(".notice h1")).to_have_text("Vidéo supprimée")
    await button(page, "Rétablir").press("Enter")
    await expect(shown).to_have_attribute("view", "job")
    await expect(page.locator("#job-page")).to_be_focused()
    assert "Rétablie" in await steps(page)
    await other.close()


async def test_answer_that_is_late_brings_back_nothing_that_was_deleted_meanwhile(page: Page, server: Client) -> None:
    await done(page, server)
    shown = await followed(page, server)
    asked, deleted, answered = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def answer_late(route: Route) -> None:
        response = await route.fetch()
        asked.set()
        await deleted.wait()
        await route.fulfill(response=response)
        answered.set()

    await page.route(lambda url: url.endswith("/api/videos/job-1"), answer_late, times=1)
    refresh = (
        "document.querySelector('rushes-video').dispatchEvent(new CustomEvent('rushes:refresh', { bubbles: true }))"
    )
    async with page.expect_response("**/api/videos/job-1"):
        await page.evaluate(refresh)
        await asyncio.wait_for(asked.wait(), 10)
        await server.delete("/api/videos/job-1")
        await expect(shown).to_have_attribute("view", "notice")
        deleted.set()
        await asyncio.wait_for(answered.wait(), 10)
    async with page.expect_response("**/api/videos/job-1"):  # a player that is still there asks again
        await page.evaluate(refresh)
    await page.evaluate("fetch('/healthz')")  # the page has taken what came before
    await expect(shown).to_have_attribute("view", "notice")


async def test_refused_act_is_told_in_the_pages_words(page: Page, server: Client) -> None:
    await register(page, server, "job-1", PROMPT)
    await followed(page, server)

    async def too_late(route: Route) -> None:
        await post_webhook(page, server, "job-1", "completed", data=completion("job-1"))
        await route.continue_()

    await page.route("**/cancel", too_late)
    await button(page, "Annuler").click()
    await button(page, "Confirmer l’annulation").click()
    await expect(page.locator(".toast", has_text="déjà terminée")).to_be_visible()
    await expect(page.locator("rushes-job-page")).to_have_attribute("state", "COMPLETED")


async def test_link_is_copied_or_shown_where_the_browser_allows_no_copy(page: Page, server: Client) -> None:
    await register(page, server, "job-1", PROMPT)
    await followed(page, server)
    await page.evaluate("() => { navigator.clipboard.writeText = async () => { throw new Error('denied'); }; }")
    await button(page, "Copier le lien").click()
    await expect(page.locator(".toast")).to_contain_text(f"{server.url}/jobs/job-1")
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.reload()
    await button(page, "Copier le lien").click()
    await expect(page.locator(".toast", has_text="Lien copié")).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == f"{server.url}/jobs/job-1"


async def test_video_is_saved_under_its_name_and_one_of_another_site_does_not_replace_the_page(
    page: Page, server: Client
) -> None:
    await done(page, server)
    await open_job(page, server)
    async with page.expect_download() as saved:
        await page.locator("[data-slot=download]").click()
    assert (await saved.value).suggested_filename == "job-1.mp4"
    data = completion("job-2")
    data["videos"][0]["file_url"] = "https://files.example/job-2.mp4"
    await register(page, server, "job-2", PROMPT)
    await post_webhook(page, server, "job-2", "completed", data=data)
    await open_job(page, server, "job-2")
    link = page.locator("[data-slot=download]")
    assert str(await link.get_attribute("href")).startswith("/api/videos/job-2/files/")
    assert await link.get_attribute("target") == "_blank"


async def test_all_that_a_job_was_ordered_with_is_taken_over_into_the_composer(page: Page, server: Client) -> None:
    image = base64.b64encode(PNG).decode()
    more = {"aspect_ratio": "9:16", "person_generation": "DONT_ALLOW", "input_image_base64": image}
    await server.register("job-1", prompt=PROMPT, **more)
    data = completion("job-1")
    await post_webhook(page, server, "job-1", "completed", data=data)
    await open_job(page, server)
    await button(page, "Réutiliser").click()
    prompt = page.locator("[name=prompt]")
    await expect(prompt).to_have_value(PROMPT)
    await expect(prompt).to_be_focused()
    await expect(page.locator("[name=aspect_ratio]")).to_have_value("9:16")
    await expect(page.locator("[name=duration_seconds]")).to_have_value("8")
    await expect(page.locator("[name=person_generation]")).to_have_value("DONT_ALLOW")
    await expect(page.get_by_role("img", name="L’image de départ")).to_be_visible()
    assert page.url == f"{server.url}/"
    await page.go_back()
    await expect(page.locator("rushes-job-page")).to_have_attribute("view", "job")
