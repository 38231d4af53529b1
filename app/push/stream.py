"""One stream, from its snapshot or replay to live: what both transports share.

The subscriber joins the hub in the same turn of the loop in which it has everything up to the follower's
last id. So nothing falls between replay and live, and nothing is kept for it meanwhile: what it misses
while it is replayed is read from the log again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from app.push.follower import Follower, LogReader
from app.push.frames import RESET, WS_RESET, Wire, sse_id, sse_text, websocket_id, websocket_text
from app.push.hub import Closing, Hub, Subscriber
from app.wire import LogEvent

log = structlog.get_logger(__name__)

_REPLAY = 200
# A replay is paced by its reader, so it has no limit but this: seconds without taking anything at all.
_STALLED_AFTER = 60.0

Send = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """State at the log's `head`. `moved_ago` tells how long a job stream's job has been in its state, in seconds."""

    head: int
    events: list[LogEvent]
    moved_ago: float = 0.0


@dataclass(frozen=True, slots=True)
class Scope:
    """What a stream shows: its channel, the same as a filter of the log, and its present state."""

    channel: str
    snapshot: Callable[[], Awaitable[Snapshot]]
    job_id: str | None = None
    author_id: str | None = None

    def has(self, event: LogEvent) -> bool:
        return event.job_id == self.job_id or (self.job_id is None and event.author_id == self.author_id)


async def resume_from(raw: str | None, follower: Follower, reader: LogReader) -> int | None:
    """The id to go on after, or None when the log cannot tell what came since: not an id, ahead, or purged.

    Ahead is judged by the log itself: this process may not have followed so far yet.
    """
    if raw is None or not (raw.isascii() and raw.isdigit() and len(raw) < 19):  # noqa: PLR2004 - fits 63 bits
        return None
    last_id = int(raw)
    if last_id <= follower.last_id and follower.since(last_id, 1) is not None:
        return last_id
    floor, head = await reader.bounds()
    return last_id if floor <= last_id <= head else None


class Stream:
    """Brings one subscriber from `snapshot` to live and keeps it there until the hub closes it."""

    def __init__(
        self,
        subscriber: Subscriber,
        scope: Scope,
        hub: Hub,
        follower: Follower,
        reader: LogReader,
        send: Send,
    ) -> None:
        self._subscriber = subscriber
        self._scope = scope
        self._hub = hub
        self._follower = follower
        self._reader = reader
        self._send_raw = send
        self._websocket = subscriber.wire is Wire.WEBSOCKET

    async def run(self, first: Snapshot, last_id: int | None, *, reset: bool) -> Closing:
        """Returns why it ended. `last_id` is where a resumed stream goes on; `reset` says it cannot."""
        subscriber = self._subscriber
        position = last_id
        try:
            while True:
                if position is None:
                    position = await self._show(first, reset=reset)
                elif first.events:
                    self._hub.note_end(subscriber, first.events[-1], first.moved_ago)
                await self._replay(position, first.head)
                if subscriber.ends_at is not None and subscriber.ends_at <= time.monotonic():
                    return Closing.FINISHED
                self._hub.join(subscriber, self._scope.channel)
                why = await subscriber.closed
                if why is not Closing.RESET:
                    return why
                self._hub.leave(subscriber, self._scope.channel)
                subscriber.floor, subscriber.ends_at = 0, None
                subscriber.closed = asyncio.get_running_loop().create_future()
                if self._hub.shutting:
                    return Closing.SHUTDOWN
                first, position, reset = await self._scope.snapshot(), None, True
        except (ConnectionError, TimeoutError):
            return Closing.GONE
        except Exception as error:  # noqa: BLE001 - no error page fits into an open stream: the client comes back
            log.warning("stream_broken", channel=self._scope.channel, error=str(error))
            return Closing.GONE

    async def _show(self, snapshot: Snapshot, *, reset: bool) -> int:
        if reset:
            await self._send(WS_RESET if self._websocket else RESET)
        last = len(snapshot.events) - 1
        for place, event in enumerate(snapshot.events):
            await self._send_event(event, snapshot.head if place == last else None)
        if last < 0:
            await self._send(websocket_id(snapshot.head) if self._websocket else sse_id(snapshot.head))
        elif self._subscriber.ends:
            self._hub.note_end(self._subscriber, snapshot.events[-1], snapshot.moved_ago)
        return snapshot.head

    async def _replay(self, position: int, head: int) -> None:
        """Everything after `position`, until the follower has no more. Events after `head` are news."""
        while position < self._follower.last_id and not self._subscriber.closed.done():
            upto = self._follower.last_id
            events = self._follower.since(position, _REPLAY)
            if events is None:
                events = await self._reader.after(
                    position, _REPLAY, job_id=self._scope.job_id, author_id=self._scope.author_id
                )
                position = events[-1].id if len(events) == _REPLAY else max([upto, *(e.id for e in events)])
            else:
                position = events[-1].id
            for event in events:
                if self._scope.has(event):
                    await self._send_event(event, event.id)
                    if event.id > head:
                        self._hub.note_end(self._subscriber, event)
        self._subscriber.floor = max(self._subscriber.floor, position)

    async def _send_event(self, event: LogEvent, event_id: int | None) -> None:
        await self._send(websocket_text(event, event_id) if self._websocket else sse_text(event, event_id))

    async def _send(self, data: bytes) -> None:
        async with asyncio.timeout(_STALLED_AFTER):
            await self._send_raw(data)
        self._subscriber.sent += len(data)
        if self._subscriber.transport.is_closing():
            raise ConnectionResetError
