"""Sketches of times, beside DDSketch itself and beside the values."""

import math

import pytest
from ddsketch import DDSketch
from hypothesis import given
from hypothesis import strategies as st

from app.domain.sketch import ALPHA, LONGEST, NO_TIME, Sketch
from tests.counting import bin_of

TIMES = st.lists(st.integers(0, LONGEST), min_size=1, max_size=60)
SHARES = (0.0, 0.5, 0.95, 1.0)


def sketch(values: list[int]) -> Sketch:
    bins: dict[int, int] = {}
    for value in values:
        bins[bin_of(value)] = bins.get(bin_of(value), 0) + 1
    return Sketch.of(bins, sum(values))


def exact(values: list[int], share: float) -> int:
    """The value of that rank: the lower one of two."""
    return sorted(values)[math.floor(share * (len(values) - 1))]


@given(TIMES)
def test_quantile_is_within_2_percent_of_the_value_of_its_rank(values: list[int]) -> None:
    for share, found in zip(SHARES, sketch(values).quantiles(*SHARES), strict=True):
        assert abs(found - exact(values, share)) <= ALPHA * exact(values, share) * (1 + 1e-9)


@given(TIMES)
def test_quantiles_are_those_of_ddsketch(values: list[int]) -> None:
    theirs = DDSketch(ALPHA)
    for value in values:
        theirs.add(value)
    for share, found in zip(SHARES, sketch(values).quantiles(*SHARES), strict=True):
        # A value at the border of two bins is in either: both are within 2 % of it.
        assert found == pytest.approx(theirs.get_quantile_value(share), rel=2 * ALPHA + 1e-9)
        assert found == pytest.approx(exact(values, share), rel=ALPHA + 1e-9)


@given(st.lists(TIMES, max_size=6))
def test_merged_sketches_are_that_of_all_values_in_any_order_and_packed_or_not(parts: list[list[int]]) -> None:
    whole = sketch([value for part in parts for value in part])
    there, back, taken = Sketch(), Sketch(), Sketch()
    for part in parts:
        there.add(sketch(part))
        taken.take(sketch(part).pack())
    for part in reversed(parts):
        back.add(Sketch.unpack(sketch(part).pack()))
    assert there == back == taken == whole == Sketch.unpack(whole.pack())
    assert (there.count, there.total) == (whole.count, whole.total)


def test_more_values_than_four_bytes_count_in_one_bin_are_merged_rightly() -> None:
    many, place = 2**32 - 1, bin_of(1_000_000)
    merged = Sketch()
    for _ in range(5):
        merged.add(Sketch.of({place: many, NO_TIME: 1}, many * 1_000_000))
    merged.add(Sketch.of({bin_of(9_000_000): 2}, 18_000_000))
    merged.take(Sketch.of({bin_of(9_000_000): 1}, 9_000_000).pack())
    assert merged.count == 5 * 2**32 + 3
    assert merged == Sketch.unpack(merged.pack())
    assert merged.mean == pytest.approx(1_000_000, rel=0.001)
    assert merged.quantiles(0.95, 1.0) == [
        pytest.approx(1_000_000, rel=ALPHA),
        pytest.approx(9_000_000, rel=ALPHA),
    ]


def test_empty_sketch_takes_no_bytes_and_knows_no_quantile() -> None:
    assert Sketch().pack() == b""
    assert Sketch.unpack(b"") == Sketch()
    assert (Sketch().quantiles(0.5), Sketch().mean) == ([], None)


def test_times_before_they_began_count_as_none() -> None:
    clock_set_back = sketch([-5, 0, 0, 4_000_000])
    assert clock_set_back.quantiles(0.5, 1.0) == [0.0, pytest.approx(4_000_000, rel=ALPHA)]


def test_quarter_of_an_hour_of_usual_times_takes_less_than_a_kilobyte() -> None:
    values = [int(math.exp(3 + n % 7) * 1000) for n in range(5000)]
    assert len(sketch(values).pack()) < 1000
