"""Requests that are not HTTP get the same form of error as all others, and an end."""

import asyncio
from urllib.parse import urlsplit

import orjson
import pytest


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
async def test_request_that_cannot_be_read_is_told_so_in_our_form(server, sent, status, code):
    address = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(sent)
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] == b"%d" % status, answer
    told = orjson.loads(body)
    assert told["code"] == code
    assert "xxx" not in told["error"]
    assert "bad header" not in told["error"]
