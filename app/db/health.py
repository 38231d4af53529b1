"""Whether the database can be written to, as this server writes: what no reading shows.

A user may lack a right, a table may be of an engine that undoes nothing, the binary log may refuse what we write, the
server may have become read-only. All of that is found out by writing nothing: statements that name no row, in a
transaction that is rolled back.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

import structlog
from pymysql.constants import ER

from app.db import schema, session
from app.db.connection import Row, connect
from app.db.errors import (
    DatabaseAwayError,
    NotMigratedError,
    NotWritableError,
    RetryableError,
    TableGoneError,
    UnfitError,
    ValuesRefusedError,
)
from app.db.migrate import ENGINES, pending, refuse_engines

log = structlog.get_logger(__name__)

# Seconds for which a good answer is not asked for again. A bad one is, by one at a time: it may have been put right.
_GOOD = 10.0

# A table that somebody has locked is told, not waited for.
_SESSION = "SET SESSION lock_wait_timeout = 1"

_NOT_NOW = {
    ER.OPTION_PREVENTS_STATEMENT,
    1792,  # CANT_EXECUTE_IN_READ_ONLY_TRANSACTION
    1836,  # READ_ONLY_MODE
}

# What only somebody who puts it right can end: a column that is missing, a view that takes no rows.
_UNFIT = {session.STATEMENTS_LOGGED, ER.BAD_FIELD_ERROR, 1288, 1471}

_ORDER = (
    *("id", "prompt", "inputImageBase64", "aspectRatio", "numberOfVideos", "durationSeconds", "personGeneration"),
    *("status", "progress", "message", "authorId", "organizationId", "createdAt", "updatedAt"),
)
_MOVED = (
    *("status", "progress", "message", "error", "model", "modelVersion", "processingTime", "generationTime"),
    *("downloadTime", "completedAt", "updatedAt"),
)
_DESCRIBED = (
    *("filename", "fileUrl", "filePath", "fileSize", "format", "durationSeconds", "aspectRatio", "width", "height"),
    *("metadata", "createdAt"),
)


def _insert(table: str, no_row: str, columns: Sequence[str] = ()) -> str:
    listed = ", ".join(f"`{column}`" for column in columns)
    into = f"({listed}) " if listed else ""
    # IGNORE: a column of the site's that has no default is told by `rushes migrate`; what is there can be moved all the
    # same.
    return f"INSERT IGNORE INTO {table} {into}SELECT {listed or '*'} FROM {table} WHERE {no_row}"


def _update(table: str, no_row: str, columns: Sequence[str]) -> str:
    return f"UPDATE {table} SET {', '.join(f'`{c}` = `{c}`' for c in columns)} WHERE {no_row}"


# An id that nobody has. Empty will not do: by its collation, a job of spaces has that; and senders are the user of no
# name, with all that they registered.
_NO = "'rushes looks whether it may write'"

_NO_QUARTER = 2**32 - 1

_NEW_FILE = ("id", "generationId", "s3Key", *_DESCRIBED)

_WITHOUT_DEFAULT = """
SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS
WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME IN ('video_generations', 'video_files') AND IS_NULLABLE = 'NO'
  AND COLUMN_DEFAULT IS NULL AND EXTRA NOT LIKE '%auto_increment%' AND EXTRA NOT LIKE '%GENERATED%'
ORDER BY TABLE_NAME, COLUMN_NAME
"""

# Each writing that we do to a table. In the site's own a user may have rights on some columns only.
_WRITES = (
    _insert("video_generations", f"id = {_NO}", _ORDER),
    _update("video_generations", f"id = {_NO}", _MOVED),
    _insert("video_files", f"id = {_NO}", _NEW_FILE),
    _update("video_files", f"id = {_NO}", _DESCRIBED),
    _update("rushes_counter", "id = 0", ["value", "digits_of", "digits"]),
    _insert("rushes_events", "id = 0"),
    "DELETE FROM rushes_events WHERE id = 0",
    _insert("rushes_webhooks", f"id = {_NO}"),
    _update("rushes_webhooks", f"id = {_NO}", ["outcome"]),
    f"DELETE FROM rushes_webhooks WHERE id = {_NO}",
    _insert("rushes_jobs", f"job_id = {_NO}"),
    _update("rushes_jobs", f"job_id = {_NO}", ["status"]),
    f"DELETE FROM rushes_jobs WHERE job_id = {_NO}",
    _insert("rushes_requests", f"user_id = {_NO}"),
    f"DELETE FROM rushes_requests WHERE user_id = {_NO}",
    _insert("rushes_ticket_key", "id = 0"),
    _insert("rushes_set_aside", f"spool_id = {_NO}"),
    _update("rushes_set_aside", f"spool_id = {_NO}", ["asked_at"]),
    f"DELETE FROM rushes_set_aside WHERE spool_id = {_NO}",
    _insert("rushes_asked", f"job_id = {_NO}"),
    _update("rushes_asked", f"job_id = {_NO}", ["due_at"]),
    f"DELETE FROM rushes_asked WHERE job_id = {_NO}",
    _insert("rushes_places", f"name = {_NO}"),
    _update("rushes_places", f"name = {_NO}", ["place"]),
    _insert("rushes_processes", f"id = {_NO}"),
    _update("rushes_processes", f"id = {_NO}", ["seen_at"]),
    f"DELETE FROM rushes_processes WHERE id = {_NO}",
    _insert("rushes_changes", "id = 0"),
    _update("rushes_changes", "id = 0", ["number"]),
    "DELETE FROM rushes_changes WHERE id = 0",
    _insert("rushes_audit", "id = 0"),
    "DELETE FROM rushes_audit WHERE id = 0",
    _insert("rushes_replays", f"id = {_NO}"),
    _update("rushes_replays", f"id = {_NO}", ["state"]),
    f"DELETE FROM rushes_replays WHERE id = {_NO}",
    _insert("rushes_replayed", f"replay_id = {_NO}"),
    _update("rushes_replayed", f"replay_id = {_NO}", ["outcome"]),
    f"DELETE FROM rushes_replayed WHERE replay_id = {_NO}",
    _insert("rushes_dirty", f"quarter = {_NO_QUARTER}"),
    f"DELETE FROM rushes_dirty WHERE quarter = {_NO_QUARTER}",
    _insert("rushes_ends", f"job_id = {_NO}"),
    _update("rushes_ends", f"job_id = {_NO}", ["took"]),
    f"DELETE FROM rushes_ends WHERE job_id = {_NO}",
    _insert("rushes_rollups", f"quarter = {_NO_QUARTER}"),
    _update("rushes_rollups", f"quarter = {_NO_QUARTER}", ["counts"]),
    f"DELETE FROM rushes_rollups WHERE quarter = {_NO_QUARTER}",
)


async def examine(url: str, wait: float) -> None:
    """Looks with a session of its own, as a new one is. Nothing is changed.

    Raises UnfitError or NotMigratedError for what somebody must put right, NotWritableError or another
    DatabaseAwayError for what passes.
    """
    connection = await connect(url, wait, limited=True)
    try:
        *_, engines, columns, unique_keys = await connection.run(
            _SESSION, "START TRANSACTION", *_WRITES, "ROLLBACK", ENGINES, schema.COLUMNS, schema.UNIQUE_KEYS
        )
    except DatabaseAwayError as error:
        if error.number in _NOT_NOW:
            raise NotWritableError(error.sentence, error.number) from error
        raise
    except RetryableError as error:
        if error.lacks_table:
            lacking = await pending(url, wait)
            sentence = f"the database lacks a table ({error.sentence}); run `rushes migrate`"
            raise (NotMigratedError(sentence) if lacking else TableGoneError(error)) from error
        if error.number == ER.BAD_FIELD_ERROR:
            await _refuse_lacking(url, wait, *await _seen(url, wait))
        if error.lacks_right or error.number in _UNFIT:
            raise session.unfit(error, "what we write") from error
        raise NotWritableError(error.sentence, error.number) from error
    except ValuesRefusedError as error:
        raise session.unfit(error, "what we write") from error
    finally:
        connection.close()
    refuse_engines(engines)
    await _refuse_lacking(url, wait, columns, unique_keys)


async def _seen(url: str, wait: float) -> list[tuple[Row, ...]]:
    connection = await connect(url, wait, limited=True)
    try:
        return await connection.run(schema.COLUMNS, schema.UNIQUE_KEYS)
    finally:
        connection.close()


async def _refuse_lacking(url: str, wait: float, columns: Sequence[Row], unique_keys: Sequence[Row]) -> None:
    """Raises NotMigratedError where our tables lack what a migration makes that was not applied, UnfitError where it
    was."""
    what = schema.lacking(columns, unique_keys)
    if what is None:
        return
    if await pending(url, wait):
        raise NotMigratedError(f"{what}; run `rushes migrate`")
    raise UnfitError(f"{what}, and which was applied: put it back from a backup, or as it stands there")


async def columns_without_default(url: str, wait: float) -> list[str]:
    """The site's own columns, as table.column, that have no default and get no value from us. Raises DatabaseError."""
    connection = await connect(url, wait)
    try:
        rows = await connection.rows(_WITHOUT_DEFAULT)
    finally:
        connection.close()
    ours = {"video_generations": _ORDER, "video_files": _NEW_FILE}
    return [f"{table}.{column}" for table, column in rows if column not in ours[table]]


class Health:
    """What `examine` finds, asked for not too often, and told in the log when it changes."""

    def __init__(self, url: str, wait: float) -> None:
        self._url = url
        self._wait = wait
        self._looking = asyncio.Lock()
        self._found: DatabaseAwayError | None = None
        self._until = 0.0

    async def look(self, *, now: bool = False) -> None:
        """As `examine`; that all is well holds for a while, unless it must be known `now`."""
        async with self._looking:
            if now or time.monotonic() >= self._until:
                await self._examine()
        if self._found is not None:
            raise self._found

    async def watch(self) -> None:
        """Looks again and again, for the log. Runs until cancelled."""
        while True:
            with suppress(DatabaseAwayError):
                await self.look()
            await asyncio.sleep(_GOOD)

    async def _examine(self) -> None:
        try:
            await examine(self._url, self._wait)
        except DatabaseAwayError as error:
            found: DatabaseAwayError | None = error
        else:
            found = None
        if str(found) != str(self._found):
            if found is None:
                log.info("database_can_be_written_to")
            else:
                log.warning("database_cannot_be_written_to", error=str(found))
        self._found = found
        self._until = time.monotonic() + _GOOD if found is None else 0.0
