"""Jobs as the pages read them."""

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from app.db import files, log
from app.db.connection import Connection, Row
from app.db.loader import Loader
from app.db.pool import Pool
from app.db.rows import EXACTLY, KEY, LISTED, Sized, kind_of, newest_unfinished, number, present, text, that_fit
from app.db.sql import bind, exact, json_bytes
from app.domain.estimate import Kind
from app.domain.event import EVENT_MAX, EventId, words
from app.domain.forms import StoredFile
from app.domain.job import State
from app.domain.partial import Partial, partial_of
from app.times import microseconds, sql6, stored

_COLUMNS = f"""
SELECT g.id, g.prompt, g.status, g.progress, g.message, g.error, g.model, g.modelVersion, g.processingTime,
  g.generationTime, g.downloadTime, g.aspectRatio, g.authorId, g.organizationId, g.createdAt, g.updatedAt,
  g.completedAt, g.durationSeconds, g.numberOfVideos, k.status, k.at, k.updated_at, k.since, k.partial
FROM video_generations g {KEY}
"""


class _Row(NamedTuple):
    """A row of _COLUMNS. Other programs' may hold anything."""

    id: str
    prompt: Any
    state: Any
    progress: Any
    message: Any
    error: Any
    model: Any
    model_version: Any
    processing_time: Any
    generation_time: Any
    download_time: Any
    aspect_ratio: Any
    author_id: Any
    organization_id: str | None
    created_at: Any
    updated_at: Any
    completed_at: Any
    seconds: Any
    number: Any
    word: str | None
    at: int | None
    moved_at: Any
    since: Any
    partial: Any


# What a job and its files take of an answer's bytes, beside the names of fields.
_SIZE = f"500 + {json_bytes('g.prompt')}"
_UNFINISHED_SIZE = f"{_SIZE} + {json_bytes('g.message')} + {json_bytes('g.error')}"

# Bytes of a file beside its addresses.
_FILE = 300

# Prompts of other programs' jobs may have megabytes.
_READ_AT_ONCE = 20

_ACTIVE_MAX = 200

# One read view: what is read is what the log said at its head, no more and no less.
VIEW = (
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
)


class BadCursorError(ValueError):
    """The cursor is not one that this service gave out."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One job as read: its columns, and its files in the gallery's form.

    `status` is the sender's last word, and `since` when it came first; times are microseconds since 1970.
    """

    id: str
    prompt: str
    state: State
    status: str
    progress: int
    message: str | None
    error: str | None
    model: str
    model_version: str
    processing_time: float | None
    generation_time: float | None
    download_time: float | None
    aspect_ratio: str
    author_id: str
    organization_id: str | None
    created_at: int
    completed_at: int | None
    kind: Kind
    since: int
    videos: list[StoredFile]
    num_videos: int
    partial: Partial | None


@dataclass(frozen=True, slots=True)
class Page:
    """Of the log's `head`: completed jobs, newest first, and on the first page the newest unfinished, oldest first."""

    head: EventId
    completed: list[Generation]
    next_cursor: str | None
    active: list[Generation]
    active_more: bool


class Videos:
    """Reads jobs, `most_bytes` of a list at a time. Every method raises DatabaseAwayError."""

    def __init__(self, pool: Pool, most_bytes: int) -> None:
        self._pool = pool
        self._most_bytes = most_bytes
        self._jobs = Loader(self._read_jobs, _READ_AT_ONCE)

    async def get(self, job_id: str) -> Generation | None:
        """One job in any state, found by its exact id."""
        _, job = await self.with_head(job_id)
        return job

    async def with_head(self, job_id: str) -> tuple[EventId, Generation | None]:
        """The log's head and the job, in one read view."""
        return await self._jobs.get(job_id)

    async def _read_jobs(self, job_ids: Sequence[str]) -> dict[str, tuple[EventId, Generation | None]]:
        jobs = bind(f"{_COLUMNS} WHERE {LISTED} AND g.id IN %s", job_ids)
        async with self._pool.connection() as connection:
            *_view, head, rows, counted = await connection.run(*VIEW, log.HEAD, jobs, files.count(job_ids))
            videos = await read_files(connection, counted)
        # The database compares without regard to case: what was found is not always what was asked for.
        found = {g.id: g for g in _generations(rows, videos)}
        return {job_id: (log.head_of(head), found.get(job_id)) for job_id in job_ids}

    async def with_files_after(self, job: Generation, file_id: str) -> Generation:
        """The job with the files that follow one of them. Raises BadCursorError when that is none of its."""
        known, rows = await self._pool.run(*files.after(job.id, file_id))
        if (file_id,) not in known:  # compared here: the site's collation may take another id for the same
            raise BadCursorError("files_after is not the id of a file of this job")
        return replace(job, videos=files.shown(rows).get(job.id, []))

    async def file(self, job_id: str, file_id: str | None) -> StoredFile | None:
        """One file of a job, by its exact id, or the first."""
        rows = await self._pool.rows(files.of_file(job_id, file_id))
        found = files.shown(rows).get(job_id, [])
        return next((file for file in found if file_id in (None, file["id"])), None)

    async def gallery(self, author_id: str, limit: int, cursor: str | None) -> Page:
        """One page, in one read view. Either list ends early where it would have more bytes than it may.

        Raises BadCursorError.
        """
        # Exact here, not in code: rows that are not shown must not use up the limit, nor be told by the cursor.
        where = f"WHERE g.authorId = %s AND g.status = 'COMPLETED' AND {EXACTLY} = %s"
        values: list[str | bytes] = [author_id, exact(author_id)]
        if cursor is not None:
            created_at, last_id = _decode(cursor)
            if created_at is None:
                where, values = f"{where} AND g.createdAt IS NULL AND g.id < %s", [*values, last_id]
            else:
                where += " AND (g.createdAt < %s OR g.createdAt IS NULL OR (g.createdAt = %s AND g.id < %s))"
                values += [created_at, created_at, last_id]
        sized = f"SELECT g.id, {_SIZE}, g.createdAt FROM video_generations g {KEY} {where} AND {LISTED}"
        page = bind(f"{sized} ORDER BY g.createdAt DESC, g.id DESC LIMIT %s", *values, limit + 1)
        first = (
            newest_unfinished(author_id, _UNFINISHED_SIZE, _ACTIVE_MAX + 1)
            if cursor is None
            else b"SELECT NULL LIMIT 0"
        )
        async with self._pool.connection() as connection:
            *_view, head, found, going_on = await connection.run(*VIEW, log.HEAD, page, first)
            rows, unfinished = [*map(Sized._make, found)], [*map(Sized._make, going_on)]
            shown = rows[: that_fit([row.size for row in rows[:limit]], self._most_bytes)]
            active = unfinished[: that_fit([row.size for row in unfinished[:_ACTIVE_MAX]], self._most_bytes)]
            shown, whole = await self._whole(connection, shown, active)
        at = {generation.id: generation for generation in whole}
        more = len(rows) > len(shown)
        return Page(
            head=log.head_of(head),
            completed=[at[row.id] for row in shown if row.id in at],
            next_cursor=_encode(shown[-1]) if more else None,
            active=sorted((at[row.id] for row in active if row.id in at), key=lambda g: (g.created_at, g.id)),
            active_more=len(unfinished) > len(active),
        )

    async def _whole(
        self, connection: Connection, shown: list[Sized], active: list[Sized]
    ) -> tuple[list[Sized], list[Generation]]:
        """(those of the page that fit with their files too, all jobs that are to be shown). Ends the read view."""
        if not shown and not active:
            await connection.run("COMMIT")
            return shown, []
        ids = [row.id for row in shown]
        jobs = bind(f"{_COLUMNS} WHERE {LISTED} AND g.id IN %s", [*ids, *(row.id for row in active)])
        if not ids:
            rows, _ = await connection.run(jobs, "COMMIT")
            return shown, _generations(rows, {})
        rows, found = await connection.run(jobs, files.count(ids))
        counted = [*map(files.Counted._make, found)]
        of_files = {job.id: min(int(job.size) + _FILE * job.number, EVENT_MAX) for job in counted}
        shown = shown[: that_fit([row.size + of_files.get(row.id, 0) for row in shown], self._most_bytes)]
        listed = {row.id for row in shown}
        return shown, _generations(rows, await read_files(connection, [job for job in counted if job.id in listed]))


Files = dict[str, tuple[list[StoredFile], int]]
"""By the job's id: those that are shown, and how many there are."""


async def read_files(connection: Connection, counted: Iterable[Row]) -> Files:
    """The first files of the jobs that `files.count` told of. Ends the read view."""
    jobs = [*map(files.Counted._make, counted)]
    *results, _ = await connection.run(*files.first_of(jobs), "COMMIT")
    shown = files.shown([row for rows in results for row in rows])
    return {job.id: (shown.get(job.id, []), int(job.number)) for job in jobs}


def _generations(rows: tuple[Row, ...], videos: Files) -> list[Generation]:
    return [_generation(row, *videos.get(row.id, ([], 0))) for row in map(_Row._make, rows)]


def _generation(row: _Row, videos: list[StoredFile], num_videos: int) -> Generation:
    now = present(row)
    return Generation(
        id=row.id, prompt=words(row.prompt), state=now.state, status=now.status, progress=now.progress,
        message=text(row.message), error=text(row.error),
        model=words(row.model), model_version=words(row.model_version),
        processing_time=number(row.processing_time), generation_time=number(row.generation_time),
        download_time=number(row.download_time),
        aspect_ratio=words(row.aspect_ratio), author_id=words(row.author_id), organization_id=row.organization_id,
        created_at=now.created_at,
        completed_at=now.completed_at,
        kind=kind_of(row.model, row.seconds, row.number), since=now.since,
        videos=videos, num_videos=num_videos, partial=partial_of(row.partial),
    )  # fmt: skip


# Also dates without a day or of zeros, which MySQL may hold and orders with the others.
_DATETIME = re.compile(r"\d{4}-(?:0\d|1[0-2])-[0-3]\d [0-2]\d:[0-5]\d:[0-5]\d(?:\.\d{1,6})?", re.ASCII)


def _encode(last: Sized) -> str:
    """Where a page ends, as the database has it: NULL comes last."""
    at = sql6(microseconds(last.created_at)) if isinstance(last.created_at, datetime) else last.created_at
    return base64.urlsafe_b64encode(orjson.dumps([at, last.id])).decode()


def _decode(cursor: str) -> tuple[str | None, str]:
    try:
        at, job_id = orjson.loads(base64.urlsafe_b64decode(cursor.encode()))
        if isinstance(at, int) and 0 <= at < 2**57:  # as earlier versions gave it
            at = sql6(at)
        if not isinstance(job_id, str) or not (at is None or (isinstance(at, str) and _is_datetime(at))):
            raise BadCursorError
    except (ValueError, TypeError):
        raise BadCursorError("cursor is not one that this service gave out") from None
    return at, job_id


def _is_datetime(text: str) -> bool:
    return _DATETIME.fullmatch(text) is not None and (
        stored(text.replace("-00", "-01").replace("0000-", "0001-")) is not None
    )
