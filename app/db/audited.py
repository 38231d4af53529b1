"""What a transaction writes down of its own acts: who did what."""

from collections.abc import Sequence

import orjson

from app import times
from app.db.sql import bind, exact
from app.domain.audit import Entry

_INSERT = """
INSERT INTO rushes_audit (at, who, means, act, webhook_id, job_id, replay_id, was, became) VALUES %s
"""

# Bytes of names that others may have given, as the columns hold them.
_NAME_MAX = 764
# Characters; what a TEXT column holds whatever they are.
_SAID_MAX = 16_000


def write(entries: Sequence[Entry], at: int) -> list[bytes]:
    """The statement that writes these acts down in their transaction, or none. `at` is in microseconds since 1970."""
    rows = [
        [
            times.sql6(at),
            exact(entry.by.who)[:_NAME_MAX],
            entry.by.means,
            entry.act,
            entry.webhook_id,
            None if entry.job_id is None else exact(entry.job_id)[:_NAME_MAX],
            entry.replay_id,
            said(entry.was),
            said(entry.became),
        ]
        for entry in entries
    ]
    return [bind(_INSERT, rows)] if rows else []


def said(what: object) -> str | None:
    """As JSON, cut off where it is more than the column holds whatever it is."""
    return None if what is None else orjson.dumps(what).decode()[:_SAID_MAX]
