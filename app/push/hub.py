"""The hub: channel to subscribers. An event's bytes go to every socket with no task, queue or copy each.

It never awaits a client. What a client has not read waits in its transport's buffer; one that lets too
much wait, or for too long, is dropped, and loses nothing: it comes back with its last id.
"""

import asyncio
import time
from collections import Counter
from enum import StrEnum

import structlog

from app.push.frames import HEARTBEAT, WS_PING, Frames, Wire, chunk, websocket_close
from app.wire import LogEvent

log = structlog.get_logger(__name__)

# So many writes take a few milliseconds; then others get their turn.
_WRITES_IN_A_ROW = 500


class Closing(StrEnum):
    """Why a subscription ended."""

    FINISHED = "finished"
    SLOW = "too slow"
    GONE = "gone"
    SHUTDOWN = "shutting down"
    EXPIRED = "token expired"
    RESET = "reset"


_CODES = {Closing.FINISHED: 1000, Closing.SLOW: 4408, Closing.SHUTDOWN: 1001, Closing.EXPIRED: 4401}


class LimitError(Exception):
    """Too many connections: of everybody (`whole`), or of this user."""

    def __init__(self, *, whole: bool) -> None:
        self.whole = whole
        super().__init__("too many open streams" if whole else "too many open streams for one user")


def job_channel(job_id: str) -> str:
    return f"job:{job_id}"


def user_channel(user_id: str) -> str:
    return f"user:{user_id}"


class Subscriber:
    """One open stream.

    `floor` is the greatest event id that it has: nothing at or below it is written. `ends` tells whether the stream
    ends some time after its job has finished; after `expires_in` seconds it ends whatever happens. `closed` resolves
    when the hub is done with it.
    """

    __slots__ = ("closed", "closing_at", "ends", "ends_at", "expires_at", "floor", "live", "mark", "ponged_at", "sent",
                 "touched_at", "transport", "user_id", "wire")  # fmt: skip

    def __init__(
        self, transport: asyncio.Transport, wire: Wire, user_id: str, *, ends: bool, expires_in: float | None = None
    ) -> None:
        self.transport = transport
        self.wire = wire
        self.user_id = user_id
        self.ends = ends
        self.floor = 0
        self.live = False
        self.ends_at: float | None = None
        self.closing_at: float | None = None
        self.touched_at = time.monotonic()
        self.expires_at = None if expires_in is None else self.touched_at + expires_in
        self.ponged_at = self.touched_at
        self.sent = 0
        self.mark: tuple[float, int] | None = None
        self.closed: asyncio.Future[Closing] = asyncio.get_running_loop().create_future()

    def write(self, data: bytes) -> None:
        self.transport.write(data)
        self.sent += len(data)

    def close(self, why: Closing) -> None:
        """Tells a WebSocket why; an SSE stream is ended by the handler that waits for `closed`."""
        if self.closed.done():
            return
        if self.wire is Wire.WEBSOCKET and why in _CODES and not self.transport.is_closing():
            self.transport.write(websocket_close(_CODES[why], why))
            self.closing_at = time.monotonic()
        elif why is Closing.SLOW:
            self.transport.abort()
        self.closed.set_result(why)


class Hub:
    """`max_buffer` is in bytes; the other limits and intervals are in seconds."""

    def __init__(
        self,
        *,
        max_connections: int = 20_000,
        max_per_user: int = 50,
        heartbeat: float = 15.0,
        ping: float = 25.0,
        max_buffer: int = 256 * 1024,
        max_lag: float = 10.0,
        end_completed: float = 2.0,
        end_failed: float = 600.0,
    ) -> None:
        self._max_connections = max_connections
        self._max_per_user = max_per_user
        self._heartbeat = heartbeat
        self._ping = ping
        self._max_buffer = max_buffer
        self._max_lag = max_lag
        self._grace = {"completed": end_completed, "failed": end_failed}
        self._channels: dict[str, set[Subscriber]] = {}
        self._open: set[Subscriber] = set()
        self._per_user: Counter[str] = Counter()
        self.shutting = False

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, subscriber: Subscriber) -> None:
        """Counts a stream in, before it is caught up. Raises LimitError."""
        if self._is_full(subscriber.user_id) is not None:
            # Clients that left since the last sweep must not stand in the way of this one.
            for other in [s for s in self._open if s.transport.is_closing()]:
                other.close(Closing.GONE)
                self._uncount(other)
        whole = self._is_full(subscriber.user_id)
        if whole is not None:
            raise LimitError(whole=whole)
        self._open.add(subscriber)
        self._per_user[subscriber.user_id] += 1
        if self.shutting:
            subscriber.close(Closing.SHUTDOWN)

    def dismiss(self, subscriber: Subscriber, channel: str) -> None:
        """Forgets a stream, wherever it was."""
        self.leave(subscriber, channel)
        self._uncount(subscriber)

    def _is_full(self, user_id: str) -> bool | None:
        """True when nobody gets in any more, False when this user does not, None when there is room."""
        if len(self._open) >= self._max_connections:
            return True
        return False if self._per_user[user_id] >= self._max_per_user else None

    def _uncount(self, subscriber: Subscriber) -> None:
        if subscriber in self._open:
            self._open.discard(subscriber)
            self._per_user[subscriber.user_id] -= 1
            if not self._per_user[subscriber.user_id]:
                del self._per_user[subscriber.user_id]

    def join(self, subscriber: Subscriber, channel: str) -> None:
        """From now on the subscriber gets the channel's events above its floor."""
        self._channels.setdefault(channel, set()).add(subscriber)
        subscriber.live = True

    def leave(self, subscriber: Subscriber, channel: str) -> None:
        subscriber.live = False
        members = self._channels.get(channel)
        if members is not None:
            members.discard(subscriber)
            if not members:
                del self._channels[channel]

    async def publish(self, event: LogEvent) -> None:
        """Writes one event to all who listen. Events must come in the log's order."""
        frames = Frames(event)
        job = self._channels.get(job_channel(event.job_id))
        if job:
            for subscriber in job:
                if event.id > subscriber.floor:
                    self.note_end(subscriber, event)
            await self._write(frames, job)
        owner = self._channels.get(user_channel(event.author_id))
        if owner:
            await self._write(frames, owner)

    async def _write(self, frames: Frames, members: set[Subscriber]) -> None:
        event_id = frames.event.id
        now = time.monotonic()
        for place, subscriber in enumerate(list(members), start=1):
            if event_id > subscriber.floor and not subscriber.closed.done():
                # Asked each time: uvloop raises on a write to a socket that is closed, asyncio does not.
                if subscriber.transport.is_closing():
                    subscriber.close(Closing.GONE)
                    continue
                subscriber.write(frames.on(subscriber.wire))
                subscriber.touched_at = now
                if subscriber.transport.get_write_buffer_size() > self._max_buffer:
                    subscriber.close(Closing.SLOW)
            if place % _WRITES_IN_A_ROW == 0:
                await asyncio.sleep(0)

    def note_end(self, subscriber: Subscriber, event: LogEvent, moved_ago: float = 0.0) -> None:
        """After this event, sent `moved_ago` seconds after the job moved, the stream ends in a while or not at all."""
        left = self.grace_left(event, moved_ago)
        subscriber.ends_at = time.monotonic() + left if subscriber.ends and left is not None else None

    def grace_left(self, event: LogEvent, moved_ago: float) -> float | None:
        """Seconds that the stream of a job whose last event this is stays open; None when it has no end."""
        grace = self._grace.get(event.event)
        return None if grace is None else max(0.0, grace - moved_ago)

    def reset(self) -> None:
        """What was sent is no longer what the log says: every stream starts over."""
        for subscriber in list(self._open):
            subscriber.close(Closing.RESET)

    def shut(self) -> None:
        """Ends every stream, and those still to come."""
        self.shutting = True
        for subscriber in list(self._open):
            subscriber.close(Closing.SHUTDOWN)

    async def sweep(self, every: float = 0.5) -> None:
        """Heartbeats, ends and slow clients, for all streams in one task. Runs until cancelled."""
        while True:
            await asyncio.sleep(every)
            for place, subscriber in enumerate(list(self._open), start=1):
                try:
                    self._look_after(subscriber, time.monotonic())
                except Exception as error:  # noqa: BLE001 - one bad socket must not end the care of all others
                    log.warning("sweep_failed", error=str(error))
                    subscriber.close(Closing.GONE)
                if place % _WRITES_IN_A_ROW == 0:
                    await asyncio.sleep(0)

    def _look_after(self, subscriber: Subscriber, now: float) -> None:
        if subscriber.closed.done():
            if subscriber.closing_at is not None and now - subscriber.closing_at > self._max_lag:
                subscriber.transport.abort()
            return
        if subscriber.transport.is_closing():
            subscriber.close(Closing.GONE)
        elif subscriber.expires_at is not None and now >= subscriber.expires_at:
            subscriber.close(Closing.EXPIRED)
        elif subscriber.ends_at is not None and now >= subscriber.ends_at:
            subscriber.close(Closing.FINISHED)
        elif subscriber.live and self._lags(subscriber, now):
            subscriber.close(Closing.SLOW)
        elif subscriber.wire is Wire.WEBSOCKET:
            self._ping_or_drop(subscriber, now)
        elif now - subscriber.touched_at >= self._heartbeat:
            subscriber.write(chunk(HEARTBEAT) if subscriber.wire is Wire.CHUNKED else HEARTBEAT)
            subscriber.touched_at = now

    def _ping_or_drop(self, subscriber: Subscriber, now: float) -> None:
        if now - subscriber.ponged_at > 2 * self._ping:
            subscriber.close(Closing.SLOW)
        elif now - subscriber.touched_at >= self._ping:
            subscriber.write(WS_PING)
            subscriber.touched_at = now

    def _lags(self, subscriber: Subscriber, now: float) -> bool:
        """Whether the oldest byte that waits has waited too long."""
        waiting = subscriber.transport.get_write_buffer_size()
        if not waiting:
            subscriber.mark = None
            return False
        read = subscriber.sent - waiting
        if subscriber.mark is None or read >= subscriber.mark[1]:
            # All that waited at the mark has gone; what waits now is younger than the mark.
            subscriber.mark = (now, subscriber.sent)
            return False
        return now - subscriber.mark[0] > self._max_lag
