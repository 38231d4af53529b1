"""Requests that are not HTTP get the same form of error as all others, and an end."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest

from tests.client import Client, running


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"rubbish\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/9.9\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nbad header\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX-Long: " + b"x" * 9000 + b"\r\n\r\n", 431, "headers_too_large"),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 431, "headers_too_large"),
        (b"POST /api/videos HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nExpect: foo xxx\r\n\r\n", 417, "expectation_failed"),
        (b"GET /no HTTP/1.1\r\nHost: h\r\nConnection: close\r\nExpect: foo xxx\r\n\r\n", 417, "expectation_failed"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "bad_request"),  # somebody who expects TLS
    ],
)
async def test_request_that_cannot_be_read_is_told_so_in_our_form(
    server: Client, sent: bytes, status: int, code: str
) -> None:
    answered, told = await exchange(server, sent)
    assert (answered, told["code"]) == (status, code)
    assert "xxx" not in told["error"]
    assert "bad header" not in told["error"]


async def test_headers_may_be_as_long_as_is_wanted(database_url: str) -> None:
    async with running(database_url, max_header_bytes=16_000) as server:
        for sent in (
            b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-Long: %b\r\n\r\n",
            b"GET /healthz?x=%b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        ):
            assert (await exchange(server, sent % (b"x" * 15_900)))[0] == 200
            status, told = await exchange(server, sent % (b"x" * 16_001))
            assert (status, told["code"], "16,000 bytes" in told["error"]) == (431, "headers_too_large", True)


async def exchange(server: Client, sent: bytes) -> tuple[int, dict[str, Any]]:
    """The status and body of the answer to what is no request, or the last one of its connection."""
    address = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(sent)
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), orjson.loads(body)
