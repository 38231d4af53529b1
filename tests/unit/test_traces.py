"""Which events are traced to the screen, and what is believed of what browsers tell."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import times
from app.domain.event import LogEvent
from app.domain.sketch import Sketch
from app.domain.trace import LONGEST, Painted
from app.push.traces import Sampling, TooManyReportsError, Traces

PROCESS = "0123456789ab"


def event(number: int, author: str = "u1", digits: str = "0000abcd") -> LogEvent:
    return LogEvent(number, "j1", author, None, "progress", b"{}", digits)


def painted(number: int) -> Painted:
    return Painted(number, PROCESS, 1_000, 0, 0)


def of(user: str) -> object:
    return lambda author, _organization: author == user


def test_all_events_are_taken_while_they_are_few() -> None:
    sampling = Sampling(20)
    for turn in range(50):
        assert all(sampling.takes(turn * 10 + number) for number in range(10))
        sampling.turn()


@pytest.mark.parametrize("number", [1_000, 50_000])
def test_of_many_some_are_taken_and_all_again_once_there_are_few(number: int) -> None:
    sampling = Sampling(20)
    for turn in range(10):
        taken = sum(sampling.takes(turn * number + place) for place in range(number))
        assert 5 <= taken <= 20 + 10 * 17
        sampling.turn()
    assert sum(sampling.takes(place) for place in range(number)) <= 40
    for _ in range(20):
        sampling.turn()
    assert sampling.takes(7)


def test_processes_that_follow_one_log_take_the_same_events() -> None:
    one, other = Sampling(20), Sampling(20)
    for place in range(10_000):
        assert one.takes(place) == other.takes(place)


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**7))
def test_no_time_is_believed_that_cannot_be(handed_at: int, painted_at: int, opened_at: int, unsure: int) -> None:
    took = Painted(1, PROCESS, painted_at, opened_at, unsure).after(handed_at)
    if took is None:
        assert painted_at < handed_at or painted_at > handed_at + LONGEST or handed_at < opened_at
    else:
        assert 0 <= took <= LONGEST
        assert handed_at >= opened_at - unsure
        assert painted_at >= handed_at - unsure


def test_browser_is_believed_of_events_that_it_can_have_been_sent_once_each() -> None:
    traces = Traces(4)
    assert traces.chooses(1)
    traces.handed(event(1), 3, times.now())
    assert not traces.told(painted(1), "00000000", "u1", of("u1"))  # type: ignore[arg-type]
    assert not traces.told(painted(1), "0000abcd", "u2", of("u2"))  # type: ignore[arg-type]
    assert not traces.told(painted(2), "0000abcd", "u1", of("u1"))  # type: ignore[arg-type]
    assert traces.told(painted(1), "0000abcd", "u1", of("u1"))  # type: ignore[arg-type]
    assert not traces.told(painted(1), "0000abcd", "u1", of("u1"))  # type: ignore[arg-type]
    assert traces.take().painted == [painted(1)]


def test_nobody_tells_more_often_than_he_may_nor_all_together() -> None:
    traces = Traces(4)
    for _ in range(30):
        traces.count_in("u1")
    with pytest.raises(TooManyReportsError):
        traces.count_in("u1")
    for number in range(570):
        traces.count_in(f"other{number}")
    with pytest.raises(TooManyReportsError):
        traces.count_in("u2")


def test_what_is_known_at_once_is_bounded_whatever_comes() -> None:
    traces, at = Traces(100), times.now()
    for number in range(200_000):
        traces.committed([event(number)])
        if traces.chooses(number):
            traces.handed(event(number), 1, at)
        for user in range(2):
            traces.told(painted(number), "0000abcd", f"u{user}", lambda *_: True)
    assert len(traces._notes) <= 2_000
    assert len(traces._committed) <= 2_000
    batch = traces.take()
    assert len(batch.painted) <= 1_000
    assert len(batch.handed) < 10_000


def test_nothing_is_noted_where_tracing_is_off() -> None:
    traces = Traces(0)
    traces.committed([event(1)])
    assert not traces.chooses(1)
    assert traces.take() == ([], [])


@given(st.lists(st.integers(-5, 10**14), max_size=50))
def test_sketch_of_values_has_as_many_and_their_median(values: list[int]) -> None:
    sketch = Sketch.of_values(values)
    assert sketch.count == len(values)
    assert Sketch.unpack(sketch.pack()) == sketch
