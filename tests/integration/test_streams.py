"""The way out: snapshot, resume, reset, ends and limits, over both transports."""

import asyncio
import gc
import random
import socket
import time
from contextlib import suppress
from typing import NoReturn

import aiohttp
import pytest
from aiohttp import web

from app.appkeys import FOLLOWER, HUB, LOG, STREAMS
from app.db.errors import DatabaseAwayError
from app.push.sse import EventStream
from tests.client import Client, moved, running
from tests.databases import Sql, selects
from tests.streams import Event, Wanderer, events, later, number_of
from tests.webhooks import completion, video, webhook


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
    database_url: str, sql: Sql
) -> None:
    async with running(database_url) as server:
        for number in range(40):
            await server.register(f"j{number}")
        await asyncio.gather(*(moved(server, f"j{number}", "generating") for number in range(40)))
    async with running(database_url, max_connections_per_user=500) as server, asyncio.TaskGroup() as group:

        async def come_back(number: int) -> None:
            async with events(server.session, f"{server.url}/events/j{number % 40}", 40) as source:
                assert (await source.next()).data["job_id"] == f"j{number % 40}"

        before, began = selects(sql), time.monotonic()
        for number in range(200):
            group.create_task(come_back(number))
    # Three for all who ask within 10 ms, however long the machine takes to take them in: one by one they were 600. The
    # follower's looks into the log, and the first of the tasks that look after jobs and statistics, are among them.
    assert selects(sql) - before < min(3 * (time.monotonic() - began) / 0.01 + 40, 400)


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


@pytest.mark.parametrize("limit", ["max_connections", "max_connections_per_user"])
async def test_too_many_streams_are_told_to_come_later(database_url: str, limit: str) -> None:
    async with running(database_url, **{limit: 1}) as server:
        async with events(server.session, f"{server.url}/events"):
            assert await later(server.session, f"{server.url}/events") == "too_many_connections"
            async with server.session.ws_connect(f"{server.url}/ws") as socket_:
                assert (await socket_.receive()).data == 4429
        async with events(server.session, f"{server.url}/events") as in_place_of_the_one_that_left:
            assert await in_place_of_the_one_that_left.next()


async def test_nothing_is_read_for_a_stream_that_is_one_too_many(database_url: str, sql: Sql) -> None:
    async with running(database_url, max_connections_per_user=1) as server:
        async with events(server.session, f"{server.url}/events") as source:
            await source.next()
            sql("LOCK TABLES video_generations WRITE, rushes_counter WRITE")
            assert await later(server.session, f"{server.url}/events") == "too_many_connections"
            async with server.session.ws_connect(f"{server.url}/ws") as socket_:
                assert (await socket_.receive()).data == 4429
            sql("UNLOCK TABLES")
        hub = server.app[HUB]
        async with asyncio.timeout(5):
            while hub._open or hub._coming or hub._per_user:
                await asyncio.sleep(0.01)


async def test_streams_that_a_user_opens_at_once_are_no_more_than_he_may_have(database_url: str, sql: Sql) -> None:
    async with running(database_url, max_connections_per_user=2) as server:
        sql("LOCK TABLES video_generations WRITE")
        coming = [asyncio.create_task(first_of(server, "/events")) for _ in range(2)]
        async with asyncio.timeout(10):
            while len(server.app[HUB]._coming) < 2:
                await asyncio.sleep(0.01)
        assert await later(server.session, f"{server.url}/events") == "too_many_connections"
        sql("UNLOCK TABLES")
        assert [(await one).full_id for one in coming] == ["0-0", "0-0"]


async def first_of(server: Client, path: str) -> Event:
    async with events(server.session, server.url + path) as source:
        return await source.next()


async def test_page_of_another_origin_may_read_that_it_is_to_come_later(database_url: str) -> None:
    other = {"Origin": "https://shop.example"}
    async with running(database_url, max_connections=1, cors_origins=("https://shop.example",)) as server:
        async with events(server.session, f"{server.url}/events"):
            async with server.session.get(f"{server.url}/events", headers=other) as answer:
                assert ": later too_many_connections\n\nretry: " in await answer.text()
                assert answer.headers["Access-Control-Allow-Origin"] == other["Origin"]
                assert "Origin" in answer.headers["Vary"]


async def test_stream_that_fails_for_a_reason_of_ours_is_told_to_come_later(
    server: Client, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(server.app[STREAMS], "resume_from", fail)
    assert await later(server.session, f"{server.url}/events") == "internal"


async def fail(_: object) -> NoReturn:
    raise ValueError("something of ours")


async def frozen_client(server: Client, path: str) -> socket.socket:
    """A client that sends its request and never reads."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    host, port = server.url.removeprefix("http://").split(":")
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, (host, int(port)))
    await loop.sock_sendall(raw, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    while not len(server.app[HUB]):
        await asyncio.sleep(0.01)
    return raw


async def test_client_that_does_not_read_is_dropped_and_delays_nobody(database_url: str) -> None:
    async with running(database_url, stream_max_buffer=32 * 1024) as server:
        await server.register("j1")
        frozen = await frozen_client(server, "/events/j1")
        async with events(server.session, f"{server.url}/events/j1") as source:
            await source.next()
            for n in range(600):
                await server.send(webhook("j1", "failed", data=None) | {"error": "x" * 1000 + str(n)})
                assert (await source.next(2)).data["error"].endswith(str(n))
                if len(server.app[HUB]) == 1:
                    break
            assert len(server.app[HUB]) == 1
        frozen.close()


async def test_client_whose_oldest_byte_is_too_old_is_dropped(database_url: str) -> None:
    async with running(database_url, stream_max_lag=0.5) as server:
        await server.register("j1")
        frozen = await frozen_client(server, "/events/j1")
        for n in range(150):
            await server.send(webhook("j1", "failed") | {"error": "x" * 1000 + str(n)})
        async with asyncio.timeout(10):
            while len(server.app[HUB]):
                await asyncio.sleep(0.05)
        frozen.close()


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


async def test_frozen_client_does_not_outlive_the_end_of_its_stream(database_url: str) -> None:
    async with running(database_url, stream_end_completed=0.1, stream_last_words=0.3) as server:
        await server.register("j1")
        frozen = await frozen_client(server, "/events/j1")
        for n in range(120):
            await server.send(webhook("j1", "failed") | {"error": "x" * 1000 + str(n)})
        await server.send(completion("j1", video("k")))
        async with asyncio.timeout(8):
            while len(server.app[HUB]):
                await asyncio.sleep(0.05)
        frozen.close()


async def test_slow_reader_is_given_time_for_its_replay(database_url: str) -> None:
    async with running(database_url, stream_max_lag=0.3, ring_size=10) as server:
        await server.register("j1")
        for n in range(200):
            await server.send(webhook("j1", "failed") | {"error": "x" * 4000 + str(n)})
        async with events(server.session, f"{server.url}/events/j1", 1, read_bufsize=8192) as source:
            for place in range(200):
                event = await source.next()
                assert event is not None, f"dropped after {place}"
                if place % 20 == 0:
                    await asyncio.sleep(0.2)  # the reader is slow: that is what is tried here


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


# -- WebSocket


async def test_websocket_tells_the_same_as_sse(server: Client) -> None:
    await server.register("j1")
    async with server.session.ws_connect(f"{server.url}/ws/j1") as socket_:
        async with events(server.session, f"{server.url}/events/j1") as source:
            first = await socket_.receive_json()
            assert (number_of(first["id"]), first["event"]) == (1, "progress")
            assert first["data"] == (await source.next()).data
            await moved(server, "j1", "generating")
            second, same = await socket_.receive_json(), await source.next()
            assert second == {"id": same.full_id, "event": same.event, "data": same.data}


async def test_websocket_snapshot_has_null_ids_but_for_the_last(server: Client) -> None:
    await server.register("a")
    await server.register("b")
    async with server.session.ws_connect(f"{server.url}/ws") as socket_:
        assert (await socket_.receive_json())["id"] is None
        assert number_of((await socket_.receive_json())["id"]) == 2


async def test_websocket_resumes(server: Client) -> None:
    await server.register("j1")
    await moved(server, "j1", "processing", "generating")
    async with server.session.ws_connect(f"{server.url}/ws/j1?last_event_id=1") as socket_:
        assert [number_of((await socket_.receive_json())["id"]) for _ in range(2)] == [2, 3]
    header = {"Last-Event-ID": "2"}
    async with server.session.ws_connect(f"{server.url}/ws/j1?last_event_id=1", headers=header) as socket_:
        assert number_of((await socket_.receive_json())["id"]) == 3  # the header wins
    async with server.session.ws_connect(f"{server.url}/ws/j1?last_event_id=77") as socket_:
        assert await socket_.receive_json() == {"id": None, "event": "reset", "data": {}}
        assert number_of((await socket_.receive_json())["id"]) == 3


async def test_websocket_of_a_finished_job_ends_after_its_state(database_url: str) -> None:
    async with running(database_url, stream_end_completed=0.1) as server:
        await server.register("j1")
        async with server.session.ws_connect(f"{server.url}/ws/j1") as socket_:
            await socket_.receive_json()
            await server.send(completion("j1", video("k")))
            assert (await socket_.receive_json())["event"] == "completed"
            assert (await socket_.receive()).data == 1000


async def test_websocket_of_no_job_is_closed_with_4404(server: Client) -> None:
    async with server.session.ws_connect(f"{server.url}/ws/nobody") as socket_:
        assert (await socket_.receive()).data == 4404


async def test_websocket_of_a_strange_page_is_refused_before_the_upgrade(server: Client) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as error:
        await server.session.ws_connect(f"{server.url}/ws", origin="https://evil.example")
    assert error.value.status == 403
    async with server.session.ws_connect(f"{server.url}/ws", origin=server.url) as socket_:
        assert await socket_.receive()


async def test_websocket_answers_pings_and_is_pinged_itself(database_url: str) -> None:
    async with running(database_url, websocket_ping=0.3) as server:
        async with server.session.ws_connect(f"{server.url}/ws", autoping=False) as socket_:
            await socket_.receive()
            await socket_.ping(b"hello")
            assert (await socket_.receive()).data == b"hello"
            assert (await socket_.receive(timeout=5)).type is aiohttp.WSMsgType.PING


async def test_websocket_is_pinged_also_while_there_is_much_to_tell(database_url: str) -> None:
    async with running(database_url, websocket_ping=0.6) as server:
        await server.register("j1")
        async with server.session.ws_connect(f"{server.url}/ws/j1", autoping=False) as socket_:
            async with asyncio.timeout(5):
                while (await socket_.receive()).type is not aiohttp.WSMsgType.PING:
                    await moved(server, "j1", "generating")


async def test_websocket_that_answers_no_ping_is_dropped(database_url: str) -> None:
    async with running(database_url, websocket_ping=0.2) as server:
        async with server.session.ws_connect(f"{server.url}/ws", autoping=False) as socket_:
            async with asyncio.timeout(8):
                while (message := await socket_.receive()).type is not aiohttp.WSMsgType.CLOSE:
                    pass
            assert message.data == 4408


@pytest.mark.parametrize("frame", [b"\x81\xfe\xff\xff" + b"\0" * 70000, b"\xff\xff\xff\xff", b"\x83\x80\0\0\0\0"])
async def test_rubbish_over_websocket_ends_only_that_client(server: Client, frame: bytes) -> None:
    await server.register("j1")
    async with server.session.ws_connect(f"{server.url}/ws/j1") as good:
        await good.receive_json()
        async with server.session.ws_connect(f"{server.url}/ws/j1") as bad:
            await bad.receive_json()
            with suppress(ConnectionError):
                bad._writer.transport.write(frame)
            async with asyncio.timeout(5):
                while len(server.app[HUB]) > 1:
                    await asyncio.sleep(0.02)
        await moved(server, "j1", "generating")
        assert (await good.receive_json())["data"]["progress"] == 50


async def test_plain_request_to_a_websocket_is_told_to_upgrade(server: Client) -> None:
    code, body = await server.read("/ws")
    assert (code, body["code"]) == (426, "upgrade_required")


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
        assert [row[0] for row in sql("SELECT id FROM rushes_events ORDER BY id")] == list(range(1, until + 1))
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


async def test_event_larger_than_the_buffer_drops_nobody_who_reads(database_url: str) -> None:
    async with running(database_url, stream_max_buffer=1024) as server:
        await server.register("j1")
        async with server.session.ws_connect(f"{server.url}/ws/j1", max_msg_size=0) as socket_:
            await socket_.receive()
            files = [video(f"k{n}", file_url=f"https://a/{n}/" + "x" * 8000) for n in range(100)]
            assert (await server.send(completion("j1", *files)))[0] == 200
            message = await socket_.receive_json()
            assert (message["event"], message["data"]["num_videos"]) == ("completed", 100)
            assert 25 < len(message["data"]["videos"]) < 33
            assert (await socket_.receive()).data == 1000


async def test_refusals_say_what_http_asks_them_to_say(database_url: str) -> None:
    async with running(database_url, webhook_secret="hush", auth_jwt_secret="s" * 32) as server:
        async with server.session.get(f"{server.url}/api/videos/user") as answer:
            assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        async with server.session.get(f"{server.url}/ws/j1") as answer:
            assert (answer.status, answer.headers["Upgrade"]) == (426, "websocket")


async def test_nothing_of_how_a_stream_began_is_kept_for_it(server: Client) -> None:
    gc.collect()
    gc.disable()  # what is left must go by itself
    try:
        async with server.events() as source:
            await source.next()
            left = [one for one in gc.get_objects() if isinstance(one, EventStream | web.Request)]
            assert left == []
            assert not [task for task in asyncio.all_tasks() if "_ping" in repr(task.get_coro())]
    finally:
        gc.enable()
