"""The follower: one per process, it turns commits into the log's order and hands them to the hub.

It is fed by the process's own commits, by the bus with those of other processes, and by the log itself.
Whatever it hears, it goes from one id to the next only: an id greater than last + 1 means that the log must
be read for what is missing.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from app.domain.event import BEFORE_ALL, EventId, Found, LogEvent, Part
from app.push.ring import Ring, size_of

log = structlog.get_logger(__name__)

_READ = 500
_AHEAD_MAX = 10_000
_AHEAD_BYTES = 16 * 1024 * 1024


class LogReader(Protocol):
    """The log in the database. What it cannot read, it raises as the database's errors."""

    async def head(self) -> EventId:
        """The newest event, even one that is purged; `BEFORE_ALL` before the first."""

    async def after(self, last_id: int, limit: int, *, job_id: str | None = None, author_id: str | None = None) -> Part:
        """At most `limit` events after `last_id`, fewer where they are long: of all, of a job, or of an author."""

    async def beginning(self, head: int, count: int, size: int) -> int:
        """The id after which the newest events up to `head` begin: `count` of them, or about `size` bytes."""

    async def look_up(self, number: int) -> Found:
        """What the log says about the event of that number."""

    async def go_on(self, last_id: int, limit: int) -> tuple[Found, Part]:
        """What the log says about the event `last_id`, and the events after it: both of one history, also where
        the database comes back with another one."""


class Listeners(Protocol):
    """Those who are told: the hub."""

    async def publish(self, event: LogEvent, /) -> None:
        """The next event of the log."""

    def reset(self) -> None:
        """The log was taken back, or its events are gone: begin anew."""


class Follower:
    """Hands every committed event to the hub, in the log's order, each once.

    `last_id` is the newest event that the hub has; it only moves to the next id, or starts over with a `reset`.

    The newest events, `ring_size` of them or about `ring_max_bytes`, stay in memory for streams that come back. After
    `poll` seconds of silence the log is read, or after `poll_with_bus` while the bus brings the commits of other
    processes. `on_event` is told of each event before the hub is. `settle` is how many seconds what is missing may take
    to arrive by itself.
    """

    def __init__(
        self,
        reader: LogReader,
        hub: Listeners,
        *,
        poll: float,
        poll_with_bus: float,
        ring_size: int,
        ring_max_bytes: int,
        on_event: Callable[[LogEvent], None] = lambda _: None,
        settle: float = 0.005,
    ) -> None:
        self.last_id, self._last_digits = BEFORE_ALL
        self._reader = reader
        self._hub = hub
        self._poll = poll
        self._poll_with_bus = poll_with_bus
        self._on_event = on_event
        self._settle = settle
        self._silence = poll
        self._ring_bounds = ring_size, ring_max_bytes
        self._ring = Ring(*self._ring_bounds)
        self._ahead: dict[int, LogEvent] = {}
        self._ahead_bytes = 0
        self._wake = asyncio.Event()
        self._must_read = False
        self._was_away = False
        self._contradicted = False

    async def start(self) -> None:
        """Follows from the log's present head. Raises what the reader raises."""
        (self.last_id, self._last_digits), self._ring = await self._read_newest()

    async def _read_newest(self) -> tuple[EventId, Ring]:
        """The log's head and the newest events up to it: whom the last process lost comes back for them."""
        head, ring = await self._reader.head(), Ring(*self._ring_bounds)
        last = head
        position = await self._reader.beginning(head.number, *self._ring_bounds)
        while position < head.number:
            found, part = await self._reader.go_on(position, min(_READ, head.number - position))
            known = ring.get(position)
            if known is not None and found.digits != known.digits:  # taken back since that was read
                ring = Ring(*self._ring_bounds)
            for event in part.events:
                ring.append(event)
                last = event.event_id
            position = part.events[-1].id if part.events else head.number
        return last, ring

    def offer(self, events: list[LogEvent]) -> None:
        """Committed events, in any order, with any repetition."""
        for event in events:
            if event.id > self.last_id:
                # What does not fit is read from the log, when its turn comes.
                full = len(self._ahead) >= _AHEAD_MAX or self._ahead_bytes >= _AHEAD_BYTES
                if not full or event.id == self.last_id + 1:
                    self._keep(event)
            elif self.digits_of(event.id) != event.digits:  # also where memory does not reach as far back
                self._contradicted = True
        self._wake.set()

    def _keep(self, event: LogEvent) -> None:
        self._compare(event)
        self._ahead_bytes += size_of(event)
        self._ahead[event.id] = event

    def _compare(self, event: LogEvent) -> None:
        """Takes what was told under its id. Another event there is of another history, before it or after it."""
        told = self._take(event.id)
        if told is not None and told.digits != event.digits:
            self._contradicted = True

    def _take(self, event_id: int) -> LogEvent | None:
        event = self._ahead.pop(event_id, None)
        if event is not None:
            self._ahead_bytes -= size_of(event)
        return event

    def look(self) -> None:
        """Reads the log soon: it may hold what nobody has told."""
        self._must_read = True
        self._wake.set()

    def expect(self, last_id: int) -> None:
        """The log holds events up to this one."""
        if last_id > self.last_id or self.digits_of(last_id) is None:
            self.look()

    def rely_on_bus(self, connected: bool) -> None:
        """Whether the bus brings news from now on. Those of the time before may be lost, so the log is read."""
        self._silence = self._poll_with_bus if connected else self._poll
        self.look()

    def since(
        self, event_id: int, limit: int, *, job_id: str | None = None, author_id: str | None = None
    ) -> list[LogEvent] | None:
        """At most `limit` events after `event_id` up to `last_id`, in order, of a job or else of an author; None when
        memory does not have them all."""
        if event_id >= self.last_id:
            return []
        return self._ring.since(event_id, limit, job_id=job_id, author_id=author_id)

    def digits_of(self, number: int) -> str | None:
        """Those of the event that was sent under that number; None when memory does not know."""
        if number == self.last_id:
            return self._last_digits or None
        event = self._ring.get(number)
        return None if event is None else event.digits

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            heard = await self._hear(self._silence)
            if self._is_sure:
                await self._guarded(self._deliver_heard)
            if self._ahead and self._is_sure and not self._must_read:
                await self._guarded(self._await_missing)
            if not heard or self._ahead or self._must_read or not self._is_sure:
                await self._guarded(self._read_log)

    @property
    def _is_sure(self) -> bool:
        """Whether what was sent is, as far as is known, still what the log says."""
        return not (self._was_away or self._contradicted)

    async def _hear(self, seconds: float) -> bool:
        """Whether there was anything to hear in that time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        heard = self._wake.is_set()
        self._wake.clear()
        return heard

    async def _await_missing(self) -> None:
        """What is missing is mostly on its way: committed by another of our transactions, or told by the bus."""
        until = time.monotonic() + self._settle
        while self._ahead and self._is_sure and (left := until - time.monotonic()) > 0:
            if not await self._hear(left):
                return
            await self._deliver_heard()

    async def _deliver_heard(self) -> None:
        # News that contradict what was sent may come while an event is on its way to the hub.
        while self._is_sure and (event := self._take(self.last_id + 1)) is not None:
            await self._deliver(event)

    async def _deliver(self, event: LogEvent) -> None:
        self._ring.append(event)
        self.last_id, self._last_digits = event.id, event.digits
        if not event.is_readable:
            log.warning("event_unreadable", event_id=event.id, job_id=event.job_id)
        try:
            self._on_event(event)
            await self._hub.publish(event)
        except Exception as error:  # noqa: BLE001 - it does not come again: nobody goes on as if he had it
            log.warning("event_not_published", event_id=event.id, job_id=event.job_id, error=str(error))
            self._hub.reset()

    async def _read_log(self) -> None:
        self._must_read = False
        why = await self._deliver_read()
        if why:
            await self._start_over(why)

    async def _deliver_read(self) -> str:
        """Delivers all that the log has now, or says why that cannot be. A part is read while another is delivered."""
        coming, heard = self._begin_reading(self.last_id)
        try:
            while True:
                found, part = await coming
                if not self._is_still_there(found):
                    return "log_taken_back"
                self._was_away = False
                if part.more:
                    coming, heard = self._begin_reading(part.events[-1].id)
                for event in part.events:
                    if event.id == self.last_id + 1:
                        self._compare(event)
                        await self._deliver(event)
                    elif event.id > self.last_id:
                        # Ids are dense: a gap in the table itself was made by a purge that overtook us.
                        return "log_purged_past_us"
                if not part.more:
                    if part.floor > self.last_id:  # all that came after it was purged, and nothing came since
                        return "log_purged_past_us"
                    for event_id in heard:
                        self._take(event_id)
                    return ""
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)

    def _begin_reading(self, last_id: int) -> tuple[asyncio.Task[tuple[Found, Part]], set[int]]:
        """What is read, and what was heard before. News come after their commit: what is in the log by now is read, and
        what is not there was never committed."""
        self._contradicted = False  # what contradicts from now on may be newer than what is found
        return asyncio.create_task(self._reader.go_on(last_id, _READ)), set(self._ahead)

    def _is_still_there(self, found: Found) -> bool:
        """Whether the log still has what was sent last. A crash of the database can take back what was visible but
        not yet on its disk, and give its id to another event."""
        if found.digits is None or not self._last_digits:  # it was purged, or never seen
            return found.head.number >= self.last_id
        return found.digits == self._last_digits

    async def _start_over(self, why: str) -> None:
        log.warning(why, last_id=self.last_id)
        (self.last_id, self._last_digits), self._ring = await self._read_newest()
        self._ahead.clear()
        self._ahead_bytes = 0
        self._was_away = self._contradicted = False
        self._hub.reset()
        self.look()

    async def _guarded(self, step: Callable[[], Awaitable[None]]) -> None:
        """A database that is away is waited for; streams stay open meanwhile."""
        try:
            await step()
        except Exception as error:  # noqa: BLE001 - whatever it was, live updates must go on after it
            if not self._was_away:
                log.warning("log_unreadable", error=str(error))
            self._was_away = True
            await asyncio.sleep(self._poll)
