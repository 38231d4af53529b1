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
            window.toast = document.querySelector(".toast")?.textContent ?? window.toast; // it leaves by itself
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
    await until(tab, "window.toast?.includes('A fox crosses')")
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
