"""What a user does to a job: cancel it, take it off the list of failed ones, delete it and take that back.

Each is one transaction, which holds the job's row: a webhook of that job comes before it or after it, in every process.
"""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from app.db import audited, log
from app.db.charsets import FILES_JOB, JOB, held
from app.db.connection import Connection
from app.db.errors import RetryableError
from app.db.pool import Pool
from app.db.rows import KEY, Present, present, text
from app.db.sql import Raw, bind
from app.db.writer import inbox
from app.db.writer.read_set import file_keys_json
from app.db.writer.write_set import SET_POSITIONS
from app.domain import job as rules
from app.domain.audit import Act, Actor, Entry
from app.domain.estimate import UNKNOWN
from app.domain.event import LogEvent, event_data, whole, words
from app.domain.job import CANCELLED, Position
from app.texts import MESSAGES, Language
from app.times import moment, now, sql6, stored

Refusal = Literal["not_found", "finished", "not_finished", "not_failed"]

_READ = f"""
SELECT g.id, g.status, g.progress, g.message, g.error, g.authorId, g.organizationId, g.createdAt, g.updatedAt,
  g.completedAt, k.status, k.at, k.updated_at, k.since, k.has_files, k.dismissed_at, k.deleted_at,
  CAST(g.createdAt AS CHAR)
FROM video_generations g {KEY} WHERE g.id = %s
"""

_CANCEL = """
UPDATE video_generations SET status = 'FAILED', progress = 0, message = %s, error = %s, completedAt = %s, updatedAt = %s
WHERE id = %s
"""

_DISMISS = "UPDATE rushes_jobs SET dismissed_at = %s WHERE job_id = %s"
_DELETE = "UPDATE rushes_jobs SET deleted_at = %s, deleted_by = %s WHERE job_id = %s"

# Of a job that no webhook of ours has moved.
_FILES = "SELECT generationId, s3Key, fileUrl IS NOT NULL, fileSize FROM video_files WHERE generationId = %s"

_TRIES = 12


class _Row(NamedTuple):
    """A row of _READ. Other programs' may hold anything."""

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
    word: str | None
    at: int | None
    moved_at: Any
    since: Any
    rank: int | None
    dismissed_at: Any
    deleted_at: Any
    created_text: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """Whose a job is, and whether it is deleted."""

    author_id: str
    organization_id: str | None
    deleted: bool


class RefusedActError(Exception):
    """The job is not in the state for it."""

    def __init__(self, code: Refusal) -> None:
        super().__init__(code)
        self.code: Refusal = code


class _Doing(NamedTuple):
    """A job as it stands, held, and the moment of the act. `files` are those of one that no webhook of ours has moved:
    key, whether it has an address, and size."""

    row: _Row
    now: Present
    at: int
    files: list[tuple[str, int, Any]]

    @property
    def finished(self) -> bool:
        return self.now.state in rules.FINISHED


_Decide = Callable[[_Doing], tuple[str, list[bytes]] | None]
"""The event's name and the statements of an act; None where there is nothing left to do. Raises RefusedActError."""


class Acts:
    """Every act returns the log's new rows, none where it was done before. `by` is an admin, who is written down.

    Raises RefusedActError, RetryableError, DatabaseAwayError.
    """

    def __init__(self, pool: Pool, language: Language) -> None:
        self._pool = pool
        self._language = language

    async def find(self, job_id: str) -> Found | None:
        """The job, also a deleted one, by its exact id."""
        rows = [*map(_Row._make, await self._pool.rows(bind(_READ, held(JOB, job_id))))]
        return next(
            (
                Found(words(row.author_id), row.organization_id, row.deleted_at is not None)
                for row in rows
                if row.id == job_id
            ),
            None,
        )

    async def cancel(self, job_id: str, by: Actor | None = None) -> list[LogEvent]:
        """An unfinished job has failed for good: nothing that comes later moves it. Refuses one that is finished."""
        return await self._act(job_id, "cancel", self._cancelled, by)

    async def dismiss(self, job_id: str, by: Actor | None = None) -> list[LogEvent]:
        """A failed job is listed no more, until it is tried again by its sender. Refuses one that has not failed."""
        return await self._act(job_id, "dismiss", _dismissed, by)

    async def delete(self, job_id: str, user_id: str, by: Actor | None = None) -> list[LogEvent]:
        """A finished job is gone for everybody, and can be restored. Refuses one that goes on."""

        def deleted(doing: _Doing) -> tuple[str, list[bytes]]:
            if not doing.finished:
                raise RefusedActError("not_finished")
            return "deleted", [*_known(doing), bind(_DELETE, sql6(doing.at), user_id[:191], job_id)]

        return await self._act(job_id, "delete", deleted, by)

    async def restore(self, job_id: str, by: Actor | None = None) -> list[LogEvent]:
        """Takes a deletion back, unless what is left of the job is being deleted. Webhooks that came meanwhile are
        parked from then on: they are to be applied now."""
        statements = [bind(_DELETE, None, None, job_id), *inbox.park_missed(job_id)]
        return await self._act(job_id, "restore", lambda _: ("restored", statements), by, of_deleted=True)

    def _cancelled(self, doing: _Doing) -> tuple[str, list[bytes]] | None:
        if doing.row.rank == CANCELLED and doing.now.state == "FAILED":
            return None
        if doing.finished:
            raise RefusedActError("finished")
        says, at = MESSAGES[self._language]["cancelled"], doing.at
        position = Position(CANCELLED, at, rules.FAILED, "")
        return "failed", [
            bind(_CANCEL, says, says, moment(at), moment(at), held(JOB, doing.row.id)),
            _position(doing, "failed", position),
        ]

    async def _act(
        self, job_id: str, act: Act, decide: _Decide, by: Actor | None, *, of_deleted: bool = False
    ) -> list[LogEvent]:
        entry = None if by is None else Entry(by, act, job_id=job_id)
        for tries in itertools.count(1):
            async with self._pool.connection() as connection:
                try:
                    return await self._try(connection, job_id, decide, entry, of_deleted=of_deleted)
                except RetryableError:
                    if connection.closed or tries == _TRIES:
                        raise
                    await connection.run("ROLLBACK")
                except RefusedActError:
                    await connection.run("ROLLBACK")
                    raise
            await asyncio.sleep(0.02 * tries)
        raise AssertionError("counting has no end")

    async def _try(
        self, connection: Connection, job_id: str, decide: _Decide, entry: Entry | None, *, of_deleted: bool
    ) -> list[LogEvent]:
        _, found = await connection.run("START TRANSACTION", bind(f"{_READ} FOR UPDATE", held(JOB, job_id)))
        row = next((row for row in map(_Row._make, found) if row.id == job_id), None)
        if row is None or of_deleted != (row.deleted_at is not None) or row.rank == rules.DELETED:
            raise RefusedActError("not_found")
        files = await connection.rows(bind(_FILES, held(FILES_JOB, job_id))) if row.word is None else ()
        doing = _Doing(row, present(row), now(), [(key, url, size) for of, key, url, size in files if of == job_id])
        decided = decide(doing)
        if decided is None:
            await connection.run("ROLLBACK")
            return []
        name, statements = decided
        events = [self._event(doing, name)]
        if entry is not None:
            was = {"state": doing.now.state, "status": doing.now.status, "author_id": words(row.author_id)}
            entry = replace(entry, was=was, became={"event": name})
            statements = [*statements, *audited.write([entry], doing.at)]
        results = await connection.run_text(*statements, *log.append(events, doing.at), "COMMIT")
        log.number(events, results)
        return events

    def _event(self, doing: _Doing, name: str) -> LogEvent:
        row, state, status, progress = doing.row, doing.now.state, doing.now.status, doing.now.progress
        message, error = text(row.message), text(row.error)
        if name == "failed":
            message = error = MESSAGES[self._language]["cancelled"]
            state, status, progress = "FAILED", "failed", 0
        data = event_data(
            job_id=row.id, status=status, state=state, progress=progress, message=message, occurred_at=doing.at,
            error=error, estimate=UNKNOWN,
        )  # fmt: skip
        return LogEvent(0, row.id, words(row.author_id), row.organization_id, name, data)


def _dismissed(doing: _Doing) -> tuple[str, list[bytes]] | None:
    if doing.now.state != "FAILED":
        raise RefusedActError("not_failed")
    if doing.row.dismissed_at is not None:
        return None
    return "dismissed", [*_known(doing), bind(_DISMISS, sql6(doing.at), doing.row.id)]


def _known(doing: _Doing) -> list[bytes]:
    """What gives a job a row of ours that has none, since no webhook of ours has moved it yet."""
    if doing.row.word is not None:
        return []
    state, row = doing.now.state, doing.row
    finished_at = rules.finished_at(state, completed_at=doing.now.completed_at, updated_at=stored(row.updated_at))
    stood = rules.known_position(state, finished_at, has_files=bool(doing.files))
    file_keys = {
        key: rules.known_file_key(stood, has_url=bool(has_url), has_size=bool(whole(size)))
        for key, has_url, size in doing.files
    }
    return [] if stood is None else [_position(doing, doing.now.status, stood, file_keys_json(file_keys))]


def _position(doing: _Doing, status: str, position: Position, file_keys: bytes | None = None) -> bytes:
    at = Raw(bind("%s", sql6(doing.at)))
    made = [
        doing.row.id, status, position.rank, position.at, position.stage, position.tie, file_keys, at,
        doing.row.created_text, at, None,
    ]  # fmt: skip
    return bind(SET_POSITIONS, [made])
