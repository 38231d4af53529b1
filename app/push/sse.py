"""Server-Sent Events over aiohttp."""

import asyncio
import contextlib
import random
import socket
import sys

from aiohttp import web
from aiohttp.http import HttpVersion11

from app.push.frames import Wire
from app.push.hub import Closing, Subscriber

HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}

# Without it the kernel hides megabytes of a frozen client's backlog from the limits below it.
_SEND_BUFFER = 64 * 1024
_USER_TIMEOUT_MS = 30_000

# Seconds for a client to take what waits for it at the end.
_LAST_WORDS = 5.0


def bound_socket(request: web.Request) -> None:
    """Makes the kernel keep little for this client, and give it up when it does not answer."""
    transport = request.transport
    sock = None if transport is None else transport.get_extra_info("socket")
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        if sys.platform == "linux":
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)


def wire_of(request: web.Request) -> Wire:
    return Wire.CHUNKED if request.version >= HttpVersion11 else Wire.PLAIN


async def open_stream(request: web.Request, headers: dict[str, str]) -> web.StreamResponse:
    """An answer that has sent its headers, a comment and a jittered `retry:`."""
    response = web.StreamResponse(headers=HEADERS | headers)
    await response.prepare(request)
    retry = random.randint(2000, 5000)  # noqa: S311 - spreads reconnects, guards nothing
    await response.write(b": rushes\n\nretry: %d\n\n" % retry)
    return response


async def end_stream(response: web.StreamResponse, subscriber: Subscriber, why: Closing) -> None:
    """Ends the answer properly where the client reads, else cuts it off."""
    waiting = not subscriber.transport.is_closing() and subscriber.transport.get_write_buffer_size()
    if why in (Closing.GONE, Closing.SLOW) or (why is Closing.SHUTDOWN and waiting):
        subscriber.transport.abort()
        return
    try:
        async with asyncio.timeout(_LAST_WORDS):
            await response.write_eof()
    except (ConnectionError, TimeoutError):
        subscriber.transport.abort()
