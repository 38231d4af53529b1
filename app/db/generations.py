"""Generations by how and when they ended, as the statistics count them: what a figure counts, one by one."""

from typing import NamedTuple

import orjson

from app import times
from app.db.connection import Row
from app.db.pool import Pool
from app.db.rollups import PLACE, Place
from app.db.sql import Raw, bind
from app.domain import forms
from app.domain.rollup import CANCELLED, COMPLETED
from app.domain.spans import quarter_of, start_of

_PLACE = "SELECT place FROM rushes_places WHERE name = %s"
_COUNT = "SELECT COUNT(*) FROM rushes_ends FORCE INDEX (rushes_ends_listed) WHERE %s"
# The ids first, from the index alone.
_PAGE = """
SELECT n.quarter, n.event_id, n.job_id, n.ended, n.took, e.created_at FROM (
  SELECT quarter, event_id, job_id, ended, took FROM rushes_ends FORCE INDEX (rushes_ends_listed)
  WHERE %s ORDER BY quarter DESC, event_id DESC LIMIT %s
) n LEFT JOIN rushes_events e ON e.id = n.event_id ORDER BY n.quarter DESC, n.event_id DESC
"""


class Ended(NamedTuple):
    """Which are meant: those that ended in the quarters first <= q < last. Without `how`, whatever counts as an end,
    which a cancelled one does not. `timed` ones alone: of which it is known how long they took."""

    first: int
    last: int
    how: forms.Ending | None = None
    timed: bool = False

    @classmethod
    def between(cls, since: int, until: int, how: forms.Ending | None, *, timed: bool) -> "Ended":
        """The quarters that have any of since <= t < until, in microseconds since 1970."""
        return cls(quarter_of(since), -(-until // start_of(1)), how, timed)

    def form(self) -> forms.EndedFilter:
        return {
            "ended": self.how,
            "timed": self.timed,
            "from": times.rfc3339(start_of(self.first)),
            "to": times.rfc3339(start_of(self.last)),
        }

    def conditions(self) -> bytes:
        found = [bind("quarter >= %s AND quarter < %s", self.first, self.last)]
        if self.how == "failed":
            found.append(bind("ended NOT IN %s", [COMPLETED, CANCELLED]))
        elif self.how is None:
            found.append(bind("ended <> %s", CANCELLED))
        else:
            found.append(bind("ended = %s", self.how))
        if self.timed:
            found.append(b"took IS NOT NULL")
        return b" AND ".join(found)


class Cursor(NamedTuple):
    """The place of one among all; what is older comes behind it."""

    quarter: int
    event_id: int


class Generations:
    """Every method raises DatabaseError."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(
        self, wanted: Ended, limit: int, before: Cursor | None
    ) -> tuple[list[forms.EndedGeneration], Cursor | None]:
        """(at most `limit`, the last that ended first, older than `before`; what to give as that for the next)"""
        conditions = wanted.conditions()
        if before is not None:
            older = "quarter <= %s AND (quarter < %s OR event_id < %s)"
            conditions += b" AND " + bind(older, before.quarter, before.quarter, before.event_id)
        rows = await self._pool.rows(bind(_PAGE, Raw(conditions), limit + 1))
        quarter, event_id, *_ = rows[limit - 1] if len(rows) > limit else (None, None)
        following = None if quarter is None or event_id is None else Cursor(int(quarter), int(event_id))
        return [*map(_shown, rows[:limit])], following

    async def count(self, wanted: Ended) -> int:
        ((number,),) = await self._pool.rows(bind(_COUNT, Raw(wanted.conditions())))
        return int(number)

    async def kept_from(self) -> int | None:
        """Since when all that was counted is kept, in microseconds since 1970; None where nothing was purged yet."""
        for (place,) in await self._pool.rows(bind(_PLACE, PLACE)):
            cut = Place(**orjson.loads(place)).cut
            if 0 <= cut < quarter_of(times.now()):
                return start_of(cut + 1)
        return None


def _shown(row: Row) -> forms.EndedGeneration:
    quarter, _, job_id, ended, took, created_at = row
    at = times.stored(created_at)
    return {
        "job_id": job_id.decode(errors="replace"),
        "ended": ended,
        "ended_at": times.rfc3339(start_of(int(quarter)) if at is None else at),
        "seconds": None if took is None else int(took) / 1e6,
    }
