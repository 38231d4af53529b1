"""The tab that leads: where none can, where it stands still, and what others tell it."""

import asyncio
import time

import pytest

from app.appkeys import HUB
from tests.browser.engines import Browser
from tests.browser.proxy import proxy
from tests.browser.tabs import follow, following, ids, moved, open_tab, until
from tests.client import Client, running

pytestmark = pytest.mark.asyncio(loop_scope="session")

SOON = {"watch": 200}  # ms: looks for signs of life, in tests that need them
PATIENT = {"watch": 600}  # where none may be late, on a busy machine either


async def one_stream(server: Client) -> None:
    async with asyncio.timeout(10):
        while len(server.app[HUB]) != 1:
            await asyncio.sleep(0.02)


# -- Where tabs cannot share, each has its own stream

DENIED = "throw new DOMException('', 'SecurityError');"
NO_SHARING = {
    "no locks": "Object.defineProperty(navigator, 'locks', { value: undefined })",
    "locks throw": f"Object.defineProperty(navigator, 'locks', {{ get() {{ {DENIED} }} }})",
    "a lock is refused at once": f"navigator.locks.request = () => {{ {DENIED} }}",
    "a lock is refused": f"navigator.locks.request = async () => {{ {DENIED} }}",
    "no channel": "window.BroadcastChannel = undefined",
    "channel throws": f"window.BroadcastChannel = class {{ constructor() {{ {DENIED} }} }}",
}


@pytest.mark.parametrize("why", NO_SHARING)
async def test_tab_that_may_not_share_has_its_own_stream_and_is_told_everything_once(
    browser: Browser, server: Client, why: str
) -> None:
    await server.register("j1")
    tabs = []
    for _ in range(2):
        tab = await open_tab(browser, server.url)
        await tab.evaluate(f"() => {{ {NO_SHARING[why]}; }}")
        await follow(tab)
        await until(tab, "states.at(-1)?.state === 'live'")
        tabs.append(tab)
    await moved(server, "j1", 2)
    assert [await ids(tab, 3) for tab in tabs] == [[1, 2, 3]] * 2
    assert len(server.app[HUB]) == 2
    await tabs[0].evaluate("stop()")
    await one_stream(server)


SANDBOX = """<!doctype html><iframe sandbox="allow-scripts" srcdoc="
<script type=module>
  const tell = (what) => parent.postMessage(what, '*');
  import('URL/static/js/live.js').then(({ subscribe }) => subscribe(null, {
    base: 'URL', credentials: 'omit',
    onEvent: ({ id }) => tell({ id }), onState: ({ state }) => tell({ state }),
  }), (error) => tell({ state: String(error) }));
</script>"></iframe>"""


async def test_frame_without_an_origin_is_live(browser: Browser, server: Client) -> None:
    """A sandbox: neither locks nor storage."""
    await server.register("j1")
    async with proxy(server.url, open_to_all=True) as host:
        tab = await open_tab(browser, host.url)
        host.given["/frame"] = "<!doctype html><title>empty</title>"
        await tab.goto(f"{host.url}/frame")
        await tab.evaluate(
            """(html) => {
              window.states = [];
              window.seen = [];
              window.addEventListener("message", ({ data }) => (data.state ? states : seen).push(data));
              document.body.innerHTML = html;
            }""",
            SANDBOX.replace("URL", host.url),
        )
        await until(tab, "states.at(-1)?.state === 'live'")
        await moved(server, "j1")
        assert await ids(tab, 2) == [1, 2]
        await tab.close()


# -- A leader that stands still


async def test_leader_that_stands_still_is_replaced_and_steps_back_when_it_wakes(
    browser: Browser, server: Client
) -> None:
    await server.register("j1")
    async with proxy(server.url) as host:
        host.held["/held"] = asyncio.Event()
        tabs = [await following(browser, host.url, timing=SOON) for _ in range(3)]
        leader, *others = tabs
        await leader.evaluate(
            """() => { setTimeout(() => {
              const request = new XMLHttpRequest();
              request.open("GET", "/held", false);
              request.send(); // nothing else runs in this tab meanwhile
            }) }"""
        )
        async with asyncio.timeout(20):
            while not any(path == "/held" for path, _ in host.seen):
                await asyncio.sleep(0.02)
        await moved(server, "j1", 3)
        for tab in others:
            assert await ids(tab, 4) == [1, 2, 3, 4]
            await until(tab, "states.at(-1).state === 'live'")
            # Two looks without a sign of life are heartbeats enough to say so.
            assert await tab.evaluate("states.some(({ state }, at) => at > 1 && state === 'connecting')")
        host.held["/held"].set()
        assert await ids(leader, 4) == [1, 2, 3, 4]
        await one_stream(server)
        await moved(server, "j1", 2)
        assert [await ids(tab, 6) for tab in tabs] == [[1, 2, 3, 4, 5, 6]] * 3
        assert len(server.app[HUB]) == 1
        # It is a follower like any other, and may lead again.
        for tab in others:
            await tab.close()
        await moved(server, "j1")
        assert await ids(leader, 7) == [1, 2, 3, 4, 5, 6, 7]


async def test_leader_with_nothing_to_tell_is_not_replaced(browser: Browser, server: Client) -> None:
    await server.register("j1")
    tabs = [await following(browser, server.url, timing=PATIENT) for _ in range(3)]
    await tabs[0].evaluate(
        """async () => {
          window.leader = async () => (await navigator.locks.query()).held[0];
          window.signs = 0;
          new BroadcastChannel((await leader()).name).onmessage = ({ data }) => (signs += data.type === "ask");
        }"""
    )
    before = await tabs[0].evaluate("leader()")
    await until(tabs[0], "signs > 12")
    assert await tabs[0].evaluate("leader()") == before
    for tab in tabs:
        assert await tab.evaluate("states.at(-1).state") == "live"
        assert await tab.evaluate("states.filter(({ state }) => state === 'live').length") == 1


# -- What another tab hears of the network


@pytest.mark.parametrize("event", ["online", "offline", "focus", "visibilitychange"])
async def test_what_a_follower_hears_makes_the_leader_try_now(browser: Browser, server: Client, event: str) -> None:
    await server.register("j1")
    refused = {"/events": (503, {"error": "Not now", "code": "not_now"})}
    async with proxy(server.url, refused=refused, for_an_hour=True) as host:
        leader = await follow(await open_tab(browser, host.url))
        await until(leader, "states.at(-1)?.retryIn >= 3_000_000")
        follower = await follow(await open_tab(browser, host.url))
        await until(follower, "states.at(-1)?.retryIn >= 3_000_000")
        host.refused.clear()
        target = "document" if event == "visibilitychange" else "window"
        await follower.evaluate(f"() => {{ {target}.dispatchEvent(new Event('{event}')); }}")
        for tab in (leader, follower):
            await until(tab, "states.at(-1).state === 'live'")
        await one_stream(server)


@pytest.mark.parametrize("event", ["online", "offline"])
async def test_network_that_changed_under_a_follower_gives_the_leader_a_new_connection(
    browser: Browser, server: Client, event: str
) -> None:
    await server.register("j1")
    async with proxy(server.url) as host:
        tabs = [await following(browser, host.url) for _ in range(2)]
        host.silence()
        await moved(server, "j1")
        await tabs[1].evaluate(f"() => {{ window.dispatchEvent(new Event('{event}')); }}")
        assert [await ids(tab, 2) for tab in tabs] == [[1, 2]] * 2


# -- Silence


async def test_stream_that_is_silent_for_two_heartbeats_is_not_live_in_any_tab_until_it_is_resumed(
    database_url: str, browser: Browser
) -> None:
    async with running(database_url, stream_heartbeat=0.2) as server, proxy(server.url) as host:
        await server.register("j1")
        timing = {"silence": 3_000, "opening": 2_000}
        tabs = [await following(browser, host.url, timing=timing) for _ in range(2)]
        began = time.monotonic()
        while time.monotonic() - began < 4:  # heartbeats alone keep it live
            async with asyncio.timeout(3):
                await host.passed.wait()
            host.passed.clear()
        for tab in tabs:
            assert await tab.evaluate("states.filter(({ state }) => state === 'live').length") == 1
        host.silence()
        host.held["/events"] = asyncio.Event()
        await moved(server, "j1")
        for tab in tabs:
            await until(tab, "states.at(-1).state === 'connecting'")
        del host.held["/events"]
        for tab in tabs:
            assert await ids(tab, 2) == [1, 2]
            await until(tab, "states.at(-1).state === 'live'")


async def test_polling_that_gets_no_answer_is_not_live(browser: Browser, server: Client) -> None:
    await server.register("j1")
    async with proxy(server.url, buffers=True, upgrades=False) as host:
        timing = {"opening": 1_000, "silence": 2_000, "poll": 100}
        tab = await following(browser, host.url, timing=timing)
        assert (await tab.evaluate("states.at(-1)"))["via"] == "polling"
        host.late["/api/videos/user"] = asyncio.Event()
        await until(tab, "states.at(-1).state === 'connecting'")
        host.late["/api/videos/user"].set()
        await until(tab, "states.at(-1).state === 'live'")
        await tab.close()


# -- What the page's own functions do


@pytest.mark.parametrize("call", [0, 1])
@pytest.mark.parametrize("name", ["token", "ticket"])
async def test_answer_of_the_page_that_never_comes_is_asked_for_again(
    browser: Browser, server: Client, name: str, call: int
) -> None:
    await server.register("j1")
    tab = await open_tab(browser, server.url)
    await tab.evaluate(
        """async ([name, call]) => {
          const { subscribe } = await import("/static/js/live.js");
          window.seen = [];
          window.states = [];
          let calls = 0;
          const never = () => new Promise(() => {});
          const { ticket } = await (await fetch("/api/stream-tickets", { method: "POST" })).json();
          subscribe(null, {
            [name]: () => (calls++ === call ? never() : (ticket ?? "any")),
            timing: { signIn: 200 },
            onEvent: (event) => seen.push(event),
            onState: (state) => states.push(state),
          });
          if (name === "ticket" && call === 1) window.dispatchEvent(new Event("online"));
        }""",
        [name, call],
    )
    await until(tab, "states.at(-1)?.state === 'live'")
    await moved(server, "j1")
    assert await ids(tab, 2) == [1, 2]
