"""Clients who leave while they are being answered: that is no error of ours."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from app.appkeys import POOL
from tests.client import WEBHOOKS, Client, OwnServer, slow_socket
from tests.databases import Sql
from tests.rows import fill
from tests.waiting import until

UPGRADE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
BODY = "Content-Type: application/json\r\nContent-Length: 100\r\n"
CHUNKED = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
REQUESTS = {
    "stream": ("GET /events", ""),
    "stream of a job": ("GET /events/job-1", ""),
    "stream that comes back": ("GET /events", "Last-Event-ID: 1-00000000\r\n"),
    "WebSocket": ("GET /ws", UPGRADE),
    "WebSocket of a job": ("GET /ws/job-1", UPGRADE),
    "WebSocket of no job": ("GET /ws/job-0", UPGRADE),
    "list": ("GET /api/videos/user", ""),
    "job": ("GET /api/videos/job-1", ""),
    "no job": ("GET /api/videos/job-0", ""),
    "poll": ("GET /api/videos/job-1/status", ""),
    "act": ("POST /api/videos/job-1/cancel", ""),
    "dead letters": ("GET /api/admin/webhooks", ""),
}


class Handled:
    """A middleware that knows which requests are being handled."""

    def __init__(self) -> None:
        self.requests: list[web.Request] = []

    @property
    def middleware(self) -> Middleware:
        @web.middleware
        async def handled(request: web.Request, handler: Handler) -> web.StreamResponse:
            self.requests.append(request)
            try:
                return await handler(request)
            finally:
                self.requests.remove(request)

        return handled

    @property
    def unread(self) -> int:
        """Bytes of answers that wait for their clients to take them."""
        transports = [request.transport for request in self.requests]
        return sum(transport.get_write_buffer_size() for transport in transports if transport is not None)

    @property
    def left(self) -> bool:
        """Whether somebody is there who is answered although he has left."""
        return any(request.transport is None for request in self.requests)


@asynccontextmanager
async def watched(database_url: str) -> AsyncIterator[tuple[Client, Handled]]:
    own, handled = OwnServer(database_url, db_pool_size=1), Handled()
    own.app.middlewares.insert(0, handled.middleware)
    async with Client(own) as server:
        yield server, handled


async def ask(server: Client, line: str, headers: str) -> asyncio.StreamWriter:
    """A client that asks, and reads next to nothing."""
    address = urlsplit(server.url)
    _, writer = await asyncio.open_connection(sock=await slow_socket(server), limit=4096)
    writer.write(f"{line} HTTP/1.1\r\nHost: {address.netloc}\r\n{headers}\r\n".encode())
    return writer


@pytest.mark.parametrize("asked", REQUESTS)
async def test_who_leaves_while_the_database_is_read_for_him_is_no_error(
    database_url: str, capfd: pytest.CaptureFixture[str], asked: str
) -> None:
    async with watched(database_url) as (server, handled):
        await server.register("job-1")
        async with server.app[POOL].connection():  # the only one: whoever wants to read waits
            writer = await ask(server, *REQUESTS[asked])
            await until(lambda: handled.requests)
            writer.transport.abort()
            await until(lambda: handled.left)
        await until(lambda: not handled.requests)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("headers", "begun"),
    [(BODY, '{"prompt": "the'), (CHUNKED, '64\r\n{"prompt": "the')],
    ids=["with its length", "in chunks"],
)
@pytest.mark.parametrize("line", [f"POST {WEBHOOKS}", "POST /api/videos", "POST /api/videos/generate"])
async def test_who_leaves_in_the_middle_of_his_body_is_no_error(
    database_url: str, capfd: pytest.CaptureFixture[str], line: str, headers: str, begun: str
) -> None:
    async with watched(database_url) as (server, handled):
        writer = await ask(server, line, headers)
        writer.write(begun.encode())
        await until(lambda: handled.requests)
        writer.transport.abort()
        await until(lambda: not handled.requests)
    assert capfd.readouterr() == ("", "")


async def test_who_leaves_in_the_middle_of_a_long_answer_is_no_error(
    database_url: str, sql: Sql, capfd: pytest.CaptureFixture[str]
) -> None:
    fill(sql, 100, prompt="REPEAT('x', 30000)")
    async with watched(database_url) as (server, handled):
        writer = await ask(server, "GET /api/videos/user?limit=100", "")
        await until(lambda: handled.unread)
        writer.transport.abort()
        await until(lambda: not handled.requests)
    assert capfd.readouterr() == ("", "")
