"""Hours and days of time zones: what a chart's bars stand for."""

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.spans import QUARTER, Size, start_of, starts
from app.times import microseconds_of, moment, rfc3339


def spans(first: str, last: str, size: Size, zone: str) -> list[str]:
    found = starts(microseconds_of(first), microseconds_of(last), size, ZoneInfo(zone))
    return [rfc3339(at)[:16] for at in found]


def hours(found: list[str]) -> list[float]:
    at = [microseconds_of(one) / 3.6e9 for one in found]
    return [b - a for a, b in pairwise(at)]


def test_hours_of_utc() -> None:
    assert spans("2026-11-29 10:20", "2026-11-29 12:00", "hour", "UTC") == [
        "2026-11-29T10:00", "2026-11-29T11:00", "2026-11-29T12:00",
    ]  # fmt: skip


@pytest.mark.parametrize(("zone", "minute"), [("Asia/Kolkata", "30"), ("Asia/Kathmandu", "15")])
def test_hours_of_zones_that_are_off_by_less_than_an_hour(zone: str, minute: str) -> None:
    found = spans("2026-11-29 10:05", "2026-11-29 10:45", "hour", zone)
    assert {one[-2:] for one in found} == {minute}
    assert hours(found) == [1] * (len(found) - 1)


@pytest.mark.parametrize(
    ("zone", "first", "last", "expected"),
    [
        ("Europe/Paris", "2026-03-27 23:00", "2026-03-30 22:00", [24, 23, 24]),
        ("Europe/Paris", "2026-10-23 22:00", "2026-10-26 23:00", [24, 25, 24]),
        ("Australia/Lord_Howe", "2026-04-03 13:00", "2026-04-05 13:30", [24, 24.5]),
        # The clocks pass over midnight, and go back to before it.
        ("America/Sao_Paulo", "2018-11-03 03:00", "2018-11-05 02:00", [24, 23]),
        ("America/Havana", "2026-10-31 04:00", "2026-11-02 05:00", [24, 25]),
        # A day that there never was.
        ("Pacific/Apia", "2011-12-29 10:00", "2011-12-31 10:00", [24, 24]),
    ],
)
def test_days_are_as_long_as_they_are_there(zone: str, first: str, last: str, expected: list[float]) -> None:
    assert hours(spans(first, last, "day", zone)) == expected


def test_hour_that_comes_twice_is_two() -> None:
    assert hours(spans("2026-10-25 00:00", "2026-10-25 03:00", "hour", "Europe/Paris")) == [1, 1, 1]
    # Where the clocks change by half an hour, half an hour stands alone.
    assert hours(spans("2026-04-04 14:00", "2026-04-04 16:30", "hour", "Australia/Lord_Howe")) == [1, 0.5, 1]
    assert spans("2026-04-04 15:10", "2026-04-04 15:20", "hour", "Australia/Lord_Howe") == [
        "2026-04-04T15:00", "2026-04-04T15:30",
    ]  # fmt: skip


ZONES = st.sampled_from(sorted(available_timezones())).map(ZoneInfo)
MOMENTS = st.integers(631_152_000, 2_145_830_400).map((1_000_000).__mul__)


@given(ZONES, MOMENTS, st.integers(1, 200 * 4), st.sampled_from(["hour", "day"]))
def test_spans_are_dense_ascending_and_hold_what_was_asked_for(
    zone: ZoneInfo, first: int, quarters: int, size: Size
) -> None:
    last = first + quarters * QUARTER
    found = [*starts(first, last, size, zone)]
    assert found[0] <= first < found[1]
    assert found[-2] < last <= found[-1]
    assert found == sorted(set(found))
    for at, following in pairwise(found):
        said, ends = moment(at).astimezone(zone), moment(following - 1).astimezone(zone)
        assert said.date() == ends.date()
        if size == "hour":
            assert (said.hour, said.utcoffset()) == (ends.hour, ends.utcoffset())
    assert [*starts(found[0], last, size, zone)] == found


def test_quarters_are_counted_from_1970() -> None:
    assert moment(start_of(4 * 24 * 365)) == datetime(1971, 1, 1, tzinfo=UTC)
