"""The way out over WebSocket: the same events, and what only a socket of two ways has."""

import asyncio
import time
from contextlib import suppress

import aiohttp
import pytest

from app.appkeys import HUB
from app.push.subscriber import Closing
from tests.client import Client, moved, running
from tests.streams import events, number_of
from tests.webhooks import completion, video


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


async def test_websocket_is_asked_before_it_is_dropped_however_long_the_server_stood_still(database_url: str) -> None:
    async with running(database_url, websocket_ping=30) as server:
        async with server.session.ws_connect(f"{server.url}/ws", autoping=False) as socket_:
            assert (await socket_.receive()).type is aiohttp.WSMsgType.TEXT
            (subscriber,) = server.app[HUB]._open
            later = time.monotonic() + 3600
            subscriber.keep_alive(later)
            subscriber.keep_alive(later + 29)
            assert (await socket_.receive()).type is aiohttp.WSMsgType.PING
            assert subscriber.why is None
            subscriber.keep_alive(later + 31)
            assert subscriber.why is Closing.SLOW


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
