"""The follower: one per process, it turns commits into the log's order and hands them to the hub.

It is fed by the process's own commits and by the log itself. Whatever it hears, it goes from one id to
the next only: an id greater than last + 1 means that the log must be read for what is missing.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from app.push.hub import Hub
from app.wire import LogEvent

log = structlog.get_logger(__name__)

_READ = 500
_AHEAD_MAX = 10_000


class LogReader(Protocol):
    """The log in the database."""

    async def head(self) -> int: ...

    async def after(
        self, last_id: int, limit: int, *, job_id: str | None = None, author_id: str | None = None
    ) -> list[LogEvent]: ...

    async def bounds(self) -> tuple[int, int]: ...


class Follower:
    """`last_id` is the newest event that the hub has; it only moves to the next id.

    The newest `ring_size` events stay in memory, for streams that come back.
    """

    def __init__(self, reader: LogReader, hub: Hub, *, poll: float = 0.25, ring_size: int = 20_000) -> None:
        self.last_id = 0
        self._reader = reader
        self._hub = hub
        self._poll = poll
        self._ring_size = ring_size
        self._ring: dict[int, LogEvent] = {}
        self._ahead: dict[int, LogEvent] = {}
        self._wake = asyncio.Event()
        self._was_away = False

    async def start(self) -> None:
        """Follows from the log's present head. Raises what the reader raises."""
        self.last_id = await self._reader.head()

    def offer(self, events: list[LogEvent]) -> None:
        """Committed events, in any order, with any repetition."""
        for event in events:
            if event.id > self.last_id and len(self._ahead) < _AHEAD_MAX:
                self._ahead[event.id] = event
        self._wake.set()

    def since(self, event_id: int, limit: int) -> list[LogEvent] | None:
        """The events after `event_id` up to `last_id`, `limit` at most; None when memory has lost the next one."""
        if event_id >= self.last_id:
            return []
        if event_id + 1 not in self._ring:
            return None
        return [self._ring[i] for i in range(event_id + 1, min(self.last_id, event_id + limit) + 1)]

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll):
                    await self._wake.wait()
            heard = self._wake.is_set()
            self._wake.clear()
            if not self._was_away:
                await self._guarded(self._deliver_heard)
            if not heard or self._ahead or self._was_away:
                await self._guarded(self._read_log)

    async def _deliver_heard(self) -> None:
        while (event := self._ahead.pop(self.last_id + 1, None)) is not None:
            await self._deliver(event)
        if self._ahead:
            self._ahead = {i: e for i, e in self._ahead.items() if i > self.last_id}

    async def _deliver(self, event: LogEvent) -> None:
        self._ring[event.id] = event
        self._ring.pop(event.id - self._ring_size, None)
        self.last_id = event.id
        await self._hub.publish(event)

    async def _read_log(self) -> None:
        if self._was_away:
            await self._check_last()
        while True:
            events = await self._reader.after(self.last_id, _READ)
            for event in events:
                if event.id == self.last_id + 1:
                    await self._deliver(event)
                elif event.id > self.last_id:
                    # Ids are dense: a gap in the table itself was made by a purge that overtook us.
                    await self._start_over("log_purged_past_us")
                    return
            await self._deliver_heard()
            if len(events) < _READ:
                return

    async def _check_last(self) -> None:
        """A crash of the database can take back what was visible but not yet on its disk."""
        sent = self._ring.get(self.last_id)
        stored = await self._reader.after(self.last_id - 1, 1) if sent else []
        if await self._reader.head() < self.last_id or (sent and (not stored or stored[0].data != sent.data)):
            await self._start_over("log_taken_back")
        self._was_away = False

    async def _start_over(self, why: str) -> None:
        log.warning(why, last_id=self.last_id)
        self.last_id = await self._reader.head()
        self._ring.clear()
        self._ahead.clear()
        self._hub.reset()

    async def _guarded(self, step: Callable[[], Awaitable[None]]) -> None:
        """A database that is away is waited for; streams stay open meanwhile."""
        try:
            await step()
        except Exception as error:  # noqa: BLE001 - whatever it was, live updates must go on after it
            if not self._was_away:
                log.warning("log_unreadable", error=str(error))
            self._was_away = True
            await asyncio.sleep(self._poll)
