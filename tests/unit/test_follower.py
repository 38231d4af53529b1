"""The follower: whatever it hears, in whatever order, the hub gets the log."""

import asyncio
from copy import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.event import LogEvent
from app.push.follower import Follower
from tests.following import Recorder, Table, feed, follow, until

steps = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), st.lists(st.integers(-8, 0), max_size=4)),
        st.tuples(st.just("told"), st.lists(st.integers(-8, 0), min_size=1, max_size=4)),
        st.tuples(st.just("expect"), st.integers(-2, 0)),
        st.tuples(st.just("link"), st.booleans()),
        st.tuples(st.just("turns"), st.integers(1, 6)),
        st.tuples(st.just("away"), st.booleans()),
    ),
    max_size=40,
)


@settings(max_examples=200)
@given(steps, st.sampled_from([0.0, 0.001]))
def test_any_mix_of_news_lost_repeated_and_reordered_gives_the_log(what: list[tuple[str, Any]], settle: float) -> None:
    async def play() -> None:
        table, hub = Table(), Recorder()
        follower = Follower(
            table, hub, poll=0.001, poll_with_bus=0.003, ring_size=100, ring_max_bytes=1 << 20, settle=settle
        )
        await follower.start()
        running = asyncio.create_task(follower.run())
        for name, value in what:
            if name == "commit":
                table.commit()
                # The news of it: of this one or of earlier ones, in any order, or none at all.
                heard = [table.events[-1 + back] for back in value if len(table.events) + back > 0]
                follower.offer(heard)
            elif name == "told":
                # The bus: late, again, in any order, each as bytes of its own.
                follower.offer([copy(e) for back in value for e in table.events[-1 + back : back or None]])
            elif name == "expect":
                follower.expect(len(table.events) + value)
            elif name == "link":
                follower.rely_on_bus(value)
            elif name == "turns":
                for _ in range(value):
                    await asyncio.sleep(0)
            else:
                table.readable = not value
        table.readable = True
        async with asyncio.timeout(5):
            while follower.last_id < len(table.events):
                await asyncio.sleep(0.001)
        running.cancel()
        assert hub.seen == list(range(1, len(table.events) + 1))
        assert hub.resets == 0

    asyncio.run(play())


async def test_memory_keeps_the_newest_events_only() -> None:
    table, hub = Table(), Recorder()
    follower, running = await follow(table, hub, ring_size=3)
    follower.offer([table.commit() for _ in range(5)])
    await until(lambda: follower.last_id == 5)
    running.cancel()
    assert follower.since(1, 10, job_id="job") is None
    assert [e.id for e in follower.since(2, 10, job_id="job") or []] == [3, 4, 5]
    assert [e.id for e in follower.since(2, 2, job_id="job") or []] == [3, 4]
    assert follower.since(5, 10, job_id="job") == []


async def test_start_brings_the_newest_events_into_memory() -> None:
    table, hub = Table(), Recorder()
    for _ in range(1300):
        table.commit()
    follower, running = await follow(table, hub, ring_size=1200)
    running.cancel()
    assert follower.last_id == 1300
    assert [e.id for e in follower.since(100, 2000, job_id="job") or []] == list(range(101, 1301))
    assert follower.since(99, 1, job_id="job") is None


async def test_commits_of_two_writers_told_in_the_wrong_order_need_no_look_into_the_log() -> None:
    table, hub = Table(), Recorder()
    follower, running = await follow(table, hub, poll=3600, settle=3600)
    first, second, third = (table.commit() for _ in range(3))
    table.readable = False
    follower.offer([second])
    follower.offer([third])
    await asyncio.sleep(0)
    follower.offer([first])
    await until(lambda: follower.last_id == 3)
    running.cancel()
    assert hub.seen == [1, 2, 3]


async def test_missing_commit_is_waited_for_no_longer_than_it_takes_to_settle() -> None:
    table, hub = Table(), Recorder()
    follower, running = await follow(table, hub, poll=3600, settle=0.01)
    lost = table.commit()
    feeding = asyncio.create_task(feed(follower, table))
    await until(lambda: follower.last_id >= 2)
    feeding.cancel()
    running.cancel()
    assert hub.seen[0] == lost.id


@pytest.mark.parametrize("connected", [True, False])
async def test_log_is_read_when_the_bus_comes_and_when_it_goes(connected: bool) -> None:
    table, hub = Table(), Recorder()
    follower, running = await follow(table, hub, poll=3600, poll_with_bus=3600)
    table.commit()
    follower.rely_on_bus(connected)
    await until(lambda: follower.last_id == 1)
    running.cancel()


async def test_log_is_read_rarely_while_the_bus_is_there_and_often_without() -> None:
    table, hub = Table(), Recorder()
    follower, running = await follow(table, hub, poll_with_bus=3600)
    follower.rely_on_bus(True)
    await until(lambda: not follower._must_read)
    await asyncio.sleep(0.01)
    table.commit()
    await asyncio.sleep(0.02)
    assert follower.last_id == 0
    follower.rely_on_bus(False)
    await until(lambda: follower.last_id == 1)
    table.commit()
    await until(lambda: follower.last_id == 2)
    running.cancel()


async def test_events_that_are_only_known_to_exist_are_read() -> None:
    table, hub = Table(), Recorder()
    follower, running = await follow(table, hub, poll=3600)
    table.commit()
    follower.expect(1)
    await until(lambda: follower.last_id == 1)
    running.cancel()


async def test_news_that_are_not_in_turn_are_kept_up_to_a_number_of_bytes_and_then_read_from_the_log() -> None:
    table, hub = Table(), Recorder()
    for _ in range(1000):
        table.commit()
    follower, running = await follow(table, hub, poll=3600, settle=3600)
    events = [table.commit() for _ in range(200)]
    for one in events:
        one.data = b"x" * 256 * 1024
    await asyncio.sleep(0)
    follower.offer(events[1:])
    assert sum(len(one.data) for one in follower._ahead.values()) <= 17 * 1024 * 1024
    follower.offer(events[:1])
    await until(lambda: follower.last_id > 1050)
    follower.expect(1200)
    await until(lambda: follower.last_id == 1200)
    running.cancel()
    assert hub.seen == list(range(1001, 1201))
    assert (follower._ahead, follower._ahead_bytes) == ({}, 0)


async def test_what_was_sent_already_is_not_read_again_for_being_expected() -> None:
    table, hub = Table(), Recorder()
    table.commit()
    follower, running = await follow(table, hub, poll=3600)
    running.cancel()
    follower.expect(1)
    assert not follower._must_read


async def test_event_that_could_not_be_published_resets_the_streams_and_those_after_it_go_on() -> None:
    class Failing(Recorder):
        async def publish(self, one: LogEvent) -> None:
            await super().publish(one)
            if one.id == 2:
                raise ValueError

    table, hub = Table(), Failing()
    follower, running = await follow(table, hub)
    follower.offer([table.commit() for _ in range(3)])
    await until(lambda: follower.last_id == 3)
    running.cancel()
    assert (hub.seen, hub.resets) == ([1, 2, 3], 1)
