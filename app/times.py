"""Times: microseconds since 1970 inside, RFC 3339 in UTC with milliseconds on the way out."""

import time
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - formats three times faster than an aware one


def now() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970; a datetime without a zone is UTC. Exact: no float in between."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return (aware - _EPOCH) // timedelta(microseconds=1)


def microseconds_of(text: str) -> int:
    """Microseconds since 1970 of a DATETIME as MySQL writes it, in UTC."""
    return microseconds(datetime.fromisoformat(text))


def moment(us: int) -> datetime:
    """The aware UTC datetime of microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=us)


def rfc3339(us: int) -> str:
    """2025-10-23T14:30:00.000Z"""
    return (_NAIVE_EPOCH + timedelta(microseconds=us)).isoformat(timespec="milliseconds") + "Z"


def sql(us: int, timespec: str = "milliseconds") -> str:
    """2025-10-23 14:30:00.000, as MySQL writes a DATETIME(3) in UTC."""
    return (_NAIVE_EPOCH + timedelta(microseconds=us)).isoformat(" ", timespec)
