"""Events traced to the screen, in a real browser: its report, and what the operator's page makes of it."""

import asyncio
from contextlib import suppress

import pytest
from playwright.async_api import Page, expect

from app import lifecycle
from app.appkeys import TRACES
from tests.browser.engines import Browser, Tab
from tests.browser.tabs import following, ids, moved, open_tab, until
from tests.client import Client, running
from tests.sign_in import SECRET, SENDERS, token
from tests.webhooks import webhook

pytestmark = pytest.mark.asyncio(loop_scope="session")

QUICK = {"tell": 50}

# With a bearer token for requests, and what reports were answered.
FOLLOW_SIGNED = """async (token) => {
  const { subscribe } = await import("/static/js/live.js");
  Object.assign(window, { seen: [], states: [], told: [] });
  const ask = window.fetch;
  window.fetch = async (address, ...rest) => {
    const answer = await ask(address, ...rest);
    if (String(address).includes("/api/shown")) window.told.push(answer.status);
    return answer;
  };
  subscribe(null, { onState: (state) => window.states.push(state), token: () => token, timing: { tell: 50 } });
}"""


async def reported(server: Client, number: int = 1, within: float = 20) -> None:
    """Waits until browsers have told of so many events, and has it written down."""
    async with asyncio.timeout(within):
        while True:
            await lifecycle.write_traces(server.app)
            _, stats = await server.read("/api/admin/stats")
            if stats["totals"].get("shown_ms", {"n": 0})["n"] >= number:
                return
            await asyncio.sleep(0.05)


async def moved_until_one_is_told(server: Client, tab: Tab, last: int) -> int:
    """How many live events that took. One whose report was long on its way may look as if it was sent before the stream
    was there, and is not believed then."""
    for number in range(1, 11):
        await moved(server, "j1")
        await ids(tab, last + number)
        with suppress(TimeoutError):
            await reported(server, within=5)
            return number
    raise TimeoutError


async def test_webhook_is_followed_to_the_screen_and_the_percentiles_move(
    page: Page, browser: Browser, server: Client
) -> None:
    await server.register("j1")
    tab = await following(browser, server.url, timing=QUICK)
    await moved(server, "j1")
    await ids(tab, 2)
    await reported(server)
    await page.goto(f"{server.url}/admin")
    await page.locator("rushes-webhooks tbody tr a").first.click()
    way = page.locator("rushes-webhook .way")
    await expect(way).to_contain_text("remis aux connexions")
    await expect(way).to_contain_text("1 connexion")
    await expect(way).to_contain_text("dit par 1 navigateur")
    await expect(page.locator(".tile[data-name=shown]")).to_contain_text("1 en 24 h")
    _, stats = await server.read("/api/admin/stats")
    shown = stats["totals"]["shown_ms"]
    assert 0 <= shown["p50"] <= shown["p95"] < 20_000
    await moved(server, "j1", 3)
    await ids(tab, 5)
    await reported(server, 4)
    await tab.close()


async def test_gallery_tells_by_itself_what_it_has_painted(page: Page, server: Client) -> None:
    await server.register("j1")
    await page.goto(f"{server.url}/")
    await expect(page.locator("rushes-connection")).to_have_attribute("state", "live")
    async with page.expect_request("**/api/shown", timeout=30_000) as asked:
        await moved(server, "j1")
    answer = await (await asked.value).response()
    assert answer is not None
    assert answer.status == 200
    await reported(server)


async def test_what_came_while_nothing_was_open_is_not_told_as_if_it_had_taken_that_long(
    browser: Browser, server: Client
) -> None:
    await server.register("j1")
    await moved(server, "j1", 3)
    tab = await following(browser, server.url, lastEventId="1", timing=QUICK)
    await ids(tab, 4)
    live = await moved_until_one_is_told(server, tab, 4)
    for _ in range(3):
        await lifecycle.write_traces(server.app)
    _, stats = await server.read("/api/admin/stats")
    assert 1 <= stats["totals"]["shown_ms"]["n"] <= live
    assert server.app[TRACES].take().painted == []
    await tab.close()


HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


async def test_what_a_tab_draws_only_when_it_is_looked_at_again_is_not_told(browser: Browser, server: Client) -> None:
    await server.register("j1")
    tab = await following(browser, server.url, timing=QUICK)
    # As browsers keep frames of hidden tabs: until they are seen.
    await tab.evaluate("""() => {
      window.frames = [];
      window.drawn = window.requestAnimationFrame;
      window.requestAnimationFrame = (draw) => window.frames.push(draw);
    }""")
    await moved(server, "j1")
    await until(tab, "frames.length === 1")
    await tab.evaluate(HIDE, True)
    await moved(server, "j1")
    await ids(tab, 3)
    await tab.evaluate(HIDE, False)
    await tab.evaluate("() => { window.requestAnimationFrame = drawn; frames.forEach((draw) => draw()); }")
    await moved(server, "j1")
    await ids(tab, 4)
    await reported(server)
    for _ in range(3):
        await lifecycle.write_traces(server.app)
    _, stats = await server.read("/api/admin/stats")
    assert stats["totals"]["shown_ms"]["n"] == 1
    await tab.close()


async def test_browser_that_is_refused_tells_nothing_more_and_its_stream_goes_on(
    browser: Browser, database_url: str
) -> None:
    async with running(database_url) as server:
        await server.register("j1")
        tab = await following(browser, server.url, timing=QUICK)
        for _ in range(30):  # as often as a user may in a minute
            server.app[TRACES].count_in("dev")
        for last in range(2, 6):
            await moved(server, "j1")
            assert last in await ids(tab, last)
        states = await tab.evaluate("states.map(({ state }) => state)")
        assert states[-1] == "live"
        await tab.close()


async def test_browser_that_signs_its_streams_with_tokens_or_tickets_reports_so_too(
    browser: Browser, database_url: str
) -> None:
    async with running(database_url, auth_jwt_secret=SECRET, webhook_secret=SENDERS) as server:
        order = {"job_id": "j1", "prompt": "p", "user_id": "u1"}
        async with server.post("/api/videos", json=order, headers={"X-Webhook-Secret": SENDERS}) as answer:
            assert answer.status == 201
        tab = await open_tab(browser, server.url)
        await tab.evaluate(FOLLOW_SIGNED, token("u1", 3600))
        await until(tab, "states.at(-1)?.state === 'live'")
        code, _ = await server.send(webhook("j1", "generating"), {"X-Webhook-Secret": SENDERS})
        assert code == 200
        await until(tab, "told.length >= 2")
        assert await tab.evaluate("told") == [200, 200]
        await tab.close()
