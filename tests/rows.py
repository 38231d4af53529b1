"""Rows, as many as a test needs, without the wait for what would make them."""

from typing import Any

import orjson

from app import ids, times
from app.domain import payload
from app.domain.audit import Actor
from tests.databases import Sql

TESTER = Actor("tester", "admin")


def store(sql: Sql, *documents: dict[str, Any] | bytes, outcome: str = "dead") -> list[str]:
    """Rows as the writer leaves them, without the wait for what it takes to make so many."""
    rows = []
    for document in documents:
        body = document if isinstance(document, bytes) else orjson.dumps(document)
        at = times.now()
        job_id = None if isinstance(document, bytes) else document["job_id"]
        key = (
            payload.dedup_key(None, None, body)
            if job_id is None
            else payload.dedup_key(None, payload.parse(body), body)
        )
        rows += [(ids.webhook_id(at), key, job_id, outcome, times.sql6(at), body)]
    values = ", ".join(["(%s, %s, %s, %s, 1, 1, 'apply_failed', 'for a test', %s, '{}', %s)"] * len(rows))
    sql(
        "INSERT INTO rushes_webhooks (id, dedup_key, job_id, outcome, attempts, duration_ms, error_code, error,"
        f" received_at, headers, payload) VALUES {values}",
        *(value for row in rows for value in row),
    )
    return [row[0] for row in rows]


_JOBS = """
INSERT INTO video_generations (id, prompt, authorId, status, message, createdAt, updatedAt)
SELECT CONCAT(%s, LPAD(seq, 5, '0')), {prompt}, %s, {status}, {message}, '2026-01-01' + INTERVAL seq SECOND, NOW(3)
FROM seq_1_to_{count}
"""
MIXED = "ELT(1 + seq %% 4, 'PENDING', 'PROCESSING', 'GENERATING', 'DOWNLOADING')"


def fill(
    sql: Sql,
    count: int,
    author: str = "dev",
    name: str = "j",
    *,
    prompt: str = "'p'",
    status: str = MIXED,
    message: str = "NULL",
) -> None:
    """Jobs of one user, j00001 the oldest."""
    sql(_JOBS.format(prompt=prompt, status=status, message=message, count=count), name, author)


def add_webhooks(sql: Sql, count: int, days: int, outcome: str = "applied", start: int = 1) -> None:
    sql(
        "INSERT INTO rushes_webhooks (id, dedup_key, job_id, status, version, outcome, attempts, duration_ms,"
        " received_at, headers, payload) SELECT LPAD(HEX(seq), 32, '0'), LEFT(SHA2(seq, 256), 32), 'j1',"
        " 'generating', 'v1', %s, 1, 1,"
        f" UTC_TIMESTAMP(6) - INTERVAL %s DAY, '{{}}', REPEAT('x', 400) FROM seq_{start}_to_{start + count - 1}",
        outcome,
        days,
    )


def add_events(sql: Sql, count: int, days: int, start: int = 1) -> None:
    sql(
        "INSERT INTO rushes_events (id, job_id, author_id, event, data, created_at)"
        " SELECT seq, 'j1', 'u1', 'progress', REPEAT('x', 400), UTC_TIMESTAMP(3) - INTERVAL %s DAY"
        f" FROM seq_{start}_to_{start + count - 1}",
        days,
    )
    sql("UPDATE rushes_counter SET value = %s", start + count - 1)


def add_received(sql: Sql, count: int, first_at: int) -> None:
    """Webhooks of all kinds, one a millisecond from then on, in microseconds since 1970: of 20 one is parked, one dead
    (each says its number), one discarded, one a duplicate; of 1,000 one is v1 and reconciled, one has failed."""
    sql(
        "INSERT INTO rushes_webhooks (id, job_id, status, version, origin, outcome, attempts, duration_ms, error_code,"
        " error, received_at, headers, payload) SELECT"
        " LOWER(CONCAT(LPAD(HEX(%s + seq * 1000), 14, '0'), LPAD(HEX(seq), 18, '0'))), CONCAT('j', seq DIV 10),"
        " IF(seq %% 1000 = 7, 'failed', 'generating'), IF(seq %% 1000 = 9, 'v1', 'v3'),"
        " IF(seq %% 1000 = 9, 'reconciled', 'webhook'),"
        " CASE seq %% 20 WHEN 1 THEN 'parked' WHEN 2 THEN 'dead' WHEN 3 THEN 'discarded' WHEN 4 THEN 'duplicate'"
        " ELSE 'applied' END, 1, 3, IF(seq %% 20 IN (1, 2, 3), 'apply_failed', NULL),"
        " IF(seq %% 20 IN (1, 2, 3), CONCAT('Refused: Number ', seq, '.'), NULL),"
        " '1970-01-01' + INTERVAL (%s + seq * 1000) MICROSECOND, '{}', REPEAT('x', 400)"
        f" FROM seq_1_to_{count}",
        first_at,
        first_at,
    )


def add_heap(sql: Sql, count: int, start: int = 1, *, status: str = "PENDING", days: int = 3, minutes: int = 0) -> None:
    """Jobs of long ago, all of one time, as a database may hold that we adopt."""
    sql(
        "INSERT INTO video_generations (id, prompt, authorId, status, createdAt, updatedAt)"
        f" SELECT CONCAT('heap', LPAD(seq, 7, '0')), 'p', CONCAT('u', seq MOD 97), %s,"
        f" UTC_TIMESTAMP(3) - INTERVAL {days * 1440 + minutes} MINUTE,"
        f" UTC_TIMESTAMP(3) - INTERVAL {days * 1440 + minutes} MINUTE"
        f" FROM seq_{start}_to_{start + count - 1}",
        status,
    )
