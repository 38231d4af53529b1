"""Clients that take their time, or come in masses."""

import asyncio
import itertools
import re
import socket
import sys
import time
from typing import Any, cast
from urllib.parse import urlsplit

import orjson
import pytest
from aiohttp import ClientSession, web
from pytest_aiohttp.plugin import AiohttpServer

from app.appkeys import UNPROVEN, UPLOADS
from app.server import _Connection
from app.shares import Shares
from tests.client import Client, running, slow_socket
from tests.databases import Sql
from tests.matching import found
from tests.sign_in import SECRET, bearer
from tests.webhooks import webhook


async def connected(server: Client) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    address = urlsplit(server.url)
    return await asyncio.open_connection(address.hostname, address.port)


async def told(reader: asyncio.StreamReader) -> tuple[int | None, str | None]:
    """(status, code) of the answer at the end of the connection; None of silence."""
    async with asyncio.timeout(5):
        answer = await reader.read()
    if not answer:
        return None, None
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), orjson.loads(body)["code"]


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"", (None, None)),
        (b"GET / HTTP/1.1\r\nHost: ", (408, "timeout")),
    ],
)
async def test_client_that_sends_no_request_is_closed(
    database_url: str, sent: bytes, answer: tuple[int | None, str | None]
) -> None:
    async with running(database_url, header_timeout=0.2) as server:
        reader, writer = await connected(server)
        writer.write(sent)
        assert await told(reader) == answer
        writer.close()


async def test_headers_a_byte_at_a_time_do_not_buy_time_and_who_goes_on_sending_can_read_why(database_url: str) -> None:
    async with running(database_url, header_timeout=0.2) as server:
        reader, writer = await connected(server)
        answer = asyncio.create_task(told(reader))
        for byte in itertools.chain(b"GET /healthz HTTP/1.1\r\nHost: h\r\nX: ", itertools.repeat(ord("x"))):
            writer.write(bytes([byte]))
            if (await asyncio.wait({answer}, timeout=0.02))[0]:
                break
        assert answer.result() == (408, "timeout")
        writer.close()


async def test_idle_connection_may_send_its_next_request_later_but_not_slowly(database_url: str) -> None:
    async with running(database_url, header_timeout=0.2) as server:
        reader, writer = await connected(server)
        for _ in range(2):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
            assert (await reader.readuntil(b'"alive"}')).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(0.5)  # idle for longer than a head may take: that is what is tried here
        writer.write(b"GET /healthz HT")
        assert await told(reader) == (408, "timeout")
        writer.close()


async def test_idle_connection_is_closed_after_a_while(database_url: str) -> None:
    async with running(database_url, keep_alive=0.2) as server:
        reader, writer = await connected(server)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
        async with asyncio.timeout(5):
            assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_long_request_is_not_cut_short(database_url: str) -> None:
    async with running(database_url, header_timeout=0.2, body_timeout=5) as server:
        reader, writer = await connected(server)
        body = b'{"prompt": "the sea"}'
        writer.write(b"POST /api/videos HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n")
        writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body[:5])
        await asyncio.sleep(0.6)  # a body may take longer than a head
        writer.write(body[5:])
        async with asyncio.timeout(5):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 201")
        writer.close()


async def test_connections_beyond_the_limit_are_told_and_streams_do_not_count(database_url: str) -> None:
    async with running(database_url, max_http_connections=3) as server:
        streams = []
        for _ in range(6):
            reader, writer = await connected(server)
            streams.append((reader, writer))
            writer.write(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert b" 200 " in await reader.readuntil(b"id: 0-0\n\n")
        idle = [await connected(server) for _ in range(3)]
        late, late_writer = await connected(server)
        assert await told(late) == (503, "too_many_connections")
        idle[0][1].close()
        await idle[0][1].wait_closed()
        assert (await server.read("/healthz"))[0] == 200
        for _, writer in [*streams, *idle, (late, late_writer)]:
            writer.close()


@pytest.mark.parametrize(
    ("path", "is_stream"),
    [("/events", True), ("/events/j1?ticket=x", True), ("/eventsx", False), ("/api/videos/user?/events", False)],
)
async def test_stream_beyond_the_limit_of_connections_is_told_to_come_later(
    database_url: str, path: str, is_stream: bool
) -> None:
    async with running(database_url, max_http_connections=1, cors_origins="https://shop.example") as server:
        idle = await connected(server)
        late, late_writer = await connected(server)
        head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\norigin: https://shop.example\r\n\r\n".encode()
        late_writer.write(head[:9])
        await late_writer.drain()
        late_writer.write(head[9:])
        async with asyncio.timeout(5):
            answer = await late.read()
        if is_stream:
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"\r\nContent-Type: text/event-stream\r\n" in answer
            assert b"\r\nAccess-Control-Allow-Origin: https://shop.example\r\n" in answer
            assert re.search(rb"\r\n\r\n: later too_many_connections\n\nretry: [2-5]\d{3}\n\n$", answer)
        else:
            assert answer.startswith(b"HTTP/1.1 503 ")
        for _, writer in [idle, (late, late_writer)]:
            writer.close()


async def test_webhook_of_too_many_values_is_refused_and_kept_and_an_order_is_refused(server: Client, sql: Sql) -> None:
    await server.register("j1")
    many: dict[str, Any] = {"x": [{}] * 200_000}
    code, body = await server.send(webhook("j1", "generating") | many)
    assert (code, body["code"], "50000 values" in body["error"]) == (400, "invalid_payload", True)
    assert sql("SELECT job_id, outcome FROM rushes_webhooks WHERE id = %s", body["webhook_id"]) == (("j1", "dead"),)
    async with server.session.post(f"{server.url}/api/videos", json={"prompt": "the sea"} | many) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "invalid_request")


# -- What one user or a stranger holds


LONG = 1_000_000
SIGNING = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


async def begun(
    server: Client, path: str, headers: dict[str, str], sent: int = LONG
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request whose body lacks its last byte."""
    reader, writer = await connected(server)
    lines = {"Host": "h", "Content-Type": "application/json", "Content-Length": str(LONG + 1)} | headers
    writer.write(f"POST {path} HTTP/1.1\r\n".encode() + "".join(f"{k}: {v}\r\n" for k, v in lines.items()).encode())
    writer.write(b"\r\n" + b" " * sent)
    await writer.drain()
    return reader, writer


def made_up() -> dict[str, str]:
    return {"webhook-id": "m", "webhook-timestamp": str(int(time.time())), "webhook-signature": "v1,bm9uZQ=="}


async def answered(reader: asyncio.StreamReader) -> tuple[int, str]:
    """The same of an answer after which the connection stays: the rest of the body may still come."""
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(int(found(rb"Content-Length: (\d+)", head)[1]))
    return int(head.split()[1]), orjson.loads(body)["code"]


async def held(server: Client, key: web.AppKey[Shares], least: int) -> None:
    async with asyncio.timeout(10):
        while server.app[key]._total < least:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("path", ["/api/videos", "/api/webhooks/video-completion"])
async def test_bodies_that_nobody_vouches_for_share_a_budget_and_a_known_sender_is_not_refused_by_it(
    database_url: str, path: str
) -> None:
    settings = {"webhook_secret": SIGNING, "trusted_proxies": "127.0.0.0/8", "max_unproven_bytes": 8 * 1024 * 1024}
    async with running(database_url, **settings, max_image_body_bytes=LONG + 1) as server:
        strangers = [await begun(server, path, made_up() | {"X-Forwarded-For": f"192.0.2.{n // 2}"}) for n in range(8)]
        await held(server, UNPROVEN, 8 * LONG)
        of_one = await begun(server, path, made_up() | {"X-Forwarded-For": "192.0.2.0"})
        assert await answered(of_one[0]) == (429, "too_much_unproven")
        another = await begun(server, path, made_up() | {"X-Forwarded-For": "192.0.2.99"})
        assert await answered(another[0]) == (503, "too_much_unproven")
        known = await begun(server, path, {"X-Webhook-Secret": SIGNING})
        known[1].write(b"!")
        assert await answered(known[0]) in [(400, "invalid_request"), (400, "invalid_payload")]
        for _, writer in [*strangers, of_one, another, known]:
            writer.close()
        await held_nothing(server, UNPROVEN)


async def held_nothing(server: Client, key: web.AppKey[Shares]) -> None:
    async with asyncio.timeout(10):
        while server.app[key]._total or server.app[key]._held:
            await asyncio.sleep(0.01)


async def test_bodies_of_one_user_are_bounded_and_those_of_others_go_on(database_url: str) -> None:
    settings = {"auth_jwt_secret": SECRET, "max_upload_bytes_per_user": 2 * 1024 * 1024}
    async with running(database_url, **settings, max_image_body_bytes=LONG + 1) as server:
        mine = [await begun(server, "/api/videos", bearer("u1")) for _ in range(2)]
        await held(server, UPLOADS, 2 * LONG)
        for path in ("/api/videos", "/api/videos/generate"):
            more = await begun(server, path, bearer("u1"))
            assert await answered(more[0]) == (429, "too_much_uploaded")
            more[1].close()
        other = await begun(server, "/api/videos", bearer("u2"))
        other[1].write(b"!")
        assert await answered(other[0]) == (400, "invalid_request")
        for _, writer in [*mine, other]:
            writer.close()
        await held_nothing(server, UPLOADS)


async def test_slow_orders_of_one_user_do_not_fail_those_of_another(
    aiohttp_server: AiohttpServer, database_url: str
) -> None:
    """The backend says nothing to the one; more of his than a session of aiohttp has connections are under way."""
    asked, gate = [], asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        order = await request.json()
        asked.append(order["user_id"])
        if order["user_id"] == "u1":
            await gate.wait()
        return web.json_response({})

    backend = web.Application()
    backend.router.add_post("/api/videos/generate", slow)
    settings = {"auth_jwt_secret": SECRET, "max_orders_per_user": 110, "generator_timeout": 20}
    started = await aiohttp_server(backend)
    async with (
        running(database_url, generator_url=str(started.make_url("/")), **settings) as server,
    ):

        async def order(user: str) -> tuple[int, str | None]:
            url = f"{server.url}/api/videos/generate"
            async with ClientSession() as session:
                async with session.post(url, json={"prompt": "the sea"}, headers=bearer(user)) as answer:
                    return answer.status, (await answer.json()).get("code")

        of_one: list[asyncio.Task[tuple[int, str | None]]] = []
        async with asyncio.timeout(60):
            while len(asked) < 110:
                if len(of_one) < min(len(asked) + 5, 110):  # one after the other they are registered
                    of_one.append(asyncio.create_task(order("u1")))
                await asyncio.sleep(0.005)
        assert await order("u1") == (429, "too_many_orders")
        assert await order("u2") == (202, None)
        gate.set()
        assert {await one for one in of_one} == {(202, None)}
        assert await order("u1") == (202, None)


# -- Answers that nobody reads, and crowds of one address


async def unread(server: Client, requests: int = 400) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client that asks for more than the kernel keeps, and reads nothing."""
    reader, writer = await asyncio.open_connection(sock=await slow_socket(server), limit=4096)
    writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: h\r\n\r\n" * requests)
    return reader, writer


def connections(server: Client) -> list[_Connection]:
    return [cast("_Connection", one) for one in server.server.handler.connections]


async def test_client_that_takes_nothing_of_its_answers_is_cut_off(database_url: str) -> None:
    async with running(database_url, response_stall=0.3) as server:
        _, writer = await unread(server)
        async with asyncio.timeout(10):
            while not any(one.transport and one.transport.get_write_buffer_size() for one in connections(server)):
                await asyncio.sleep(0.01)
            while connections(server):
                await asyncio.sleep(0.01)
        writer.transport.abort()


async def test_client_that_reads_slowly_has_all_of_its_answers(database_url: str) -> None:
    async with running(database_url, response_stall=1.0) as server:
        async with server.get("/openapi.json") as answer:
            size = len(await answer.read())
        began = time.monotonic()
        reader, writer = await unread(server, requests=30)
        found = 0
        async with asyncio.timeout(60):
            while found < 30:
                found += (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
                await reader.readexactly(size)
                await asyncio.sleep(0.08)  # together, longer than one that stands still may take
        assert time.monotonic() - began > 2
        writer.close()


async def test_kernel_keeps_little_for_any_connection_and_gives_up_those_whose_machine_is_silent(
    database_url: str,
) -> None:
    async with running(database_url, stream_dead_after=7) as server:
        _, writer = await connected(server)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
        async with asyncio.timeout(5):
            while not connections(server):
                await asyncio.sleep(0.01)
        (sock,) = [one.transport.get_extra_info("socket") for one in connections(server) if one.transport]
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 2 * 64 * 1024  # Linux doubles it
        if sys.platform == "linux":
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7000
        writer.close()


def own_address() -> str:
    """One of this machine's that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return str(sock.getsockname()[0])


@pytest.mark.parametrize("proxy", [False, True])
async def test_connections_of_one_address_are_bounded_unless_it_is_a_trusted_proxy(
    database_url: str, proxy: bool
) -> None:
    address = own_address()
    settings = {"max_http_connections_per_address": 3} | ({"trusted_proxies": f"{address}/32"} if proxy else {})
    async with running(database_url, at=address, **settings) as server:
        port = urlsplit(server.url).port
        assert port is not None
        idle = [await asyncio.open_connection(address, port) for _ in range(3)]
        late, late_writer = await asyncio.open_connection(address, port)
        late_writer.write(b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(5):
            answer = await late.read()
        assert answer.startswith(b"HTTP/1.1 200" if proxy else b"HTTP/1.1 429")
        assert proxy or (b"Retry-After: " in answer and b'"too_many_connections"' in answer)
        idle[0][1].close()
        await idle[0][1].wait_closed()
        async with asyncio.timeout(5):
            while not await is_alive(address, port):
                await asyncio.sleep(0.05)
        for _, writer in [*idle, (late, late_writer)]:
            writer.close()


async def is_alive(address: str, port: int) -> bool:
    reader, writer = await asyncio.open_connection(address, port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer.startswith(b"HTTP/1.1 200")


async def test_connections_from_this_machine_are_not_counted_by_address(database_url: str) -> None:
    async with running(database_url, max_http_connections_per_address=1) as server:
        idle = [await connected(server) for _ in range(5)]
        assert (await server.read("/healthz"))[0] == 200
        for _, writer in idle:
            writer.close()


async def test_body_a_byte_at_a_time_does_not_buy_time(database_url: str) -> None:
    async with running(database_url, body_timeout=0.3) as server:
        reader, writer = await begun(server, "/api/videos", {"Host": "127.0.0.1"}, sent=1)
        answer = asyncio.create_task(answered(reader))
        while not (await asyncio.wait({answer}, timeout=0.02))[0]:
            writer.write(b" ")
        assert answer.result() == (408, "too_slow")
        writer.close()
