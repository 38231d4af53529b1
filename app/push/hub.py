"""The hub: channel to subscribers. An event's bytes go to every socket with no task, timer, queue or copy each.

It never awaits a client. What a client has not read waits in its transport's buffer; one that lets too
much wait, or for too long, is dropped, and loses nothing: it comes back with its last id.
"""

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Protocol

import structlog

from app import times
from app.domain.event import LogEvent
from app.push.frames import Frames, Framing
from app.push.subscriber import Closing, Limits, Owner, Subscriber

log = structlog.get_logger(__name__)

# So many writes take about a millisecond; then others get their turn. To read a request and to answer it takes several.
_WRITES_IN_A_ROW = 100


class Person(Protocol):
    """Who somebody is to the site."""

    @property
    def author_id(self) -> str: ...
    @property
    def organizations(self) -> tuple[str, ...] | None: ...
    @property
    def admin(self) -> bool: ...


class Tracing(Protocol):
    """What follows some events on their way."""

    def chooses(self, event_id: int, /) -> bool: ...

    def handed(self, event: LogEvent, sockets: int, at: int, /) -> None:
        """One that was chosen was written to so many sockets, from then until now."""


class LimitError(Exception):
    """Too many connections: of everybody (`whole`), or of this user."""

    def __init__(self, *, whole: bool) -> None:
        self.whole = whole
        super().__init__("too many open streams" if whole else "too many open streams for one user")


def _channel(job_id: str | None, user_id: str) -> str:
    return f"user:{user_id}" if job_id is None else f"job:{job_id}"


class Hub:
    """Who listens to what, and the writing to them. A stream goes through `expecting`, `admit`, `join`, `leave` and
    `forget`, and is written to between `join` and `leave`. Nothing here waits for a client.

    `max_connections` and `max_per_user` count streams; `max_buffer` is in bytes, `max_lag` and the intervals are in
    seconds; `limits` are those that each stream keeps by itself.

    `traces` are told of the events that they choose. `published` counts events, `writes` those written to a stream,
    `ended` why streams ended.
    `outgoing` makes what is sent of an event's data, nothing of what cannot be shown. A client has `last_words` to take
    what waits for it when its stream ends. `epoch` counts how often the log was taken back; `restart` is called with
    those who were live then, or who miss what cannot be shown.
    """

    def __init__(
        self,
        *,
        max_connections: int,
        max_per_user: int,
        limits: Limits,
        max_buffer: int,
        max_lag: float,
        end_completed: float,
        end_failed: float,
        last_words: float,
        outgoing: Callable[[bytes], bytes] = bytes,
        traces: Tracing,
    ) -> None:
        self.limits = limits
        self.outgoing = outgoing
        self._traces = traces
        self.epoch = 0
        self.restart: Callable[[list[Subscriber]], None] = lambda _: None
        self._max_connections = max_connections
        self._max_per_user = max_per_user
        self._max_buffer = max_buffer
        self._max_lag = max_lag
        self._grace = {"completed": end_completed, "failed": end_failed, "dismissed": end_failed}
        self._last_words = last_words
        self._channels: dict[str, set[Subscriber]] = {}
        # Whose the job of a channel is, as all its subscribers know; None once they do not agree.
        self._owners: dict[str, Owner | None] = {}
        self._open: set[Subscriber] = set()
        self._coming: set[Subscriber] = set()
        self._guests = 0
        self._per_user: Counter[str] = Counter()
        self._shutting = False
        self._parting: deque[tuple[Subscriber, Closing]] = deque()
        self._written = 0
        self.published = 0
        self.writes = 0
        self.ended: Counter[Closing] = Counter()
        self._empty = asyncio.Event()
        self._on_lost = self.forget  # one bound method for all

    def __len__(self) -> int:
        return len(self._open)

    def by_transport(self) -> tuple[int, int]:
        """How many streams are open: over SSE, over WebSocket."""
        sockets = sum(subscriber.wire is Framing.WEBSOCKET for subscriber in self._open)
        return len(self._open) - sockets + self._guests, sockets

    @contextlib.contextmanager
    def expecting(self, subscriber: Subscriber) -> Iterator[None]:
        """Counts a stream in that is about to be opened: nothing is read for one that may not be. Raises LimitError.

        From here on `forget` hears when its socket is closed."""
        if len(self._open) + len(self._coming) + self._guests >= self._max_connections:
            raise LimitError(whole=True)
        if self._per_user[subscriber.user_id] >= self._max_per_user:
            raise LimitError(whole=False)
        self._coming.add(subscriber)
        subscriber.epoch, subscriber.on_lost = self.epoch, self._on_lost
        self._per_user[subscriber.user_id] += 1
        try:
            yield
        finally:
            if subscriber in self._coming:
                self._coming.discard(subscriber)
                self._count_out(subscriber.user_id)

    @contextlib.contextmanager
    def counting(self, user_id: str) -> Iterator[None]:
        """Counts in a stream that somebody else writes to, as long as the block lasts. Raises LimitError."""
        if len(self._open) + len(self._coming) + self._guests >= self._max_connections:
            raise LimitError(whole=True)
        if self._per_user[user_id] >= self._max_per_user:
            raise LimitError(whole=False)
        self._guests += 1
        self._per_user[user_id] += 1
        try:
            yield
        finally:
            self._guests -= 1
            self._count_out(user_id)

    def admit(self, subscriber: Subscriber) -> None:
        """One that was expected is open, and counts until `forget`."""
        self._coming.discard(subscriber)
        self._open.add(subscriber)

    def _count_out(self, user_id: str) -> None:
        self._per_user[user_id] -= 1
        if not self._per_user[user_id]:
            del self._per_user[user_id]

    def forget(self, subscriber: Subscriber) -> None:
        """Whatever became of it, its socket is closed; also one that never got as far as `take_over`."""
        subscriber.why = subscriber.why or Closing.GONE
        self.leave(subscriber)
        if subscriber in self._open:
            self._open.discard(subscriber)
            self._count_out(subscriber.user_id)
            self.ended[subscriber.why] += 1
        if not self._open:
            self._empty.set()

    def join(self, subscriber: Subscriber) -> None:
        """From now on the subscriber gets its channel's events above its floor."""
        if self._shutting:
            subscriber.close(Closing.SHUTDOWN)
        elif subscriber.why is None:
            channel = _channel(subscriber.job_id, subscriber.user_id)
            self._channels.setdefault(channel, set()).add(subscriber)
            if self._owners.setdefault(channel, subscriber.owner) != subscriber.owner:
                self._owners[channel] = None
            subscriber.live = True

    def leave(self, subscriber: Subscriber) -> None:
        """Nothing is written to it any more. One that was closed is not live, and a member until it is forgotten."""
        subscriber.live = False
        channel = _channel(subscriber.job_id, subscriber.user_id)
        members = self._channels.get(channel, set())
        if subscriber not in members:
            return
        members.discard(subscriber)
        if not members:
            del self._channels[channel]
            del self._owners[channel]

    async def publish(self, event: LogEvent) -> None:
        """Writes one event to all who listen. Events must come in the log's order."""
        traces, channels = self._traces, self._channels
        began = times.now() if traces.chooses(event.id) else None
        channel, of_author = f"job:{event.job_id}", f"user:{event.author_id}"
        written = self.writes
        if (channel in channels or of_author in channels) and (frames := self._frames(event, channel, of_author)):
            of_job = channels.get(channel)
            if of_job:
                left = self._grace.get(event.event)
                ends_at = None if left is None else time.monotonic() + left
                if len(of_job) == 1 and self._written < _WRITES_IN_A_ROW:  # nearly always
                    self._write_to([*of_job], frames, ends_at)
                else:
                    await self._write(frames, of_job, ends_at)
                if event.event == "deleted":
                    for subscriber in list(of_job):
                        self._part_with(subscriber, Closing.MISSING)
            of_user = channels.get(of_author)
            if of_user:
                await self._write(frames, of_user, None)
        self._written += 1
        self.published += 1
        if began is not None:
            traces.handed(event, self.writes - written, began)

    def _frames(self, event: LogEvent, channel: str, of_author: str) -> Frames | None:
        """What those who listen there are sent; None where nobody does, or it cannot be shown."""
        data, owner = event.data, (event.author_id, event.organization_id)
        if data and self._owners.get(channel, owner) != owner:
            self._part_with_strangers(channel, owner)
            if channel not in self._channels and of_author not in self._channels:
                return None
        if data and not (data := self.outgoing(data)):
            log.warning("event_unreadable", event_id=event.id, job_id=event.job_id)
        if not data:
            self._start_over(event.id, [channel, of_author])
            return None
        return Frames(event, data)

    def _start_over(self, event_id: int, channels: list[str]) -> None:
        """Those who listen there miss an event that cannot be shown: they begin with the present state again."""
        listening = [subscriber for channel in channels for subscriber in self._channels.get(channel, ())]
        missing = [subscriber for subscriber in listening if subscriber.live and subscriber.floor < event_id]
        for subscriber in missing:
            self.leave(subscriber)
        self.restart(missing)

    def _part_with_strangers(self, channel: str, owner: Owner) -> None:
        """The job is not whose it was: whoever may not see it any more leaves before its next event."""
        for subscriber in list(self._channels[channel]):
            if subscriber.may_see(*owner):
                subscriber.owner = owner
            else:
                self._part_with(subscriber, Closing.MISSING)
        if channel in self._owners:
            self._owners[channel] = owner

    def _part_with(self, subscriber: Subscriber, why: Closing) -> None:
        """Closing takes the kernel a hundred times as long as writing: who stays is not to wait for that."""
        self.leave(subscriber)
        self._parting.append((subscriber, why))

    async def look_again(self, find: Callable[[list[str]], Awaitable[Mapping[str, Person | None]]]) -> None:
        """Parts with those who may see no more what they listen to, by what `find` says of their subjects now."""
        known = await find(sorted({s.who.subject for s in self._open if s.who is not None}))
        for place, subscriber in enumerate(list(self._open), start=1):
            who = subscriber.who
            if who is not None and who.token is not None and who.subject in known and subscriber.why is None:
                person = known[who.subject]
                if person is None or person.author_id != subscriber.user_id:
                    self._part_with(subscriber, Closing.EXPIRED)
                    continue
                subscriber.who = who.token.known_as(person.author_id, person.organizations, admin=person.admin)
                subscriber.may_see = subscriber.who.may_see
                if subscriber.owner is not None and not subscriber.may_see(*subscriber.owner):
                    self._part_with(subscriber, Closing.MISSING)
            if place % _WRITES_IN_A_ROW == 0:
                await asyncio.sleep(0)

    async def _write(self, frames: Frames, members: set[Subscriber], ends_at: float | None) -> None:
        """Others get their turn whenever so many were written to."""
        waiting = list(members)
        # Events that nobody hears have counted, too.
        while len(waiting) > (room := max(0, _WRITES_IN_A_ROW - self._written)):
            self._write_to(waiting[:room], frames, ends_at)
            del waiting[:room]
            self._written = 0
            await asyncio.sleep(0)
        self._write_to(waiting, frames, ends_at)

    def _write_to(self, members: list[Subscriber], frames: Frames, ends_at: float | None) -> None:
        event_id, made, now, sockets = frames.event.id, frames.made, time.monotonic(), 0
        for subscriber in members:
            if event_id > subscriber.floor and subscriber.live:
                subscriber.ends_at = ends_at
                subscriber.touched_at = now
                frame = made[subscriber.wire] or frames.on(subscriber.wire)
                subscriber.write(frame)
                sockets += 1
                # What waited before it: an event that is too large by itself is no fault of its readers.
                if subscriber.transport.get_write_buffer_size() - len(frame) > self._max_buffer:
                    self._part_with(subscriber, Closing.SLOW)
        self.writes += sockets
        self._written += len(members)

    def note_end(self, subscriber: Subscriber, event: LogEvent, moved_ago: float = 0.0) -> None:
        """After this event, sent `moved_ago` seconds after the job moved, the stream ends in a while or not at all."""
        left = self.grace_left(event, moved_ago)
        subscriber.ends_at = None if left is None or subscriber.job_id is None else time.monotonic() + left

    def grace_left(self, event: LogEvent, moved_ago: float) -> float | None:
        """Seconds that the stream of a job whose last event this is stays open; None when it has no end."""
        grace = self._grace.get(event.event)
        return None if grace is None else max(0.0, grace - moved_ago)

    def reset(self) -> None:
        """What was sent is no longer what the log says: every stream starts over.

        Those that are not live yet see that the epoch is another one.
        """
        self.epoch += 1
        live = [subscriber for subscriber in self._open if subscriber.live]
        for subscriber in live:
            self.leave(subscriber)
        self.restart(live)

    async def shut(self, within: float) -> None:
        """Ends every stream, and those still to come. Returns when all sockets are closed, after `within` s at most."""
        self._shutting = True
        for place, subscriber in enumerate(list(self._open), start=1):
            subscriber.close(Closing.SHUTDOWN)
            if place % _WRITES_IN_A_ROW == 0:
                await asyncio.sleep(0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(self._last_words, within)):
                while self._open:
                    self._empty.clear()
                    await self._empty.wait()
        for subscriber in list(self._open):
            subscriber.transport.abort()

    async def sweep(self, every: float = 0.5) -> None:
        """Heartbeats, ends and slow clients, for all streams in one task. Runs until cancelled."""
        while True:
            await asyncio.sleep(every)
            while self._parting:
                subscriber, why = self._parting.popleft()
                subscriber.close(why)
                await asyncio.sleep(0)
            now = time.monotonic()
            for place, subscriber in enumerate(list(self._open), start=1):
                open_before = subscriber.why is None
                try:
                    self._look_after(subscriber, now)
                except Exception as error:  # noqa: BLE001 - one bad socket must not end the care of all others
                    log.warning("sweep_failed", error=str(error))
                    subscriber.close(Closing.GONE)
                if place % _WRITES_IN_A_ROW == 0 or (open_before and subscriber.why is not None):
                    await asyncio.sleep(0)
                    now = time.monotonic()

    def _look_after(self, subscriber: Subscriber, now: float) -> None:
        if subscriber.closing_at is not None:
            if now - subscriber.closing_at > self._last_words:
                subscriber.transport.abort()
        elif subscriber.expires_at is not None and now >= subscriber.expires_at:
            subscriber.close(Closing.EXPIRED)
        elif subscriber.ends_at is not None and now >= subscriber.ends_at:
            subscriber.close(Closing.FINISHED)
        elif subscriber.live and subscriber.lags(now, self._max_lag):
            subscriber.close(Closing.SLOW)
        else:
            subscriber.keep_alive(now)
