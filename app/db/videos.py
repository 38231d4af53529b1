"""Jobs as the pages read them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import orjson

from app.db import files, log
from app.db.charsets import FILES_JOB, JOB, each_held, held
from app.db.connection import Connection, Row
from app.db.loader import Loader
from app.db.pool import Pool
from app.db.rows import KEY, LISTED, kind_of, present, seconds, text
from app.db.sql import bind, exact
from app.domain.estimate import Kind
from app.domain.event import EventId, words
from app.domain.forms import StoredFile
from app.domain.job import State
from app.domain.partial import Partial, partial_of
from app.times import stored


def columns(text: str = "{}") -> str:
    """What is read of a job: a `JobRow`. `text` is for those that may be long."""
    prompt, message, error = (text.format(name) for name in ("g.prompt", "g.message", "g.error"))
    return f"""
g.id, {prompt}, g.status, g.progress, {message}, {error}, g.model, g.modelVersion, g.processingTime,
  g.generationTime, g.downloadTime, g.aspectRatio, g.authorId, g.organizationId, g.createdAt, g.updatedAt,
  g.completedAt, g.durationSeconds, g.numberOfVideos, k.status, k.at, k.updated_at, k.since, k.partial
"""


COLUMNS = f"SELECT {columns()} FROM video_generations g {KEY}"


class JobRow(NamedTuple):
    """A row of `columns`. Other programs' may hold anything."""

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


# Prompts of other programs' jobs may have megabytes.
_READ_AT_ONCE = 20

# One read view: what is read is what the log said at its head, no more and no less.
VIEW = (
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
)


_METADATA = """
SELECT metadata FROM video_files WHERE generationId = %s AND CAST(CONVERT(generationId USING utf8mb4) AS BINARY) = %s
ORDER BY s3Key LIMIT 1
"""

_OF_JOB = "g.id = %s AND CAST(CONVERT(g.id USING utf8mb4) AS BINARY) = %s"

_ORDER = f"""
SELECT g.personGeneration, COALESCE(g.inputImageBase64 <> '', 0) FROM video_generations g WHERE {_OF_JOB}
"""

_IMAGE_SIZE = f"SELECT COALESCE(LENGTH(g.inputImageBase64), 0) FROM video_generations g WHERE {_OF_JOB}"

# What comes before a comma is no base64: some keep a whole data: address. NULL where it is none at all.
_IMAGE = f"""
SELECT FROM_BASE64(SUBSTRING(g.inputImageBase64, LOCATE(',', g.inputImageBase64) + 1))
FROM video_generations g {KEY} WHERE {_OF_JOB} AND {LISTED}
"""


class Ordered(NamedTuple):
    """What was ordered, beside what every list tells: `persons` may be shown as it says, and whether there is an
    image to begin with."""

    persons: str
    image: bool


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
    updated_at: int
    completed_at: int | None
    kind: Kind
    since: int
    videos: list[StoredFile]
    num_videos: int
    partial: Partial | None


class Videos:
    """Reads jobs. Every method raises DatabaseAwayError."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._jobs = Loader(self._read_jobs, _READ_AT_ONCE)

    async def get(self, job_id: str) -> Generation | None:
        """One job in any state, found by its exact id."""
        _, job = await self.with_head(job_id)
        return job

    async def with_head(self, job_id: str) -> tuple[EventId, Generation | None]:
        """The log's head and the job, in one read view."""
        return await self._jobs.get(job_id)

    async def _read_jobs(self, job_ids: Sequence[str]) -> dict[str, tuple[EventId, Generation | None]]:
        jobs = bind(f"{COLUMNS} WHERE {LISTED} AND g.id IN %s", each_held(JOB, job_ids))
        async with self._pool.connection() as connection:
            *_view, head, rows, counted = await connection.run(*VIEW, log.HEAD, jobs, files.count(job_ids))
            videos = await read_files(connection, counted)
        # The database compares without regard to case: what was found is not always what was asked for.
        found = {g.id: g for g in generations(rows, videos)}
        return {job_id: (log.head_of(head), found.get(job_id)) for job_id in job_ids}

    async def with_files_after(self, job: Generation, file_id: str) -> Generation:
        """The job with the files that follow one of them. Raises BadCursorError when that is none of its."""
        known, rows = await self._pool.run(*files.after(job.id, file_id))
        if (file_id,) not in known:  # compared here: the site's collation may take another id for the same
            raise BadCursorError("files_after is not the id of a file of this job")
        return replace(job, videos=files.shown(rows).get(job.id, []))

    async def ordered(self, job_id: str) -> Ordered:
        """What no list tells; nothing of a job that is gone."""
        for persons, image in await self._pool.rows(bind(_ORDER, held(JOB, job_id), exact(job_id))):
            return Ordered(words(persons), bool(image))
        return Ordered("", image=False)

    async def image(self, job_id: str, take: Callable[[int], None], most: int) -> bytes | None:
        """The image that a job was ordered with; None where there is none, or none that is base64 of `most` bytes at
        most. `take` is told what it takes first."""
        this = held(JOB, job_id), exact(job_id)
        for (size,) in await self._pool.rows(bind(_IMAGE_SIZE, *this)):
            if not 0 < size <= most:
                return None
            take(size)
        return next((image for (image,) in await self._pool.rows(bind(_IMAGE, *this)) if image), None)

    async def metadata(self, job_id: str) -> Any:
        """What the sender told of the generation of a job's files, None where nothing that is JSON."""
        rows = await self._pool.rows(bind(_METADATA, held(FILES_JOB, job_id), exact(job_id)))
        try:
            return orjson.loads(next((text for (text,) in rows if text is not None), "null"))
        except orjson.JSONDecodeError:
            return None

    async def file(self, job_id: str, file_id: str | None) -> StoredFile | None:
        """One file of a job, by its exact id, or the first."""
        rows = await self._pool.rows(files.of_file(job_id, file_id))
        found = files.shown(rows).get(job_id, [])
        return next((file for file in found if file_id in (None, file["id"])), None)


Files = dict[str, tuple[list[StoredFile], int]]
"""By the job's id: those that are shown, and how many there are."""


async def read_files(connection: Connection, counted: Iterable[Row]) -> Files:
    """The first files of the jobs that `files.count` told of. Ends the read view."""
    jobs = [*map(files.Counted._make, counted)]
    *results, _ = await connection.run(*files.first_of(jobs), "COMMIT")
    shown = files.shown([row for rows in results for row in rows])
    return {job.id: (shown.get(job.id, []), int(job.number)) for job in jobs}


def generations(rows: Sequence[Row | JobRow], videos: Files) -> list[Generation]:
    return [_generation(row, *videos.get(row.id, ([], 0))) for row in map(JobRow._make, rows)]


def _generation(row: JobRow, videos: list[StoredFile], num_videos: int) -> Generation:
    now = present(row)
    return Generation(
        id=row.id, prompt=words(row.prompt), state=now.state, status=now.status, progress=now.progress,
        message=text(row.message), error=text(row.error),
        model=words(row.model), model_version=words(row.model_version),
        processing_time=seconds(row.processing_time), generation_time=seconds(row.generation_time),
        download_time=seconds(row.download_time),
        aspect_ratio=words(row.aspect_ratio), author_id=words(row.author_id), organization_id=row.organization_id,
        created_at=now.created_at, updated_at=stored(row.updated_at) or now.created_at,
        completed_at=now.completed_at,
        kind=kind_of(row.model, row.seconds, row.number), since=now.since,
        videos=videos, num_videos=num_videos, partial=partial_of(row.partial),
    )  # fmt: skip
