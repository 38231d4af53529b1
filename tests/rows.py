"""Rows, as many as a test needs, without the wait for what would make them."""

from typing import Any

import orjson

from app import ids, times
from app.domain import payload
from tests.databases import Sql


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
