"""Subscribers: each holds the socket of one open stream, and is all that is kept for it.

A stream begins as a request to aiohttp, and is then taken over: aiohttp's parser, request, tasks and timer would
cost several times the memory of everything here, and have nothing to do while a client only listens.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from aiohttp import web

from app import sockets
from app.auth.tokens import Identity
from app.push.frames import LAST_CHUNK, Framing, heartbeat_frame

# A catch-up is paced by its reader, so it has no limit but this: seconds without taking anything at all.
_STALLED_AFTER = 60.0


class Closing(StrEnum):
    """Why a stream ended."""

    FINISHED = "finished"
    SLOW = "too slow"
    GONE = "gone"
    SHUTDOWN = "shutting down"
    EXPIRED = "token expired"
    MISSING = "no such job"
    NOT_WEBSOCKET = "not the WebSocket protocol"
    TOO_LONG = "message too long"
    TOO_MANY = "too many messages"


Owner = tuple[str, str | None]
"""Whose a job is: its author's, and an organization's if there is one."""

MaySee = Callable[[str, str | None], bool]


@dataclass(frozen=True, slots=True)
class Limits:
    """The same for all streams: seconds of silence until a heartbeat, seconds between two pings of a WebSocket, seconds
    after which a machine that acknowledges nothing is gone, and messages that a WebSocket client may send in a second.
    """

    heartbeat: float
    ping: float
    dead_after: float
    max_messages: int


class Subscriber(asyncio.Protocol):
    """One open SSE stream, of the job `job_id` or else of all jobs of `user_id`.

    `may_see` tells whether it may show what is a user's, and an organization's if that is not None. `owner` is whose
    the job was when it was last looked at; once it is somebody's whom it may not show, the stream is over.
    `who` is who listens, where that may change while he does.
    `floor` is the greatest event id that it has: nothing at or below it is written. `live` tells whether the hub
    writes to it; `epoch`, how often the hub had started over when it began; `on_lost` is called once its socket is
    closed. It ends at `expires_at`, and a job's stream at `ends_at`; times are of time.monotonic(). `why` tells
    how it ended; it is None before.
    """

    __slots__ = ("_drained", "_mark", "_paused", "_sent", "closing_at", "ends_at", "epoch", "expires_at", "floor",
                 "job_id", "limits", "live", "may_see", "on_lost", "owner", "touched_at", "transport", "user_id", "who",
                 "why", "wire")  # fmt: skip

    def __init__(
        self,
        limits: Limits,
        transport: asyncio.Transport,
        wire: Framing,
        user_id: str,
        job_id: str | None,
        may_see: MaySee,
        expires_at: float | None = None,
    ) -> None:
        self.limits = limits
        self.transport = transport
        self.on_lost: Callable[[Subscriber], None] = _nobody_cares
        self.epoch = 0
        self.wire = wire
        self.user_id = user_id
        self.job_id = job_id
        self.may_see = may_see
        self.owner: Owner | None = None
        self.who: Identity | None = None
        self.expires_at = expires_at
        self.ends_at: float | None = None
        self.closing_at: float | None = None
        self.touched_at = time.monotonic()
        self.floor = 0
        self.live = False
        self.why: Closing | None = None
        self._paused = False
        self._drained: asyncio.Future[None] | None = None
        self._sent = 0
        self._mark: tuple[float, int] | None = None

    def write(self, data: bytes) -> None:
        """Hands bytes to the socket, which keeps what the client does not take yet."""
        self._sent += len(data)
        try:  # noqa: SIM105 - a context manager costs as much as the rest of this
            self.transport.write(data)
        except RuntimeError:
            pass  # uvloop says so of a closed socket, asyncio does not; connection_lost tells in any case

    async def send(self, data: bytes) -> None:
        """Writes, and waits while the client has much to take. Raises ConnectionResetError when the stream is over,
        TimeoutError when the client takes nothing."""
        self.write(data)
        self.touched_at = time.monotonic()
        await self._until_resumed()

    async def until_taken(self) -> None:
        """Waits until the client has taken what was sent. Raises as `send` does."""
        if self.why is None:
            self.transport.set_write_buffer_limits(high=0)
            try:
                await self._until_resumed()
            finally:
                self.transport.set_write_buffer_limits()

    async def _until_resumed(self) -> None:
        if self._paused and self.why is None:
            self._drained = asyncio.get_running_loop().create_future()
            async with asyncio.timeout(_STALLED_AFTER):
                await self._drained
        if self.why is not None:
            raise ConnectionResetError

    def waiting(self) -> int:
        """Bytes that the client has not taken."""
        return self.transport.get_write_buffer_size()

    def lags(self, now: float, longest: float) -> bool:
        """Whether the oldest byte that waits has waited too long. Asked again and again, it finds out."""
        waiting = self.waiting()
        if not waiting:
            self._mark = None
            return False
        taken = self._sent - waiting
        if self._mark is None or taken >= self._mark[1]:
            # All that waited at the mark has gone; what waits now is younger than the mark.
            self._mark = (now, self._sent)
            return False
        return now - self._mark[0] > longest

    def keep_alive(self, now: float) -> None:
        """Writes something into a silence."""
        if now - self.touched_at >= self.limits.heartbeat:
            self.write(heartbeat_frame(self.wire))
            self.touched_at = now

    def close(self, why: Closing) -> None:
        """Ends the stream: properly where the client reads, else it is cut off."""
        if self.why is not None:
            return
        self.why = why
        self.closing_at = time.monotonic()
        self.live = False
        self._wake()
        self._say_goodbye(why)

    def _say_goodbye(self, why: Closing) -> None:
        if why in (Closing.GONE, Closing.SLOW) or (why is Closing.SHUTDOWN and self.waiting()):
            self.transport.abort()
            return
        if self.wire is Framing.CHUNKED:
            self.write(LAST_CHUNK)
        self.transport.close()

    def _wake(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    # What the event loop calls.

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - gone is gone
        self.on_lost(self)
        if self.why is None:
            self.why = Closing.GONE
        self._wake()

    def data_received(self, data: bytes) -> None:
        """Nothing that comes over a stream's connection is a request any more."""

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._wake()


def _nobody_cares(_: Subscriber) -> None:
    """Until the hub expects it."""


def take_over(request: web.Request, subscriber: Subscriber) -> None:
    """From now on the request's socket is the subscriber's alone. Raises ConnectionResetError when it is closed.

    aiohttp is told that it has lost the connection, which it then forgets. What the handler returns goes nowhere.
    """
    aiohttps, transport = request.protocol, subscriber.transport
    if aiohttps.transport is None:
        raise ConnectionResetError
    if aiohttps.writing_paused:
        subscriber.pause_writing()
    transport.set_protocol(subscriber)
    aiohttps.transport = None  # or it would close the socket
    aiohttps.connection_lost(None)
    sockets.bound(transport, subscriber.limits.dead_after)
