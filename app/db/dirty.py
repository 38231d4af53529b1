"""Quarters of an hour whose webhooks are to be counted again: marked in the transaction that changes them.

A mark is a row more, of a number that nobody else has: no transaction waits for another one's. Where a batch has an
event, and its webhooks came in the quarter in which that is committed, the log tells it, and there is nothing to mark.
"""

import secrets
from collections.abc import Iterable

from app.db.sql import bind
from app.domain.spans import quarter_of, start_of

_MARK = "INSERT INTO rushes_dirty (quarter, token) VALUES %s"

_TIME_DIGITS = 14  # of a webhook's id, as ids.webhook_id makes it
_TOKEN_BITS = 63


def quarter_of_id(webhook_id: str) -> int | None:
    """In which a webhook was received: its id begins with that time. None of one that is not of our making."""
    try:
        return quarter_of(int(webhook_id[:_TIME_DIGITS], 16))
    except ValueError:
        return None


def first_id(quarter: int) -> str:
    """The id before which no webhook of a quarter is, and after which none of those before it."""
    return f"{start_of(quarter):0{_TIME_DIGITS}x}"


def quarters_of(webhook_ids: Iterable[str]) -> set[int]:
    """In which webhooks were received."""
    return {quarter for webhook_id in webhook_ids if (quarter := quarter_of_id(webhook_id)) is not None}


def mark(quarters: Iterable[int]) -> list[bytes]:
    """What a transaction says that changes what is counted there: one statement, or none."""
    rows = [[quarter, secrets.randbits(_TOKEN_BITS)] for quarter in sorted(quarters)]
    return [bind(_MARK, rows)] if rows else []
