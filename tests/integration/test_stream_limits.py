"""Streams that are one too many, or that nobody reads, and what they cost the others: nothing."""

import asyncio
import gc
import socket
from typing import NoReturn

import pytest
from aiohttp import web

from app.appkeys import HUB, STREAMS
from app.push.sse import EventStream
from tests.client import Client, running, slow_socket
from tests.databases import Sql
from tests.streams import Event, events, later
from tests.webhooks import completion, video, webhook


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
    raw = await slow_socket(server)
    await asyncio.get_running_loop().sock_sendall(raw, f"GET {path} HTTP/1.1\r\nHost: {server.host}\r\n\r\n".encode())
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
