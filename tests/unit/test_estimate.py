"""How long a generation still takes: what is said, and when nothing is."""

from statistics import median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.estimate import FEWEST, LATE, STAGES, UNKNOWN, Estimate, Estimates, Kind, Sample, Step, sample_of
from bench.estimate import replay

VEO = Kind("veo-2", 8, 1)


def estimates(*samples: Sample, kind: Kind = VEO) -> Estimates:
    made = Estimates()
    for sample in samples:
        made.observe(kind, sample)
    return made


def generating(*seconds: float) -> list[Sample]:
    """Samples that were 5 s at pending and 10 s at downloading."""
    return [(5.0, None, each, 10.0, None) for each in seconds]


def test_nothing_is_said_below_five_samples() -> None:
    four = estimates(*generating(50, 60, 70, 80))
    assert four.of(VEO, "generating", 0) == UNKNOWN
    four.observe(VEO, (5.0, None, 90.0, 10.0, None))
    assert four.of(VEO, "generating", 0) == Estimate(80, 100)


def test_remaining_is_the_median_of_those_that_took_longer_and_the_later_stages_medians() -> None:
    known = estimates(*generating(50, 60, 70, 80, 90))
    assert known.of(VEO, "generating", 65) == Estimate(25, 35)  # 70, 80, 90 are left: 80 - 65 + 10
    assert known.of(VEO, "pending", 0) == Estimate(5 + 70 + 10, 105)
    assert known.of(VEO, "downloading", 4) == Estimate(6, 6)


def test_what_lasts_longer_than_nearly_all_did_is_late_and_gets_no_number() -> None:
    known = estimates(*generating(*range(1, 51)))
    assert known.of(VEO, "generating", 47.9).seconds == 12  # 49, 50 and 48 are left
    assert known.of(VEO, "generating", 48) == LATE
    assert known.of(VEO, "generating", 1e9) == LATE


def test_time_that_has_passed_makes_the_estimate_smaller_second_by_second_while_the_same_are_left() -> None:
    known = estimates(*generating(50, 60, 70, 80, 90))
    assert [known.of(VEO, "generating", t).seconds for t in (0, 10, 20, 49)] == [80, 70, 60, 31]


def test_own_kind_counts_then_the_model_then_all() -> None:
    known = estimates(*generating(*[30] * 5))
    longer, other = VEO._replace(seconds=16), Kind("sora", 8, 1)
    assert known.of(longer, "generating", 0).seconds == 40
    assert known.of(other, "generating", 0).seconds == 40
    for _ in range(5):
        known.observe(longer, (5.0, None, 100.0, 10.0, None))
        known.observe(other, (5.0, None, 300.0, 10.0, None))
    assert known.of(longer, "generating", 0).seconds == 110
    assert known.of(VEO, "generating", 0).seconds == 40
    assert known.of(Kind("veo-2", 99, 4), "generating", 0).seconds == 75  # of all of the model: half 30, half 100


def test_fifty_newest_count() -> None:
    known = estimates(*generating(*[10] * 100), *generating(*[90] * 50))
    assert known.of(VEO, "generating", 0).seconds == 100


def test_stage_that_hardly_anybody_passes_is_not_waited_for() -> None:
    known = estimates(*generating(50, 60, 70, 80, 90), (5.0, 1000.0, 70.0, 10.0, None))
    assert known.of(VEO, "pending", 0).seconds == 5 + 0 + 70 + 10


@pytest.mark.parametrize("sample", [(-1.0, None, 5.0, 1.0, None), (None,) * 5, (0.0,) * 5, (1e9, 1.0, 1.0, 1.0, None)])
def test_what_a_clock_that_was_set_makes_of_a_generation_counts_for_nothing(sample: Sample) -> None:
    assert estimates(*[sample] * 9).of(VEO, "pending", 0) == UNKNOWN


@pytest.mark.parametrize("status", ["failed", "", "rendering"])
def test_state_that_is_no_stage_has_no_estimate(status: str) -> None:
    assert estimates(*generating(*[30] * 9)).of(VEO, status, 0) == UNKNOWN


seconds = st.none() | st.floats(0, 5000)
samples = st.lists(st.tuples(*[seconds] * len(STAGES)), max_size=60)


@given(samples, st.sampled_from(STAGES), st.floats(-10, 6000))
def test_estimate_is_what_the_rule_says_of_the_newest_fifty(history: list[Sample], status: str, elapsed: float) -> None:
    stage = STAGES.index(status)
    taken = [s for s in history if any(x is not None for x in s) and sum(x or 0 for x in s) > 0][-50:]
    seen = [s for s in taken if s[stage] is not None]
    said = estimates(*history).of(VEO, status, elapsed)
    if len(seen) < FEWEST:
        assert said == UNKNOWN
        return
    elapsed = max(0.0, elapsed)
    lasted = [seconds for s in seen if (seconds := s[stage]) is not None]
    left = [seconds - elapsed for seconds in lasted if seconds > elapsed]
    if said == LATE:
        assert len(left) <= 0.05 * len(seen)
        return
    later = sum(median(s[k] or 0.0 for s in seen) for k in range(stage + 1, len(STAGES)))
    assert said.seconds == pytest.approx(median(left) + later, abs=1.01)
    assert said.seconds is not None
    assert said.p90 is not None
    covered = [
        s for s in seen if (s[stage] or 0) > elapsed and sum(x or 0 for x in s[stage:]) - elapsed <= said.p90 + 1e-6
    ]
    assert len(covered) >= 0.9 * len(left)
    assert said.p90 >= said.seconds > 0


S = 1_000_000


def steps(*told: tuple[str, int], skew: int = 0) -> list[Step]:
    """(status, second) in order; the last one completed."""
    made = [Step(status, False, (second + skew) * S, second * S) for status, second in told]
    return [*made[:-1], made[-1]._replace(done=True)]


def test_sample_has_the_times_between_the_first_steps_of_stages() -> None:
    told = steps(
        ("pending", 2), ("processing", 5), ("generating", 9), ("generating", 20), ("downloading", 59), ("completed", 69)
    )
    assert sample_of(1 * S, told) == [4.0, 4.0, 50.0, 10.0, None]


def test_sample_leaves_out_the_stages_that_were_not_told() -> None:
    assert sample_of(0, steps(("generating", 9), ("completed", 69))) == [9.0, None, 60.0, None, None]
    assert sample_of(0, steps(("completed", 69))) == [69.0, None, None, None, None]


def test_wait_for_files_is_a_stage() -> None:
    assert sample_of(0, steps(("generating", 9), ("completed", 60), ("completed", 69))) == [9.0, None, 51.0, None, 9.0]


def test_sender_whose_clock_is_wrong_does_not_make_the_first_stage_long() -> None:
    told = steps(("generating", 9), ("completed", 69), skew=-3600)
    assert sample_of(0, told) == [9.0, None, 60.0, None, None]


def test_what_waited_on_its_way_is_judged_by_the_senders_times() -> None:
    told = [Step("generating", False, 9 * S, 5000 * S), Step("completed", True, 69 * S, 5000 * S)]
    sample = sample_of(0, told)
    assert sample is not None
    assert sample[2] == 60.0


def test_only_the_last_try_counts() -> None:
    told = steps(("generating", 9), ("failed", 30), ("generating", 40), ("completed", 90))
    assert sample_of(0, told) == [None, None, 50.0, None, None]


def test_what_did_not_succeed_is_no_sample() -> None:
    assert sample_of(0, steps(("generating", 9), ("failed", 30))[:1]) is None
    assert sample_of(0, []) is None


def test_history_that_is_replayed_is_told_better_than_by_means_and_nine_of_ten_stay_within_the_p90() -> None:
    replayed: list[dict[str, Any]] = [dict(way.as_json()) for way in replay(seed=7, count=1000)]
    ours, *means = replayed
    assert ours["median_error"] < 0.6 * min(mean["median_error"] for mean in means)
    assert ours["covered"] > 0.85
    assert ours["silent"] < 0.2  # before the fifth, and where one takes longer than nearly all
