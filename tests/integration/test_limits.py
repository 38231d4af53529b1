"""Clients that take their time, or come in masses."""

import asyncio
from urllib.parse import urlsplit

import orjson
import pytest

from tests.conftest import running
from tests.webhooks import webhook


async def connected(server) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
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
async def test_client_that_sends_no_request_is_closed(database_url, sent, answer):
    async with running(database_url, header_timeout=0.2) as server:
        reader, writer = await connected(server)
        writer.write(sent)
        assert await told(reader) == answer
        writer.close()


async def test_headers_a_byte_at_a_time_do_not_buy_time_and_who_goes_on_sending_can_read_why(database_url):
    async with running(database_url, header_timeout=0.2) as server:
        reader, writer = await connected(server)
        for byte in b"GET /healthz HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 20:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.02)  # together, several times what a head may take
        assert await told(reader) == (408, "timeout")
        writer.close()


async def test_idle_connection_may_send_its_next_request_later_but_not_slowly(database_url):
    async with running(database_url, header_timeout=0.2) as server:
        reader, writer = await connected(server)
        for _ in range(2):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
            assert (await reader.readuntil(b'"alive"}')).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(0.5)  # idle for longer than a head may take: that is what is tried here
        writer.write(b"GET /healthz HT")
        assert await told(reader) == (408, "timeout")
        writer.close()


async def test_idle_connection_is_closed_after_a_while(database_url):
    async with running(database_url, keep_alive=0.2) as server:
        reader, writer = await connected(server)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
        async with asyncio.timeout(5):
            assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_long_request_is_not_cut_short(database_url):
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


async def test_connections_beyond_the_limit_are_told_and_streams_do_not_count(database_url):
    async with running(database_url, max_http_connections=3) as server:
        streams = []
        for _ in range(6):
            reader, writer = await connected(server)
            streams.append((reader, writer))
            writer.write(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert b" 200 " in await reader.readuntil(b"id: 0\n\n")
        idle = [await connected(server) for _ in range(3)]
        late, late_writer = await connected(server)
        assert await told(late) == (503, "too_many_connections")
        idle[0][1].close()
        await idle[0][1].wait_closed()
        assert (await server.get("/healthz"))[0] == 200
        for _, writer in [*streams, *idle, (late, late_writer)]:
            writer.close()


async def test_webhook_of_too_many_values_is_refused_and_kept_and_an_order_is_refused(server, sql):
    await server.register("j1")
    many = {"x": [{}] * 200_000}
    code, body = await server.post(webhook("j1", "generating") | many)
    assert (code, body["code"], "50000 values" in body["error"]) == (400, "invalid_payload", True)
    assert sql("SELECT job_id, outcome FROM rushes_webhooks WHERE id = %s", body["webhook_id"]) == (("j1", "dead"),)
    async with server.session.post(f"{server.url}/api/videos", json={"prompt": "the sea"} | many) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "invalid_request")
