"""Server-Sent Events: how such an answer begins."""

import random
from typing import Any

from aiohttp import web
from aiohttp.http import HttpVersion11
from aiohttp_sse import EventSourceResponse

from app.push.frames import Framing

HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}


def wire_of(request: web.Request) -> Framing:
    return Framing.CHUNKED if request.version >= HttpVersion11 else Framing.PLAIN


class EventStream(EventSourceResponse):
    """How a stream begins, until the hub takes its socket over: with our headers, and no ping of its own.

    `dead_after` is in seconds, as `Limits` has it.
    """

    def __init__(self, headers: dict[str, str], dead_after: float) -> None:
        super().__init__(sep="\n", send_timeout=dead_after)
        del self.headers["Connection"]  # it is for this answer alone, and says so
        self.headers.update(HEADERS | headers)
        self.force_close()

    async def _ping(self) -> None:
        """Ends at once: heartbeats are the hub's, for all streams in one task. One that was cancelled instead would be
        kept by the response, and the response by it, until the collector of garbage comes by."""


class Tail(EventSourceResponse):
    """A stream of aiohttp-sse's own, with its pings, and with our headers."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        del self.headers["Connection"]
        self.headers.update(HEADERS)
        self.force_close()


async def open_stream(request: web.Request, headers: dict[str, str], dead_after: float, comment: str) -> None:
    """Sends the headers, the comment and a jittered `retry:`. Raises ConnectionResetError when the client has gone."""
    if request.transport is None:  # aiohttp-sse takes it for granted
        raise ConnectionResetError
    response = EventStream(headers, dead_after)
    await response.prepare(request)
    await response.write(_greeting(comment))


def later(code: str, headers: dict[str, str]) -> web.Response:
    """An answer instead of a stream that cannot be opened now: the reason as a comment, when to come back, and the end.

    Without an id, the client goes on from where it was. An EventSource gives up for good on any other status.
    """
    return web.Response(body=_greeting(f"later {code}"), headers=HEADERS | headers)


def _greeting(comment: str) -> bytes:
    retry = random.randint(2000, 5000)  # noqa: S311 - spreads reconnects, guards nothing
    return b": %b\n\nretry: %d\n\n" % (comment.encode(), retry)
