"""What there is now: jobs by state, those that stall, webhooks that wait. Counted over whole tables.

No table of the site's has an index for it, so among a million jobs a count takes some hundred milliseconds. While it
is quick it is made for whoever asks; else what was counted last is told, and counted anew behind the answer, for a
fiftieth of the time at most, or every half minute.
"""

import asyncio
import time
from collections import Counter
from typing import NamedTuple, get_args

from app import times
from app.db.pool import Pool
from app.db.sql import bind
from app.db.writer import set_aside
from app.domain.job import State, state_of

# Seconds that a count may take and be made for whoever asks; how many times as long as it took what it found holds, and
# for how many seconds at most: a count that waited for a busy machine is no reason to tell old figures for minutes.
_QUICK = 0.01
_SHARE = 50
_AGE_MAX = 30.0

_JOBS = "SELECT status, COUNT(*), MIN(createdAt) FROM video_generations GROUP BY status"

# As `asked` judges it. What is known under another spelling of the id, or of an earlier job of that id, is passed over.
_STALLED = """
SELECT COUNT(*) FROM video_generations g LEFT JOIN rushes_jobs k
  ON k.job_id = g.id AND COALESCE(k.created_at, g.createdAt) <=> g.createdAt
WHERE g.status IN ('PENDING', 'PROCESSING', 'GENERATING', 'DOWNLOADING')
  AND (g.createdAt < %s OR g.createdAt IS NULL)
  AND COALESCE(k.updated_at, GREATEST(g.updatedAt, g.createdAt), g.updatedAt, g.createdAt, '1970-01-02') < %s
"""

_WAITING = """
SELECT outcome, COUNT(*) FROM rushes_webhooks FORCE INDEX (rushes_webhooks_outcome)
WHERE outcome IN ('dead', 'parked') GROUP BY outcome
"""

_STATES: tuple[State, ...] = get_args(State)
_RUNNING = ("PENDING", "PROCESSING", "GENERATING", "DOWNLOADING")


class Standing(NamedTuple):
    """`oldest_unfinished` is when that job was made, in microseconds since 1970."""

    jobs: dict[State, int]
    stalled: int
    oldest_unfinished: int | None
    dead: int
    parked: int
    set_aside: int


class Standings:
    """`stall_after` is in seconds."""

    def __init__(self, pool: Pool, *, stall_after: float) -> None:
        self._pool = pool
        self._stall = int(stall_after * 1e6)
        self._found: Standing | None = None
        self._took = 0.0
        self._at = 0.0
        self._counting: asyncio.Task[Standing] | None = None

    async def now(self) -> Standing:
        """Raises DatabaseError, where it has to be counted for the answer."""
        found, age = self._found, time.monotonic() - self._at
        if found is not None and self._took > _QUICK:
            if age > min(_SHARE * self._took, _AGE_MAX):
                self._count()
            return found
        return await asyncio.shield(self._count())

    async def close(self) -> None:
        """Counts no more."""
        if self._counting is not None:
            self._counting.cancel()
            await asyncio.gather(self._counting, return_exceptions=True)

    def _count(self) -> "asyncio.Task[Standing]":
        if self._counting is None or self._counting.done():
            self._counting = asyncio.create_task(self._find())
            self._counting.add_done_callback(_be_silent)
        return self._counting

    async def _find(self) -> Standing:
        began = time.monotonic()
        old = times.sql6(times.now() - self._stall)
        async with self._pool.connection() as connection:
            jobs, ((stalled,),), waiting = await connection.run_text(_JOBS, bind(_STALLED, old, old), _WAITING)
        by_state: Counter[State] = Counter()
        oldest = []
        for status, number, made_at in jobs:
            by_state[state_of(status, ended=False)] += int(number or 0)
            if status in _RUNNING and (at := times.stored(made_at)) is not None:
                oldest.append(at)
        waits = {outcome: int(number or 0) for outcome, number in waiting}
        self._found = Standing(
            {state: by_state[state] for state in _STATES},
            int(stalled or 0),
            min(oldest, default=None),
            waits.get("dead", 0),
            waits.get("parked", 0),
            await set_aside.count(self._pool),
        )
        self._at = time.monotonic()
        self._took = self._at - began
        return self._found


def _be_silent(task: "asyncio.Task[Standing]") -> None:
    """An error that nobody waits for: the next who asks tries again."""
    if not task.cancelled():
        task.exception()
