"""The page of one job as tests of it use it: opened, and a job that has its video."""

from playwright.async_api import Locator, Page, expect

from tests.browser.pages import completion, post_webhook, register
from tests.client import Client

PROMPT = "A lighthouse in the mist, static shot, its beam sweeping slowly over the sea"
BUSY = "429 RESOURCE_EXHAUSTED. Please try again later."
# Milliseconds within which what takes several steps has come.
STORY = 30_000


async def open_job(page: Page, server: Client, job_id: str = "job-1") -> Locator:
    await page.goto(f"{server.url}/jobs/{job_id}")
    shown = page.locator("rushes-job-page")
    await expect(shown).not_to_have_attribute("view", "loading")
    return shown


async def followed(page: Page, server: Client, job_id: str = "job-1") -> Locator:
    shown = await open_job(page, server, job_id)
    await expect(shown.locator("rushes-connection")).to_have_attribute("state", "live")
    return shown


async def done(page: Page, server: Client, job_id: str = "job-1") -> None:
    await register(page, server, job_id, PROMPT)
    await post_webhook(page, server, job_id, "completed", data=completion(job_id))


async def steps(page: Page) -> list[str]:
    return await page.locator(".timeline .event").all_inner_texts()
