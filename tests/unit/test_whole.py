"""An answer in one write is, byte for byte, what aiohttp makes of it."""

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

import app.server  # noqa: F401 - it names the server in aiohttp's answers
from app.routes.whole import JSON_HEADERS, SERVER, WholeAnswer

BODY = b'{"success":true,"message":"\xc3\xa9"}'


async def head_and_body(at: TestServer, request: bytes) -> tuple[list[bytes], bytes]:
    """Of all that is answered until the connection ends, or nothing more comes; lines of the head in one order."""
    reader, writer = await asyncio.open_connection(at.host, at.port)
    writer.write(request)
    head, _, rest = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n\r\n")
    lines = sorted(line for line in head.split(b"\r\n") if not line.startswith(b"Date: "))
    assert len(lines) == head.count(b"\r\n"), "one date"
    if not request.startswith(b"HEAD"):
        rest += await reader.readexactly(len(BODY))
    if b"Connection: close" in lines or (b"HTTP/1.0" in request and b"Connection: keep-alive" not in lines):
        rest += await reader.read()
    writer.close()
    return lines, rest


@pytest.fixture
async def both() -> AsyncIterator[TestServer]:
    def answer(request: web.Request) -> web.Response:
        status = int(request.query.get("status", 200))
        if request.path == "/whole":
            made: web.Response = WholeAnswer(BODY, status)
        else:
            made = web.Response(body=BODY, status=status, headers=JSON_HEADERS)
        if "also" in request.query:
            made.headers["Retry-After"] = "5"
        if "instead" in request.query:
            made.headers["Cache-Control"] = "no-cache"
        if "closes" in request.query:
            made.force_close()
        return made

    async def handler(request: web.Request) -> web.Response:
        return answer(request)

    app = web.Application()
    app.router.add_get("/whole", handler)
    app.router.add_get("/stock", handler)
    at = TestServer(app)
    await at.start_server()
    yield at
    await at.close()


@pytest.mark.parametrize("query", ["", "?status=202", "?also", "?instead", "?also&status=503", "?closes"])
async def test_answer_is_what_aiohttp_makes_of_it(both: TestServer, query: str) -> None:
    versions = (b"HTTP/1.1\r\nHost: x", b"HTTP/1.0\r\nHost: x")
    connections = (b"", b"\r\nConnection: close", b"\r\nConnection: keep-alive")
    for method, version, connection in itertools.product((b"GET", b"HEAD"), versions, connections):
        whole, stock = [
            await head_and_body(both, b"%b /%b%b %b%b\r\n\r\n" % (method, path, query.encode(), version, connection))
            for path in (b"whole", b"stock")
        ]
        assert whole == stock
        assert f"Server: {SERVER}".encode() in whole[0]


async def test_requests_in_one_piece_are_answered_one_after_the_other(both: TestServer) -> None:
    reader, writer = await asyncio.open_connection(both.host, both.port)
    writer.write(b"GET /whole HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
    for _ in range(3):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        assert await reader.readexactly(len(BODY)) == BODY
    writer.close()


async def test_whoever_looks_sees_the_headers_and_that_it_is_on_its_way(both: TestServer) -> None:
    answer = WholeAnswer(BODY, 200)
    assert {name: answer.headers[name] for name in JSON_HEADERS} == JSON_HEADERS
    assert (answer.content_type, answer.prepared, answer.keep_alive) == ("application/json", False, None)
