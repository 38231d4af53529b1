"""One transaction over a batch of deliveries: read and lock, decide, write, commit. Two round trips."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from app import times, video
from app.db import log
from app.db.pool import Connection, DatabaseAwayError, Statement
from app.db.sql import Raw, bind, literal, update_rows
from app.db.webhooks import SETTLED, Delivery, Outcome, Received, Record, find_by_key, find_recorded
from app.ids import cuid
from app.times import now, sql
from app.video import Key, StatusUpdate, VideoFile
from app.wire import LogEvent, Typical, event_data, event_name, gallery_file

# Locks in id order. SKIP LOCKED: a row that another program holds must not stall the others. The rest of
# what the row says comes in one column: decoding a column costs us more than it costs the server.
_LOCK = """
SELECT g.id, g.authorId, g.organizationId, CONCAT_WS('|', g.status, g.progress,
  COALESCE(g.completedAt, g.updatedAt), EXISTS (SELECT 1 FROM video_files f WHERE f.generationId = g.id))
FROM video_generations g WHERE g.id IN %s ORDER BY g.id FOR UPDATE SKIP LOCKED
"""

# Not locked, and not joined to the above: whoever writes here holds the job's row, and a key that
# SKIP LOCKED passed over would be a key forgotten.
_KEYS = """
SELECT job_id, CONCAT_WS('|', status, has_files, at, stage, tie), file_keys FROM rushes_jobs WHERE job_id IN %s
"""

_MAKE_JOBS = """
INSERT INTO video_generations (id, prompt, authorId, createdAt, updatedAt) VALUES %s
"""

_PRESENT = "SELECT id FROM video_generations WHERE id IN %s"

_FILES = """
SELECT generationId, s3Key, id, filename, fileUrl, filePath, fileSize, format, durationSeconds,
  aspectRatio, width, height, createdAt
FROM video_files WHERE generationId IN %s
"""

_KEY_OWNERS = "SELECT s3Key, generationId FROM video_files WHERE s3Key IN %s"

_INSERT_FILES = """
INSERT INTO video_files (id, generationId, s3Key, filename, fileUrl, filePath, fileSize, format,
  durationSeconds, aspectRatio, width, height, metadata, createdAt) VALUES %s
"""

_SET_KEYS = """
INSERT INTO rushes_jobs (job_id, status, has_files, at, stage, tie, file_keys, updated_at) VALUES %s
ON DUPLICATE KEY UPDATE status = VALUES(status), has_files = VALUES(has_files), at = VALUES(at),
  stage = VALUES(stage), tie = VALUES(tie), file_keys = VALUES(file_keys), updated_at = VALUES(updated_at)
"""

_COLUMNS_NOW = "SELECT %s FROM video_generations WHERE id = %s"

_COMMITTED = "SELECT attempts FROM rushes_webhooks WHERE id = %s FOR UPDATE"


class UnknownOutcomeError(Exception):
    """The connection was lost while the commit was under way: `batch` may or may not be there."""

    def __init__(self, batch: "Batch") -> None:
        self.batch = batch
        super().__init__("the connection was lost in COMMIT")


@dataclass(slots=True)
class _JobRow:
    """A locked row, and what the batch does to it."""

    id: str
    author_id: str
    organization_id: str | None
    job: video.Job
    is_new: bool = False
    prompt: str | None = None
    columns: dict[str, Any] = field(default_factory=dict)
    gallery: dict[str, dict[str, Any]] = field(default_factory=dict)
    inserted: dict[str, list[Any]] = field(default_factory=dict)
    refreshed: dict[str, dict[str, Any]] = field(default_factory=dict)
    changed: bool = False


class Batch:
    """Deliveries that are committed together.

    After `commit`, `outcomes` has one for each delivery's id but those in `locked`: their jobs are held
    by another session, and they are to be tried again. `events` are the log's new rows, numbered.
    """

    def __init__(
        self, deliveries: list[Delivery], language: str, typical: Typical, *, create_unknown: bool = False
    ) -> None:
        self._create_unknown = create_unknown
        self._spelled_otherwise = False
        self.deliveries = deliveries
        self.outcomes: dict[str, Outcome] = {}
        self.locked: list[Delivery] = []
        self.events: list[LogEvent] = []
        self._language = language
        self._typical = typical
        self._jobs: dict[str, _JobRow] = {}
        self._held: set[str] = set()
        self._received: dict[str, Received] = {}
        self._recorded: dict[str, Outcome] = {}
        self._key_owner: dict[str, str] = {}
        self._record = Record()

    async def commit(self, connection: Connection) -> None:
        """Raises RetryableError or DatabaseAwayError with nothing committed, UnknownOutcomeError, or
        pymysql's error when the database refuses the batch for a reason of its own."""
        try:
            await self._read(connection)
            for delivery in self.deliveries:
                self._decide(delivery)
            writes = self._writes()
        except BaseException:
            await _undo(connection)
            raise
        try:
            results = await connection.run_text(*writes, "COMMIT")
        except DatabaseAwayError as error:
            raise UnknownOutcomeError(self) from error
        except BaseException:
            await _undo(connection)
            raise
        if self.events:
            log.number(self.events, int(results[-3][0][0] or 0))

    async def preview(self, connection: Connection) -> dict[str, Any]:
        """What `commit` would do with the one delivery of this batch; nothing is written, and no lock stays.

        {"outcome", "code", "error", "makes_job", "columns": {name: {"old", "new"}}, "files_added", "files_refreshed"},
        files in the gallery's form. "outcome" is None while another session holds the job. What the database refuses
        when it is written, a value too large for its column, is not seen here.
        Raises RetryableError or DatabaseAwayError.
        """
        (delivery,) = self.deliveries
        old: dict[str, Any] = {}
        new: dict[str, Any] = {}
        try:
            await self._read(connection)
            files = {key: file for job in self._jobs.values() for key, file in job.gallery.items()}
            self._decide(delivery)
            row = next((job for job in self._jobs.values() if job.changed), None)
            makes_job = row is not None and row.prompt is not None
            if row is not None and makes_job:
                new = {"authorId": row.author_id, "prompt": row.prompt} | row.columns
                old = dict.fromkeys(new)
            elif row is not None and row.columns:
                new = row.columns
                names = Raw(", ".join(new).encode())
                (values,) = await connection.rows(bind(_COLUMNS_NOW, names, row.id))
                old = dict(zip(new, values, strict=True))
        finally:
            await _undo(connection)
        outcome = self.outcomes.get(delivery.id)
        added, refreshed = [], []
        if row is not None:
            added = [{"s3_key": key} | row.gallery[key] for key in sorted(row.inserted)]
            for file in added:
                del file["id"]  # the replay makes another
            refreshed = [
                {"s3_key": key, "columns": _differences(files[key], row.gallery[key])} for key in sorted(row.refreshed)
            ]
        return {
            "outcome": outcome.kind if outcome else None,
            "code": outcome.code if outcome else "job_held",
            "error": outcome.error if outcome else "Another program holds the job's row at this moment.",
            "makes_job": makes_job,
            "columns": _differences(old, new),
            "files_added": added,
            "files_refreshed": refreshed,
        }

    async def was_committed(self, connection: Connection) -> bool:
        """Whether a commit of unknown outcome happened. The read locks: a plain one would miss a
        transaction that is still open on the lost connection. Raises RetryableError meanwhile."""
        found = self._record.witness()
        if found is None:
            return True
        witness, attempts = found
        rows = await connection.rows(bind(_COMMITTED, witness))
        return bool(rows) and rows[0][0] == attempts

    async def _read(self, connection: Connection) -> None:
        updates = [d.update for d in self.deliveries if d.update and not d.failure]
        wanted = sorted({u.job_id for u in updates})
        completions = [u for u in updates if u.files]
        statements: list[Statement] = ["START TRANSACTION"]
        if wanted:
            statements += [bind(_LOCK, wanted), bind(_KEYS, wanted)]
        statements.append(find_by_key(sorted({d.dedup_key for d in self.deliveries})))
        again = [d.id for d in self.deliveries if d.again]
        if again:
            statements.append(find_recorded(sorted(again)))
        if completions:
            keys = sorted({f.s3_key for u in completions for f in u.files})
            statements.append(bind(_FILES, sorted({u.job_id for u in completions})))
            statements.append(bind(_KEY_OWNERS, keys))
        results: Iterator[list[Any]] = iter((await connection.run_text(*statements))[1:])
        if wanted:
            self._load_jobs(next(results), next(results))
        for key, row_id, outcome, attempts, received_at in next(results):
            self._received[key] = Received(row_id, outcome, int(attempts), times.microseconds_of(received_at))
        if again:
            self._recorded = {row[0]: Outcome(row[1], row[0], *row[2:]) for row in next(results)}
        if completions:
            self._load_files(next(results))
            await self._load_owners(connection, keys, next(results))
        missing = [job_id for job_id in wanted if job_id not in self._jobs]
        if missing:
            (present,) = await connection.run_text(bind(_PRESENT, missing))
            self._held = {str(row[0]) for row in present}
            self._spelled_otherwise = not self._held <= set(missing)

    def _load_jobs(self, rows: list[Any], keys: list[Any]) -> None:
        known = {row[0]: row for row in keys}
        for job_id, author, organization, standing in rows:
            job = _job(standing, known.get(job_id))
            self._jobs[job_id] = _JobRow(job_id, author, organization, job, is_new=job_id not in known)

    def _load_files(self, rows: list[Any]) -> None:
        for job_id, key, file_id, filename, url, path, size, form, seconds, ratio, width, height, created_at in rows:
            row = self._jobs.get(job_id)
            if row is not None:
                row.job.files.add(key)
                if row.is_new:
                    # Kept from now on, so that what comes later finds the file no older than it was.
                    row.job.file_keys[key] = (row.job.key.at, "") if row.job.key else video.OLDEST
                fields = [file_id, filename, url, path, int(size), form, int(seconds), ratio, int(width), int(height)]
                row.gallery[key] = gallery_file(fields, times.microseconds_of(created_at))

    async def _load_owners(self, connection: Connection, keys: list[str], rows: list[Any]) -> None:
        self._key_owner = dict(rows)
        if not self._key_owner.keys() <= set(keys):
            # The site's collation found a key of another spelling: ask for each, to know for which.
            for key in keys:
                if key not in self._key_owner:
                    for spelled, _owner in await connection.rows(bind(_KEY_OWNERS, [key])):
                        self._key_owner[key] = f"another file, {spelled}"

    def _decide(self, delivery: Delivery) -> None:
        if delivery.id in self._recorded:
            self.outcomes[delivery.id] = self._recorded[delivery.id]
            return
        known = self._received.get(delivery.dedup_key)
        if known is not None and known.outcome in SETTLED:
            row = Received(delivery.id, "duplicate", 1, delivery.received_at)
            self._settle(delivery, row, Outcome("duplicate", delivery.id), None)
            return
        if known is None:
            row = Received(delivery.id, "", 1, delivery.received_at)
        else:
            row = Received(known.id, "", known.attempts + 1, known.received_at)
        outcome = self._outcome(delivery, row)
        if outcome is None:
            self.locked.append(delivery)
            return
        row.outcome = outcome.kind
        self._received[delivery.dedup_key] = row
        self._settle(delivery, row, outcome, delivery.dedup_key)

    def _settle(self, delivery: Delivery, row: Received, outcome: Outcome, dedup_key: str | None) -> None:
        self.outcomes[delivery.id] = outcome
        self._record.add(delivery, row, outcome, dedup_key)

    def _outcome(self, delivery: Delivery, row: Received) -> Outcome | None:
        update = delivery.update
        if delivery.failure or update is None:
            code, error = delivery.failure or ("apply_failed", "nothing to apply")
            return Outcome("dead", row.id, code, error)
        job_row = self._jobs.get(update.job_id) or self._made(update)
        if job_row is None:
            if update.job_id in self._held:
                return None
            return Outcome("parked", row.id, "unknown_job", "VideoGeneration not found")
        for file in update.files:
            if self._key_owner.get(file.s3_key, job_row.id) != job_row.id:
                return Outcome(
                    "dead",
                    row.id,
                    "key_conflict",
                    f"s3_key {file.s3_key} already belongs to {self._key_owner[file.s3_key]}",
                )
        change = video.apply(job_row.job, update, row.received_at, self._language)
        if change is None:
            return Outcome("stale", row.id, status=job_row.job.status, state=job_row.job.state)
        self._apply(job_row, update, change, row.received_at)
        job = job_row.job
        return Outcome(
            "applied",
            row.id,
            status=job.status,
            state=job.state,
            progress=job.progress,
            num_videos=len(job_row.gallery),
        )

    def _made(self, update: StatusUpdate) -> _JobRow | None:
        """A new job for an update that names its owner, where that is wanted and nobody has its id."""
        if not self._create_unknown or update.user_id is None:
            return None
        if update.job_id in self._held or self._spelled_otherwise:
            return None
        prompt = (update.metadata or {}).get("prompt_used") or update.prompt_used or ""
        made = _JobRow(update.job_id, update.user_id, None, video.Job("PENDING", "pending", 0), prompt=str(prompt))
        self._jobs[update.job_id] = made
        return made

    def _apply(self, row: _JobRow, update: StatusUpdate, change: video.Change, received_at: int) -> None:
        job = row.job
        at = video.ordering_time(update, received_at)
        row.changed = True
        row.columns |= change.columns
        for file in (*change.new_files, *change.refreshed_files):
            self._put_file(row, file, update.metadata, at)
        if job.state == "COMPLETED":
            self._typical.observe(change.columns.get("processingTime"))
        self.events.append(
            LogEvent(
                0,
                row.id,
                row.author_id,
                row.organization_id,
                event_name(job.state),
                event_data(
                    job_id=row.id,
                    status=job.status,
                    state=job.state,
                    progress=job.progress,
                    message=job.message or video.MESSAGES[self._language]["completed"],
                    occurred_at=at,
                    error=job.error,
                    eta_seconds=self._typical.eta(job.state, job.progress),
                    videos=[row.gallery[key] for key in sorted(row.gallery)] if job.state == "COMPLETED" else [],
                ),
            )
        )

    def _put_file(self, row: _JobRow, file: VideoFile, metadata: dict[str, Any] | None, at: int) -> None:
        created_at = at if file.created_at is None else file.created_at
        known = row.gallery.get(file.s3_key)
        file_id = known["id"] if known else cuid()
        columns: dict[str, Any] = {
            "filename": file.filename,
            "fileUrl": file.url,
            "filePath": file.path,
            "fileSize": file.size,
            "format": file.format,
            "durationSeconds": file.duration_seconds,
            "aspectRatio": file.aspect_ratio,
            "width": file.width,
            "height": file.height,
        }
        row.gallery[file.s3_key] = gallery_file([file_id, *columns.values()], created_at)
        columns["metadata"] = None if metadata is None else orjson.dumps(metadata).decode()
        columns["createdAt"] = sql(created_at)
        if known is None or file.s3_key in row.inserted:
            row.inserted[file.s3_key] = [file_id, row.id, file.s3_key, *columns.values()]
            self._key_owner[file.s3_key] = row.id
        else:
            row.refreshed[file.s3_key] = columns

    def _writes(self) -> list[bytes]:
        now_us = now()
        at = Raw(literal(sql(now_us)))
        changed = [row for row in self._jobs.values() if row.changed]
        jobs = {row.id: row.columns | {"updatedAt": at} for row in changed}
        made = [[row.id, row.prompt, row.author_id, at, at] for row in changed if row.prompt is not None]
        statements = [bind(_MAKE_JOBS, made)] if made else []
        statements += update_rows("video_generations", "id", jobs)
        inserted = {key: values for row in changed for key, values in row.inserted.items()}
        if inserted:
            # Sorted, so that two transactions meet their common keys in one order.
            statements.append(bind(_INSERT_FILES, [inserted[key] for key in sorted(inserted)]))
        refreshed = {key: columns for row in changed for key, columns in row.refreshed.items()}
        statements += update_rows("video_files", "s3Key", {key: refreshed[key] for key in sorted(refreshed)})
        if changed:
            statements.append(bind(_SET_KEYS, [_key_row(row, at) for row in changed]))
        statements += self._record.statements()
        if self.events:
            statements += log.append(self.events, now_us)
        return statements


def _differences(old: dict[str, Any], new: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The names whose values differ, each with both, fit for JSON."""
    found = {}
    for name, value in new.items():
        before, after = (
            times.rfc3339(times.microseconds(v)) if isinstance(v, datetime) else v for v in (old[name], value)
        )
        if before != after:
            found[name] = {"old": before, "new": after}
    return found


async def _undo(connection: Connection) -> None:
    if not connection.closed:
        try:
            await connection.run("ROLLBACK")
        except DatabaseAwayError:
            connection.close()


def _job(standing: str, known: list[Any] | None) -> video.Job:
    state, progress, finished_at, has_any = standing.split("|")
    if known is None:
        job = video.Job(state, video.status_word(state, int(progress)), int(progress), has_any=has_any == "1")
        job.key = video.known_key(state, times.microseconds_of(finished_at), has_files=job.has_any)
        return job
    status, has_files, at, stage, tie = known[1].split("|")
    keys = {name: (at, tie) for name, (at, tie) in orjson.loads(known[2]).items()} if known[2] else {}
    key = Key(has_files == "1", int(at), int(stage), tie)
    return video.Job(state, status, int(progress), key=key, has_any=has_any == "1", file_keys=keys)


def _key_row(row: _JobRow, at: Raw) -> list[Any]:
    key = row.job.key
    assert key is not None  # noqa: S101 - a job that changed has one
    file_keys = orjson.dumps(row.job.file_keys) if row.job.file_keys else None
    return [row.id, row.job.status, int(key.has_files), key.at, key.stage, key.tie, file_keys, at]
