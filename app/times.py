"""Times: microseconds since 1970 inside, RFC 3339 in UTC with milliseconds on the way out."""

import re
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
    since = moment - (_NAIVE_EPOCH if moment.tzinfo is None else _EPOCH)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def stored(value: object) -> int | None:
    """Microseconds since 1970 of what a DATETIME column gave, as text or converted; None where it is no time.

    Other programs' columns hold NULL and 0000-00-00 too.
    """
    try:
        if isinstance(value, str):
            return microseconds_of(value)
        return microseconds(value) if isinstance(value, datetime) else None
    except ValueError:
        return None


def microseconds_of(text: str) -> int:
    """Microseconds since 1970 of a DATETIME as MySQL writes it, in UTC."""
    return microseconds(datetime.fromisoformat(text))


# What most senders write. The rest: any number of digits, a leap second, "t" and "z", offsets of all forms; and "Z"
# after an offset, which is what isoformat() of an aware datetime gets from who knows it as naive.
_PLAIN = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:[0-5]\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)?", re.ASCII)
_WRITTEN = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d)(?::(\d\d)(?:[.,](\d+))?)?(?:[Zz]|([+-]\d\d)(?::?(\d\d))?[Zz]?)?", re.ASCII
)
_DIGITS = re.compile(r"\d{1,15}(?:\.\d{1,15})?", re.ASCII)
# In seconds the year 2603, in milliseconds August 1970.
_SECONDS_MAX = 20_000_000_000
_MILLISECONDS_MAX = 253_402_300_800_000  # the year 10000
_OUTSIDE = "must be between the years 1971 and 9998"


def read(value: object) -> int | None:
    """Microseconds since 1970 of a time as senders write it; None where there is none. Raises ValueError.

    RFC 3339, without an offset in UTC; or seconds or milliseconds since 1970, as a number or its digits. An empty text
    is no time. Between the years 1971 and 9998, which MySQL's DATETIME holds whatever the offset.
    """
    if isinstance(value, str):
        if _PLAIN.fullmatch(value):
            written = datetime.fromisoformat(value)
        elif not (text := value.strip()):
            return None
        elif _DIGITS.fullmatch(text):
            return _since_1970(float(text) if "." in text else int(text))
        else:
            written = _written(text)
        return _within(written.year, microseconds(written))
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be text like 2025-10-23T14:30:00Z, or a number")  # noqa: TRY004 - pydantic wants this one
    return _since_1970(value)


def _written(text: str) -> datetime:
    found = _WRITTEN.fullmatch(text)
    if found is None:
        raise ValueError("must look like 2025-10-23T14:30:00Z")
    date, clock, second, fraction, hours, minutes = found.groups()
    leap = second == "60"
    clock += f":{'59' if leap else second or '00'}.{(fraction or '0')[:6]:<06}"
    offset = f"{hours}:{minutes or '00'}" if hours else "+00:00"
    found_at = datetime.fromisoformat(f"{date}T{clock}{offset}")
    _within(found_at.year, 0)  # the second after the last year's last is none
    return found_at + timedelta(seconds=leap)


def _since_1970(number: float) -> int:
    if not 0 <= number < _MILLISECONDS_MAX:
        raise ValueError(_OUTSIDE)
    us = round(number * (1_000_000 if number < _SECONDS_MAX else 1_000))
    return _within(moment(us).year, us)


def _within(year: int, us: int) -> int:
    if not 1970 < year < 9999:  # noqa: PLR2004
        raise ValueError(_OUTSIDE)
    return us


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
