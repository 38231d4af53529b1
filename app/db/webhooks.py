"""Received webhooks: what comes in, what became of it, and the rows that remember it."""

from dataclasses import dataclass
from typing import Any

import orjson

from app import payload
from app.db.sql import bind
from app.ids import webhook_id
from app.times import now, receipt, sql6
from app.video import StatusUpdate

# Characters; what a TEXT column holds whatever they are.
_ERROR_MAX = 16_000

SETTLED = ("applied", "stale")
"""Outcomes that make a later webhook of the same key a duplicate. Any other is tried again in its own row."""


@dataclass(slots=True)
class Delivery:
    """One webhook of an allowed sender on its way to the database.

    Exactly one of `update` and `failure` is there at first; a delivery that the database refuses for a
    reason of its own gets a failure, (code, sentence), and is recorded as a dead letter. `named` is what an invalid
    one names. `origin` tells a sender's webhook from what was asked for (`reconciled`) or found out here
    (`generator`).
    `again`: it was on its way before, and may be recorded already. `began` is when this try began, if not with the
    receipt. `payload_omitted`: with its body it is more than the database takes at once, so it is recorded without.
    """

    id: str
    dedup_key: str
    received_at: int
    headers: bytes
    body: bytes
    version: str | None = None
    update: StatusUpdate | None = None
    failure: tuple[str, str] | None = None
    origin: str = "webhook"
    again: bool = False
    began: int | None = None
    named: payload.Named | None = None
    payload_omitted: bool = False


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


def made_here(body: bytes, origin: str, *, unique: bool = False) -> Delivery:
    """A webhook of our own: the duplicate of none that was sent, a `unique` one of none at all.

    Raises payload.InvalidPayloadError.
    """
    at = receipt()
    own_id = webhook_id(at)
    update = payload.parse(body)
    return Delivery(
        id=own_id,
        dedup_key=payload.dedup_key(own_id if unique else None, update, body, asked=True),
        received_at=at,
        headers=b"{}",
        body=body,
        version=update.version,
        update=update,
        origin=origin,
    )


def to_try_again(
    *, dedup_key: str, origin: str, version: str | None, headers: str, body: bytes, received_at: int
) -> Delivery:
    """A stored webhook on its way again: the transaction finds it by its key in its own row."""
    update, failure, named = None, None, None
    try:
        update = payload.parse(body)
    except payload.InvalidPayloadError as error:
        failure, named = ("invalid_payload", str(error)), error.named
    told = update or named
    at = now()
    return Delivery(
        id=webhook_id(at),
        dedup_key=dedup_key,
        received_at=received_at,
        began=at,
        headers=headers.encode(),
        body=body,
        version=told.version if told else version,
        update=update,
        failure=failure,
        origin=origin,
        named=named,
    )


@dataclass(slots=True)
class Outcome:
    """What became of a delivery: applied, duplicate, stale, parked or dead; or queued, on local disk. Never changed.

    `status`, `state`, `progress` and `num_videos` tell where the job stands after an applied one.
    """

    kind: str
    webhook_id: str
    code: str | None = None
    error: str | None = None
    status: str | None = None
    state: str | None = None
    progress: int = 0
    num_videos: int = 0


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
        told = delivery.update or delivery.named
        code, error = outcome.code, outcome.error
        if delivery.payload_omitted:
            code, error = code or "payload_omitted", f"{error}; {_OMITTED}" if error else _OMITTED
        values = [
            told.job_id if told else None,
            told.status if told else None,
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
