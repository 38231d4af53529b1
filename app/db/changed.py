"""What a transaction says of received webhooks that it changes, in one of two ways.

A batch that appends to the log has its last event tell it: `packed`, for `log.append`. Whoever else changes some
inserts a row more, under a number that no other row has: `note`. So no transaction waits for another, but for the log.
In which order they were committed is found later: `changes`. The row comes after the webhooks' own: whoever changes one
of them again waits for that first, so his row is the later one.
"""

from collections.abc import Iterable

from app.db.sql import Raw, bind, exact

_NOTE = "INSERT INTO rushes_changes (ids) VALUES (%s)"
_NOTE_FOUND = "INSERT INTO rushes_changes (ids) SELECT UNHEX(id) FROM rushes_webhooks FORCE INDEX (%s) WHERE %s"

ID_BYTES = 16


def packed(webhook_ids: Iterable[str]) -> Raw | None:
    """ID_BYTES of each, as SQL; None where there is none."""
    ids = "".join(webhook_ids)
    return Raw(b"x'%b'" % ids.encode()) if ids else None


def note(webhook_ids: Iterable[str]) -> list[bytes]:
    """One statement, or none."""
    ids = packed(webhook_ids)
    return [] if ids is None else [bind(_NOTE, ids)]


def note_of_job(job_id: str, conditions: str, *values: object) -> bytes:
    """The same of a job's webhooks that meet the conditions. The caller holds the job's row, and changes them next."""
    of_job = bind(f"job_id = %s AND CAST(job_id AS BINARY) = %s AND {conditions}", job_id, exact(job_id), *values)
    return bind(_NOTE_FOUND, Raw(b"rushes_webhooks_job"), Raw(of_job))
