"""What the database says about all that a batch touches; one round trip, more only for what is rare."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

from app import times
from app.db.charsets import FILES_JOB, JOB, S3_KEY, each_held
from app.db.connection import Connection, Statement
from app.db.people import Reference, author_rows, select_authors
from app.db.sql import bind
from app.db.writer.inbox import Received, find_by_key, find_recorded
from app.domain import job as rules
from app.domain.delivery import Delivery, Outcome
from app.domain.estimate import Kind
from app.domain.event import stored_file, whole
from app.domain.forms import StoredFile
from app.domain.job import Position, StatusUpdate
from app.domain.partial import partial_of

# Locks in id order. SKIP LOCKED: a row that another program holds must not stall the others. The rest of
# what the row says comes in one column: decoding a column costs us more than it costs the server. CONCAT_WS leaves out
# what is NULL, which a table that is not ours may have anywhere.
_LOCK = """
SELECT id, authorId, organizationId, CONCAT_WS('|', COALESCE(s3Bucket, ''),
  COALESCE(storageProvider, ''), COALESCE(model, ''), COALESCE(status, ''), COALESCE(progress, ''),
  COALESCE(durationSeconds, ''), COALESCE(numberOfVideos, ''), COALESCE(createdAt, ''), COALESCE(completedAt, ''),
  COALESCE(updatedAt, ''))
FROM video_generations WHERE id IN %s ORDER BY id FOR UPDATE SKIP LOCKED
"""

# 3 is DELETED. Not locked, and not joined to the above: whoever writes here holds the job's row, and a key that
# SKIP LOCKED passed over would be a key forgotten. CONCAT_WS leaves out a created_at that is not known.
_POSITIONS = """
SELECT job_id, CONCAT_WS('|', status, IF(deleted_at IS NULL, has_files, 3), at, stage, tie,
  COALESCE(since, updated_at), created_at), partial, file_keys
FROM rushes_jobs WHERE job_id IN %s
"""

_PRESENT = "SELECT id FROM video_generations WHERE id IN %s"

# For the few jobs where that matters: asked for every job, it would be a third of what reading them costs.
_WITH_FILES = """
SELECT id FROM video_generations g
WHERE id IN %s AND EXISTS (SELECT 1 FROM video_files f WHERE f.generationId = g.id)
"""

_FILES = """
SELECT generationId, s3Key, id, filename, fileUrl, filePath, fileSize, format, durationSeconds,
  aspectRatio, width, height, createdAt
FROM video_files WHERE generationId IN %s
"""

_KEY_OWNERS = "SELECT s3Key, generationId FROM video_files WHERE s3Key IN %s"

# Locked: a replay that goes on in another process tries none of them a second time.
_FIND_REPLAYED = """
SELECT replay_id, webhook_id, outcome FROM rushes_replayed WHERE replay_id = %s AND webhook_id = %s FOR UPDATE
"""

_Read = tuple[Statement, Callable[[list[Any]], None]]
"""A statement, and what takes its rows."""


@dataclass(slots=True)
class JobRow:
    """A locked row, and what the batch does to it.

    `ordered` are the model, the seconds of video and the number of videos, as the database has them.
    `created_at`, and `since` when it is at its stage, are as the database writes them, empty where there is none;
    `finished_at` is in microseconds.
    `without_position`: it was there before, and what rushes_jobs knows is another row's.
    """

    id: str
    author_id: str
    organization_id: str | None
    job: rules.Job
    created_at: str = ""
    ordered: tuple[str, str, str] = (rules.DEFAULT_MODEL, "0", "0")
    since: str = ""
    finished_at: int = 0
    bucket: str = ""
    provider: str = ""
    without_position: bool = False
    prompt: str | None = None
    columns: dict[str, Any] = field(default_factory=dict)
    gallery: dict[str, StoredFile] = field(default_factory=dict)
    inserted: dict[str, dict[str, Any]] = field(default_factory=dict)
    refreshed: dict[str, dict[str, Any]] = field(default_factory=dict)
    changed: bool = False

    @property
    def kind(self) -> Kind:
        return _kind(self.ordered)


@lru_cache(maxsize=256)
def _kind(ordered: tuple[str, str, str]) -> Kind:
    """Of all that are ordered, few differ."""
    model, seconds, number = ordered
    return Kind(model, whole(seconds), whole(number))


class ReadSet:
    """Jobs, now locked, with their files; webhooks that were received before.

    `jobs` are by id. `held` are ids that another session has locked, `spelled_otherwise` those that are no job's, but
    to the site's collation the same as one. `received` are webhooks by key, `recorded` what became of deliveries that
    come again, by id; `replayed`, by its id and theirs, what a replay of many has done already. `authors` are the ids
    of owners whom webhooks name as the site's `users` know them. `key_owner` tells the job of each s3_key, or what else
    it belongs to.
    """

    def __init__(self, users: Reference | None = None) -> None:
        self.jobs: dict[str, JobRow] = {}
        self.authors: dict[str, str] = {}
        self._users = users
        self._named: dict[str, str] = {}
        self._wanted: list[str] = []
        self._keys: list[str] = []
        self._positions_alone: list[str] = []
        self._finished: list[str] = []
        self._loads: list[Callable[[list[Any]], None]] = []
        self.held: set[str] = set()
        self.spelled_otherwise: set[str] = set()
        self.received: dict[str, Received] = {}
        self.recorded: dict[str, Outcome] = {}
        self.replayed: set[tuple[str, str]] = set()
        self.key_owner: dict[str, str] = {}

    def begin(self, deliveries: list[Delivery], *, checks_duplicates: bool) -> list[Statement]:
        """What begins the transaction and reads.

        `checks_duplicates`: also for webhooks that were received before, and for keys that are another job's.
        """
        updates = [d.update for d in deliveries if d.update and not d.failure]
        self._wanted = sorted({u.job_id for u in updates})
        self._keys = sorted({f.s3_key for u in updates for f in u.files})
        if self._users is not None:
            self._named = {u.job_id: u.user_id for u in updates if u.user_id is not None}
        reads = self._reads_of_jobs(self._wanted, updates)
        if checks_duplicates:
            reads.append((find_by_key(sorted({d.dedup_key for d in deliveries})), self._load_received))
            if self._keys:
                reads.append((bind(_KEY_OWNERS, each_held(S3_KEY, self._keys)), self._load_owners))
        for act in (d.act for d in deliveries if d.act is not None and d.act.replay_id is not None):
            reads.append((bind(_FIND_REPLAYED, act.replay_id, act.webhook_id), self._load_replayed))
        redelivered = sorted(d.id for d in deliveries if d.redelivered)
        if redelivered:
            reads.append((find_recorded(redelivered), self._load_recorded))
        self._loads = [load for _, load in reads]
        return ["START TRANSACTION", *(statement for statement, _ in reads)]

    def load(self, answers: list[Any]) -> bool:
        """Takes what that read; whether it is all, or `read_rest` must come first."""
        loads, self._loads = self._loads, []  # kept, they would be a cycle: garbage that holds all of the batch
        _begun, *found = answers
        for load, rows in zip(loads, found, strict=True):
            load(rows)
        self._finished = [row.id for row in self.jobs.values() if row.without_position and row.job.state == "COMPLETED"]
        return (
            self.jobs.keys() >= set(self._wanted)
            and not (self._positions_alone or self._finished)
            and self.key_owner.keys() <= set(self._keys)
        )

    async def read_rest(self, connection: Connection) -> None:
        """What is rare, one after the other. Raises RetryableError or DatabaseAwayError."""
        if self._finished:
            (with_files,) = await connection.run_text(bind(_WITH_FILES, each_held(JOB, self._finished)))
            self._note_files(with_files)
        if not self.key_owner.keys() <= set(self._keys):
            # The site's collation found a key of another spelling: ask for each, to know for which.
            for key in self._keys:
                if key not in self.key_owner:
                    for spelled, _owner in await connection.rows(bind(_KEY_OWNERS, each_held(S3_KEY, [key]))):
                        self.key_owner[key] = f"another file, {spelled}"
        missing = [job_id for job_id in self._wanted if job_id not in self.jobs]
        named = sorted({self._named[job_id] for job_id in missing if job_id in self._named})
        if named and self._users is not None:
            self.authors = author_rows(await connection.rows(select_authors(self._users, named)))
        if missing:
            (there,) = await connection.run_text(present(missing))
            self.held = {str(job_id) for (job_id,) in there}
            if not self.held <= set(missing):
                absent = [job_id for job_id in missing if job_id not in self.held]
                found = await connection.run_text(*(present([job_id]) for job_id in absent))
                self.spelled_otherwise = {job_id for job_id, rows in zip(absent, found, strict=True) if rows}
        # A job that is held has its key in use.
        if alone := [job_id for job_id in self._positions_alone if job_id not in self.held]:
            await forget_keys(connection, alone)

    def _reads_of_jobs(self, wanted: list[str], updates: list[StatusUpdate]) -> list[_Read]:
        if not wanted:
            return []
        reads: list[_Read] = [
            (bind(_LOCK, each_held(JOB, wanted)), self._load_jobs),
            (bind(_POSITIONS, wanted), self._load_positions),
        ]
        empty = sorted({u.job_id for u in updates if rules.brings_no_file(u)})
        if empty:
            reads.append((bind(_WITH_FILES, each_held(JOB, empty)), self._note_files))
        completed = sorted({u.job_id for u in updates if u.files})
        if completed:
            reads.append((bind(_FILES, each_held(FILES_JOB, completed)), self._load_files))
        return reads

    def _load_jobs(self, rows: list[Any]) -> None:
        for job_id, author, organization, state_row in rows:
            bucket, provider, rest = state_row.split("|", 2)
            model, state, progress, seconds, number, created_at, completed_at, updated_at = rest.rsplit("|", 7)
            ended = times.stored(completed_at) if completed_at else None
            state, at = rules.state_of(state, ended=ended is not None), whole(progress)
            job = rules.Job(state, rules.status_word(state, at), at)
            # Read only where it is all that tells when: a time takes long, and each webhook comes by here.
            updated = times.stored(updated_at) if ended is None and state in rules.FINISHED else None
            self.jobs[job_id] = JobRow(
                job_id,
                author or "",
                organization,
                job,
                created_at,
                (model, seconds, number),
                finished_at=rules.finished_at(state, completed_at=ended, updated_at=updated),
                bucket=bucket,
                provider=provider,
                without_position=True,
            )

    def _load_positions(self, rows: list[Any]) -> None:
        for job_id, state_row, partial, file_keys in rows:
            row = self.jobs.get(job_id)
            if row is None:
                self._positions_alone.append(job_id)
                continue
            status, rank, at, stage, tie, since, *known = state_row.split("|")
            created_at = "".join(known)
            if created_at and not _is_same_moment(created_at, row.created_at):
                continue  # the key of a job that was deleted, before this one was inserted under its id
            job = row.job
            row.without_position = False
            row.since = since
            job.status = status
            job.position = Position(int(rank), int(at), int(stage), tie)
            job.has_any = job.position.rank == rules.WITH_FILES
            job.partial = partial_of(partial)
            if file_keys:
                job.file_keys = _file_keys(file_keys)
        for row in self.jobs.values():
            if row.without_position:
                row.job.position = rules.known_position(row.job.state, row.finished_at, has_files=False)

    def _note_files(self, rows: list[Any]) -> None:
        for (job_id,) in rows:
            row = self.jobs.get(job_id)
            if row is not None:
                row.job.has_any = True
                if row.without_position and row.job.position is not None:
                    rank = rules.WITH_FILES if row.job.state == "COMPLETED" else rules.WITHOUT_FILES
                    row.job.position = row.job.position._replace(rank=rank)

    def _load_files(self, rows: list[Any]) -> None:
        for job_id, key, *fields, created_at in rows:
            row = self.jobs.get(job_id)
            if row is None:
                continue
            at = times.stored(created_at)
            shown = row.gallery[key] = stored_file(fields, at, key, row.bucket, row.provider)
            file = row.job.files[key] = _file(key, shown, at)
            if row.without_position:
                row.job.file_keys[key] = rules.known_file_key(  # kept from now on
                    row.job.position, has_url=file.url is not None, has_size=bool(file.size)
                )

    def _load_owners(self, rows: list[Any]) -> None:
        self.key_owner = dict(rows)

    def _load_received(self, rows: list[Any]) -> None:
        for key, row_id, outcome, attempts, received_at in rows:
            self.received[key] = Received(row_id, outcome, int(attempts), times.microseconds_of(received_at))

    def _load_replayed(self, rows: list[Any]) -> None:
        self.replayed |= {(replay_id, webhook_id) for replay_id, webhook_id, outcome in rows if outcome is not None}

    def _load_recorded(self, rows: list[Any]) -> None:
        self.recorded = {row_id: Outcome(kind, row_id, code, error) for row_id, kind, code, error in rows}


def present(job_ids: Sequence[str]) -> bytes:
    """The statement that reads which of the ids are jobs', as these spell them."""
    return bind(_PRESENT, each_held(JOB, job_ids))


def _is_same_moment(ours: str, theirs: str) -> bool:
    """Whether two texts of a DATETIME are: ours has six digits, the site's as many as its column."""
    return ours.rstrip("0") == theirs.rstrip("0") or ours.rstrip("0").rstrip(".") == theirs


def _file(key: str, shown: StoredFile, created_at: int | None) -> rules.VideoFile:
    return rules.VideoFile(
        s3_key=key,
        filename=shown["filename"],
        url=shown["file_url"],
        path=shown["file_path"],
        size=shown["file_size"],
        format=shown["format"],
        duration_seconds=shown["duration_seconds"],
        aspect_ratio=shown["aspect_ratio"],
        width=shown["dimensions"]["width"],
        height=shown["dimensions"]["height"],
        created_at=created_at,
    )


def file_keys_json(file_keys: dict[str, rules.FileKey]) -> bytes | None:
    """For rushes_jobs: [at, tie] of a file whose fields are all of one completion, else [at, tie, url, size]."""
    if not file_keys:
        return None
    return orjson.dumps(
        {
            name: (at, tie) if tie == url == size else (at, tie, url, size)
            for name, (at, tie, url, size) in file_keys.items()
        }
    )


def _file_keys(text: str) -> dict[str, rules.FileKey]:
    return {name: (at, tie, *(rest or (tie, tie))) for name, (at, tie, *rest) in orjson.loads(text).items()}


_LOCK_KEYS = "SELECT job_id FROM rushes_jobs WHERE job_id IN %s FOR UPDATE SKIP LOCKED"
_DELETE_KEYS = "DELETE FROM rushes_jobs WHERE job_id IN %s"


async def forget_keys(connection: Connection, job_ids: list[str]) -> int:
    """Deletes the keys of those jobs that are gone, whose ids others may get; how many they were.

    Locked first: whoever makes one now can set its key only after this transaction, which the caller has begun.
    """
    locked, there = await connection.run_text(bind(_LOCK_KEYS, job_ids), present(job_ids))
    gone = {job_id for (job_id,) in locked} - {job_id for (job_id,) in there}
    if gone:
        await connection.run_text(bind(_DELETE_KEYS, gone))
    return len(gone)
