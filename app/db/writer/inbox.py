"""Received webhooks: what comes in, what became of it, and the rows that remember it."""

from dataclasses import dataclass
from typing import Any

import orjson

from app.db.sql import bind
from app.domain.delivery import Delivery, Outcome
from app.times import now, sql6

# Characters; what a TEXT column holds whatever they are.
_ERROR_MAX = 16_000

SETTLED = ("applied", "stale")
"""Outcomes that make a later webhook of the same key a duplicate. Any other is tried again in its own row."""


_ROW_BYTES = 600
_FILE_BYTES = 2_000


def statement_bytes(delivery: Delivery) -> int:
    """About how many bytes of statements and of rows it makes, at most; what is quoted may be twice as long."""
    size = _ROW_BYTES + _quoted(delivery.body) + _quoted(delivery.headers)
    update = delivery.update
    if update is None or not update.files:
        return size
    files = len(update.files)
    copies = 0 if update.metadata is None else files * _metadata_bytes(delivery, update.metadata, files)
    return size + _quoted(delivery.body) + files * _FILE_BYTES + copies


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

_INSERT = """
INSERT INTO rushes_webhooks (id, dedup_key, origin, job_id, status, version, outcome, attempts, duration_ms,
  error_code, error, received_at, headers, payload) VALUES %s
"""

_RETRIED = """
UPDATE rushes_webhooks SET job_id = %s, status = %s, version = %s, outcome = %s, attempts = %s,
  duration_ms = %s, error_code = %s, error = %s, headers = %s, payload = %s WHERE id = %s
"""


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
        self._new: dict[str, list[Any]] = {}
        self._retried: dict[str, list[Any]] = {}

    def add(self, delivery: Delivery, row: Received, outcome: Outcome, dedup_key: str | None) -> None:
        code, error = outcome.code, outcome.error
        if delivery.payload_omitted:
            code, error = code or "payload_omitted", f"{error}; {_OMITTED}" if error else _OMITTED
        values = [
            delivery.job_id,
            delivery.status,
            delivery.version,
            outcome.kind,
            row.attempts,
            max(0, now() - (delivery.began or delivery.received_at)) / 1000,  # the clock may have been set back
            code,
            error[:_ERROR_MAX] if error else None,
        ]
        content: list[Any] = [delivery.headers, b"" if delivery.payload_omitted else delivery.body]
        if row.attempts == 1:
            self._new[row.id] = [
                row.id,
                dedup_key,
                delivery.origin,
                *values,
                sql6(row.received_at),
                *content,
            ]
        elif row.id in self._new:
            self._new[row.id][3:] = [*values, sql6(row.received_at), *content]
        else:
            self._retried[row.id] = [*values, *content, row.id]

    def statements(self) -> list[bytes]:
        inserts = [bind(_INSERT, list(self._new.values()))] if self._new else []
        return inserts + [bind(_RETRIED, *values) for values in self._retried.values()]

    def witness(self) -> tuple[str, int] | None:
        """(id, attempts) of a row that is there exactly when this transaction was committed; None if it has none."""
        if self._new:
            values = next(iter(self._new.values()))
            return values[0], values[7]
        for values in self._retried.values():
            return values[-1], values[4]
        return None
