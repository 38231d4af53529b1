"""Times as they are written out, and read."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import times

moments = st.integers(0, times.microseconds(datetime(9998, 12, 31, tzinfo=UTC))).map(
    lambda us: times.moment(us).replace(tzinfo=None)
)


@given(moments)
def test_every_moment_is_written_to_the_digit_that_its_column_has(moment: datetime) -> None:
    us = times.microseconds(moment)
    milliseconds = moment.isoformat(timespec="milliseconds")
    assert times.rfc3339(us) == f"{milliseconds}Z"
    assert times.sql(us) == milliseconds.replace("T", " ")
    assert times.sql6(us) == moment.isoformat(" ", "microseconds")
    assert times.microseconds_of(times.sql6(us)) == us


moments_since_1971 = st.datetimes(datetime(1971, 1, 1), datetime(9998, 12, 31))  # noqa: DTZ001


@given(moments, st.integers(-14 * 60, 14 * 60))
def test_moment_of_any_zone_is_the_same_in_microseconds(moment: datetime, minutes: int) -> None:
    here = moment.replace(tzinfo=UTC) + timedelta(minutes=minutes)
    assert times.moment(times.microseconds(here)) == here


@given(
    moments_since_1971,
    st.sampled_from(["T", "t", " "]),
    st.sampled_from(["Z", "z", "", "+00:00", "+00:00Z", "+0000", "-00"]),
)
def test_every_moment_is_read_as_it_was_written_however_that_is(moment: datetime, separator: str, zone: str) -> None:
    us = times.microseconds(moment)
    assert times.read(moment.isoformat(separator, "microseconds") + zone) == us
    assert times.read(us / 1_000_000 if us < 2**50 else us // 1000) == pytest.approx(us, abs=1000)
    assert times.read(str(us // 1000) if us // 1000 >= 20_000_000_000 else str(us // 1_000_000)) == pytest.approx(
        us, abs=1_000_000
    )


@pytest.mark.parametrize(
    "sent", ["2025", "2025-10-23", "20251023T143000Z", "2025-10-23T14", "1e9", "²", "NaN", "0x1", [], {}, True]
)
def test_what_is_no_time_is_refused(sent: object) -> None:
    with pytest.raises(ValueError):
        times.read(sent)


@pytest.mark.parametrize("found", [None, "", "0000-00-00 00:00:00", "2025-00-10 00:00:00", 5, b"x"])
def test_what_a_column_gave_that_is_no_time_is_none(found: bytes | int | str | None) -> None:
    assert times.stored(found) is None


@pytest.mark.parametrize("text", ["9999-12-31T23:59:60Z", "9999-12-31T23:59:60-23:59", "0001-01-01T00:00:60+23:59"])
def test_leap_second_at_the_ends_of_the_calendar_is_no_time_and_no_error_of_another_kind(text: str) -> None:
    with pytest.raises(ValueError, match="between the years"):
        times.read(text)
