"""The ring: what memory gives is what the log would give."""

from hypothesis import given
from hypothesis import strategies as st

from app.domain.event import LogEvent
from app.push.ring import Ring, size_of

logs = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("uv")), max_size=40)


@given(logs, st.integers(1, 20), st.integers(0, 45), st.integers(1, 10))
def test_memory_gives_what_the_log_would_give_or_says_that_it_cannot(
    log: list[tuple[str, str]], size: int, event_id: int, limit: int
) -> None:
    ring, events = Ring(size, 1 << 20), []
    for number, (job_id, author_id) in enumerate(log, start=1):
        events.append(LogEvent(number, job_id, author_id, None, "progress", b""))
        ring.append(events[-1])
    of_job = ring.since(event_id, limit, job_id="a", author_id=None)
    of_user = ring.since(event_id, limit, job_id=None, author_id="u")
    if len(log) - size <= event_id < len(log):
        assert of_job == [e for e in events if e.id > event_id and e.job_id == "a"][:limit]
        assert of_user == [e for e in events if e.id > event_id and e.author_id == "u"][:limit]
    else:
        assert of_job is of_user is None


def test_nothing_from_before_a_gap_is_kept() -> None:
    ring = Ring(10, 1 << 20)
    for number in (1, 2, 5):
        ring.append(LogEvent(number, "a", "u", None, "progress", b""))
    assert ring.since(1, 10, job_id="a", author_id=None) is None
    assert [e.id for e in ring.since(4, 10, job_id="a", author_id=None) or []] == [5]


def test_memory_of_jobs_long_gone_is_given_back() -> None:
    ring = Ring(3, 1 << 20)
    for number in range(1, 1000):
        ring.append(LogEvent(number, f"job{number}", f"user{number}", None, "progress", b""))
    assert len(ring._events) == len(ring._of_job) == len(ring._of_user) == 3


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=40), st.integers(600, 20_000))
def test_memory_has_as_many_bytes_as_it_may_and_always_the_newest(sizes: list[int], most: int) -> None:
    ring = Ring(30, most)
    for number, size in enumerate(sizes, start=1):
        ring.append(LogEvent(number, f"j{number % 3}", "u", None, "progress", b"x" * size))
        assert ring.get(number) is not None
        assert ring.bytes == sum(map(size_of, ring._events.values()))
        assert ring.bytes <= most or len(ring._events) == 1
    since = ring.since(min(ring._events) - 1, 100, job_id=None, author_id="u")
    assert since is not None
    kept = [event.id for event in since]
    assert kept == list(range(len(sizes) - len(kept) + 1, len(sizes) + 1))
