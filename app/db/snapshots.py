"""Jobs as streams begin with them: their present state, and nothing that streams do not send."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from app.db import files, log
from app.db.charsets import AUTHOR, JOB, each_held
from app.db.loader import Loader
from app.db.pool import Pool
from app.db.rows import (
    EXACTLY,
    KEY,
    LISTED,
    UNFINISHED,
    Sized,
    kind_of,
    newest_unfinished,
    present,
    text,
    that_fit,
)
from app.db.sql import bind, exact, json_bytes
from app.db.videos import VIEW, read_files
from app.domain.estimate import Estimates, Kind
from app.domain.event import EventId, LogEvent, event_data, event_name, words
from app.domain.forms import StoredFile
from app.domain.partial import Partial, partial_of
from app.times import now
from app.turns import in_turns

# No prompt: it may be longer than all else.
_COLUMNS = f"""
SELECT g.id, g.status, g.progress, LEFT(g.message, %s), LEFT(g.error, %s), g.authorId, g.organizationId,
  g.createdAt, g.updatedAt, g.completedAt, g.model, g.durationSeconds, g.numberOfVideos, k.status, k.at, k.updated_at,
  k.since, k.partial
FROM video_generations g {KEY}
"""


class _Row(NamedTuple):
    """A row of _COLUMNS. Other programs' may hold anything."""

    id: str
    state: Any
    progress: Any
    message: Any
    error: Any
    author_id: Any
    organization_id: str | None
    created_at: Any
    updated_at: Any
    completed_at: Any
    model: Any
    seconds: Any
    number: Any
    word: str | None
    at: int | None
    moved_at: Any
    since: Any
    partial: Any


# Characters. Texts of an unfinished job are short, where other programs do not write them.
_TEXT_MAX = 65_536
_SHORT = 4096

# Bytes of a frame without the texts.
_FRAME = 400
_SIZE = " + ".join([str(_FRAME), *(json_bytes(f"LEFT(g.{column}, {_SHORT})") for column in ("message", "error"))])

_OF_USERS = f"""
{_COLUMNS} WHERE {LISTED} AND g.authorId IN %s AND g.status IN {UNFINISHED} AND {EXACTLY} IN %s LIMIT %s
"""

# Jobs, or users, of whom a storm of clients that come back asks in one go.
_READ_AT_ONCE = 200

# Of all users that are read together; whoever has more by himself is read apart.
_ROWS_AT_ONCE = 500
_PAGE = 100
_APART_MAX = 10_000


@dataclass(frozen=True, slots=True)
class JobState:
    """One job as streams tell of it. `moved_at` is when it was last changed, and `since` when it got to its stage, in
    microseconds since 1970."""

    id: str
    state: str
    status: str
    progress: int
    message: str | None
    error: str | None
    author_id: str
    organization_id: str | None
    created_at: int
    at: int
    moved_at: int
    kind: Kind
    since: int
    videos: list[StoredFile]
    num_videos: int
    partial: Partial | None

    def event(self, estimates: Estimates) -> LogEvent:
        """The job's present state as an event without an id of its own."""
        data = event_data(
            job_id=self.id,
            status=self.status,
            state=self.state,
            progress=self.progress,
            message=self.message,
            occurred_at=self.at,
            error=self.error,
            estimate=estimates.at(now(), self.kind, self.state, self.status, self.since),
            videos=self.videos if self.state == "COMPLETED" else None,
            num_videos=self.num_videos,
            partial=self.partial,
        )
        return LogEvent(0, self.id, self.author_id, self.organization_id, event_name(self.state), data)


class UserState(NamedTuple):
    """The log's head, unfinished jobs, oldest first, and whether there are `more`, older ones."""

    head: EventId
    jobs: list[JobState]
    more: bool
    made: list[LogEvent]
    making: asyncio.Lock

    async def events(self, estimates: Estimates) -> list[LogEvent]:
        """The jobs as events, the last of which says if there are more. They are made once for all who share this: a
        user's many streams may all come back at the same moment."""
        async with self.making:
            if not self.made:
                self.made.extend([job.event(estimates) async for job in in_turns(self.jobs)])
                if self.more and self.made:
                    last = self.made[-1]
                    last.data = b'%b,"more":true}' % last.data.removesuffix(b"}")
        return self.made


class Snapshots:
    """Reads what streams begin with, for many at once: `most` of a user's unfinished jobs, and `most_bytes`.

    Every method raises DatabaseAwayError.
    """

    def __init__(self, pool: Pool, most: int, most_bytes: int) -> None:
        self._pool = pool
        self._most = most
        self._most_bytes = most_bytes
        self._jobs = Loader(self._read_jobs, _READ_AT_ONCE)
        self._users = Loader(self._read_users, _READ_AT_ONCE)
        self._alone = Loader(self._read_one, 1)
        # Users who had too many jobs to be read with others, when they were last read.
        self._apart: OrderedDict[str, None] = OrderedDict()

    async def of_job(self, job_id: str) -> tuple[EventId, JobState | None]:
        """The log's head and the job, found by its exact id, in one read view."""
        return await self._jobs.get(job_id)

    async def _read_jobs(self, job_ids: Sequence[str]) -> dict[str, tuple[EventId, JobState | None]]:
        jobs = bind(
            f"{_COLUMNS} WHERE {LISTED} AND g.id IN %s",
            _TEXT_MAX,
            _TEXT_MAX,
            each_held(JOB, job_ids),
        )
        async with self._pool.connection() as connection:
            *_view, head, rows, counted = await connection.run(*VIEW, log.HEAD, jobs, files.count(job_ids))
            videos = await read_files(connection, counted)
        # The database compares without regard to case: what was found is not always what was asked for.
        found = {row.id: _job(row, *videos.get(row.id, ([], 0))) for row in map(_Row._make, rows)}
        return {job_id: (log.head_of(head), found.get(job_id)) for job_id in job_ids}

    async def of_user(self, user_id: str) -> UserState:
        """The newest of his unfinished jobs, in one read view with the log's head.

        Who has many is read apart, one after the other, so that nobody else waits for that.
        """
        if user_id not in self._apart:
            found = await self._users.get(user_id)
            if found is not None:
                return found
            self._apart[user_id] = None
            if len(self._apart) > _APART_MAX:
                self._apart.popitem(last=False)
        return await self._alone.get(user_id)

    async def _read_users(self, user_ids: Sequence[str]) -> dict[str, UserState | None]:
        """None for who has too many. The rows that are read are bounded, however many there are."""
        exactly = [exact(user_id) for user_id in user_ids]
        jobs = bind(_OF_USERS, _SHORT, _SHORT, each_held(AUTHOR, user_ids), exactly, _ROWS_AT_ONCE + 1)
        *_view, head, rows, _ = await self._pool.run(*VIEW, log.HEAD, jobs, "COMMIT")
        if len(rows) > _ROWS_AT_ONCE:
            if len(user_ids) == 1:
                return dict.fromkeys(user_ids)
            half = len(user_ids) // 2
            return await self._read_users(user_ids[:half]) | await self._read_users(user_ids[half:])
        found: dict[str, list[JobState]] = {user_id: [] for user_id in user_ids}
        for job in map(_job, map(_Row._make, rows)):
            if job.author_id in found:
                found[job.author_id].append(job)
        return {user_id: self._newest(log.head_of(head), jobs) for user_id, jobs in found.items()}

    async def _read_one(self, user_ids: Sequence[str]) -> dict[str, UserState]:
        """Of one user: which jobs, then these, page by page: long rows would hold the loop up, and use memory."""
        (user_id,) = user_ids
        newest = newest_unfinished(user_id, _SIZE, self._most + 1)
        async with self._pool.connection() as connection:
            *_view, head, rows = await connection.run(*VIEW, log.HEAD, newest)
            found = [*map(Sized._make, rows)]
            fit = that_fit([row.size for row in found], self._most_bytes)
            chosen = [row.id for row in found[: min(self._most, fit)]]
            jobs: list[JobState] = []
            for start in range(0, len(chosen), _PAGE):
                page = bind(
                    f"{_COLUMNS} WHERE {LISTED} AND g.id IN %s",
                    _SHORT,
                    _SHORT,
                    each_held(JOB, chosen[start : start + _PAGE]),
                )
                jobs += map(_job, map(_Row._make, await connection.rows(page)))
            await connection.run("COMMIT")
        if len(found) <= _ROWS_AT_ONCE:
            self._apart.pop(user_id, None)
        state = self._newest(log.head_of(head), [job for job in jobs if job.author_id == user_id])
        return {user_id: state._replace(more=len(state.jobs) < len(found))}

    def _newest(self, head: EventId, jobs: list[JobState]) -> UserState:
        newest = sorted(jobs, key=lambda job: (job.created_at, job.id), reverse=True)[: self._most]
        sizes = [_FRAME + len(orjson.dumps([job.message, job.error])) for job in newest]
        fit = that_fit(sizes, self._most_bytes)
        return UserState(head, newest[:fit][::-1], fit < len(jobs), [], asyncio.Lock())


def _job(row: _Row, videos: Sequence[StoredFile] = (), num_videos: int = 0) -> JobState:
    at = present(row)
    return JobState(
        id=row.id, state=at.state, status=at.status, progress=at.progress,
        message=text(row.message), error=text(row.error),
        author_id=words(row.author_id), organization_id=row.organization_id,
        created_at=at.created_at, at=at.at, moved_at=at.moved_at,
        kind=kind_of(row.model, row.seconds, row.number), since=at.since,
        videos=list(videos), num_videos=num_videos, partial=partial_of(row.partial),
    )  # fmt: skip
