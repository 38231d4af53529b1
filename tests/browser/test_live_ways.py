"""The ways of live.js where no stream comes through: a WebSocket, and polling."""

import asyncio

import pytest

from tests.browser.engines import Browser
from tests.browser.proxy import proxy
from tests.browser.tabs import follow, following, ids, moved, open_tab, until
from tests.client import Client, running
from tests.databases import Sql
from tests.webhooks import completion, video

# A way that is kept back is given up after 5 s, and who polls does so every 5 s, which tests need not wait for.
pytestmark = pytest.mark.asyncio(loop_scope="session")

QUICK = {"opening": 2_000, "poll": 500}


@pytest.mark.parametrize(("upgrades", "via"), [(True, "websocket"), (False, "polling")])
async def test_behind_a_proxy_that_holds_streams_back_another_way_is_found(
    browser: Browser, server: Client, upgrades: bool, via: str
) -> None:
    await server.register("j1")
    async with proxy(server.url, buffers=True, upgrades=upgrades) as host:
        tab = await following(browser, host.url, timing=QUICK)
        assert (await tab.evaluate("states.at(-1)"))["via"] == via
        await moved(server, "j1")
        assert await ids(tab, 2) == [1, 2]
        await server.send(completion("j1", video("k")))
        await until(tab, "seen.at(-1).event === 'completed'")
        await tab.close()


@pytest.mark.parametrize("start", ["state", "page", "own job"])
async def test_job_that_ends_before_the_polling_starts_is_told_of(browser: Browser, server: Client, start: str) -> None:
    for job_id in ("j1", "j2"):
        await server.register(job_id)
    async with proxy(server.url, buffers=True, upgrades=False) as host:
        tab = await open_tab(browser, host.url)
        if start == "page":
            first = await tab.evaluate("fetch('/api/videos/user').then(answer => answer.json())")
            options = {"lastEventId": first["last_event_id"], "channel": first["channel"], "active": first["active"]}
            await follow(tab, timing=QUICK, **options)
        else:
            await follow(tab, "j1" if start == "own job" else None, timing=QUICK)
            await until(tab, "seen.length > 0")
        code, body = await server.send(completion("j1", video("k")))
        assert code == 200, body
        await until(tab, "states.at(-1)?.via === 'polling'")
        await moved(server, "j2")
        await until(tab, "seen.some(({ event, data }) => event === 'completed' && data.job_id === 'j1')")
        if start != "own job":
            await until(tab, "seen.some(({ data }) => data.job_id === 'j2' && data.status === 'generating')")
        assert await tab.evaluate("seen.filter(({ event }) => event === 'completed').length") == 1
        await tab.close()


async def test_websocket_that_fell_silent_is_resumed_and_nothing_is_lost(browser: Browser, server: Client) -> None:
    await server.register("j1")
    async with proxy(server.url, buffers=True, upgrades=True, dead=1) as host:
        tab = await following(browser, host.url, timing=QUICK | {"renewal": 3_000})
        await moved(server, "j1")
        assert await ids(tab, 2) == [1, 2]
        # A job about which there is nothing to tell is no trouble.
        assert await tab.evaluate("states.filter(({ state }) => state === 'live').length") == 1
        assert (await tab.evaluate("states.at(-1)"))["via"] == "websocket"
        await tab.close()


async def test_websocket_that_is_refused_is_never_live_and_tried_less_and_less(
    database_url: str, browser: Browser
) -> None:
    async with running(database_url, max_connections_per_user=1) as server:
        await server.register("j1")
        # The stream that it holds back is the only one allowed.
        async with proxy(server.url, buffers=True, upgrades=True) as host:
            tab = await follow(await open_tab(browser, host.url), timing=QUICK)
            await until(tab, "states.filter(({ state }) => state === 'offline').length === 3")
            assert not await tab.evaluate("states.some(({ state }) => state === 'live')")
            assert await tab.evaluate("states.at(-1).error.status") == 429
            assert await tab.evaluate("states.at(-1).retryIn") >= 3_000
            await tab.close()


async def test_resumed_websocket_with_nothing_to_say_is_live(browser: Browser, server: Client) -> None:
    await server.register("j1")
    async with proxy(server.url, buffers=True, upgrades=True) as host:
        tab = await following(browser, host.url, lastEventId=1, timing=QUICK)
        assert (await tab.evaluate("states.at(-1)"))["via"] == "websocket"
        assert await tab.evaluate("seen") == []
        await tab.close()


async def test_deleted_job_does_not_end_the_polling_of_the_others(browser: Browser, server: Client, sql: Sql) -> None:
    for job_id in ("gone", "j1"):
        await server.register(job_id)
    async with proxy(server.url, buffers=True, upgrades=False) as host:
        tab = await following(browser, host.url, timing=QUICK)
        sql("DELETE FROM video_generations WHERE id = 'gone'")
        async with asyncio.timeout(20):
            while not any(path == "/api/videos/gone" for path, _ in host.seen):
                await asyncio.sleep(0.02)
        await moved(server, "j1")
        assert await ids(tab, 3) == [2, 2, 3]
        assert await tab.evaluate("states.at(-1).state") == "live"
        await tab.close()


POLL = """async (jobs) => {
  const { Api, poller } = await import("/static/js/live/state.js");
  const api = new Api({ base: "", credentials: "same-origin", timing: { answer: 20000 } });
  const unfinished = new Set(jobs);
  const read = poller(api, null, unfinished);
  window.asked = 0;
  const get = api.get.bind(api);
  api.get = (path) => { asked += 1; return get(path); };
  window.poll = async () => (await read()).events.map(({ event, data }) => [event, data.job_id]);
}"""


async def test_job_that_is_missing_from_a_bounded_list_has_not_ended_for_the_polling(
    database_url: str, browser: Browser
) -> None:
    async with running(database_url, list_max_bytes=600) as server:
        for job_id in ("j1", "j2", "j3"):
            await server.register(job_id)
        assert [job["id"] for job in (await server.read("/api/videos/user"))[1]["active"]] == ["j3"]
        tab = await open_tab(browser, server.url)
        await tab.evaluate(POLL, ["j1", "j2", "j3"])
        assert sorted(await tab.evaluate("poll()")) == [["progress", "j1"], ["progress", "j2"], ["progress", "j3"]]
        # Nothing has come since: nobody is asked about, or told of, again.
        assert await tab.evaluate("asked = 0, poll()") == []
        assert await tab.evaluate("asked") == 1
        await server.send(completion("j1", video("k")))
        await moved(server, "j2")
        told = await tab.evaluate("poll()")
        assert [event for event in told if event[1] != "j3"] == [["completed", "j1"], ["progress", "j2"]]
