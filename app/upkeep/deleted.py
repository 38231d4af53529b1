"""Jobs that users deleted: what is left of them goes when nobody may restore them any more."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import structlog

from app.db import files
from app.db.charsets import FILES_JOB, JOB, held
from app.db.connection import Connection
from app.db.errors import DatabaseAwayError
from app.db.pool import Pool
from app.db.sql import bind, exact
from app.db.writer.inbox import forget_missed
from app.domain.forms import StoredFile
from app.domain.job import DELETED
from app.times import sql6, stored

log = structlog.get_logger(__name__)

_AT_ONCE = 50
_PAUSE = 0.01  # seconds

_GONE = """
SELECT job_id, CAST(created_at AS CHAR), CAST(deleted_at AS CHAR) FROM rushes_jobs
WHERE deleted_at < %s AND (deleted_at > %s OR (deleted_at = %s AND job_id > %s)) ORDER BY deleted_at, job_id LIMIT %s
"""
_EXACT = "CAST(CONVERT({} USING utf8mb4) AS BINARY) = %s"
_IS_JOB = f"id = %s AND {_EXACT.format('id')}"
_HOLD = f"SELECT CAST(createdAt AS CHAR) FROM video_generations WHERE {_IS_JOB} FOR UPDATE"
_HOLD_MARK = "SELECT job_id FROM rushes_jobs WHERE job_id = %s AND deleted_at = %s FOR UPDATE"
_DELETE_FILES = f"DELETE FROM video_files WHERE generationId = %s AND {_EXACT.format('generationId')}"
_DELETE_JOB = f"DELETE FROM video_generations WHERE {_IS_JOB}"
_DELETE_MARK = "DELETE FROM rushes_jobs WHERE job_id = %s AND deleted_at = %s"

# What Acts.restore looks for.
_CONDEMN = "UPDATE rushes_jobs SET has_files = %s WHERE job_id = %s AND deleted_at = %s"


Remove = Callable[[StoredFile], Awaitable[None]]
"""Deletes a file where it lies; one that is not there counts as deleted. Raises whatever keeps it from that."""


class _Gone(NamedTuple):
    """A row of _GONE."""

    job_id: str
    created_at: str | None
    deleted_at: str


class DeletedJobs:
    """Deletes files, job and mark of each in one transaction. It holds the job's row and the mark that says that the
    job was deleted, and looks first whether that mark is still the one that was found.

    Where `remove` is given, the files themselves go before their rows: the rows alone tell which files there are, and
    keep other jobs from taking their keys. Before the first file goes, another such transaction has tried whether the
    rows can be deleted, and set a mark that nobody takes back. So a process that is killed in between leaves nothing
    that could be restored, and what is left is deleted the next time."""

    def __init__(self, pool: Pool, remove: Remove | None) -> None:
        self._pool = pool
        self._remove = remove

    async def purge(self, before: int) -> int:
        """Deletes all that users deleted before then, in microseconds since 1970; how many jobs. One that cannot be
        deleted is left for the next time, and holds up no other. Raises DatabaseAwayError."""
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
        """Whether it is gone now. One that was restored meanwhile stays."""
        try:
            if self._remove is not None:
                for file in await self._condemn(gone):
                    await self._remove(file)
            async with self._holding(gone) as (connection, rows):
                if rows is None:
                    return False
                mark = bind(_DELETE_MARK, gone.job_id, gone.deleted_at)
                await connection.run(*rows, mark, *forget_missed(gone.job_id), "COMMIT")
        except DatabaseAwayError:
            raise
        except Exception as error:  # noqa: BLE001 - another table's foreign key, a bucket that is away: others go on
            log.warning("job_not_deleted", job_id=gone.job_id, error=str(error))
            return False
        return True

    async def _condemn(self, gone: _Gone) -> list[StoredFile]:
        """The files of a job that nobody can restore from now on; none where there is no such job any more. Raises what
        would keep its rows from going."""
        async with self._holding(gone) as (connection, rows):
            if not rows:
                return []
            *_, found = await connection.run(
                "SAVEPOINT whole", *rows, "ROLLBACK TO SAVEPOINT whole", files.every(gone.job_id)
            )
            await connection.run(bind(_CONDEMN, DELETED, gone.job_id, gone.deleted_at), "COMMIT")
        return files.shown(found, whole=True).get(gone.job_id, [])

    @asynccontextmanager
    async def _holding(self, gone: _Gone) -> AsyncIterator[tuple[Connection, list[bytes] | None]]:
        """A transaction that holds the job, and is rolled back at the end of the block unless it was committed in it.

        Beside it come the statements that delete the job's rows: none where they are another job's by now, and None
        where the job was restored meanwhile."""
        job = (held(JOB, gone.job_id), exact(gone.job_id))
        its = (held(FILES_JOB, gone.job_id), exact(gone.job_id))
        async with self._pool.connection() as connection:
            try:
                _, there, marks = await connection.run(
                    "START TRANSACTION", bind(_HOLD, *job), bind(_HOLD_MARK, gone.job_id, gone.deleted_at)
                )
                # Another program may have made a job of that id since: the mark is not that one's.
                made_at = [stored(created_at) for (created_at,) in there]
                same = made_at and (gone.created_at is None or made_at == [stored(gone.created_at)])
                rows = [bind(_DELETE_FILES, *its), bind(_DELETE_JOB, *job)] if same else []
                yield connection, rows if marks else None
            finally:
                if not connection.closed:
                    await connection.run("ROLLBACK")
