"""The page as tests of it use it: opened, its cards, and the webhooks that move them."""

import base64
import itertools
from typing import Any

from playwright.async_api import Locator, Page, expect

from tests.client import Client

LOOKED_AWAY = "Object.defineProperty(document, 'hidden', { get: () => true })"
"""The tab is another's: a headless one is always shown."""

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
"""A picture of one pixel."""

BUSY = "429 RESOURCE_EXHAUSTED. Resource exhausted. Please try again later."

_seconds = itertools.count(1)


async def open_page(page: Page, server: Client) -> None:
    await page.goto(server.url)
    await expect(page.locator("rushes-connection")).to_have_attribute("state", "live")


async def register(page: Page, server: Client, job_id: str, prompt: str = "A lighthouse in the mist") -> None:
    answer = await page.request.post(f"{server.url}/api/videos", data={"job_id": job_id, "prompt": prompt})
    assert answer.status == 201, await answer.text()


async def post_webhook(page: Page, server: Client, job_id: str, status: str, **fields: Any) -> None:
    """Each webhook is a second later than the one before, so that it wins."""
    second = next(_seconds)
    body = {
        "job_id": job_id,
        "status": status,
        "content_type": "video",
        "timestamp": f"2025-10-23T14:{second // 60:02d}:{second % 60:02d}.000Z",
        "has_data": "data" in fields,
        "data": None,
    }
    answer = await page.request.post(f"{server.url}/api/webhooks/video-completion", data=body | fields)
    assert answer.status == 200, await answer.text()


def completion(job_id: str) -> dict[str, Any]:
    video = {
        "filename": f"{job_id}.mp4",
        "file_path": f"videos/{job_id}.mp4",
        "file_url": "/static/simulated.mp4",
        "file_size": 237_433,
        "format": "mp4",
        "duration_seconds": 8,
        "aspect_ratio": "16:9",
        "dimensions": {"width": 1280, "height": 720},
        "created_at": "2025-10-23T14:00:00.000Z",
    }
    metadata = {"model_name": "veo-2.0-generate-001", "processing_time": 73.4, "prompt_used": "the sea"}
    return {
        "job_id": job_id,
        "status": "completed",
        "videos": [video],
        "metadata": metadata,
        "generated_at": "2025-10-23T14:00:00.000Z",
        "success": True,
        "num_videos": 1,
    }


def job(page: Page, job_id: str) -> Locator:
    return page.locator(f'rushes-job[job-id="{job_id}"]')


def bar(card: Locator) -> Locator:
    return card.get_by_role("progressbar")


async def erase(card: Locator) -> None:
    """Deletes it by the keyboard, from its menu."""
    await card.locator("[data-slot=opener]").press("Enter")
    await card.locator("[data-act=delete]").press("Enter")


async def generate(page: Page, prompt: str) -> Locator:
    """Types the prompt and presses the button; the card that appears."""
    await page.locator("[name=prompt]").fill(prompt)
    await page.locator("rushes-prompt [type=submit]").click()
    card = page.locator("rushes-job", has_text=prompt)
    await expect(card).to_be_visible()
    return card


def button(of: Page | Locator, name: str) -> Locator:
    return of.get_by_role("button", name=name, exact=True)


async def completed(
    page: Page, server: Client, job_id: str, prompt: str = "A lighthouse in the mist", **data: Any
) -> Locator:
    await register(page, server, job_id, prompt)
    await post_webhook(page, server, job_id, "completed", has_data=True, data=completion(job_id) | data)
    card = job(page, job_id)
    await expect(card).to_have_attribute("state", "COMPLETED")
    return card


async def failed(
    page: Page, server: Client, job_id: str, error: str, prompt: str = "A lighthouse in the mist"
) -> Locator:
    await register(page, server, job_id, prompt)
    await post_webhook(page, server, job_id, "failed", error=error)
    card = job(page, job_id)
    await expect(card).to_have_attribute("state", "FAILED")
    return card


async def other_tab(page: Page, server: Client) -> Page:
    other = await page.context.new_page()
    await open_page(other, server)
    return other
