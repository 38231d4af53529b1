"""What axe finds on the page, in each of its states: nothing, at any width, light and dark, in both languages."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.async_api import Page, expect

from tests.browser.engines import Chromium
from tests.browser.pages import bar, completion, job, open_page, post_webhook, register
from tests.client import Client, running

pytestmark = pytest.mark.asyncio(loop_scope="session")

AXE = Path(__file__).parents[2] / "node_modules/axe-core/axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
WIDTHS = (390, 820, 1440)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
LOCALES = {"fr": "fr-FR", "en": "en-GB"}
PROMPT = "A lighthouse in the mist, static shot, its beam sweeping slowly over the sea"


async def failed_with_advice(page: Page, server: Client) -> None:
    await register(page, server, "job-1", PROMPT)
    await post_webhook(page, server, "job-1", "failed", error="429 RESOURCE_EXHAUSTED. Please try again later.")
    await expect(job(page, "job-1").locator(".advice")).to_be_visible()
    await expect(page.locator(".toast")).to_be_visible()


async def partial_result(page: Page, server: Client) -> None:
    data = completion("job-1")
    filtered = {"raiMediaFilteredCount": 2, "raiMediaFilteredReasons": ["Support codes: 42237218"]}
    data["metadata"] |= {"num_videos_requested": 4, "num_videos_generated": 2, "generateVideoResponse": filtered}
    await register(page, server, "job-1", PROMPT)
    await post_webhook(page, server, "job-1", "completed", has_data=True, data=data)
    await expect(job(page, "job-1").locator(".partial")).to_be_visible()


async def cancel_asked(page: Page, server: Client) -> None:
    await register(page, server, "job-1", PROMPT)
    await post_webhook(page, server, "job-1", "generating")
    await expect(bar(job(page, "job-1"))).to_have_attribute("aria-valuenow", "50")
    await job(page, "job-1").locator("[data-slot=cancel]").click()
    await expect(job(page, "job-1").get_by_role("status")).not_to_be_empty()


async def undo_offered(page: Page, server: Client, job_id: str = "job-1") -> None:
    await register(page, server, job_id, PROMPT)
    await post_webhook(page, server, job_id, "completed", has_data=True, data=completion(job_id))
    await job(page, job_id).locator("[data-act=delete]").press("Enter")
    await expect(page.locator(".toast[data-kind=notice] [data-action=show]")).to_be_focused()


async def edit_and_again(page: Page, server: Client) -> None:
    await failed_with_advice(page, server)
    await job(page, "job-1").locator("[data-slot=edit]").click()
    await expect(page.locator("[name=prompt]")).to_have_value(PROMPT)


async def empty(page: Page, server: Client) -> None:
    await expect(page.locator(".empty")).to_be_visible()


STATES: dict[str, Callable[[Page, Client], Awaitable[None]]] = {
    "failed with advice": failed_with_advice,
    "partial result": partial_result,
    "cancel asked": cancel_asked,
    "undo offered": undo_offered,
    "edit and again": edit_and_again,
    "empty": empty,
}


async def found(page: Page) -> list[str]:
    """What is wrong: the rule, and the element. Contrast over a gradient is more than axe can judge."""
    running_axe = asyncio.create_task(
        page.evaluate("rules => axe.run(document, { runOnly: rules, resultTypes: ['violations'] })", RULES)
    )
    while not running_axe.done():  # it waits for milliseconds of a clock that is stopped
        await page.clock.run_for(1)
    got: dict[str, Any] = await running_axe
    return [f"{rule['id']}: {node['html'][:200]}" for rule in got["violations"] for node in rule["nodes"]]


@pytest.mark.skipif(not AXE.is_file(), reason="npm's packages could not be had")
@pytest.mark.parametrize("language", LOCALES)
@pytest.mark.parametrize("state", STATES)
async def test_nobody_is_shut_out_from_any_state_of_the_page(
    database_url: str, chromium: Chromium, state: str, language: str
) -> None:
    async with (
        chromium.context(LOCALES[language]) as context,
        running(database_url, app_language=language, simulated_step=60) as server,
    ):
        page = await context.new_page()
        # Things that are half faded in have the contrast of neither end.
        await page.emulate_media(reduced_motion="reduce")
        await page.clock.install()
        await open_page(page, server)
        await page.clock.pause_at((await page.evaluate("Date.now()") + 10_000) / 1000)  # nothing leaves by itself
        await STATES[state](page, server)
        await page.evaluate(AXE.read_text())
        wrong = {}
        for width in WIDTHS:
            await page.set_viewport_size({"width": width, "height": 900})
            for scheme in SCHEMES:
                await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                wrong[width, scheme] = await found(page)
                if await page.evaluate("document.documentElement.scrollWidth") > width:
                    wrong[width, scheme].append("wider than the screen")
        assert {where: what for where, what in wrong.items() if what} == {}


async def test_what_gets_the_focus_is_not_hidden_behind_an_announcement(page: Page, server: Client) -> None:
    await page.set_viewport_size({"width": 390, "height": 700})
    await page.emulate_media(reduced_motion="reduce")
    await open_page(page, server)
    for number in range(6):
        await register(page, server, f"job-{number}", PROMPT)
    await undo_offered(page, server, "job-6")  # with the focus in it, it stays
    toast = page.locator(".toast[data-kind=notice]")
    for number in range(6):
        cancel = job(page, f"job-{number}").locator("[data-slot=cancel]")
        await toast.hover()
        await cancel.focus()
        under, over = await cancel.bounding_box(), await toast.bounding_box()
        assert under is not None
        assert over is not None
        assert under["y"] + under["height"] <= over["y"]
