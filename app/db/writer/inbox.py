"""Received webhooks: what comes in, what became of it, and the rows that remember it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from app.db import audited
from app.db.changed import note_of_job
from app.db.sql import bind, exact
from app.domain.audit import Entry, OnWebhook
from app.domain.delivery import Delivery, Outcome
from app.times import now, sql6

# Characters; what a TEXT column holds whatever they are.
_ERROR_MAX = 16_000

SETTLED = ("applied", "stale")
"""Outcomes that make a later webhook of the same key a duplicate. Any other is tried again in its own row."""

MISSED = "deleted"
"""The code of a stale webhook that is so because its job was deleted when it came."""

_MISSED = "outcome = 'stale' AND error_code = %s"
_OF_JOB = f"job_id = %s AND CAST(job_id AS BINARY) = %s AND {_MISSED}"
_PARK_MISSED = f"UPDATE rushes_webhooks FORCE INDEX (rushes_webhooks_job) SET outcome = 'parked' WHERE {_OF_JOB}"
_FORGET_MISSED = f"UPDATE rushes_webhooks FORCE INDEX (rushes_webhooks_job) SET error_code = NULL WHERE {_OF_JOB}"


def park_missed(job_id: str) -> list[bytes]:
    """What has those that a deleted job missed wait for it, which is restored: beside that, in one transaction."""
    return [note_of_job(job_id, _MISSED, MISSED), bind(_PARK_MISSED, job_id, exact(job_id), MISSED)]


def forget_missed(job_id: str) -> list[bytes]:
    """What keeps them from a later job of that id."""
    return [note_of_job(job_id, _MISSED, MISSED), bind(_FORGET_MISSED, job_id, exact(job_id), MISSED)]


_ROW_BYTES = 600
_FILE_BYTES = 2_000


def statement_bytes(delivery: Delivery) -> int:
    """About how many bytes of statements and of rows it makes, at most; what is quoted may be twice as long."""
    body = _quoted(delivery.body)
    size = _ROW_BYTES + body + _quoted(delivery.headers)
    update = delivery.update
    if update is None or not update.files:
        return size
    files = len(update.files)
    copies = 0 if update.metadata is None else files * _metadata_bytes(delivery, update.metadata, files)
    return size + body + files * _FILE_BYTES + copies


def _quoted(text: bytes) -> int:
    return len(text) + text.count(b"'") + text.count(b"\\")


def _metadata_bytes(delivery: Delivery, metadata: dict[str, Any], files: int) -> int:
    """Of one copy: that of the whole body where that is close enough."""
    return len(delivery.body) if files <= _FEW else len(orjson.dumps(metadata))


_FEW = 4


@dataclass(slots=True)
class Received:
    """The row of a received webhook, as known in a transaction."""

    id: str
    outcome: str
    attempts: int
    received_at: int


_FIND = """
SELECT dedup_key, id, outcome, attempts, received_at FROM rushes_webhooks WHERE dedup_key IN %s
"""


class Receipt(NamedTuple):
    """The columns that stay as they were when the webhook was first received. `received_at` is as SQL writes it."""

    id: str
    dedup_key: str | None
    origin: str
    received_at: str


class Try(NamedTuple):
    """The columns that each try sets."""

    job_id: str | None
    status: str | None
    version: str | None
    outcome: str
    attempts: int
    duration_ms: float
    error_code: str | None
    error: str | None
    headers: bytes
    payload: bytes


_INSERT = f"""
INSERT INTO rushes_webhooks ({", ".join(Receipt._fields + Try._fields)}) VALUES %s
"""

_RETRIED = f"""
UPDATE rushes_webhooks SET {", ".join(f"{column} = %s" for column in Try._fields)} WHERE id = %s
"""

_REPLAYED = """
UPDATE rushes_replayed SET outcome = %s, changed = %s, error_code = %s WHERE replay_id = %s AND webhook_id = %s
"""


def insert(rows: Iterable[tuple[Receipt, Try]]) -> bytes:
    return bind(_INSERT, [receipt + tried for receipt, tried in rows])


# What was set aside is recorded as that alone: it is still to be tried.
_FIND_RECORDED = """
SELECT id, outcome, error_code, error FROM rushes_webhooks
WHERE id IN %s AND NOT (outcome = 'dead' AND COALESCE(error_code, '') = 'set_aside')
"""


def find_recorded(ids: list[str]) -> bytes:
    return bind(_FIND_RECORDED, ids)


def find_by_key(keys: list[str]) -> bytes:
    return bind(_FIND, keys)


_OMITTED = "its payload was not kept: with it, it is more than the database takes at once (max_allowed_packet)"


class Record:
    """The rows that one transaction writes: new ones in one statement, those tried again one each."""

    def __init__(self) -> None:
        self._new: dict[str, tuple[Receipt, Try]] = {}
        self._retried: dict[str, Try] = {}
        self._acts: list[Entry] = []
        self._replayed: list[bytes] = []

    def add(self, delivery: Delivery, row: Received, outcome: Outcome, dedup_key: str | None) -> None:
        code, error = outcome.code, outcome.error
        if delivery.payload_omitted:
            code, error = code or "payload_omitted", f"{error}; {_OMITTED}" if error else _OMITTED
        tried = Try(
            delivery.job_id,
            delivery.status,
            delivery.version,
            outcome.kind,
            row.attempts,
            max(0, now() - (delivery.began or delivery.received_at)) / 1000,  # the clock may have been set back
            code,
            error[:_ERROR_MAX] if error else None,
            delivery.headers,
            b"" if delivery.payload_omitted else delivery.body,
        )
        if row.attempts == 1:
            self._new[row.id] = Receipt(row.id, dedup_key, delivery.origin, sql6(row.received_at)), tried
        elif row.id in self._new:
            receipt, _ = self._new[row.id]
            self._new[row.id] = receipt, tried
        else:
            self._retried[row.id] = tried

    def note(self, act: OnWebhook, was: str | None, became: str, code: str | None, job_id: str | None) -> None:
        """Somebody tried it again, and so it was before and is now."""
        before = None if was is None else {"outcome": was}
        after = {"outcome": became}
        self._acts.append(Entry(act.by, "replay", act.webhook_id, job_id, act.replay_id, before, after))
        if act.replay_id is not None:
            self._replayed.append(bind(_REPLAYED, became, was != became, code, act.replay_id, act.webhook_id))

    def statements(self) -> list[bytes]:
        inserts = [insert(self._new.values())] if self._new else []
        retried = [bind(_RETRIED, *tried, row_id) for row_id, tried in self._retried.items()]
        return inserts + retried + (audited.write(self._acts, now()) if self._acts else []) + self._replayed

    @property
    def ids(self) -> Iterable[str]:
        """Of the rows."""
        return (*self._new, *self._retried)

    def witness(self) -> tuple[str, int] | None:
        """(id, attempts) of a row that is there exactly when this transaction was committed; None if it has none."""
        for receipt, tried in self._new.values():
            return receipt.id, tried.attempts
        for row_id, tried in self._retried.items():
            return row_id, tried.attempts
        return None
