"""Times: microseconds since 1970 inside, RFC 3339 in UTC with milliseconds on the way out."""

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - formats three times faster than an aware one


def now() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


# A clock that was further ahead than this was never right: it is not waited for.
_HOLD_US = 24 * 3600 * 1_000_000
_last_receipt = 0


def receipt() -> int:
    """Now, for something that has just come: later than any receipt before, also when the clock was set back.

    What has no time of its own is ordered by its receipt, so a step of the clock must not turn the order round.
    """
    global _last_receipt  # noqa: PLW0603 - there is one clock a process
    at = now()
    if at <= _last_receipt <= at + _HOLD_US:
        at = _last_receipt + 1
    _last_receipt = at
    return at


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970; a datetime without a zone is UTC. Exact: no float in between."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    since = aware - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def microseconds_of(text: str) -> int:
    """Microseconds since 1970 of a DATETIME as MySQL writes it, in UTC."""
    return microseconds(datetime.fromisoformat(text))


def moment(us: int) -> datetime:
    """The aware UTC datetime of microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=us)


def rfc3339(us: int) -> str:
    """2025-10-23T14:30:00.000Z"""
    second, rest = divmod(us, 1_000_000)
    return f"{_second(second, 'T')}.{rest // 1000:03d}Z"


def sql(us: int) -> str:
    """2025-10-23 14:30:00.000, as MySQL writes a DATETIME(3) in UTC."""
    second, rest = divmod(us, 1_000_000)
    return f"{_second(second, ' ')}.{rest // 1000:03d}"


def sql6(us: int) -> str:
    """2025-10-23 14:30:00.000000, as MySQL writes a DATETIME(6) in UTC."""
    second, rest = divmod(us, 1_000_000)
    return f"{_second(second, ' ')}.{rest:06d}"


@lru_cache(maxsize=256)  # what is written at one time is mostly of a few seconds
def _second(seconds: int, separator: str) -> str:
    return (_NAIVE_EPOCH + timedelta(seconds=seconds)).isoformat(separator)
