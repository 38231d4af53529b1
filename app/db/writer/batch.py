"""One transaction over a batch of deliveries: read and lock, decide, write, commit. Two round trips."""

from collections.abc import Sequence
from typing import Any

from app.db import changed, dirty, log
from app.db.columns import Columns
from app.db.connection import Connection, Statement
from app.db.errors import DatabaseAwayError, PacketTooLargeError, PassingError, RetryableError, UnknownOutcomeError
from app.db.people import Reference
from app.db.sql import bind
from app.db.writer.inbox import MISSED, SETTLED, Received, Record
from app.db.writer.read_set import JobRow, ReadSet
from app.db.writer.write_set import WriteSet
from app.domain import job as rules
from app.domain import payload
from app.domain.audit import OnWebhook
from app.domain.delivery import Delivery, Outcome
from app.domain.estimate import UNKNOWN, Estimate, Estimates
from app.domain.event import LogEvent, event_data, event_name
from app.domain.failure import unknown_codes
from app.domain.job import StatusUpdate
from app.domain.spans import quarter_of
from app.ids import RESERVED
from app.logs import note_unknown_codes
from app.texts import MESSAGES
from app.times import now, sql6, stored

_BETWEEN = 2  # bytes, between two statements of a packet

# Characters; what a TEXT column holds whatever they are.
_PROMPT_MAX = 16_000

MAX_FILES = 1000
"""Of a job, unless it is said otherwise."""

_ORDERED = {
    "aspect_ratio": "aspectRatio",
    "duration_seconds": "durationSeconds",
    "person_generation": "personGeneration",
}

_COMMITTED = "SELECT attempts FROM rushes_webhooks WHERE id = %s FOR UPDATE"


class Batch:
    """Deliveries that are committed together.

    After `commit`, `outcomes` has one for each delivery's id but those in `held`: their jobs are held
    by another session, and they are to be tried again. `events` are the log's new rows, numbered.

    `checks_duplicates`: whether webhooks that are known already are looked for, and files that are another job's.
    Otherwise one of them makes `commit` raise the IntegrityError of its key: both are rare, and each look is a
    statement more.

    `max_files` is how many files a job may have: a completion that brings more is a dead letter.

    `users` is where the owner is looked up whom a webhook names, where that makes its job.

    `columns` tells what the site's columns hold, as far as one has refused something.
    """

    def __init__(
        self,
        deliveries: list[Delivery],
        language: str,
        estimates: Estimates,
        *,
        create_unknown: bool = False,
        users: Reference | None = None,
        checks_duplicates: bool = True,
        max_files: int = MAX_FILES,
        columns: Columns | None = None,
    ) -> None:
        self._create_unknown = create_unknown
        self._max_files = max_files
        self.checks_duplicates = checks_duplicates or any(d.redelivered for d in deliveries)
        self.deliveries = deliveries
        self.outcomes: dict[str, Outcome] = {}
        self.held: list[Delivery] = []
        self.events: list[LogEvent] = []
        self._language = language
        self._estimates = estimates
        self._columns = columns or Columns()
        self._read_set = ReadSet(users if create_unknown else None)
        self._write_set = WriteSet(self._columns)
        self._record = Record()
        self._packet_max = 0
        self._sent = False
        self._failure: Exception | None = None

    async def commit(self, connection: Connection) -> None:
        """Raises RetryableError, DatabaseAwayError, ValuesRefusedError: nothing is there; or UnknownOutcomeError."""
        self._packet_max = connection.packet_max
        try:
            reads = self._read_set.begin(self.deliveries, checks_duplicates=self.checks_duplicates)
            self._refuse_if_too_large(reads)
            results = await connection.run_text(*reads, then=self._go_on)
            if self._failure is not None:
                raise self._failure
            if not self._sent:
                await self._read_set.read_rest(connection)
                results = await connection.run_text(*self._decided())
        except DatabaseAwayError as error:
            if self._sent:
                raise UnknownOutcomeError from error
            raise
        except BaseException as error:
            await undo(connection)
            if self._sent and isinstance(error, RetryableError) and not error.is_contention:
                # It may have been the COMMIT that failed, and some servers do not say whether for all of it.
                raise UnknownOutcomeError from error
            raise
        if self.events:
            log.number(self.events, results)

    def _go_on(self, answers: list[Any]) -> list[bytes]:
        """What to send when the reads are answered, at once; nothing when that needs more reading, or fails."""
        try:
            return self._decided() if self._read_set.load(answers) else []
        except Exception as error:  # noqa: BLE001 - `commit` raises it
            self._failure = error
            return []

    def _decided(self) -> list[bytes]:
        for delivery in self.deliveries:
            self._decide(delivery)
        statements = [*self._writes(), b"COMMIT"]
        self._refuse_if_too_large(statements)
        self._sent = True
        return statements

    def _refuse_if_too_large(self, statements: Sequence[Statement]) -> None:
        size = sum(len(statement) + _BETWEEN for statement in statements)
        if size > self._packet_max:
            raise PacketTooLargeError(f"{size} bytes at once are more than max_allowed_packet, {self._packet_max}")

    async def was_committed(self, connection: Connection) -> bool:
        """Whether a commit of unknown outcome happened. The read locks: a plain one would miss a
        transaction that is still open on the lost connection. Raises RetryableError meanwhile.

        Its `events` are gone then, since nobody told their ids: the follower reads them from the log.
        """
        self.events.clear()
        found = self._record.witness()
        if found is None:
            return True
        witness, attempts = found
        return await connection.rows(bind(_COMMITTED, witness)) == ((attempts,),)

    def _decide(self, delivery: Delivery) -> None:
        if delivery.id in self._read_set.recorded:
            self.outcomes[delivery.id] = self._read_set.recorded[delivery.id]
            return
        if delivery.act is not None and (delivery.act.replay_id, delivery.act.webhook_id) in self._read_set.replayed:
            self.outcomes[delivery.id] = Outcome("duplicate", delivery.act.webhook_id)
            return
        known = self._read_set.received.get(delivery.dedup_key)
        if known is not None and known.outcome in SETTLED:
            duplicate = Outcome("duplicate", delivery.id)
            if delivery.act is not None:  # nobody sent it: there is none to be remembered
                self.outcomes[delivery.id] = duplicate
                self._note(delivery, delivery.act, known.outcome, duplicate, known.outcome)
                return
            row = Received(delivery.id, "duplicate", 1, delivery.received_at)
            self._settle(delivery, row, duplicate, None)
            return
        if known is None:
            row = Received(delivery.id, "", 1, delivery.received_at)
        else:
            row = Received(known.id, "", known.attempts + 1, known.received_at)
        outcome = self._outcome(delivery, row)
        if outcome is None:
            self.held.append(delivery)
            return
        row.outcome = outcome.kind
        self._read_set.received[delivery.dedup_key] = row
        self._settle(delivery, row, outcome, delivery.dedup_key)
        if delivery.act is not None:
            self._note(delivery, delivery.act, known.outcome if known else None, outcome, outcome.kind)

    def _note(self, delivery: Delivery, act: OnWebhook, was: str | None, outcome: Outcome, became: str) -> None:
        self._record.note(act, was, became, outcome.code, delivery.job_id)
        if act.replay_id is not None:  # the same replay may have it in this batch once more
            self._read_set.replayed.add((act.replay_id, act.webhook_id))

    def _settle(self, delivery: Delivery, row: Received, outcome: Outcome, dedup_key: str | None) -> None:
        if delivery.payload_omitted and (outcome.kind in ("parked", "dead") or outcome.code == MISSED):
            # It is to be tried again one day: what is not kept there stays on disk.
            raise PacketTooLargeError(f"a payload of {len(delivery.body)} bytes is more than max_allowed_packet takes")
        self.outcomes[delivery.id] = outcome
        self._record.add(delivery, row, outcome, dedup_key)

    def _outcome(self, delivery: Delivery, row: Received) -> Outcome | None:
        update = delivery.update
        if delivery.failure or update is None:
            code, error = delivery.failure or ("apply_failed", "nothing to apply")
            return Outcome("dead", row.id, code, error)
        job_row = self._read_set.jobs.get(update.job_id) or self._made(update, delivery.body)
        if job_row is None:
            if update.job_id in self._read_set.held:
                return None
            return Outcome("parked", row.id, "unknown_job", "VideoGeneration not found")
        refused = self._refusal(job_row, update)
        if refused is not None:
            return Outcome("dead", row.id, *refused)
        before = job_row.job.status
        change = rules.apply(job_row.job, update, row.received_at, self._language)
        if change is None:
            missed = MISSED if _is_deleted(job_row) else None
            return Outcome("stale", row.id, missed, status=job_row.job.status, state=job_row.job.state)
        if job_row.job.status != before or not job_row.since:
            job_row.since = sql6(row.received_at)
        self._apply(job_row, update, change)
        job = job_row.job
        return Outcome("applied", row.id, None, None, job.status, job.state, job.progress, len(job_row.gallery))

    def _refusal(self, row: JobRow, update: StatusUpdate) -> tuple[str, str] | None:
        """(code, sentence) when it is known that the job cannot have these files."""
        if not update.files:
            return None
        for file in update.files:
            owner = self._read_set.key_owner.get(file.s3_key, row.id)
            if owner != row.id:
                return "key_conflict", f"s3_key {file.s3_key} already belongs to {owner}"
        files = len(row.job.files.keys() | {file.s3_key for file in update.files})
        if files > max(self._max_files, len(row.job.files)):
            return "too_many_files", f"it would have {files} files, and may have {self._max_files} (MAX_FILES_PER_JOB)"
        # Alone, the database itself is asked: the column may be another one by now.
        why = self._columns.refusal(update.files) if len(self.deliveries) > 1 else None
        return None if why is None else ("apply_failed", why)

    def _made(self, update: StatusUpdate, body: bytes) -> JobRow | None:
        """A new job for an update that names its owner, where that is wanted and nobody has its id."""
        if not self._create_unknown or update.user_id is None or update.job_id in RESERVED:
            return None
        if update.job_id in self._read_set.held or update.job_id in self._read_set.spelled_otherwise:
            return None
        order = payload.order(body)
        made = JobRow(
            update.job_id,
            self._read_set.authors.get(update.user_id, update.user_id),
            None,
            rules.Job("PENDING", "pending", 0),
            prompt=order["prompt"][:_PROMPT_MAX],
            columns={column: order[name] for name, column in _ORDERED.items() if name in order},
        )
        self._read_set.jobs[update.job_id] = made
        return made

    def _apply(self, row: JobRow, update: StatusUpdate, change: rules.Change) -> None:
        job = row.job
        if job.state == "FAILED":
            note_unknown_codes(unknown_codes(job.error or ""))
        row.changed = True
        row.columns |= change.columns
        self._write_set.put_files(row, update, change)
        self._read_set.key_owner |= {file.s3_key: row.id for file in change.new_files}
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
                    message=job.message or MESSAGES[self._language]["completed"],
                    occurred_at=change.at,
                    error=job.error,
                    estimate=self._estimate(row),
                    videos=[row.gallery[key] for key in sorted(row.gallery)] if job.state == "COMPLETED" else None,
                    partial=job.partial,
                ),
            )
        )

    def _estimate(self, row: JobRow) -> Estimate:
        job = row.job
        if job.state in rules.FINISHED or not self._estimates.any_known:
            return UNKNOWN
        since = row.created_at if job.status == "pending" and row.created_at else row.since
        return self._estimates.at(now(), row.kind, job.state, job.status, stored(since) or 0)

    def _writes(self) -> list[bytes]:
        at = now()
        statements = self._write_set.statements(self._read_set.jobs.values(), at) + self._record.statements()
        quarters = dirty.quarters_of(self._record.ids)
        if not self.events:
            return statements + changed.note(self._record.ids) + dirty.mark(quarters)
        # The log tells what was changed, and that its own quarter is to be counted again.
        statements += dirty.mark(quarters - {quarter_of(at)})
        return statements + log.append(self.events, at, changed.packed(self._record.ids))


def _is_deleted(row: JobRow) -> bool:
    return row.job.position is not None and row.job.position.rank == rules.DELETED


async def undo(connection: Connection) -> None:
    """Ends the transaction without a trace, or the session."""
    if not connection.closed:
        try:
            await connection.run("ROLLBACK")
        except PassingError:
            connection.close()
