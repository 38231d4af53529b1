"""The writer's queue: deliveries that wait for their commit, and those that wait for another try. Knows no database."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from app.db.writer.inbox import statement_bytes
from app.domain.delivery import Delivery, Outcome


@dataclass(slots=True, eq=False)
class Waiting:
    """A delivery, and the answer that somebody waits for.

    `spooled`: it is on the local disk already, and stays there when this try fails. `why` it is not written yet.
    Times are of time.monotonic(): it waits until `deadline`, and is not tried before `not_before`.
    """

    delivery: Delivery
    answer: asyncio.Future[Outcome]
    deadline: float
    spooled: bool = False
    not_before: float = 0.0
    tries: int = 0
    why: Exception | None = None

    def settle(self, outcome: Outcome) -> None:
        """Whoever waits for it is told, if he still does."""
        if not self.answer.done():
            self.answer.set_result(outcome)

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class Queue:
    """Gives batches of up to `batch_max` deliveries, whose statements have about `batch_max_bytes`, or of one.

    A delivery waits for its answer until `budget` seconds have passed; whoever takes it out sees to that.
    """

    def __init__(self, batch_max: int, batch_max_bytes: int, budget: float) -> None:
        self.batch_max = batch_max
        self.batch_max_bytes = batch_max_bytes
        self.budget = budget
        self._arrived: deque[Waiting] = deque()
        self._later: list[Waiting] = []
        self._news = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        return len(self._arrived) + len(self._later)

    def put(self, deliveries: Iterable[Delivery], *, spooled: bool = False) -> list[asyncio.Future[Outcome]]:
        """The answers, one for each."""
        loop, deadline = asyncio.get_running_loop(), time.monotonic() + self.budget
        waiting = [Waiting(delivery, loop.create_future(), deadline, spooled) for delivery in deliveries]
        self._arrived.extend(waiting)
        self._news.set()
        return [w.answer for w in waiting]

    def put_back(self, waiting: list[Waiting], pause: float, why: Exception) -> None:
        """They come again after `pause` seconds, and together: two webhooks of a job must not change places."""
        not_before = time.monotonic() + pause
        for w in waiting:
            w.not_before, w.why = not_before, why
            w.tries += 1
        self._later.extend(waiting)
        self._news.set()

    def close(self) -> None:
        """Nothing comes any more: what is here is given out, then empty batches."""
        self._closed = True
        self._news.set()

    async def take(self) -> list[Waiting]:
        """The next batch: those whose time for another try has come, else what has arrived. Empty at the end."""
        while True:
            batch = self._due() or self._first()
            if batch or (self._closed and not self._later):
                return batch
            self._news.clear()
            wait = None
            if self._later:
                wait = max(0.0, min(w.not_before for w in self._later) - time.monotonic())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._news.wait()

    def take_overdue(self) -> list[Waiting]:
        """Those who have waited for as long as they may."""
        at = time.monotonic()
        overdue = [w for w in (*self._arrived, *self._later) if w.deadline <= at]
        if overdue:
            self._arrived = deque(w for w in self._arrived if w.deadline > at)
            self._later = [w for w in self._later if w.deadline > at]
        return overdue

    def _first(self) -> list[Waiting]:
        batch = self._batch(self._arrived)
        for _ in batch:
            self._arrived.popleft()
        return batch

    def _due(self) -> list[Waiting]:
        if not self._later:
            return []
        at = time.monotonic()
        due = self._batch(w for w in self._later if w.not_before <= at)
        taken = set(map(id, due))
        self._later = [w for w in self._later if id(w) not in taken]
        return due

    def _batch(self, waiting: Iterable[Waiting]) -> list[Waiting]:
        batch: list[Waiting] = []
        room = self.batch_max_bytes
        for w in waiting:
            room -= statement_bytes(w.delivery)
            if batch and (room < 0 or len(batch) == self.batch_max):
                break
            batch.append(w)
        return batch
