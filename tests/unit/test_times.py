"""Times as they are written out."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from app import times

moments = st.integers(0, times.microseconds(datetime(9998, 12, 31, tzinfo=UTC))).map(
    lambda us: times.moment(us).replace(tzinfo=None)
)


@given(moments)
def test_every_moment_is_written_to_the_digit_that_its_column_has(moment):
    us = times.microseconds(moment)
    milliseconds = moment.isoformat(timespec="milliseconds")
    assert times.rfc3339(us) == f"{milliseconds}Z"
    assert times.sql(us) == milliseconds.replace("T", " ")
    assert times.sql6(us) == moment.isoformat(" ", "microseconds")
    assert times.microseconds_of(times.sql6(us)) == us


@given(moments, st.integers(-14 * 60, 14 * 60))
def test_moment_of_any_zone_is_the_same_in_microseconds(moment, minutes):
    here = moment.replace(tzinfo=UTC) + timedelta(minutes=minutes)
    assert times.moment(times.microseconds(here)) == here
