"""The way out: snapshot, resume, reset and ends."""

import asyncio
import random
import time
from typing import NoReturn

import aiohttp
import pytest

from app.appkeys import FOLLOWER, HUB, LOG
from app.db.errors import DatabaseAwayError
from app.upkeep.leader import Leader
from tests.client import Client, moved, running
from tests.databases import Sql, selects
from tests.streams import Wanderer, events
from tests.webhooks import completion, video, webhook
from tests.writing import log_ids


async def test_first_connect_gets_the_state_then_what_follows(server: Client) -> None:
    await server.register("j1")
    async with events(server.session, f"{server.url}/events/j1") as source:
        first = await source.next()
        assert (first.id, first.event, first.data["state"], first.data["progress"]) == (1, "progress", "PENDING", 0)
        await moved(server, "j1", "generating")
        second = await source.next()
        assert second.id == 2
        assert second.data == {
            "job_id": "j1", "status": "generating", "state": "PROCESSING", "progress": 50,
            "message": "Génération de la vidéo en cours", "occurred_at": second.data["occurred_at"],
            "error": None, "eta_seconds": None, "eta_p90_seconds": None, "failure": None, "videos": [],
        }  # fmt: skip
        assert second.data["occurred_at"].endswith("Z")
        assert source.comments
        assert source.retry is not None
        assert 2000 <= source.retry <= 5000


async def test_stream_has_the_headers_that_proxies_need(server: Client) -> None:
    await server.register("j1")
    async with events(server.session, f"{server.url}/events/j1") as source:
        headers = source.response.headers
        assert headers["Content-Type"] == "text/event-stream"
        assert headers["Cache-Control"] == "no-store, no-transform"
        assert headers["X-Accel-Buffering"] == "no"


async def test_gallery_stream_shows_each_unfinished_job_and_only_the_last_frame_has_the_id(server: Client) -> None:
    for name in ("a", "b", "c"):
        await server.register(name)
    await server.register("somebody-elses", user_id="u2")
    await server.send(completion("c", video("k")))
    async with events(server.session, f"{server.url}/events") as source:
        first, second = await source.take(2)
        assert [(e.id, e.data["job_id"]) for e in (first, second)] == [(None, "a"), (5, "b")]
        await server.register("d")
        assert (await source.next()).data["job_id"] == "d"


async def test_empty_snapshot_is_a_lone_id(server: Client) -> None:
    async with events(server.session, f"{server.url}/events") as source:
        only = await source.next()
        assert (only.id, only.event, only.data) == (0, None, None)


async def test_completed_event_has_the_videos_in_the_gallerys_form(server: Client) -> None:
    await server.register("j1")
    async with events(server.session, f"{server.url}/events/j1") as source:
        await source.next()
        await server.send(completion("j1", video("k/1")))
        done = await source.next()
        _, gallery = await server.read("/api/videos/user")
        assert done.event == "completed"
        assert done.data["videos"] == gallery["generations"][0]["videos"]


@pytest.mark.parametrize("as_query", [False, True])
async def test_resume_sends_every_event_since_in_order_and_no_other(server: Client, as_query: bool) -> None:
    await server.register("j1")
    await server.register("j2")
    await moved(server, "j1", "processing", "generating")
    await moved(server, "j2", "processing")
    await moved(server, "j1", "downloading")
    query, header = ("?last_event_id=1", None) if as_query else ("?last_event_id=5", 1)
    async with events(server.session, f"{server.url}/events/j1{query}", header) as source:
        assert [e.id for e in await source.take(3)] == [3, 4, 6]


@pytest.mark.parametrize(
    ("query", "header", "seen"),
    [
        ("lastEventId=2", None, [50, 75]),
        ("last_event_id=1&lastEventId=2", None, [50, 75]),
        ("last_event_id=2&lastEventId=1", None, [50, 75]),
        ("last_event_id=1-7f3a&lastEventId=2", None, [50, 75]),
        ("last_event_id=3&lastEventId=x", None, [75]),
        ("last_event_id=&lastEventId=3", None, [75]),
        ("last_event_id=3&last_event_id=1", None, [75]),
        ("last_event_id=3&lastEventId=3", "2", [50, 75]),
        ("last_event_id=1&lastEventId=1", "3", [75]),
    ],
)
@pytest.mark.parametrize("websocket", [False, True])
async def test_header_wins_over_the_queries_and_of_those_the_greater(
    server: Client, websocket: bool, query: str, header: str | None, seen: list[int]
) -> None:
    """Polyfills of EventSource resume by `lastEventId`, and repeat the page's own `last_event_id`, old by then."""
    await server.register("j1")
    await moved(server, "j1", "processing", "generating", "downloading")
    if websocket:
        headers = {} if header is None else {"Last-Event-ID": header}
        async with server.session.ws_connect(f"{server.url}/ws/j1?{query}", headers=headers) as ws:
            assert [(await ws.receive_json(timeout=10))["data"]["progress"] for _ in seen] == seen
    else:
        async with events(server.session, f"{server.url}/events/j1?{query}", header) as source:
            assert [e.data["progress"] for e in await source.take(len(seen))] == seen


@pytest.mark.parametrize("query", ["lastEventId=x", "last_event_id=x&lastEventId=y", "lastEventId=99&last_event_id=1"])
async def test_query_that_is_no_id_or_ahead_gets_a_reset(server: Client, query: str) -> None:
    await server.register("j1")
    async with events(server.session, f"{server.url}/events/j1?{query}") as source:
        assert [e.event for e in await source.take(2)] == ["reset", "progress"]


async def test_resume_reads_the_log_when_memory_has_forgotten(database_url: str) -> None:
    async with running(database_url, ring_size=2) as server:
        await server.register("j1")
        await moved(server, "j1", "processing", "generating", "downloading")
        async with events(server.session, f"{server.url}/events/j1", 1) as source:
            assert [e.id for e in await source.take(3)] == [2, 3, 4]


async def test_crowd_that_comes_back_to_a_restarted_server_is_served_by_a_few_reads(
    database_url: str, sql: Sql, leader: Leader
) -> None:
    async with running(database_url) as server:
        for number in range(40):
            await server.register(f"j{number}")
        await asyncio.gather(*(moved(server, f"j{number}", "generating") for number in range(40)))
    assert await leader.leads()  # so that the server has no other work than theirs
    async with running(database_url, max_connections_per_user=500) as server, asyncio.TaskGroup() as group:

        async def come_back(number: int) -> None:
            async with events(server.session, f"{server.url}/events/j{number % 40}", 40) as source:
                assert (await source.next()).data["job_id"] == f"j{number % 40}"

        before, began = selects(sql), time.monotonic()
        for number in range(200):
            group.create_task(come_back(number))
    # Three for all who ask within 10 ms, however long the machine takes to take them in: one by one they were 600. The
    # follower's looks into the log, and those of all tasks whether they are to lead, are among them.
    assert selects(sql) - before < min(3 * (time.monotonic() - began) / 0.01 + 20, 400)


@pytest.mark.parametrize("last_id", ["99", "-1", "abc", "1e3", "9" * 30])
async def test_unknown_id_gets_a_reset_and_the_state(server: Client, last_id: str) -> None:
    await server.register("j1")
    async with events(server.session, f"{server.url}/events/j1", last_id) as source:
        reset, state = await source.take(2)
        assert (reset.id, reset.event, reset.data) == (None, "reset", {})
        assert (state.id, state.data["job_id"]) == (1, "j1")


async def test_purged_id_gets_a_reset(database_url: str, sql: Sql) -> None:
    async with running(database_url, ring_size=1) as server:
        await server.register("j1")
        await moved(server, "j1", "processing", "generating")
        sql("DELETE FROM rushes_events WHERE id < 3")
        async with events(server.session, f"{server.url}/events/j1", 1) as source:
            assert [e.event for e in await source.take(2)] == ["reset", "progress"]
        async with events(server.session, f"{server.url}/events/j1", 2) as source:
            assert (await source.next()).id == 3


async def test_id_that_another_process_gave_is_not_ahead(database_url: str, sql: Sql) -> None:
    """The log counts, not how far this process has followed it."""
    async with running(database_url, log_poll=3600) as behind, running(database_url) as other:
        await other.register("j1")
        await moved(other, "j1", "processing", "generating")
        assert behind.app[FOLLOWER].last_id == 0
        async with events(behind.session, f"{behind.url}/events/j1", 2) as source:
            await moved(behind, "j1", "downloading")
            assert [e.id for e in await source.take(2)] == [3, 4]


async def test_other_processes_events_arrive_without_redis(database_url: str) -> None:
    async with running(database_url) as one, running(database_url) as other:
        await one.register("j1")
        async with events(other.session, f"{other.url}/events/j1") as source:
            await source.next()
            await moved(one, "j1", "generating")
            assert (await source.next()).data["progress"] == 50


async def test_stream_ends_after_completion_and_a_reconnect_gets_204(database_url: str) -> None:
    async with running(database_url, stream_end_completed=0.1) as server:
        await server.register("j1")
        async with events(server.session, f"{server.url}/events/j1") as source:
            await server.send(completion("j1", video("k")))
            assert [e.event for e in await source.rest()][-1] == "completed"
        assert source.last_id is not None
        async with server.session.get(f"{server.url}/events/j1", headers={"Last-Event-ID": source.last_id}) as again:
            assert again.status == 204
        async with events(server.session, f"{server.url}/events/j1") as first_connect:
            assert [e.event for e in await first_connect.rest()] == ["completed"]
        async with events(server.session, f"{server.url}/events/j1", 1) as missed_it:
            assert [e.event for e in await missed_it.rest()] == ["completed"]


async def test_stream_stays_open_after_a_failure_for_a_new_try(server: Client) -> None:
    await server.register("j1")
    async with events(server.session, f"{server.url}/events/j1") as source:
        await moved(server, "j1", "failed", "generating")
        assert [e.event for e in await source.take(3)] == ["progress", "failed", "progress"]


@pytest.mark.parametrize("path", ["/events/nobody", "/api/videos/nobody"])
async def test_job_that_is_not_there_is_404(server: Client, path: str) -> None:
    assert (await server.read(path))[0] == 404


async def test_idle_stream_gets_comments(database_url: str) -> None:
    async with running(database_url, stream_heartbeat=0.2) as server:
        await server.register("j1")
        async with events(server.session, f"{server.url}/events/j1") as source:
            await source.next()
            before = len(source.comments)
            with pytest.raises(TimeoutError):
                await source.next(seconds=1.6)
            assert len(source.comments) > before


async def test_streams_end_at_once_on_shutdown(database_url: str) -> None:
    async with running(database_url) as server, aiohttp.ClientSession() as session:
        opened = [await session.get(f"{server.url}/events", timeout=None) for _ in range(40)]
        socket_ = await session.ws_connect(f"{server.url}/ws")
        assert (await socket_.receive()).type is aiohttp.WSMsgType.TEXT
        began = asyncio.get_running_loop().time()
        shutting = asyncio.create_task(server.app[HUB].shut(5.0))
        for response in opened:
            await response.read()
        assert (await socket_.receive()).data == 1001
        await shutting
        assert asyncio.get_running_loop().time() - began < 5


async def test_log_that_was_taken_back_resets_every_stream(server: Client, sql: Sql) -> None:
    await server.register("j1")
    await moved(server, "j1", "processing")
    async with events(server.session, f"{server.url}/events/j1") as source:
        await source.next()
        sql("UPDATE rushes_events SET data = '{}' WHERE id = 2")
        server.app[FOLLOWER]._was_away = True
        assert [e.event for e in await source.take(2)] == ["reset", "progress"]
        await moved(server, "j1", "generating")
        assert (await source.next()).id == 3


async def test_ids_that_are_given_again_after_a_reset_reach_the_stream(server: Client, sql: Sql) -> None:
    await server.register("j1")
    await moved(server, "j1", "processing", "generating")
    async with events(server.session, f"{server.url}/events/j1") as source:
        assert (await source.next()).id == 3
        sql("DELETE FROM rushes_events WHERE id > 1")
        sql("UPDATE rushes_counter SET value = 1")
        server.app[FOLLOWER]._was_away = True
        assert [e.event for e in await source.take(2)] == ["reset", "progress"]
        await moved(server, "j1", "downloading", "downloading")
        assert [e.id for e in await source.take(2)] == [2, 3]


@pytest.mark.parametrize("path", ["/events/j1", "/ws/j1"])
async def test_replay_that_fails_cuts_the_stream_and_writes_no_error_page_into_it(
    database_url: str, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    async with running(database_url, ring_size=1) as server:
        await server.register("j1")
        await moved(server, "j1", "processing", "generating", "downloading")

        async def away(*_: object, **__: object) -> NoReturn:
            raise DatabaseAwayError("gone")

        monkeypatch.setattr(server.app[LOG], "after", away)
        if path.startswith("/ws"):
            async with server.session.ws_connect(f"{server.url}{path}?last_event_id=1") as socket_:
                assert (await socket_.receive()).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        else:
            async with server.session.get(f"{server.url}{path}?last_event_id=1") as response:
                with pytest.raises(aiohttp.ClientError):
                    assert b"HTTP/1.1" not in await response.read()
        async with asyncio.timeout(5):
            while len(server.app[HUB]):
                await asyncio.sleep(0.02)


async def test_head_opens_no_stream(server: Client) -> None:
    async with server.session.head(f"{server.url}/events") as answer:
        assert answer.status == 405


# -- Every event once, in order


@pytest.mark.parametrize("ring_size", [3, 1000])
async def test_clients_that_reconnect_at_random_see_each_event_once_in_order(
    database_url: str, sql: Sql, ring_size: int
) -> None:
    jobs, rounds = [f"j{n}" for n in range(5)], 12
    async with running(database_url, ring_size=ring_size) as one, running(database_url, ring_size=ring_size) as two:
        for job in jobs:
            await one.register(job)
        until = len(jobs) * (rounds + 1)
        chooser = random.Random(ring_size)
        wanderers = [Wanderer("/events", seed) for seed in range(8)]
        visits = [asyncio.create_task(w.visit(lambda: chooser.choice([one, two]).url, until)) for w in wanderers]
        await asyncio.gather(*(w.arrived.wait() for w in wanderers))
        for _ in range(rounds):
            await asyncio.gather(*(moved(chooser.choice([one, two]), job, "generating") for job in jobs))
        async with asyncio.timeout(40):
            await asyncio.gather(*visits)
        assert log_ids(sql) == list(range(1, until + 1))
        for wanderer in wanderers:
            assert wanderer.seen == list(range(wanderer.seen[0], until + 1))


# -- Pages of other origins


async def test_page_of_an_allowed_origin_may_call_and_listen_and_no_other(database_url: str) -> None:
    friend, stranger = {"Origin": "https://friend.example"}, {"Origin": "https://stranger.example"}
    async with running(database_url, cors_origins="https://friend.example/") as server:
        await server.register("j1")
        for path in ("/events/j1", "/api/videos/user", "/api/videos/nobody"):
            async with server.session.get(server.url + path, headers=friend) as answer:
                assert answer.headers["Access-Control-Allow-Origin"] == "https://friend.example"
                assert answer.headers["Access-Control-Expose-Headers"] == "ETag, Retry-After"
            async with server.session.get(server.url + path, headers=stranger) as answer:
                assert "Access-Control-Allow-Origin" not in answer.headers
        asks = {"Access-Control-Request-Method": "POST"}
        async with server.session.options(f"{server.url}/api/videos", headers=friend | asks) as preflight:
            assert preflight.status == 204
            allowed = preflight.headers["Access-Control-Allow-Headers"].split(", ")
        document = (await server.read("/openapi.json"))[1]
        read = {
            parameter["name"]
            for path in document["paths"].values()
            for operation in path.values()
            for parameter in operation.get("parameters", [])
            if parameter["in"] == "header"
        }
        assert "If-None-Match" in read
        assert read | {"Authorization", "Content-Type"} <= set(allowed)
        async with server.session.options(f"{server.url}/api/videos", headers=stranger | asks) as preflight:
            assert preflight.status == 405
        async with server.session.ws_connect(f"{server.url}/ws", origin="https://friend.example") as socket_:
            assert await socket_.receive()


async def test_stream_of_a_job_tells_nothing_of_an_earlier_one_that_had_its_id_and_another_owner(
    server: Client, sql: Sql
) -> None:
    await server.register("j1", user_id="alice")
    assert (await server.send(webhook("j1", "failed") | {"error": "a secret of Alice's"}))[0] == 200
    sql("DELETE FROM video_generations")
    await server.register("j1", user_id="carol")
    await moved(server, "j1", "generating")
    async with events(server.session, f"{server.url}/events/j1?last_event_id=1") as source:
        seen = await source.next()
        while seen.event is None or seen.data["progress"] != 50:
            assert "Alice" not in str(seen.data)
            seen = await source.next()


async def test_refusals_say_what_http_asks_them_to_say(database_url: str) -> None:
    async with running(database_url, webhook_secret="hush", auth_jwt_secret="s" * 32) as server:
        async with server.session.get(f"{server.url}/api/videos/user") as answer:
            assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        async with server.session.get(f"{server.url}/ws/j1") as answer:
            assert (answer.status, answer.headers["Upgrade"]) == (426, "websocket")
