"""Jobs as the pages read them."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from app import video
from app.db import log
from app.db.batched import Batched
from app.db.connection import Connection, Row
from app.db.pool import Pool
from app.db.sql import bind, exact
from app.times import microseconds, rfc3339, sql6, stored
from app.wire import EventId, LogEvent, Typical, event_data, event_name, stored_file, whole, words

_COLUMNS = """
SELECT g.id, g.prompt, g.status, g.progress, g.message, g.error, g.model, g.modelVersion, g.processingTime,
  g.generationTime, g.downloadTime, g.aspectRatio, g.authorId, g.organizationId, g.createdAt, g.updatedAt,
  g.completedAt, k.status, k.at, k.updated_at
FROM video_generations g LEFT JOIN rushes_jobs k
  ON k.job_id = g.id AND COALESCE(k.created_at, g.createdAt) <=> g.createdAt
"""

_FILES = """
SELECT generationId, id, filename, fileUrl, filePath, fileSize, format, durationSeconds, aspectRatio,
  width, height, createdAt
FROM video_files WHERE generationId IN %s ORDER BY s3Key
"""

# Beside what the index finds, which by the column's collation may be other users' too.
_EXACTLY = "CAST(CONVERT(g.authorId USING utf8mb4) AS BINARY)"

_UNFINISHED = f"""
WHERE g.authorId IN %s AND g.status IN ('PENDING', 'PROCESSING', 'GENERATING', 'DOWNLOADING') AND {_EXACTLY} IN %s
"""

# Jobs, or users, of whom a storm of clients that come back asks in one go.
_READ_AT_ONCE = 200

# One read view: what is read is what the log said at its head, no more and no less.
_VIEW = (
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
)

_TYPICAL = """
SELECT AVG(g.processingTime) FROM rushes_events e JOIN video_generations g ON g.id = e.job_id
WHERE e.id > %s AND e.event = 'completed'
"""


class BadCursorError(ValueError):
    """The cursor is not one that this service gave out."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One job as read: its columns, and its files in the gallery's form.

    `status` is the sender's last word, `at` the time of the update the job stands at and `moved_at` when
    it got there by our clock; times are microseconds since 1970.
    """

    id: str
    prompt: str
    state: str
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
    at: int
    moved_at: int
    videos: list[dict[str, Any]]

    def gallery(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "prompt": self.prompt,
            "status": self.status,
            "created_at": rfc3339(self.created_at),
            "completed_at": None if self.completed_at is None else rfc3339(self.completed_at),
            "model": self.model,
            "model_version": self.model_version,
            "processing_time": self.processing_time,
            "generation_time": self.generation_time,
            "download_time": self.download_time,
            "aspect_ratio": self.aspect_ratio,
            "videos": self.videos,
        }

    def detail(self, typical: Typical) -> dict[str, Any]:
        return self.gallery() | {
            "eta_seconds": typical.eta(self.state, self.progress),
            "state": self.state,
            "progress": self.progress,
            "message": self.message,
            "error": self.error,
        }

    def event(self, typical: Typical) -> LogEvent:
        """The job's present state as an event without an id of its own."""
        data = event_data(
            job_id=self.id,
            status=self.status,
            state=self.state,
            progress=self.progress,
            message=self.message,
            occurred_at=self.at,
            error=self.error,
            eta_seconds=typical.eta(self.state, self.progress),
            videos=self.videos if self.state == "COMPLETED" else [],
        )
        return LogEvent(0, self.id, self.author_id, self.organization_id, event_name(self.state), data)


class Videos:
    """Reads jobs. Every method raises DatabaseAwayError."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._jobs = Batched(self._read_jobs, _READ_AT_ONCE)
        self._users = Batched(self._read_unfinished, _READ_AT_ONCE)

    async def get(self, job_id: str) -> Generation | None:
        """One job in any state, found by its exact id."""
        return (await self.with_head(job_id))[1]

    async def with_head(self, job_id: str) -> tuple[EventId, Generation | None]:
        """The log's head and the job, in one read view."""
        return await self._jobs.get(job_id)

    async def _read_jobs(self, job_ids: Sequence[str]) -> dict[str, tuple[EventId, Generation | None]]:
        jobs, files = bind(f"{_COLUMNS} WHERE g.id IN %s", job_ids), bind(_FILES, job_ids)
        head, rows, videos = (await self._pool.run(*_VIEW, log.HEAD, jobs, files, "COMMIT"))[2:5]
        # The database compares without regard to case: what was found is not always what was asked for.
        found = {g.id: g for g in _generations(rows, videos)}
        return {job_id: (log.head_of(head), found.get(job_id)) for job_id in job_ids}

    async def unfinished_with_head(self, author_id: str) -> tuple[EventId, list[Generation]]:
        """The log's head and the author's unfinished jobs, oldest first, in one read view."""
        return await self._users.get(author_id)

    async def _read_unfinished(self, author_ids: Sequence[str]) -> dict[str, tuple[EventId, list[Generation]]]:
        jobs = bind(f"{_COLUMNS} {_UNFINISHED}", author_ids, [exact(author_id) for author_id in author_ids])
        head, rows = (await self._pool.run(*_VIEW, log.HEAD, jobs, "COMMIT"))[2:4]
        found: dict[str, list[Generation]] = {author_id: [] for author_id in author_ids}
        for generation in sorted(_generations(rows, ()), key=lambda g: (g.created_at, g.id)):
            if generation.author_id in found:
                found[generation.author_id].append(generation)
        return {author_id: (log.head_of(head), jobs) for author_id, jobs in found.items()}

    async def gallery(
        self, author_id: str, limit: int, cursor: str | None
    ) -> tuple[EventId, list[Generation], list[Generation], str | None]:
        """(head, a page of completed jobs newest first, unfinished jobs, next cursor), in one read view.

        Unfinished jobs come with the first page only. Raises BadCursorError.
        """
        # Exact here, not in code: rows that are not shown must not use up the limit, nor be told by the cursor.
        where = f"WHERE g.authorId = %s AND g.status = 'COMPLETED' AND {_EXACTLY} = %s"
        values: list[str | bytes] = [author_id, exact(author_id)]
        if cursor is not None:
            created_at, last_id = _decode(cursor)
            if created_at is None:
                where, values = f"{where} AND g.createdAt IS NULL AND g.id < %s", [*values, last_id]
            else:
                where += " AND (g.createdAt < %s OR g.createdAt IS NULL OR (g.createdAt = %s AND g.id < %s))"
                values += [created_at, created_at, last_id]
        page = bind(f"{_COLUMNS} {where} ORDER BY g.createdAt DESC, g.id DESC LIMIT %s", *values, limit + 1)
        unfinished = bind(f"{_COLUMNS} {_UNFINISHED}", [author_id], [exact(author_id)])
        first = unfinished if cursor is None else b"SELECT NULL LIMIT 0"
        async with self._pool.connection() as connection:
            head, rows, active = (await connection.run(*_VIEW, log.HEAD, page, first))[2:5]
            shown = rows[:limit]
            files = await _files_of(connection, shown)
            await connection.run("COMMIT")
        found = _generations(shown, files)
        more = len(rows) > limit
        next_cursor = _encode(shown[-1][14], shown[-1][0]) if more else None
        return log.head_of(head), found, _unfinished(active, author_id), next_cursor

    async def typical_seconds(self) -> float | None:
        """The mean processing time among the newest events' completions; None when there are none."""
        head = log.head_of(await self._pool.rows(log.HEAD))
        rows = await self._pool.rows(bind(_TYPICAL, max(0, head.number - 2000)))
        return None if rows[0][0] is None else float(rows[0][0])


async def _files_of(connection: Connection, rows: tuple[Row, ...]) -> tuple[Row, ...]:
    return await connection.rows(bind(_FILES, [row[0] for row in rows])) if rows else ()


def _unfinished(rows: tuple[Row, ...], author_id: str) -> list[Generation]:
    found = [g for g in _generations(rows, ()) if g.author_id == author_id]
    return sorted(found, key=lambda g: (g.created_at, g.id))


def _generations(rows: tuple[Row, ...], files: tuple[Row, ...]) -> list[Generation]:
    videos: dict[str, list[dict[str, Any]]] = {}
    for job_id, *fields, created_at in files:
        videos.setdefault(job_id, []).append(stored_file(fields, created_at))
    return [_generation(row, videos.get(row[0], [])) for row in rows]


def _generation(row: Row, videos: list[dict[str, Any]]) -> Generation:
    """Other programs' rows may hold anything that their columns can: what is no number or time is shown as none."""
    created_at, updated_at, completed_at = (stored(value) for value in row[14:17])
    state, progress = video.state_of(row[2], ended=completed_at is not None), whole(row[3])
    word, at, moved_at = row[17], row[18], stored(row[19])
    if word is None or _contradicts(word, state):
        word, at, moved_at = video.status_word(state, progress), None, completed_at or updated_at
    known = created_at or updated_at or completed_at or 0
    return Generation(
        id=row[0], prompt=words(row[1]), state=state, status=word, progress=progress,
        message=_text(row[4]), error=_text(row[5]),
        model=words(row[6]), model_version=words(row[7]),
        processing_time=_number(row[8]), generation_time=_number(row[9]), download_time=_number(row[10]),
        aspect_ratio=words(row[11]), author_id=words(row[12]), organization_id=row[13],
        created_at=known,
        completed_at=completed_at,
        at=(updated_at or known) if at is None else at,
        moved_at=moved_at or known,
        videos=videos,
    )  # fmt: skip


def _text(value: object) -> str | None:
    return None if value is None else words(value)


def _number(value: object) -> float | None:
    try:
        return value if value is None or isinstance(value, float) else float(str(value))
    except ValueError:
        return None


def _contradicts(word: str, state: str) -> bool:
    """Another program has moved the row since: then its own state is the one to tell."""
    return (word == "failed") != (state == "FAILED") or (state == "COMPLETED" and word != "completed")


# Also dates without a day or of zeros, which MySQL may hold and orders with the others.
_DATETIME = re.compile(r"\d{4}-(?:0\d|1[0-2])-[0-3]\d [0-2]\d:[0-5]\d:[0-5]\d(?:\.\d{1,6})?", re.ASCII)


def _encode(created_at: datetime | str | None, job_id: str) -> str:
    """Where a page ends, as the database has it: NULL comes last."""
    at = sql6(microseconds(created_at)) if isinstance(created_at, datetime) else created_at
    return base64.urlsafe_b64encode(orjson.dumps([at, job_id])).decode()


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
