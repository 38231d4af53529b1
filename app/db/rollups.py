"""Statistics by the quarter of an hour, counted from the log and from received webhooks.

Nothing is added to what was counted: a quarter in which something changed is dirty, and counted again, whole. What
makes it dirty is committed with the change: the events of the log, and the marks of `dirty` where there is no event.

- `follow` goes over the log, which has no gaps and is in the order of commits, so that no slower transaction is passed
  over. It keeps how each generation ended, and marks the quarters of the events, in one transaction with its place.
- `recount` takes marks away, and counts what stands there then, in one transaction. A mark of later stays.
- `walk` comes once upon each quarter that has webhooks: those from before there were marks.

All three hold one row while they do so. Two leaders take turns, and one that is killed leaves all as it was.
"""

import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import NamedTuple

import orjson

from app import times
from app.db import dirty
from app.db.connection import Connection
from app.db.errors import RetryableError
from app.db.pool import Pool
from app.db.resultsets import TextRow
from app.db.sql import bind, exact
from app.domain.event import EVENT_MAX
from app.domain.rollup import CANCELLED, COMPLETED, OUTCOMES, End, Rollup, took
from app.domain.sketch import LONGEST, Sketch, bin_sql
from app.domain.spans import QUARTER, quarter_of

# Events that are gone over at once, and ends among them: these come through the loop. Each transaction is a flush of
# the disk, and most events are no ends.
EVENTS, _ENDS = 10_000, 500
# Marks that are taken away at once.
_MARKS = 1000
_ENDS_DELETED = 500
# Seconds after which no other quarter is begun in a transaction.
_A_WHILE = 0.05
# Seconds that one waits for another who counts: a wait for a lock takes one.
_TRIES = 30

PLACE = "rollups"
_BEGIN = "INSERT IGNORE INTO rushes_places (name, place) VALUES (%s, %s)"
_HOLD = "SELECT place FROM rushes_places WHERE name = %s FOR UPDATE"
KEEP = "UPDATE rushes_places SET place = %s WHERE name = %s"

_LOG = "SELECT (SELECT value FROM rushes_counter WHERE id = 1), (SELECT MIN(id) FROM rushes_events)"
# UNIX_TIMESTAMP ends in 2038.
_QUARTERS = f"""
SELECT DISTINCT TIMESTAMPDIFF(SECOND, '1970-01-01', created_at) DIV {QUARTER // 1_000_000} FROM rushes_events
WHERE id > %s AND id <= %s
"""
# Data that is no JSON is another program's: to read it as such would be an error of the statement.
_ENDED = f"""
SELECT id, job_id, event, created_at, IF(event = 'failed' AND LENGTH(data) <= {EVENT_MAX} AND JSON_VALID(data),
  JSON_UNQUOTE(JSON_EXTRACT(data, '$.failure.kind')), NULL)
FROM rushes_events WHERE id > %s AND id <= %s AND event IN ('completed', 'failed') ORDER BY id LIMIT %s
"""
_TIMES = "SELECT id, createdAt, completedAt FROM video_generations WHERE id IN %s"
_KNOWN = "SELECT job_id, event_id, quarter, ended, took FROM rushes_ends WHERE job_id IN %s"
_END = """
INSERT INTO rushes_ends (job_id, event_id, quarter, ended, took) VALUES %s ON DUPLICATE KEY UPDATE
  event_id = VALUES(event_id), quarter = VALUES(quarter), ended = VALUES(ended), took = VALUES(took)
"""

_OLDEST = "SELECT MIN(id) FROM rushes_webhooks"
_NEXT = "SELECT MIN(id) FROM rushes_webhooks WHERE id >= %s"

_DIRTY = "SELECT quarter, token FROM rushes_dirty ORDER BY quarter, token LIMIT %s"
# By their whole keys: a range would wait for marks that are not committed yet.
_CLEAN = "DELETE FROM rushes_dirty WHERE quarter = %s AND token IN %s"

_MS = LONGEST // 1000
# The index holds all that is asked for.
_COUNT_WEBHOOKS = f"""
SELECT outcome, {bin_sql("us")} AS place, COUNT(*), SUM(us) FROM (
  SELECT outcome, CAST(ROUND(LEAST(GREATEST(duration_ms, 0), {_MS}) * 1000) AS UNSIGNED) AS us
  FROM rushes_webhooks FORCE INDEX (rushes_webhooks_outcome) WHERE outcome IN %s AND id >= %s AND id < %s
) w GROUP BY outcome, place
"""
_COUNT_ENDS = f"""
SELECT ended, {bin_sql("took")} AS place, COUNT(*), SUM(took) FROM rushes_ends WHERE quarter = %s GROUP BY ended, place
"""

_STORE = """
INSERT INTO rushes_rollups (quarter, counts, job_times, webhook_times) VALUES %s ON DUPLICATE KEY UPDATE
  counts = VALUES(counts), job_times = VALUES(job_times), webhook_times = VALUES(webhook_times)
"""
_DROP = "DELETE FROM rushes_rollups WHERE quarter = %s"

_FORGET_ENDS = "DELETE FROM rushes_ends WHERE quarter < %s ORDER BY quarter LIMIT %s"


class _Ended(NamedTuple):
    """A row of _ENDED, as text. Another program's may hold anything."""

    id: str
    job_id: str
    event: str
    created_at: str | None
    kind: str | None


class _Known(NamedTuple):
    """A row of _KNOWN, as text."""

    job_id: str
    event_id: str
    quarter: str
    ended: str
    took: str | None

    @property
    def end(self) -> End:
        took = None if self.took is None else int(self.took)
        return End(int(self.event_id), int(self.quarter), self.ended, took)


class _Counted(NamedTuple):
    """A row of _COUNT_WEBHOOKS or _COUNT_ENDS: how many of that outcome or end took as long as the bin `place` says,
    which is None where that is not known, and how long all of them."""

    name: str
    place: int | None
    number: int
    us: int

    @classmethod
    def of(cls, row: TextRow) -> "_Counted":
        name, place, number, us = row
        return cls(str(name), None if place is None else int(place), int(number or 0), int(us or 0))


@dataclass(slots=True)
class Place:
    """Where it goes on: after the event `log`, with the quarter `walk` unless that is done. Webhooks are purged up to
    within the quarter `cut`."""

    log: int = 0
    walk: int | None = 0
    cut: int = -1

    def as_json(self) -> str:
        return orjson.dumps(asdict(self)).decode()

    def kept_from(self, oldest: str | None) -> int | None:
        """The first quarter of which all webhooks are kept, when this is the oldest; None when none is. A cut that is
        to come was made by a clock that was set back since."""
        quarter = None if oldest is None else dirty.quarter_of_id(oldest)
        if quarter is None:
            return None
        return max(quarter, self.cut + 1) if self.cut < quarter_of(times.now()) else quarter


class Rollups:
    """Every method raises DatabaseError: what was begun is undone then, and may be tried again."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def settle(self) -> None:
        """Counts all that is to be counted."""
        while await self.follow():
            pass
        while await self.recount():
            pass
        while await self.walk():
            pass

    async def follow(self) -> bool:
        """Goes over the next events; whether there may be more."""
        async with self.holding() as (connection, place):
            (((head, first),),) = await connection.run_text(_LOG)
            newest = int(head or 0)
            began = max(min(place.log, newest), int(first or 1) - 1)
            if newest <= began:
                place.log = began  # the log may have been taken back
                await connection.run(bind(KEEP, place.as_json(), PLACE))
                return False
            ended = await ends(connection, began, min(began + EVENTS, newest))
            place.log = ended.until
            (quarters,) = await connection.run_text(bind(_QUARTERS, began, ended.until))
            marked = {int(quarter) for (quarter,) in quarters if quarter is not None and int(quarter) >= 0}
            kept = [[exact(job_id), *ended.now[job_id]] for job_id in sorted(ended.now)]
            store_ends = [bind(_END, kept)] if kept else []
            await connection.run(*store_ends, *dirty.mark(marked | ended.left), bind(KEEP, place.as_json(), PLACE))
            return ended.until < newest

    async def recount(self) -> bool:
        """Counts quarters that are dirty; whether there may be more."""
        async with self._pool.connection() as connection:
            (rows,) = await connection.run_text(bind(_DIRTY, _MARKS))
        marks: dict[int, list[int]] = {}
        for quarter, token in rows:
            marks.setdefault(int(quarter or 0), []).append(int(token or 0))
        waiting = [*marks.items()]
        while waiting:
            async with self.holding() as (connection, place):
                for _ in _for_a_while():
                    await self._count_again(connection, place, *waiting.pop())
                    if not waiting:
                        break
        return len(rows) == _MARKS

    async def walk(self) -> bool:
        """Counts the next quarters that were not walked over; whether there may be more."""
        async with self.holding() as (connection, place):
            for _ in _for_a_while():
                if place.walk is None:
                    break
                await self._walk(connection, place, place.walk)
            await connection.run(bind(KEEP, place.as_json(), PLACE))
            return place.walk is not None

    async def _walk(self, connection: Connection, place: Place, begin: int) -> None:
        ((found,),) = await connection.rows(bind(_NEXT, dirty.first_id(begin)))
        quarter = None if found is None else dirty.quarter_of_id(found)
        if quarter is None:
            place.walk = None
        else:
            place.walk = max(quarter, begin) + 1
            await self._count_again(connection, place, place.walk - 1, [])

    async def purge_until(self, before: int) -> None:
        """Leaves from now on as they are all quarters that begin before then, in microseconds since 1970: the rows are
        to be deleted, and what was counted stays."""
        await self.settle()
        async with self.holding() as (connection, place):
            kept = place.cut if place.cut < quarter_of(times.now()) else -1
            place.cut = max(kept, quarter_of(before))
            await connection.run(bind(KEEP, place.as_json(), PLACE))
        deleted = _ENDS_DELETED
        while deleted == _ENDS_DELETED:
            forget = bind(_FORGET_ENDS, quarter_of(before), _ENDS_DELETED)
            _, ((deleted,),) = await self._pool.run(forget, "SELECT ROW_COUNT()")

    async def _count_again(self, connection: Connection, place: Place, quarter: int, tokens: list[int]) -> None:
        clean = [bind(_CLEAN, quarter, tokens)] if tokens else []
        if clean:
            await connection.run(*clean)
        first = place.kept_from(await oldest_kept(connection))
        if first is not None and quarter >= first:
            await connection.run(store(quarter, await count(connection, quarter)))

    @asynccontextmanager
    async def holding(self) -> AsyncIterator[tuple[Connection, Place]]:
        """A transaction of whoever counts, which nobody else does meanwhile."""
        async with self._pool.connection() as connection:
            place = await _hold(connection)
            try:
                yield connection, place
                await connection.run("COMMIT")
            except BaseException:
                connection.close()  # which undoes it
                raise


def _for_a_while() -> Iterator[None]:
    """So often as there is time for in one transaction: each is a flush of the disk."""
    until = time.monotonic() + _A_WHILE
    while True:
        yield
        if time.monotonic() >= until:
            return


async def oldest_kept(connection: Connection) -> str | None:
    """The id of the oldest webhook."""
    ((oldest,),) = await connection.rows(_OLDEST)
    return None if oldest is None else str(oldest)


async def _hold(connection: Connection) -> Place:
    """Begins the transaction, when whoever counts now has done so."""
    tries = 0
    while True:
        try:
            _, rows = await connection.run("START TRANSACTION", bind(_HOLD, PLACE))
        except RetryableError as error:
            tries += 1
            if connection.closed or not error.is_contention or tries == _TRIES:
                raise
            await connection.run("ROLLBACK")
            continue
        for (place,) in rows:
            return Place(**orjson.loads(place))
        await connection.run("ROLLBACK", bind(_BEGIN, PLACE, Place().as_json()))


class Ends(NamedTuple):
    """How generations have ended, by job, where that is not what was known; the quarters in which they had ended so
    far. Events were gone over up to the id `until`."""

    now: dict[str, End]
    left: set[int]
    until: int


async def ends(connection: Connection, after: int, until: int) -> Ends:
    """By the events after < id <= until of the log, or as many of them as have `_ENDS` ends."""
    (sent,) = await connection.run_text(bind(_ENDED, after, until, _ENDS))
    rows = [*map(_Ended._make, sent)]
    if len(rows) == _ENDS:
        until = int(rows[-1].id)
    found = [(row, at) for row in rows if (at := times.stored(row.created_at)) is not None and at >= 0]
    if not found:
        return Ends({}, set(), until)
    job_ids = sorted({row.job_id for row, _ in found})
    known, jobs = await connection.run_text(bind(_KNOWN, [*map(exact, job_ids)]), bind(_TIMES, job_ids))
    ended = {row.job_id: row.end for row in map(_Known._make, known)}
    made = {job_id: (times.stored(created), times.stored(completed)) for job_id, created, completed in jobs}
    now, left = {}, set()
    for row, at in found:
        before = ended.get(row.job_id)
        end = End.of_event(int(row.id), row.event, row.kind, at, took(*made.get(row.job_id, (None, None)), at))
        same = before is not None and before.event_id == end.event_id
        if same and before is not None:
            end = end._replace(took=before.took)  # the job may be gone, or have been told otherwise since
        if end.follows(before) or (same and end != before):
            left |= {before.quarter} if before is not None else set()
            now[row.job_id] = ended[row.job_id] = end
    return Ends(now, left, until)


async def count(connection: Connection, quarter: int) -> Rollup:
    """What there is in a quarter now."""
    ids = dirty.first_id(quarter), dirty.first_id(quarter + 1)
    found = await connection.run_text(bind(_COUNT_WEBHOOKS, OUTCOMES, *ids), bind(_COUNT_ENDS, quarter))
    webhooks, ends = ([*map(_Counted.of, rows)] for rows in found)
    counted = Rollup()
    counted.webhook_times = _sketch(webhooks)
    counted.job_times = _sketch(end for end in ends if end.name == COMPLETED)
    for webhook in webhooks:
        counted.webhooks[webhook.name] += webhook.number
    for end in ends:
        if end.name == COMPLETED:
            counted.finished += end.number
        elif end.name != CANCELLED:
            counted.failed[end.name] += end.number
    return counted


def store(quarter: int, counted: Rollup) -> bytes:
    """What stores it; nothing is kept of a quarter in which nothing was."""
    if counted.is_empty:
        return bind(_DROP, quarter)
    return bind(_STORE, [[quarter, counted.counts, counted.job_times.pack(), counted.webhook_times.pack()]])


def _sketch(counted: Iterable[_Counted]) -> Sketch:
    bins: Counter[int] = Counter()
    total = 0
    for row in counted:
        if row.place is not None:
            bins[row.place] += row.number
            total += row.us
    return Sketch.of(bins, total)
