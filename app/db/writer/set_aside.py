"""Webhooks that can never be written: set aside, where they let the others pass.

Such a webhook stays in the spool of the process that took it, out of the drainer's way. In the database it is a dead
letter with the code `set_aside`, and a row of `rushes_set_aside` says under which id its process holds it. Whoever
wants it tried again asks there, and that process does it.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from app.db import audited
from app.db.changed import note
from app.db.connection import Connection
from app.db.dirty import mark, quarters_of
from app.db.errors import DatabaseError, PacketTooLargeError
from app.db.pool import Pool
from app.db.sql import bind
from app.db.writer.inbox import SETTLED, Receipt, Try, insert
from app.domain.audit import Entry, OnWebhook
from app.domain.delivery import Delivery
from app.times import microseconds, now, sql6

CODE = "set_aside"

_ERROR_MAX = 4_000  # characters

_KNOWN = "SELECT id, outcome FROM rushes_webhooks WHERE dedup_key = %s FOR UPDATE"

_UPDATE = """
UPDATE rushes_webhooks SET outcome = 'dead', attempts = attempts + %s, error_code = %s, error = %s WHERE id = %s
"""

_HOLD = """
INSERT INTO rushes_set_aside (webhook_id, spool_id, created_at) VALUES %s
ON DUPLICATE KEY UPDATE asked_at = NULL
"""

# Over is what was applied since, is dead of another reason, or was purged.
_HELD = """
SELECT s.spool_id, s.asked_at IS NOT NULL,
  w.id IS NULL OR w.outcome NOT IN ('dead', 'discarded') OR COALESCE(w.error_code, '') <> %s
FROM rushes_set_aside s LEFT JOIN rushes_webhooks w ON w.id = s.webhook_id WHERE s.spool_id IN %s
"""


class _Held(NamedTuple):
    spool_id: str
    asked: int
    over: int


_RELEASE = "DELETE FROM rushes_set_aside WHERE spool_id IN %s"

_ASK = "UPDATE rushes_set_aside SET asked_at = %s WHERE webhook_id = %s AND asked_at IS NULL"
_DEAD_AGAIN = """
UPDATE rushes_webhooks SET outcome = 'dead' WHERE id = %s AND outcome = 'discarded' AND error_code = %s
"""
_ASKED = "SELECT MAX(asked_at) FROM rushes_set_aside WHERE webhook_id = %s"

# Seconds. A process that has not done by then what it was asked for is gone, with its disk.
_ANSWERED = 10.0

_COUNT = """
SELECT COUNT(DISTINCT w.id) FROM rushes_set_aside s JOIN rushes_webhooks w ON w.id = s.webhook_id
WHERE w.outcome = 'dead' AND w.error_code = %s
"""


@dataclass(frozen=True, slots=True)
class Changes:
    """Of those that a spool holds, by their ids there: which are to be tried again, and which are over."""

    asked: list[str]
    over: list[str]


async def record(connection: Connection, delivery: Delivery, why: str, tries: int, *, with_payload: bool) -> str:
    """Makes the webhook a dead letter with the code `set_aside`; its outcome then, another one if it was settled
    meanwhile and nothing was changed. Raises DatabaseError."""
    try:
        _, known = await connection.run("START TRANSACTION", bind(_KNOWN, delivery.dedup_key))
        error = f"it could not be written {tries} times, and waits on its server's disk: {why}"[:_ERROR_MAX]
        if known:
            ((row_id, outcome),) = known
            if outcome in SETTLED:
                return str(outcome)
            write = bind(_UPDATE, tries, CODE, error, row_id)
        else:
            row_id = delivery.id
            write = _insert(delivery, error, tries, with_payload=with_payload)
        if len(write) > connection.packet_max:
            raise PacketTooLargeError(f"a row of {len(write)} bytes")
        hold = bind(_HOLD, [[row_id, delivery.id, sql6(now())]])
        await connection.run(write, hold, *note([row_id]), *mark(quarters_of([row_id])), "COMMIT")
    finally:
        if not connection.closed:
            await _end(connection)
    return "dead"


async def _end(connection: Connection) -> None:
    try:
        await connection.run("ROLLBACK")
    except DatabaseError:
        connection.close()


def _insert(delivery: Delivery, error: str, tries: int, *, with_payload: bool) -> bytes:
    receipt = Receipt(delivery.id, delivery.dedup_key, delivery.origin, sql6(delivery.received_at))
    tried = Try(
        delivery.job_id,
        delivery.status,
        delivery.version,
        "dead",
        tries,
        max(0, now() - delivery.received_at) / 1000,
        CODE,
        error,
        delivery.headers if with_payload else b"{}",
        delivery.body if with_payload else b"",
    )
    return insert([(receipt, tried)])


async def changes(connection: Connection, spool_ids: Collection[str]) -> Changes:
    """What was done about these. One that the database knows nothing of is to be tried again. Raises DatabaseError."""
    rows = [_Held._make(row) for row in await connection.rows(bind(_HELD, CODE, [*spool_ids]))]
    over = [row.spool_id for row in rows if row.over]
    waiting = {row.spool_id for row in rows if not row.asked}
    return Changes([spool_id for spool_id in spool_ids if spool_id not in waiting and spool_id not in over], over)


async def release(connection: Connection, spool_ids: Collection[str]) -> None:
    """They lie aside no more. Raises DatabaseError."""
    await connection.run(bind(_RELEASE, [*spool_ids]))


async def ask(pool: Pool, webhook_id: str, outcome: str, act: OnWebhook) -> bool:
    """Has the process that holds it try it again; False when none does, or none has done it. One that was discarded is
    a dead letter again until then. Raises DatabaseError."""
    async with pool.connection() as connection:
        ask = bind(_ASK, sql6(now()), webhook_id)
        *_, ((asked_at,),) = await connection.run("START TRANSACTION", ask, bind(_ASKED, webhook_id))
        asked = asked_at is not None and now() - microseconds(asked_at) < _ANSWERED * 1e6
        said: list[bytes] = []
        if asked:
            became = {"outcome": "queued"}
            entry = Entry(act.by, "replay", webhook_id, None, act.replay_id, {"outcome": outcome}, became)
            said = [
                bind(_DEAD_AGAIN, webhook_id, CODE),
                *note([webhook_id]),
                *mark(quarters_of([webhook_id])),
                *audited.write([entry], now()),
            ]
        await connection.run(*said, "COMMIT")
    return asked


async def count(pool: Pool) -> int:
    """How many lie aside, in all processes. Raises DatabaseError."""
    ((number,),) = await pool.rows(bind(_COUNT, CODE))
    return int(number)
