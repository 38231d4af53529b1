"""What goes beside an answer: nobody keeps it, nobody guesses what it is, and it tells no versions."""

import asyncio
import re
from urllib.parse import urlsplit

import pytest
from multidict import CIMultiDictProxy

from tests.client import Client, running

ORIGIN = {"Origin": "https://friend.example"}
UPGRADE = (
    "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13"
    "\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
)


def as_json_answers(headers: CIMultiDictProxy[str]) -> None:
    assert headers["Content-Type"].startswith("application/json")
    assert headers["Cache-Control"] == "private, no-store"
    assert [name.strip() for name in ",".join(headers.getall("Vary")).split(",")] == [
        "Authorization",
        "Cookie",
        "Origin",
    ]
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("headers", [{}, ORIGIN])
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/videos/user", 200), ("GET", "/healthz", 200), ("GET", "/readyz", 200),
        ("GET", "/openapi.json", 200), ("GET", "/api/videos/nothing", 404), ("GET", "/nowhere", 404),
        ("DELETE", "/api/videos", 405), ("POST", "/api/videos", 415), ("GET", "/ws", 426),
        ("GET", "/events/nothing", 404), ("GET", "/static/nothing", 404), ("POST", "/api/stream-tickets", 409),
        ("GET", "/api/webhooks/video-completion", 200), ("POST", "/api/webhooks/video-completion", 415),
    ],
)  # fmt: skip
async def test_no_cache_keeps_an_answer_or_shows_it_to_somebody_else(
    database_url: str, headers: dict[str, str], method: str, path: str, status: int
) -> None:
    async with running(database_url, cors_origins="https://friend.example") as server:
        async with server.session.request(method, server.url + path, headers=headers) as answer:
            assert answer.status == status
            as_json_answers(answer.headers)
            assert answer.headers.get("Access-Control-Allow-Origin") == headers.get("Origin")


async def head_of(server: Client, sent: bytes) -> str:
    address = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(sent)
    try:
        async with asyncio.timeout(5):
            return (await reader.readuntil(b"\r\n\r\n")).decode()
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("GET / HTTP/1.1\r\nHost: ", 408), ("GET / HTTP/9.9\r\n\r\n", 400), ("rubbish\r\n\r\n", 400),
        ("GET /" + "x" * 9000 + " HTTP/1.1\r\n\r\n", 431), ("GET / HTTP/1.1\r\nHost: h\r\nExpect: x\r\n\r\n", 417),
    ],
)  # fmt: skip
async def test_what_is_no_request_is_answered_with_the_same_headers(database_url: str, sent: str, status: int) -> None:
    async with running(database_url, header_timeout=0.2) as server:
        head = await head_of(server, sent.encode())
        assert int(head.split()[1]) == status
        for line in (
            "Cache-Control: private, no-store",
            "Vary: Authorization, Cookie, Origin",
            "nosniff",
        ):
            assert line in head
        tells_no_version(head)


async def test_connection_beyond_the_limit_is_answered_with_the_same_headers(database_url: str) -> None:
    async with running(database_url, max_http_connections=1) as server:
        address = urlsplit(server.url)
        _, writer = await asyncio.open_connection(address.hostname, address.port)
        head = await head_of(server, b"")
        assert head.startswith("HTTP/1.1 503 ")
        assert "Cache-Control: private, no-store" in head
        writer.close()


def tells_no_version(head: str) -> None:
    server = re.findall(r"(?im)^server: *(.*?)\r?$", head)
    assert server in ([], ["rushes"]), head
    assert not re.search(r"(?i)aiohttp|python", head)


@pytest.mark.parametrize(
    "lines",
    [
        "GET / HTTP/1.1", "GET /docs HTTP/1.1", "GET /static/js/live.js HTTP/1.1", "GET /healthz HTTP/1.1",
        "GET /nowhere HTTP/1.1", "GET /events HTTP/1.1", "GET /events HTTP/1.0", "HEAD / HTTP/1.1",
        "OPTIONS /api/videos HTTP/1.1\r\nOrigin: https://friend.example\r\nAccess-Control-Request-Method: POST",
        "GET /ws HTTP/1.1" + UPGRADE, "GET /ws/nothing HTTP/1.1" + UPGRADE,
    ],
)  # fmt: skip
async def test_no_answer_tells_the_versions_of_what_serves_it(database_url: str, lines: str) -> None:
    async with running(database_url, cors_origins="https://friend.example") as server:
        tells_no_version(await head_of(server, f"{lines}\r\nHost: 127.0.0.1\r\n\r\n".encode()))


async def test_stream_is_kept_by_nobody_and_belongs_to_who_asked(server: Client) -> None:
    async with server.session.get(f"{server.url}/events") as answer:
        assert answer.headers["Cache-Control"] == "no-store, no-transform"
        assert answer.headers.getall("Vary") == ["Authorization, Cookie, Origin"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
