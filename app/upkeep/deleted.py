"""Jobs that users deleted: what is left of them goes when nobody may restore them any more."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import structlog

from app.db import files
from app.db.connection import Connection
from app.db.errors import DatabaseAwayError, DatabaseError
from app.db.pool import Pool
from app.db.sql import bind, exact
from app.domain.forms import StoredFile
from app.times import sql6, stored

log = structlog.get_logger(__name__)

_AT_ONCE = 50
_PAUSE = 0.01  # seconds

_GONE = """
SELECT job_id, CAST(created_at AS CHAR), CAST(deleted_at AS CHAR) FROM rushes_jobs
WHERE deleted_at < %s AND (deleted_at > %s OR (deleted_at = %s AND job_id > %s)) ORDER BY deleted_at, job_id LIMIT %s
"""
_HOLD = "SELECT CAST(createdAt AS CHAR) FROM video_generations WHERE id = %s AND CAST(id AS BINARY) = %s FOR UPDATE"
_DELETE_FILES = "DELETE FROM video_files WHERE generationId = %s AND CAST(generationId AS BINARY) = %s"
_DELETE_JOB = "DELETE FROM video_generations WHERE id = %s AND CAST(id AS BINARY) = %s"
_DELETE_MARK = "DELETE FROM rushes_jobs WHERE job_id = %s AND deleted_at = %s"


Remove = Callable[[StoredFile], Awaitable[None]]
"""Deletes a file where it lies; one that is not there is deleted. Raises whatever keeps it from that."""


class _Gone(NamedTuple):
    """A row of _GONE."""

    job_id: str
    created_at: str | None
    deleted_at: str


class DeletedJobs:
    """The site's rows go first, files and then the job, and the mark that it was deleted last, in one transaction.
    Before them the files themselves, where `remove` is given: a process that is killed in between leaves the mark, and
    what is left is deleted the next time."""

    def __init__(self, pool: Pool, remove: Remove | None) -> None:
        self._pool = pool
        self._remove = remove

    async def purge(self, before: int) -> int:
        """Of all that was deleted before then, in microseconds since 1970; how many there were. One that cannot be
        deleted is left for the next time, and keeps no other. Raises DatabaseAwayError."""
        total, last = 0, _Gone("", None, "1970-01-02 00:00:00")
        while True:
            query = bind(_GONE, sql6(before), last.deleted_at, last.deleted_at, last.job_id, _AT_ONCE)
            found = [*map(_Gone._make, await self._pool.rows(query))]
            for gone in found:
                total += await self._delete(gone)
                await asyncio.sleep(_PAUSE)
            if len(found) < _AT_ONCE:
                return total
            last = found[-1]

    async def _delete(self, gone: _Gone) -> bool:
        try:
            if self._remove is not None:
                for file in await self._files(gone.job_id):
                    await self._remove(file)
            async with self._pool.connection() as connection:
                await self._delete_rows(connection, gone)
        except DatabaseAwayError:
            raise
        except Exception as error:  # noqa: BLE001 - another table's foreign key, a bucket that is away: others go on
            log.warning("job_not_deleted", job_id=gone.job_id, error=str(error))
            return False
        return True

    async def _files(self, job_id: str) -> list[StoredFile]:
        return files.shown(await self._pool.rows(files.every(job_id)), whole=True).get(job_id, [])

    async def _delete_rows(self, connection: Connection, gone: _Gone) -> None:
        job = (gone.job_id, exact(gone.job_id))
        try:
            _, held = await connection.run("START TRANSACTION", bind(_HOLD, *job))
            # Another program may have made a job of that id since: the mark is not that one's.
            made_at = [stored(created_at) for (created_at,) in held]
            same = made_at and (gone.created_at is None or made_at == [stored(gone.created_at)])
            rows = [bind(_DELETE_FILES, *job), bind(_DELETE_JOB, *job)] if same else []
            await connection.run(*rows, bind(_DELETE_MARK, gone.job_id, gone.deleted_at), "COMMIT")
        except DatabaseError:
            if not connection.closed:
                await connection.run("ROLLBACK")
            raise
