"""The page's main story, in every engine: a prompt becomes a video before one's eyes."""

import json

import pytest

from tests.browser.engines import Browser, Tab
from tests.browser.tabs import until
from tests.client import Client
from tests.webhooks import completion, video, webhook

pytestmark = pytest.mark.asyncio(loop_scope="session")

# The simulated generator takes a few seconds for a whole story; a loaded machine more.
STORY = 60
REASON = "Blocked by the safety filter"

# Debian's Firefox and WebKitGTK play what other packages give them codecs for.
PLAYS = """() => new Promise((done) => {
  const video = document.querySelector("rushes-job video");
  if (video.canPlayType('video/mp4; codecs="avc1.42E01E"') === "") return done("moves"); // no codec here: not asked
  video.muted = true;
  video.addEventListener("timeupdate", () => video.currentTime > 0.2 && done("moves"));
  video.addEventListener("error", () => done(video.error.message), true);
  video.play().catch((error) => done(String(error)));
})"""


async def open_page(browser: Browser, url: str) -> Tab:
    tab = await browser.new_tab()
    await tab.goto(url)
    await until(tab, "document.querySelector('rushes-connection').getAttribute('state') === 'live'")
    return tab


def bar_at(job_id: str, value: int) -> str:
    bar = f"document.querySelector('rushes-job[job-id={job_id}] [role=progressbar]')"
    return f"{bar}?.getAttribute('aria-valuenow') === '{value}'"


async def test_prompt_becomes_a_video_without_a_reload(browser: Browser, server: Client) -> None:
    tab = await open_page(browser, server.url)
    await tab.evaluate(
        """() => {
          window.visit = new Set(); // the states that a card was seen in, as long as the page is not loaded again
          const look = () => {
            visit.add(document.querySelector("rushes-job")?.getAttribute("state"));
          };
          new MutationObserver(look).observe(document, { attributes: true, childList: true, subtree: true });
        }"""
    )
    await tab.type("[name=prompt]", "A fox crosses a birch forest")
    await tab.click("rushes-prompt [type=submit]")
    card = "document.querySelector('rushes-job')"
    await until(tab, f"{card}?.textContent.includes('A fox crosses a birch forest')")
    await until(tab, f"{card}.getAttribute('state') === 'COMPLETED'", STORY)
    await until(tab, f"{card}.querySelector('video')?.checkVisibility()")
    assert await tab.evaluate(PLAYS) == "moves"
    assert await tab.evaluate("['PROCESSING', 'COMPLETED'].every((state) => visit.has(state))")


async def test_webhook_moves_the_bar_in_two_tabs_and_brings_the_video(browser: Browser, server: Client) -> None:
    await server.register("j1")
    tabs = [await open_page(browser, server.url) for _ in range(2)]
    for status, value in (("processing", 25), ("generating", 50), ("downloading", 75)):
        assert (await server.send(webhook("j1", status)))[0] == 200
        for tab in tabs:
            await until(tab, bar_at("j1", value))
    assert (await server.send(completion("j1", video("k"))))[0] == 200
    for tab in tabs:
        await until(tab, "document.querySelector('rushes-job[job-id=j1]').getAttribute('state') === 'COMPLETED'")


async def test_failure_shows_its_reason(browser: Browser, server: Client) -> None:
    await server.register("j1")
    tab = await open_page(browser, server.url)
    assert (await server.send(webhook("j1", "failed") | {"error": REASON}))[0] == 200
    card = "document.querySelector('rushes-job[job-id=j1]')"
    await until(tab, f"{card}.getAttribute('state') === 'FAILED'")
    await until(tab, f"{card}.textContent.includes({json.dumps(REASON)})")


def shown_in(place: str, job_id: str) -> str:
    return f"document.querySelector('[data-slot={place}] > rushes-job[job-id={job_id}]')?.checkVisibility() === true"


async def test_video_that_came_is_let_in_its_menu_opened_and_found_by_its_prompt(
    browser: Browser, server: Client
) -> None:
    for job_id in ("old", "j1", "j2"):
        await server.register(job_id, prompt=f"The sea, {job_id}")
    assert (await server.send(completion("old", video("k0"))))[0] == 200
    tab = await open_page(browser, server.url)
    await until(tab, shown_in("grid", "old"))
    # A press finds what stands still, and is not beneath what is announced.
    await tab.evaluate("document.documentElement.style.scrollBehavior = 'auto'")
    await tab.evaluate("document.querySelector('rushes-toasts').style.display = 'none'")
    assert (await server.send(completion("j1", video("k1"))))[0] == 200
    await until(tab, "document.querySelector('[data-slot=news]').checkVisibility()")
    assert await tab.evaluate(shown_in("strip", "j1"))
    await tab.click("[data-slot=news]")
    await until(tab, shown_in("grid", "j1"))
    assert await tab.evaluate("document.querySelector('[data-slot=grid] > rushes-job').getAttribute('job-id')") == "j1"
    await tab.click("[data-slot=grid] > [job-id=j1] [data-slot=opener]")
    menu = "document.querySelector('[data-slot=grid] > [job-id=j1] .menu')"
    await until(tab, f"{menu}.matches(':popover-open')")
    inside = "({ left, right, top }) => left >= 0 && right <= innerWidth && top >= 0"
    await until(tab, f"({inside})({menu}.getBoundingClientRect())")  # it is put there once it is open
    await tab.evaluate(f"{menu}.hidePopover()")
    await tab.type("rushes-search input", "old")
    await until(tab, shown_in("found", "old"))
    assert not await tab.evaluate(shown_in("grid", "j1"))


async def test_draft_is_there_after_a_reload(browser: Browser, server: Client) -> None:
    tab = await open_page(browser, server.url)
    await tab.type("[name=prompt]", "A tram in Lisbon")
    await tab.goto(server.url)
    await until(tab, "document.querySelector('[name=prompt]').value === 'A tram in Lisbon'")


STORAGE_DENIED = """() => {
  for (const name of ["localStorage", "sessionStorage"])
    Object.defineProperty(window, name, { get() { throw new DOMException("", "SecurityError"); } });
}"""


async def test_page_goes_on_where_storage_is_denied_after_it_was_loaded(browser: Browser, server: Client) -> None:
    await server.register("j1")
    tab = await open_page(browser, server.url)
    await tab.evaluate(STORAGE_DENIED)
    assert (await server.send(webhook("j1", "failed") | {"error": REASON}))[0] == 200
    await until(tab, "document.querySelector('rushes-job[job-id=j1]').getAttribute('state') === 'FAILED'")
    await until(tab, "document.querySelector('rushes-connection').getAttribute('state') === 'live'")
