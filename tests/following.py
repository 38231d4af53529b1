"""A follower of a log in memory, and who stands where the hub stands."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any, NoReturn

from app.domain.event import BEFORE_ALL, EventId, Found, LogEvent, Part
from app.push.follower import Follower


def event(number: int) -> LogEvent:
    return LogEvent(number, "job", "user", None, "progress", b"%d" % number, "none of the log's")


class Table:
    """The log in memory; `readable` false is a database that is away."""

    def __init__(self) -> None:
        self.events: list[LogEvent] = []
        self.readable = True
        self._contents = itertools.count()

    def commit(self) -> LogEvent:
        made = event(len(self.events) + 1)
        made.digits = f"{next(self._contents):x}"
        self.events.append(made)
        return self.events[-1]

    async def head(self) -> EventId:
        self._check()
        return self.events[-1].event_id if self.events else BEFORE_ALL

    async def after(self, last_id: int, limit: int, *, job_id: str | None = None, author_id: str | None = None) -> Part:
        self._check()
        await asyncio.sleep(0)
        return Part(self.events[last_id : last_id + limit], len(self.events) > last_id + limit, 0)

    async def beginning(self, head: int, count: int, size: int) -> int:
        return max(0, head - count)

    async def look_up(self, number: int) -> Found:
        self._check()
        known = {0: "0"} | {one.id: one.digits for one in self.events}
        return Found(known.get(number), 0, await self.head())

    async def go_on(self, last_id: int, limit: int) -> tuple[Found, Part]:
        part = await self.after(last_id, limit)
        return await self.look_up(last_id), part

    def _check(self) -> None:
        if not self.readable:
            raise ConnectionError


class Recorder:
    """Stands where the hub stands."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.resets = 0

    async def publish(self, one: LogEvent) -> None:
        self.seen.append(one.id)
        await asyncio.sleep(0)

    def reset(self) -> None:
        self.resets += 1


async def follow(table: Table, hub: Recorder, **options: Any) -> tuple[Follower, asyncio.Task[None]]:
    follower = Follower(
        table, hub, **{"poll": 0.001, "poll_with_bus": 3.0, "ring_size": 20_000, "ring_max_bytes": 1 << 30} | options
    )
    await follower.start()
    return follower, asyncio.create_task(follower.run())


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


async def feed(follower: Follower, table: Table) -> NoReturn:
    """Commits without a pause, so that there is always something to hear."""
    while True:
        follower.offer([table.commit()])
        await asyncio.sleep(0)
