"""static/js/live.js in a real browser, as any front end would use it."""

import asyncio
import itertools

import pytest
from aiohttp import ClientSession

from app.appkeys import HUB
from tests.browser.engines import Browser
from tests.browser.proxy import Proxy, proxy
from tests.browser.tabs import follow, following, ids, moved, open_tab, until
from tests.client import Client, running
from tests.databases import Sql
from tests.sign_in import SECRET, bearer, token
from tests.webhooks import completion, video, webhook

pytestmark = pytest.mark.asyncio(loop_scope="session")


# -- One stream for all tabs


async def test_eight_tabs_share_one_stream_and_all_are_told(browser: Browser, server: Client) -> None:
    await server.register("j1")
    tabs = [await following(browser, server.url) for _ in range(8)]
    await moved(server, "j1", 3)
    assert [await ids(tab, 4) for tab in tabs] == [[1, 2, 3, 4]] * 8
    assert len(server.app[HUB]) == 1
    # More than six connections to a host would not be had.
    assert await tabs[-1].evaluate("fetch('/healthz').then(answer => answer.status)") == 200


async def test_followers_miss_and_repeat_nothing_when_the_leading_tabs_close(browser: Browser, server: Client) -> None:
    await server.register("j1")
    tabs = [await following(browser, server.url) for _ in range(4)]
    last = itertools.count(2)
    stop = asyncio.Event()

    async def keep_moving() -> int:
        newest = 1
        while not stop.is_set():
            await moved(server, "j1")
            newest = next(last)
            await asyncio.sleep(0.005)
        return newest

    moving = asyncio.create_task(keep_moving())
    for leader in tabs[:3]:
        had = await leader.evaluate("seen.length")
        await until(leader, f"seen.length > {had + 5}")
        await leader.close()
        await until(tabs[3], f"seen.length > {await tabs[3].evaluate('seen.length') + 10}")
    stop.set()
    newest = await moving
    assert await ids(tabs[3], newest) == list(range(1, newest + 1))
    assert len(server.app[HUB]) == 1


async def test_tab_that_comes_with_an_old_place_is_told_what_came_since(browser: Browser, server: Client) -> None:
    await server.register("j1")
    first = await following(browser, server.url)
    await moved(server, "j1", 5)
    assert await ids(first, 6) == [1, 2, 3, 4, 5, 6]
    channel = await first.evaluate("fetch('/api/videos/user').then(a => a.json()).then(page => page.channel)")
    # Older than what the leader has seen itself.
    late = await following(browser, server.url, lastEventId=2, channel=channel)
    assert await ids(late, 6) == [3, 4, 5, 6]
    older = await following(browser, server.url, lastEventId=0, channel=channel)
    assert await ids(older, 6) == [1, 2, 3, 4, 5, 6]
    await moved(server, "j1")
    assert await ids(first, 7) == [1, 2, 3, 4, 5, 6, 7]
    assert await ids(late, 7) == [3, 4, 5, 6, 7]
    assert len(server.app[HUB]) == 1


async def test_subscriptions_to_many_jobs_of_ones_own_need_one_stream(browser: Browser, server: Client) -> None:
    for number in range(10):
        await server.register(f"j{number}")
    tab = await open_tab(browser, server.url)
    await tab.evaluate(
        """async () => {
          const { subscribe } = await import("/static/js/live.js");
          window.seen = [];
          for (let n = 0; n < 10; n += 1) {
            const onEvent = ({ event, data }) => seen.push(`${n} ${data.job_id} ${event} ${data.status}`);
            subscribe(`j${n}`, { onEvent });
          }
        }"""
    )
    await until(tab, "seen.length === 10")
    for number in range(10):
        await moved(server, f"j{number}")
    await until(tab, "seen.length === 20")
    assert sorted(await tab.evaluate("seen"))[:2] == ["0 j0 progress generating", "0 j0 progress pending"]
    assert len(server.app[HUB]) == 1


async def test_job_of_somebody_else_has_a_stream_of_its_own_until_it_is_over(
    database_url: str, browser: Browser
) -> None:
    async with running(database_url, stream_end_completed=0.2) as server:
        await server.register("theirs", user_id="u2")
        tab = await following(browser, server.url, "theirs")
        await server.send(completion("theirs", video("k")))
        assert await ids(tab, 2) == [1, 2]
        await until(tab, "states.at(-1).state === 'over'")


@pytest.mark.parametrize("says_own", [True, False])
async def test_job_of_somebody_else_is_followed_from_what_was_read_of_it(
    browser: Browser, server: Client, says_own: bool
) -> None:
    await server.register("theirs", user_id="u2")
    tab = await open_tab(browser, server.url)
    job = await tab.evaluate("fetch('/api/videos/theirs').then(answer => answer.json())")
    assert job["own"] is False
    options = {"lastEventId": job["last_event_id"], "channel": job["channel"]} | ({"own": False} if says_own else {})
    tab = await following(browser, server.url, "theirs", **options)
    await moved(server, "theirs")
    assert await ids(tab, 2) == [2]


async def test_jobs_of_ones_own_are_followed_on_one_stream_from_what_was_read_of_them(
    browser: Browser, server: Client
) -> None:
    for job_id in ("j1", "j2"):
        await server.register(job_id)
    tabs = []
    for job_id in ("j1", "j2"):
        _, job = await server.read(f"/api/videos/{job_id}")
        options = {"lastEventId": job["last_event_id"], "channel": job["channel"], "own": job["own"]}
        tabs.append(await following(browser, server.url, job_id, **options))
        await moved(server, job_id)
    assert [await ids(tabs[0], 3), await ids(tabs[1], 4)] == [[3], [4]]
    assert len(server.app[HUB]) == 1


async def test_job_of_ones_own_is_over_after_its_completion_and_leaves_the_shared_stream(
    browser: Browser, server: Client
) -> None:
    await server.register("j1")
    tab = await following(browser, server.url, "j1")
    await server.send(completion("j1", video("k")))
    assert await ids(tab, 2) == [1, 2]
    await until(tab, "states.at(-1).state === 'over'")
    async with asyncio.timeout(5):
        while len(server.app[HUB]):
            await asyncio.sleep(0.02)
    late = await follow(await open_tab(browser, server.url), "j1")
    await until(late, "states.at(-1)?.state === 'over'")
    assert await late.evaluate("seen.map(({ event }) => event)") == ["completed"]


async def test_failed_job_of_ones_own_is_over_only_when_no_new_try_followed(browser: Browser, server: Client) -> None:
    await server.register("j1")
    tab = await following(browser, server.url, "j1", timing={"endFailed": 1_500})
    await server.send(webhook("j1", "failed"))
    await moved(server, "j1")
    assert await ids(tab, 3) == [1, 2, 3]
    await tab.evaluate("new Promise((done) => setTimeout(done, 1_600))")
    assert not await tab.evaluate("states.some(({ state }) => state === 'over')")
    await server.send(webhook("j1", "failed"))
    assert await ids(tab, 4) == [1, 2, 3, 4]
    await until(tab, "states.at(-1).state === 'over'")


async def test_leaving_gives_the_stream_up(browser: Browser, server: Client) -> None:
    await server.register("j1")
    tab = await following(browser, server.url)
    await tab.evaluate("stop()")
    async with asyncio.timeout(5):
        while len(server.app[HUB]):
            await asyncio.sleep(0.02)


# -- Trouble


async def test_log_that_was_taken_back_gives_the_state_again_to_every_tab(
    browser: Browser, server: Client, sql: Sql
) -> None:
    await server.register("j1")
    tabs = [await following(browser, server.url) for _ in range(2)]
    await moved(server, "j1", 2)
    assert [await ids(tab, 3) for tab in tabs] == [[1, 2, 3]] * 2
    sql("DELETE FROM rushes_events WHERE id > 1")
    sql("UPDATE rushes_counter SET value = 1")
    await moved(server, "j1")
    for tab in tabs:
        await until(tab, "parseInt(seen.at(-1).id) === 2")


async def test_unknown_job_is_offline_for_good(browser: Browser, server: Client) -> None:
    tab = await follow(await open_tab(browser, server.url), "nobody")
    await until(tab, "states.at(-1)?.state === 'offline'")
    assert await tab.evaluate("[states.at(-1).error.status, states.at(-1).retryIn]") == [404, None]


@pytest.mark.parametrize("path", ["/api/videos/user", "/events"])
async def test_all_jobs_are_tried_again_where_nothing_is_there(browser: Browser, server: Client, path: str) -> None:
    await server.register("j1")
    async with proxy(server.url, refused={path: (404, "no backend")}) as host:
        tab = await follow(await open_tab(browser, host.url))
        await until(tab, "states.at(-1)?.error?.status === 404")
        assert await tab.evaluate("states.at(-1).retryIn") > 0
        host.refused.clear()
        await until(tab, "states.at(-1).state === 'live'")
        await moved(server, "j1")
        assert await ids(tab, 2) == [1, 2]


@pytest.mark.parametrize("body", ["null", "[]", '"busy"', "<h1>busy</h1>"])
async def test_refusal_is_told_whatever_its_body(browser: Browser, server: Client, body: str) -> None:
    async with proxy(server.url, refused={"/api/videos/user": (503, body)}) as host:
        tab = await follow(await open_tab(browser, host.url))
        await until(tab, "states.at(-1)?.state === 'offline'")
        assert await tab.evaluate("[states[0].error?.status, states[0].error?.message]") == [503, "HTTP 503"]


async def test_stream_that_is_to_come_later_is_never_live_and_tried_less_and_less(
    database_url: str, browser: Browser
) -> None:
    async with running(database_url, max_connections_per_user=1) as server, ClientSession() as other:
        await server.register("j1")
        async with other.get(f"{server.url}/events") as taken:
            tab = await follow(await open_tab(browser, server.url))
            await until(tab, "states.filter(({ state }) => state === 'offline').length === 2")
            assert not await tab.evaluate("states.some(({ state }) => state === 'live')")
            assert await tab.evaluate("[states.at(-1).error.status, states.at(-1).error.code]") == [
                429,
                "too_many_connections",
            ]
            assert await tab.evaluate("states.at(-1).retryIn") >= 2_000
            taken.close()
        await moved(server, "j1")
        assert await ids(tab, 2) == [1, 2]


async def test_browsers_own_event_source_comes_back_to_a_server_that_was_full(
    database_url: str, browser: Browser
) -> None:
    async with running(database_url, max_connections=1) as server, ClientSession() as other:
        await server.register("j1")
        async with other.get(f"{server.url}/events") as taken:
            tab = await open_tab(browser, server.url)
            await tab.evaluate(
                """() => {
                  window.seen = [];
                  window.errors = [];
                  const source = new EventSource("/events");
                  source.onerror = () => errors.push(source.readyState);
                  source.addEventListener("progress", ({ data }) => seen.push(JSON.parse(data).job_id));
                }"""
            )
            await until(tab, "errors.length > 0")
            taken.close()
        await until(tab, "seen.length > 0")
        assert await tab.evaluate("[seen, errors.every((state) => state === EventSource.CONNECTING)]") == [["j1"], True]


async def test_job_that_was_deleted_while_followed_promises_no_new_try(
    browser: Browser, server: Client, sql: Sql
) -> None:
    await server.register("theirs", user_id="u2")
    tab = await following(browser, server.url, "theirs")
    sql("DELETE FROM video_generations WHERE id = 'theirs'")
    await tab.evaluate("window.dispatchEvent(new Event('online'))")  # it connects again
    await until(tab, "states.at(-1).state === 'offline'")
    assert await tab.evaluate("[states.at(-1).error.status, states.at(-1).retryIn]") == [404, None]


# -- Who is who


def serve_tokens(host: Proxy, user: str, seconds: float) -> list[str]:
    """Lets pages of this host fetch `/token/user`: a new one each time; those that were given."""
    given: list[str] = []

    def give() -> str:
        given.append(token(user, seconds))
        return given[-1]

    host.given[f"/token/{user}"] = give
    return given


async def test_stream_goes_on_with_a_new_token_when_the_old_one_ends(database_url: str, browser: Browser) -> None:
    settings = {"auth_jwt_secret": SECRET, "webhook_secret": "s" * 20}
    async with running(database_url, **settings) as server, proxy(server.url) as host:
        given = serve_tokens(host, "u1", 2)
        await server.session.post(f"{server.url}/api/videos", json={"prompt": "p"}, headers=bearer("u1"))
        tab = await following(browser, host.url, tokens="/token/u1")
        job_id = await tab.evaluate("seen[0].data.job_id")
        started = len(given)
        newest = 1
        async with asyncio.timeout(20):
            while len(given) < started + 2:
                code, _ = await server.send(webhook(job_id, "generating"), {"X-Webhook-Secret": "s" * 20})
                assert code == 200
                newest += 1
                await asyncio.sleep(0.05)
        assert await ids(tab, newest) == list(range(1, newest + 1))
        await tab.close()


async def test_two_users_in_one_browser_never_share_a_stream(database_url: str, browser: Browser) -> None:
    settings = {"auth_jwt_secret": SECRET, "webhook_secret": "s" * 20}
    async with running(database_url, **settings) as server, proxy(server.url) as host:
        for user in ("u1", "u2"):
            serve_tokens(host, user, 60)
            order = {"prompt": f"of {user}", "job_id": f"job-{user}", "user_id": user}
            answer = await server.session.post(
                f"{server.url}/api/videos", json=order, headers={"X-Webhook-Secret": "s" * 20}
            )
            assert answer.status == 201
        tabs = [await following(browser, host.url, tokens=f"/token/{user}") for user in ("u1", "u2")]
        assert len(server.app[HUB]) == 2
        for user in ("u1", "u2"):
            await server.send(webhook(f"job-{user}", "generating"), {"X-Webhook-Secret": "s" * 20})
        assert await ids(tabs[0], 3) == [2, 3]
        assert await ids(tabs[1], 4) == [2, 4]
        for user, tab in zip(("u1", "u2"), tabs, strict=True):
            assert set(await tab.evaluate("seen.map(event => event.data.job_id)")) == {f"job-{user}"}
            await tab.close()
