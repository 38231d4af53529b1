"""Hours and days of a time zone, as spans of UTC. Pure: the zone is passed in.

All that is counted is counted by quarters of an hour in UTC: no zone of today is off by anything finer. A day has as
many of them as it is long there, on the days of a change of the clocks too.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Literal

from app.times import microseconds, moment

Size = Literal["hour", "day"]

QUARTER = 15 * 60 * 1_000_000
"""Microseconds."""

_STEP = timedelta(minutes=15)
_HOUR = timedelta(hours=1)


def quarter_of(us: int) -> int:
    """The number of the quarter of an hour, since 1970, that microseconds since then are in."""
    return us // QUARTER


def start_of(quarter: int) -> int:
    """Microseconds since 1970."""
    return quarter * QUARTER


def starts(first: int, last: int, size: Size, zone: tzinfo) -> Iterator[int]:
    """The starts of the hours or days of a zone that have any of first <= t < last, and the end of the last one.
    Microseconds since 1970."""
    at = moment(first).astimezone(zone)
    begin = _day(at.date(), zone) if size == "day" else _hour(at)
    while True:
        yield microseconds(begin)
        if microseconds(begin) >= last:
            return
        begin = _day_after(begin.astimezone(zone).date(), zone) if size == "day" else _hour_after(begin, zone)


def _day(on: date, zone: tzinfo) -> datetime:
    """When a day begins: at midnight, or where the clocks pass over that, at the change."""
    return datetime.combine(on, time(), zone).astimezone(UTC)


def _day_after(on: date, zone: tzinfo) -> datetime:
    """Some zone has left a day out: two dates then begin at once."""
    begin = _day(on, zone)
    while (following := _day(on := on + timedelta(days=1), zone)) <= begin:
        pass
    return following


def _hour(at: datetime) -> datetime:
    """When the hour began that a moment of a zone is in: on the clock there, or with a change of it."""
    begin = (at - timedelta(minutes=at.minute, seconds=at.second, microseconds=at.microsecond)).astimezone(UTC)
    return _last_change(begin, at.astimezone(UTC), at.tzinfo)


def _hour_after(begin: datetime, zone: tzinfo) -> datetime:
    local = begin.astimezone(zone)
    on_the_clock = begin + _HOUR - timedelta(minutes=local.minute, seconds=local.second)
    return _first_change(begin, on_the_clock, zone)


def _first_change(begin: datetime, end: datetime, zone: tzinfo) -> datetime:
    """The first quarter after `begin` that has another offset, or else the end."""
    offset = begin.astimezone(zone).utcoffset()
    if end.astimezone(zone).utcoffset() == offset:
        return end
    step = begin + _STEP
    while step < end and step.astimezone(zone).utcoffset() == offset:
        step += _STEP
    return min(step, end)


def _last_change(begin: datetime, at: datetime, zone: tzinfo | None) -> datetime:
    offset = at.astimezone(zone).utcoffset()
    while begin.astimezone(zone).utcoffset() != offset:
        begin += _STEP
    return min(begin, at)
