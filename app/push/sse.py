"""Server-Sent Events: how such an answer begins."""

import random

from aiohttp import web
from aiohttp.http import HttpVersion11

from app.push.frames import Wire

HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}


def wire_of(request: web.Request) -> Wire:
    return Wire.CHUNKED if request.version >= HttpVersion11 else Wire.PLAIN


async def open_stream(request: web.Request, headers: dict[str, str]) -> None:
    """Sends the headers, a comment and a jittered `retry:`. The connection is for this answer alone."""
    response = web.StreamResponse(headers=HEADERS | headers)
    response.force_close()
    await response.prepare(request)
    retry = random.randint(2000, 5000)  # noqa: S311 - spreads reconnects, guards nothing
    await response.write(b": rushes\n\nretry: %d\n\n" % retry)
