"""Tabs that follow jobs with static/js/live.js, as any front end would."""

import asyncio
from typing import Any

import pytest

from tests.browser.engines import Browser, Tab
from tests.client import Client
from tests.webhooks import webhook

# Follows a job, or all, and keeps what it is told.
FOLLOW = """async ([jobId, options]) => {
  const { subscribe } = await import("/static/js/live.js");
  window.seen = [];
  window.states = [];
  const onEvent = (event) => window.seen.push(event);
  const onState = (state) => window.states.push(state);
  const { tokens, ...rest } = options;
  if (tokens) rest.token = async () => (await fetch(tokens)).text();
  window.stop = subscribe(jobId, { onEvent, onState, ...rest });
}"""


async def open_tab(browser: Browser, url: str) -> Tab:
    tab = await browser.new_tab()
    await tab.goto(f"{url}/healthz")  # a page of the server's origin with nothing on it
    return tab


async def follow(tab: Tab, job_id: str | None = None, **options: Any) -> Tab:
    await tab.evaluate(FOLLOW, [job_id, options])
    return tab


async def following(browser: Browser, url: str, job_id: str | None = None, **options: Any) -> Tab:
    """A tab that is live."""
    tab = await follow(await open_tab(browser, url), job_id, **options)
    await until(tab, "states.at(-1)?.state === 'live'")
    return tab


async def until(tab: Tab, condition: str, seconds: float = 20) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not await tab.evaluate(condition):
                await asyncio.sleep(0.02)
    except TimeoutError:
        told = await tab.evaluate("typeof states === 'undefined' ? null : [seen.map(({ id }) => id), states]")
        pytest.fail(f"not in {seconds} s: {condition}\nwhat it was told: {told}")


async def ids(tab: Tab, last: int) -> list[int]:
    """The ids of all it was told, once it has been told the last."""
    await until(tab, f"seen.some(event => parseInt(event.id) >= {last})")
    seen: list[int] = await tab.evaluate("seen.map(event => parseInt(event.id))")
    return seen


async def moved(server: Client, job_id: str, times: int = 1) -> None:
    for _ in range(times):
        code, body = await server.send(webhook(job_id, "generating"))
        assert code == 200, body
