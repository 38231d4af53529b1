"""Statistics made again from what is kept, and compared with a full count of it.

Neither touches quarters of which webhooks are purged: nobody can count those again.
"""

from collections.abc import AsyncIterator
from typing import NamedTuple

from app.db import dirty
from app.db.connection import Connection
from app.db.pool import Pool
from app.db.resultsets import values_of
from app.db.rollups import EVENTS, KEEP, PLACE, Place, Rollups, count, ends, oldest_kept
from app.db.sql import bind
from app.domain.rollup import Rollup

# So often is a quarter counted that goes on changing.
_TRIES = 5

_QUARTERS = """
SELECT quarter FROM rushes_rollups WHERE quarter >= %s UNION
SELECT quarter FROM rushes_ends WHERE quarter >= %s ORDER BY quarter
"""
_NEXT = "SELECT MIN(id) FROM rushes_webhooks WHERE id >= %s"
_STORED = "SELECT counts, job_times, webhook_times FROM rushes_rollups WHERE quarter = %s"
_CHANGED = """
SELECT EXISTS (SELECT 1 FROM rushes_dirty WHERE quarter = %s), value FROM rushes_counter WHERE id = 1
"""
_OLDEST_EVENT = "SELECT MIN(id) FROM rushes_events"
# An end that the log does not tell.
_UNTOLD = """
FROM rushes_ends e LEFT JOIN rushes_events l ON l.id = e.event_id AND CAST(l.job_id AS BINARY) = e.job_id
  AND l.event IN ('completed', 'failed')
WHERE e.quarter >= %s AND l.id IS NULL
"""


class Difference(NamedTuple):
    """What is stored of a quarter, and what there is; None is nothing."""

    quarter: int
    stored: Rollup | None
    counted: Rollup | None


class RollupCheck:
    """Every method raises DatabaseError."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._rollups = Rollups(pool)

    async def rebuild(self) -> int:
        """Counts all quarters anew of which all is kept, also how generations ended; how many there are."""
        async with self._rollups.holding() as (connection, place):
            first = place.kept_from(await oldest_kept(connection))
            if first is None:
                return 0
            listed = await connection.rows(bind(_QUARTERS, first, first))
            marks = dirty.mark(int(quarter) for (quarter,) in listed)
            begin = Place(log=0, walk=0, cut=place.cut)
            await connection.run(*marks, bind(f"DELETE e {_UNTOLD}", first), bind(KEEP, begin.as_json(), PLACE))
        await self._rollups.settle()
        return len([quarter async for quarter in self._kept()])

    async def differences(self) -> AsyncIterator[Difference]:
        """Quarters of which something else is stored than there is. Nothing is mended, but what was not counted yet."""
        await self._rollups.settle()
        async for quarter in self._kept():
            for _ in range(_TRIES):
                found, changing = await self._compare(quarter)
                if found is None:
                    break
                if not changing:
                    yield found
                    break
                await self._rollups.settle()

    async def untold(self) -> int:
        """How many generations have ended otherwise than the log tells."""
        async with self._rollups.holding() as (connection, place):
            first = place.kept_from(await oldest_kept(connection))
            if first is None:
                return 0
            ((number,),) = await connection.rows(bind(f"SELECT COUNT(*) {_UNTOLD}", first))
            ((oldest,),) = await connection.rows(_OLDEST_EVENT)
            wrong = int(number)
            after = int(oldest or 1) - 1
            while after < place.log:
                found = await ends(connection, after, min(after + EVENTS, place.log))
                after = found.until
                wrong += sum(end.quarter >= first for end in found.now.values())
        return wrong

    async def _kept(self) -> AsyncIterator[int]:
        """Quarters of which all is kept, and anything was stored or is there, in order."""
        async with self._pool.connection() as connection:
            oldest = await oldest_kept(connection)
        async with self._rollups.holding() as (_, place):
            first = place.kept_from(oldest)
        if first is None:
            return
        found = {int(quarter) for (quarter,) in await self._pool.rows(bind(_QUARTERS, first, first))}
        at = first
        while True:
            ((webhook_id,),) = await self._pool.rows(bind(_NEXT, dirty.first_id(at)))
            quarter = None if webhook_id is None else dirty.quarter_of_id(webhook_id)
            if quarter is None:
                break
            at = max(quarter, at) + 1
            found.add(at - 1)
        for quarter in sorted(found):
            yield quarter

    async def _compare(self, quarter: int) -> tuple[Difference | None, bool]:
        """(what differs, whether it has changed since it was counted)"""
        async with self._rollups.holding() as (connection, place):
            stored = await _stored(connection, quarter)
            counted: Rollup | None = await count(connection, quarter)
            if counted is not None and counted.is_empty:
                counted = None
            ((dirty_now, head),) = await connection.rows(bind(_CHANGED, quarter))
        if stored == counted:
            return None, False
        return Difference(quarter, stored, counted), bool(dirty_now) or int(head) > place.log


async def _stored(connection: Connection, quarter: int) -> Rollup | None:
    (rows,) = await connection.run_unread(bind(_STORED, quarter))
    return next((Rollup.unpack(*values_of(row)) for row in rows), None)
