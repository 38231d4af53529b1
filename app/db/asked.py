"""Which unfinished jobs are to be asked for now, found without a look at the others, however many there are.

`rushes_asked` has a row for each job that was unfinished long after it was made, with the time at which it is due. Two
walks over the site's table bring them in, a bounded number of rows at a time. One follows `createdAt`, where an index
has it: it comes upon a job as soon as that is old enough, and upon each one once. The other goes over all by id, slowly
and again and again, for what another program dates otherwise, takes back or inserts late.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import NamedTuple

from pymysql.constants import ER

from app import times
from app.db import places
from app.db.charsets import JOB, each_held
from app.db.errors import RetryableError
from app.db.pool import Pool
from app.db.resultsets import TextRow
from app.db.sql import Raw, bind, exact
from app.domain.event import whole
from app.domain.job import status_word

_RUNNING = ("PENDING", "PROCESSING", "GENERATING", "DOWNLOADING")

# Rows that go through the loop at once, in 1 to 3 ms.
_PAGE = 200
# Rows in a round: of those that grew old enough since the last one, by `createdAt`; and of all, by id. Where the first
# walk has no index to go by, the second one is all there is.
_BY_TIME = 10_000
_BY_ID, _BY_ID_ALONE = 2_000, 10_000
# Rows that one statement passes over; all of them may be unfinished, and come through the loop.
_STRETCH = 500
# How far back the first walk begins where it was never before, in microseconds. The other one brings the rest.
_FIRST_LOOK = 24 * 3600 * 1_000_000

_INDEX = """
SELECT INDEX_NAME FROM information_schema.STATISTICS
WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'video_generations' AND COLUMN_NAME = 'createdAt'
  AND SEQ_IN_INDEX = 1 AND INDEX_TYPE = 'BTREE' LIMIT 1
"""


class _Made(NamedTuple):
    """A row of the two statements that follow, as text."""

    job_id: str
    created_at: str
    state: str | None


# Two statements, of which each is one range of the index: together, in an OR, they would not be.
_OF_THIS_TIME = """
SELECT id, createdAt, status FROM video_generations FORCE INDEX (%s)
WHERE createdAt = %s AND id > %s ORDER BY id LIMIT %s
"""
_AFTER_THIS_TIME = """
SELECT id, createdAt, status FROM video_generations FORCE INDEX (%s)
WHERE createdAt > %s AND createdAt <= %s ORDER BY createdAt, id LIMIT %s
"""

_END = "SELECT id FROM video_generations WHERE id > %s ORDER BY id LIMIT 1 OFFSET %s"

_UNKNOWN = """
SELECT g.id FROM video_generations g
LEFT JOIN rushes_asked a ON a.job_id = CAST(CONVERT(g.id USING utf8mb4) AS BINARY)
WHERE g.id > %s AND g.status IN ('PENDING', 'PROCESSING', 'GENERATING', 'DOWNLOADING') AND a.job_id IS NULL
"""
_UP_TO = " AND g.id <= %s"
_OLD = " AND (g.createdAt < %s OR g.createdAt IS NULL)"

_STANDING = """
SELECT g.id, g.status, g.progress, g.updatedAt, g.createdAt, k.job_id, k.status, k.updated_at
FROM video_generations g LEFT JOIN rushes_jobs k
  ON k.job_id = g.id AND COALESCE(k.created_at, g.createdAt) <=> g.createdAt
WHERE g.id IN %s
"""


class _Stands(NamedTuple):
    """A row of _STANDING, as text. `word` and `moved_at` are what rushes_jobs has under `position_of`."""

    job_id: str
    state: str | None
    progress: str | None
    updated_at: str | None
    created_at: str | None
    position_of: str | None
    word: str | None
    moved_at: str | None


_DUE = """
SELECT job_id, moved_at, due_at, tries, silent, told FROM rushes_asked
WHERE asked = %s AND due_at <= %s ORDER BY due_at {} LIMIT %s
"""


class _Due(NamedTuple):
    """A row of _DUE."""

    job_id: bytes
    moved_at: int
    due_at: int
    tries: int
    silent: int
    told: str | None


# Those that were asked for longest ago and in vain, then those whose first turn comes next; each by the index.
_LISTED = """
(SELECT job_id, moved_at, due_at, tries, silent, told FROM rushes_asked WHERE asked = 1 ORDER BY due_at LIMIT %s)
UNION ALL
(SELECT job_id, moved_at, due_at, tries, silent, told FROM rushes_asked WHERE asked = 0 ORDER BY due_at LIMIT %s)
"""

_OF = "SELECT job_id, moved_at, due_at, tries, silent, told FROM rushes_asked WHERE job_id = %s"

_TOLD = "UPDATE rushes_asked SET silent = 0, told = %s WHERE job_id = %s AND moved_at = %s"

# The clock was set back, or STALL_AFTER was a longer time: nothing of today's is due as late as that.
_MISDATED = "UPDATE rushes_asked SET due_at = %s WHERE asked IN (0, 1) AND due_at > %s LIMIT 500"

_NOTE = "INSERT INTO rushes_asked (job_id, moved_at, asked, due_at, tries, silent, told) VALUES %s"
_KNOWN = "ON DUPLICATE KEY UPDATE job_id = VALUES(job_id)"
_SAVED = """
ON DUPLICATE KEY UPDATE moved_at = VALUES(moved_at), asked = VALUES(asked), due_at = VALUES(due_at),
  tries = VALUES(tries), silent = VALUES(silent), told = VALUES(told)
"""
_FORGET = "DELETE FROM rushes_asked WHERE job_id IN %s"

_ID_MAX = 764  # bytes, of rushes_asked.job_id

_TIME, _ID = "asked.time", "asked.id"


@dataclass(frozen=True, slots=True)
class Job:
    """An unfinished job: the last word about it, and when it came (microseconds)."""

    job_id: str
    status: str
    moved_at: int


@dataclass(slots=True)
class Asked:
    """How often a job was asked for since it stands as it does, how often in vain, and the key of what was last sent
    on; when it is due (microseconds)."""

    job: Job
    due_at: int
    tries: int = 0
    silent: int = 0
    told: str | None = None


class AskedJobs:
    """Every method raises DatabaseError. `stall_after` and `longest`, the longest pause there is, are in seconds."""

    def __init__(self, pool: Pool, *, stall_after: float, longest: float) -> None:
        self._pool = pool
        self._stall = int(stall_after * 1e6)
        self._ahead = int(max(stall_after, longest) * 1e6) + 1_000_000

    async def find(self) -> None:
        """Takes note of unfinished jobs that have become old."""
        index = await self._index()
        old = times.sql6(times.now() - self._stall)
        try:
            if index is not None:
                await self._walk_by_time(index, old)
        except RetryableError as error:
            if error.number != ER.KEY_DOES_NOT_EXITS:
                raise
            index = None  # it is there, and not to be used
        await self._walk_by_id(_BY_ID_ALONE if index is None else _BY_ID, None if index is None else old)

    async def due(self, limit: int) -> tuple[list[Asked], bool]:
        """(at most `limit` stalled jobs that are due, whether there may be more)

        Of those never asked for the newest, of those asked for the longest due, and of those never asked for the
        oldest, in turn: none of them waits for all of another kind.
        """
        at = times.now()
        _, *found = await self._pool.run(
            bind(_MISDATED, at, at + self._ahead),
            bind(_DUE.format("DESC"), 0, at, limit),
            bind(_DUE.format("ASC"), 1, at, limit),
            bind(_DUE.format("ASC"), 0, at, limit),
        )
        in_turn = (row for row in chain(*zip_longest(*found)) if row is not None)
        rows = {row.job_id: row for row in map(_Due._make, in_turn)}
        looked_at = [*rows.values()][:limit]
        stalled: list[Asked] = []
        for start in range(0, len(looked_at), _PAGE):
            stalled += await self._look(looked_at[start : start + _PAGE])
        return stalled, len(rows) > len(looked_at) or len(looked_at) == limit

    async def stalled(self, limit: int) -> tuple[list[Asked], bool]:
        """(at most `limit` stalled jobs, whether there may be more)

        Those that were asked for come first. Nothing is changed.
        """
        rows = [*map(_Due._make, await self._pool.rows(bind(_LISTED, limit + 1, limit + 1)))]
        found: list[Asked] = []
        for start in range(0, len(rows), _PAGE):
            some = rows[start : start + _PAGE]
            jobs = await self.unfinished([row.job_id.decode() for row in some])
            found += [self._asked(job, row) for row in some if (job := jobs.get(row.job_id.decode())) is not None]
        old = times.now() - self._stall
        stalled = [asked for asked in found if asked.job.moved_at < old]
        return stalled[:limit], len(stalled) > limit

    async def asked(self, job: Job) -> Asked:
        """What is known of asking for it."""
        rows = map(_Due._make, await self._pool.rows(bind(_OF, exact(job.job_id))))
        return next((self._asked(job, row) for row in rows), self._never_asked(job))

    async def heard(self, job: Job, told: str | None) -> None:
        """Takes note that the backend knows it, and of the key of what was sent on, out of its turn."""
        await self._pool.run(bind(_TOLD, told, exact(job.job_id), job.moved_at))

    async def unfinished(self, job_ids: Sequence[str]) -> dict[str, Job]:
        """Where those of them stand that are unfinished, by their exact ids."""
        rows = await self._texts(bind(_STANDING, each_held(JOB, job_ids))) if job_ids else []
        found = {row.job_id: _job(row) for row in map(_Stands._make, rows) if row.state in _RUNNING}
        return {job_id: found[job_id] for job_id in job_ids if job_id in found}

    async def save(self, asked: Iterable[Asked]) -> None:
        if rows := [_row(one) for one in asked]:
            await self._pool.run(bind(_NOTE, rows) + _SAVED.encode())

    async def _index(self) -> Raw | None:
        names = [str(name) for (name,) in await self._pool.rows(_INDEX)]
        return next((Raw(b"`%b`" % name.replace("`", "``").encode()) for name in names), None)

    async def _walk_by_time(self, index: Raw, old: str) -> None:
        at, last_id = await places.place(self._pool, _TIME) or (times.sql6(times.now() - self._stall - _FIRST_LOOK), "")
        if at > old:  # the clock was set back
            at, last_id = old, ""
            await places.keep(self._pool, _TIME, [at, last_id])
        for _ in range(_BY_TIME // _PAGE):
            async with self._pool.connection() as connection:
                same, later = await connection.run_text(
                    bind(_OF_THIS_TIME, index, at, last_id, _PAGE),
                    bind(_AFTER_THIS_TIME, index, at, old, _PAGE),
                )
            rows = [_Made._make(row) for row in (same + later)[:_PAGE]]
            await self._note([row.job_id for row in rows if row.state in _RUNNING])
            if rows:
                last_id, at, _ = rows[-1]
                await places.keep(self._pool, _TIME, [at, last_id])
            if len(rows) < _PAGE:
                return

    async def _walk_by_id(self, most: int, old: str | None) -> None:
        began = last = await places.place(self._pool, _ID) or ""
        for _ in range(most // _STRETCH):
            rows = await self._pool.rows(bind(_END, last, _STRETCH - 1))
            end = next((str(job_id) for (job_id,) in rows), None)
            look = bind(_UNKNOWN, last)
            look += bind(_UP_TO, end) if end is not None else b""
            look += bind(_OLD, old) if old is not None else b""
            unknown = [str(job_id) for (job_id,) in await self._texts(look)]
            for start in range(0, len(unknown), _PAGE):
                await self._note(unknown[start : start + _PAGE])
            last = end or ""
            if end is None:
                break
        if last != began:
            await places.keep(self._pool, _ID, last)

    async def _texts(self, statement: bytes) -> list[TextRow]:
        async with self._pool.connection() as connection:
            (rows,) = await connection.run_text(statement)
            return rows

    async def _note(self, job_ids: list[str]) -> None:
        # A site's ids may be longer than ours.
        jobs = (await self.unfinished([job_id for job_id in job_ids if len(exact(job_id)) <= _ID_MAX])).values()
        if rows := [_row(self._never_asked(job)) for job in jobs]:
            await self._pool.run(bind(_NOTE, rows) + b" " + _KNOWN.encode())

    def _asked(self, job: Job, row: _Due) -> Asked:
        """What is known of it counts as long as it stands as it did."""
        if job.moved_at != row.moved_at:
            return self._never_asked(job)
        return Asked(job, row.due_at, row.tries, row.silent, row.told)

    def _never_asked(self, job: Job) -> Asked:
        """Not due later than STALL_AFTER from now, though another program's clock may be ahead."""
        return Asked(job, min(job.moved_at, times.now()) + self._stall)

    async def _look(self, rows: list[_Due]) -> list[Asked]:
        """Those that are stalled; of the others, what is known of them is put right."""
        spelled = [row.job_id.decode() for row in rows]
        jobs = await self.unfinished(spelled)
        stalled, moved = [], []
        at = times.now()
        for job_id, row in zip(spelled, rows, strict=True):
            job = jobs.get(job_id)
            if job is None:
                continue
            asked = self._asked(job, row)
            if job.moved_at < at - self._stall:
                stalled.append(asked)
            else:
                moved.append(self._never_asked(job))
        await self.save(moved)
        if gone := [exact(job_id) for job_id in spelled if job_id not in jobs]:
            await self._pool.run(bind(_FORGET, gone))
        return stalled


def _row(asked: Asked) -> list[object]:
    job = asked.job
    return [exact(job.job_id), job.moved_at, asked.tries > 0, asked.due_at, asked.tries, asked.silent, asked.told]


def _job(row: _Stands) -> Job:
    # The collation may have found another job's position.
    if row.position_of != row.job_id or row.word is None or row.moved_at is None:
        seen = times.stored(row.updated_at) or 0, times.stored(row.created_at) or 0
        return Job(row.job_id, status_word(str(row.state), whole(row.progress)), max(seen))
    return Job(row.job_id, row.word, times.microseconds_of(row.moved_at))
