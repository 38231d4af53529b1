"""Announcements on the page: of what is out of sight, and several in one."""

import asyncio

import pytest
from playwright.async_api import Locator, Page, Route, expect

from tests.browser.pages import LOOKED_AWAY, completion, job, open_page, post_webhook, register
from tests.client import Client

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def complete(page: Page, server: Client, job_id: str) -> None:
    await post_webhook(page, server, job_id, "completed", has_data=True, data=completion(job_id))
    await expect(job(page, job_id)).to_have_attribute("state", "COMPLETED")


async def fail(page: Page, server: Client, job_id: str, error: str = "Quota exceeded") -> None:
    await post_webhook(page, server, job_id, "failed", error=error)
    await expect(job(page, job_id)).to_have_attribute("state", "FAILED")


# The bell hears of an end once it is announced, or not.
NEXT = """
() => {
  const bell = document.querySelector("rushes-bell");
  const notify = bell.notify.bind(bell);
  window.dealtWith = new Promise((done) => { bell.notify = (job) => { done(job.id); return notify(job); }; });
}
"""


def toasts(page: Page) -> Locator:
    return page.locator(".toast")


async def test_only_what_is_out_of_sight_is_announced_and_its_button_brings_it_into_sight(
    page: Page, server: Client
) -> None:
    for count in range(2):
        await register(page, server, f"job-{count}", f"Prompt {count}")
    await page.set_viewport_size({"width": 1440, "height": 1200})
    await open_page(page, server)
    await page.evaluate(NEXT)
    await complete(page, server, "job-1")
    assert await page.evaluate("dealtWith") == "job-1"
    await page.set_viewport_size({"width": 390, "height": 160})
    await page.evaluate("scrollTo(0, 0)")
    far = job(page, "job-0")
    await expect(far).not_to_be_in_viewport()
    await complete(page, server, "job-0")
    await expect(toasts(page)).to_have_count(1)
    await expect(toasts(page).locator(".toast-title")).to_have_text("Vidéo prête")  # and not two of them
    await expect(toasts(page).locator(".toast-text")).to_have_text("Prompt 0")
    await toasts(page).get_by_role("button", name="Voir").click()
    await expect(far).to_be_in_viewport()
    await expect(toasts(page)).to_have_count(0)


async def test_what_ends_beside_the_edge_of_the_strip_is_announced_and_brought_into_sight(
    page: Page, server: Client
) -> None:
    for count in range(8):
        await register(page, server, f"job-{count}", f"Prompt {count}")
    await page.set_viewport_size({"width": 700, "height": 1000})
    await open_page(page, server)
    far = job(page, "job-0")
    await expect(far).not_to_be_in_viewport()
    await complete(page, server, "job-0")
    await expect(toasts(page).locator(".toast-text")).to_have_text("Prompt 0")
    await toasts(page).get_by_role("button", name="Voir").click()
    await expect(far).to_be_in_viewport(ratio=0.9)


async def test_newest_that_is_announced_ended_last_whichever_the_page_has_read_first(
    page: Page, server: Client
) -> None:
    for count in range(3):
        await register(page, server, f"job-{count}", f"Prompt {count}")
    read = asyncio.Event()

    async def hold(route: Route) -> None:
        await read.wait()
        await route.continue_()

    await page.route("**/api/videos/job-1", hold)
    await open_page(page, server)
    await page.evaluate(LOOKED_AWAY)
    ready = page.locator(".toast[data-kind=ready]")
    for count in range(3):
        await complete(page, server, f"job-{count}")
    await expect(ready.locator(".toast-text")).to_have_text("Prompt 2 · Prompt 0")
    read.set()
    await expect(ready.locator(".toast-text")).to_have_text("Prompt 2 · Prompt 1 · Prompt 0")
    await ready.get_by_role("button", name="Voir").click()
    await expect(job(page, "job-2").locator(".play")).to_be_focused()


async def test_whoever_looks_at_another_tab_finds_what_ended_announced_in_one_place_each(
    page: Page, server: Client
) -> None:
    for count in range(6):
        await register(page, server, f"job-{count}", f"Prompt {count}")
    await open_page(page, server)
    await page.evaluate(LOOKED_AWAY)
    ready, failed = page.locator(".toast[data-kind=ready]"), page.locator(".toast[data-kind=failed]")
    await complete(page, server, "job-0")
    await expect(ready.locator(".toast-title")).to_have_text("Vidéo prête")
    await expect(ready.locator(".toast-text")).to_have_text("Prompt 0")
    button = ready.get_by_role("button", name="Voir")
    await button.focus()
    for count in (1, 2, 3):
        await complete(page, server, f"job-{count}")
    await expect(ready.locator(".toast-title")).to_have_text("4 vidéos prêtes")
    await expect(ready.locator(".toast-text")).to_have_text("Prompt 3 · Prompt 2 · Prompt 1")
    await expect(button).to_be_focused()
    await fail(page, server, "job-4", "Blocked by the safety filter")
    await expect(failed.locator(".toast-title")).to_have_text("Échec de la génération")
    await fail(page, server, "job-5")
    await expect(failed.locator(".toast-title")).to_have_text("2 générations ont échoué")
    await expect(failed.locator(".toast-text")).to_have_text("Prompt 5 · Prompt 4")
    await expect(toasts(page)).to_have_count(2)
    await button.click()
    await expect(job(page, "job-3").locator(".play")).to_be_focused()
    await complete(page, server, "job-4")
    await expect(ready.locator(".toast-title")).to_have_text("Vidéo prête")
