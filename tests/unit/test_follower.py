"""The follower: whatever it hears, in whatever order, the hub gets the log."""

import asyncio
import itertools
from collections.abc import Callable
from copy import copy
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.event import BEFORE_ALL, EventId, Found, LogEvent, Part
from app.push.follower import Follower


def event(number: int) -> LogEvent:
    return LogEvent(number, "job", "user", None, "progress", b"%d" % number, "none of the log's")


class Table:
    """The log in memory; `readable` false is a database that is away."""

    def __init__(self) -> None:
        self.events: list[LogEvent] = []
        self.readable = True
        self._contents = itertools.count()

    def commit(self) -> LogEvent:
        made = event(len(self.events) + 1)
        made.digits = f"{next(self._contents):x}"
        self.events.append(made)
        return self.events[-1]

    async def head(self) -> EventId:
        self._check()
        return self.events[-1].event_id if self.events else BEFORE_ALL

    async def after(self, last_id: int, limit: int, *, job_id: str | None = None, author_id: str | None = None) -> Part:
        self._check()
        await asyncio.sleep(0)
        return Part(self.events[last_id : last_id + limit], len(self.events) > last_id + limit, 0)

    async def beginning(self, head: int, count: int, size: int) -> int:
        return max(0, head - count)

    async def look_up(self, number: int) -> Found:
        self._check()
        known = {0: "0"} | {one.id: one.digits for one in self.events}
        return Found(known.get(number), 0, await self.head())

    def _check(self) -> None:
        if not self.readable:
            raise ConnectionError


class Recorder:
    """Stands where the hub stands."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.resets = 0

    async def publish(self, one: LogEvent) -> None:
        self.seen.append(one.id)
        await asyncio.sleep(0)

    def reset(self) -> None:
        self.resets += 1


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


async def follow(table: Table, hub: Recorder, **options: Any) -> tuple[Follower, asyncio.Task[None]]:
    follower = Follower(
        table, hub, **{"poll": 0.001, "poll_with_bus": 3.0, "ring_size": 20_000, "ring_max_bytes": 1 << 30} | options
    )
    await follower.start()
    return follower, asyncio.create_task(follower.run())


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


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


async def test_log_that_lost_its_newest_row_while_away_resets_the_streams() -> None:
    table, hub = Table(), Recorder()
    follower, running = await follow(table, hub)
    follower.offer([table.commit() for _ in range(3)])
    await until(lambda: follower.last_id == 3)
    table.readable = False
    await until(lambda: follower._was_away)
    table.events.pop()
    table.readable = True
    await until(lambda: hub.resets)
    assert follower.last_id == 2
    table.commit()
    await until(lambda: follower.last_id == 3)
    running.cancel()
    assert hub.seen == [1, 2, 3, 3]


async def test_purge_that_overtook_us_resets_the_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    table, hub = Table(), Recorder()
    follower, running = await follow(table, hub)
    for _ in range(4):
        table.commit()

    async def purged(last_id: int, limit: int, **_: object) -> Part:
        return Part([e for e in table.events if e.id > max(last_id, 2)], False, 2)

    monkeypatch.setattr(table, "after", purged)
    await until(lambda: hub.resets)
    running.cancel()
    assert follower.last_id == 4


async def test_news_after_the_log_was_taken_back_do_not_hide_what_is_missing() -> None:
    table, hub = Table(), Recorder()
    follower, running = await follow(table, hub)
    follower.offer([table.commit() for _ in range(3)])
    await until(lambda: follower.last_id == 3)
    table.readable = False
    await until(lambda: follower._was_away)
    del table.events[1:]
    follower.offer([table.commit() for _ in range(3)])
    table.readable = True
    await until(lambda: follower.last_id == 4)
    running.cancel()
    assert hub.resets == 1


async def test_row_that_is_another_one_now_resets_the_streams_also_when_nobody_noticed_an_outage() -> None:
    table, hub = Table(), Recorder()
    follower, running = await follow(table, hub)
    follower.offer([table.commit() for _ in range(3)])
    await until(lambda: follower.last_id == 3)
    table.events.pop()
    table.commit()
    await until(lambda: hub.resets)
    running.cancel()


async def test_row_that_was_there_before_the_start_is_known_too() -> None:
    table, hub = Table(), Recorder()
    table.commit()
    follower, running = await follow(table, hub)
    table.events.pop()
    table.commit()
    await until(lambda: hub.resets)
    running.cancel()
    assert follower.last_id == 1


async def test_news_that_contradict_what_was_sent_are_looked_up_before_any_other_is_sent() -> None:
    table, hub = Table(), Recorder()
    follower, running = await follow(table, hub, poll=3600)
    follower.offer([table.commit() for _ in range(3)])
    await until(lambda: follower.last_id == 3)
    del table.events[1:]
    follower.offer([table.commit() for _ in range(3)])
    await until(lambda: hub.resets)
    running.cancel()
    assert hub.seen == [1, 2, 3]
    assert follower.last_id == 4


async def test_news_that_contradict_what_was_sent_while_an_event_is_on_its_way_to_the_hub_are_looked_up_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table, hub = Table(), Recorder()
    follower, running = await follow(table, hub, poll=3600)
    publish = hub.publish

    async def crash_meanwhile(one: LogEvent) -> None:
        await publish(one)
        if one.id == 3:
            monkeypatch.setattr(hub, "publish", publish)
            del table.events[1:]
            follower.offer([table.commit() for _ in range(3)])

    monkeypatch.setattr(hub, "publish", crash_meanwhile)
    follower.offer([table.commit() for _ in range(3)])
    await until(lambda: hub.resets)
    running.cancel()
    assert hub.seen == [1, 2, 3]
    assert follower.last_id == 4


async def test_news_that_contradict_what_was_sent_while_the_log_is_looked_up_are_looked_up_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table, hub = Table(), Recorder()
    follower, running = await follow(table, hub, poll=3600)
    look_up = table.look_up

    async def crash_meanwhile(number: int) -> Found:
        found = await look_up(number)
        monkeypatch.setattr(table, "look_up", look_up)
        del table.events[1:]
        follower.offer([table.commit() for _ in range(3)])
        return found

    follower.offer([table.commit() for _ in range(3)])
    await until(lambda: follower.last_id == 3)
    monkeypatch.setattr(table, "look_up", crash_meanwhile)
    follower.look()
    await until(lambda: hub.resets)
    running.cancel()
    assert hub.seen == [1, 2, 3]
    assert follower.last_id == 4


async def test_contradiction_that_the_log_does_not_confirm_changes_nothing() -> None:
    table, hub = Table(), Recorder()
    follower, running = await follow(table, hub, poll=3600)
    follower.offer([table.commit() for _ in range(3)])
    await until(lambda: follower.last_id == 3)
    follower.offer([event(2)])
    follower.offer([table.commit()])
    await until(lambda: follower.last_id == 4)
    running.cancel()
    assert hub.resets == 0
    assert hub.seen == [1, 2, 3, 4]


async def test_news_of_what_was_never_committed_are_forgotten() -> None:
    table, hub = Table(), Recorder()
    follower, running = await follow(table, hub, poll=3600, settle=0)
    follower.offer([event(3)])
    await until(lambda: not follower._ahead)
    follower.offer([table.commit() for _ in range(3)])
    await until(lambda: follower.last_id == 3)
    running.cancel()
    found = follower.since(2, 1, job_id="job")
    assert found is not None
    assert found[0].digits == table.events[2].digits


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


async def feed(follower: Follower, table: Table) -> NoReturn:
    """Commits without a pause, so that there is always something to hear."""
    while True:
        follower.offer([table.commit()])
        await asyncio.sleep(0)


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


async def test_news_that_contradict_the_very_last_event_are_looked_up_too() -> None:
    table, hub = Table(), Recorder()
    table.commit()
    follower, running = await follow(table, hub, poll=3600)
    table.events.pop()
    follower.offer([table.commit()])
    await until(lambda: hub.resets)
    running.cancel()


async def test_what_was_sent_already_is_not_read_again_for_being_expected() -> None:
    table, hub = Table(), Recorder()
    table.commit()
    follower, running = await follow(table, hub, poll=3600)
    running.cancel()
    follower.expect(1)
    assert not follower._must_read


async def test_digits_are_known_of_what_is_in_memory_and_of_the_last_event_though_it_was_purged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table, hub = Table(), Recorder()
    committed = [table.commit() for _ in range(5)]
    follower, running = await follow(table, hub, ring_size=2)
    running.cancel()
    assert [follower.digits_of(n) for n in range(1, 7)] == [None, None, None, *(e.digits for e in committed[3:]), None]

    async def nothing(head: int, count: int, size: int) -> int:
        return head

    monkeypatch.setattr(table, "beginning", nothing)
    follower, running = await follow(table, hub)
    running.cancel()
    assert [follower.digits_of(n) for n in (4, 5, 6)] == [None, committed[4].digits, None]


async def test_log_whose_last_sent_event_was_purged_goes_on_without_a_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    table, hub = Table(), Recorder()
    table.commit()
    follower, running = await follow(table, hub, poll=3600)

    async def purged(number: int) -> Found:
        return Found(None, number, await table.head())

    monkeypatch.setattr(table, "look_up", purged)
    table.commit()
    follower.expect(2)
    await until(lambda: follower.last_id == 2)
    running.cancel()
    assert (hub.seen, hub.resets) == ([2], 0)


@pytest.mark.parametrize("tell", ["offer", "expect"])
async def test_news_older_than_memory_reaches_are_looked_up_before_any_other_is_sent(tell: str) -> None:
    """A restore may go back further than that, and news need never cease."""
    table, hub = Table(), Recorder()
    follower, running = await follow(table, hub, poll=3600, ring_size=5)
    follower.offer([table.commit() for _ in range(20)])
    await until(lambda: follower.last_id == 20)
    del table.events[2:]
    newest = table.commit()
    if tell == "offer":
        follower.offer([newest])
    else:
        follower.expect(newest.id)
    await until(lambda: hub.resets)
    running.cancel()
    assert follower.last_id == 3


async def test_news_older_than_memory_reaches_that_the_log_still_has_change_nothing() -> None:
    table, hub = Table(), Recorder()
    follower, running = await follow(table, hub, poll=3600, ring_size=5)
    events = [table.commit() for _ in range(20)]
    follower.offer(events)
    await until(lambda: follower.last_id == 20)
    follower.offer(events[:3])
    follower.offer([table.commit()])
    await until(lambda: follower.last_id == 21)
    running.cancel()
    assert hub.resets == 0
    assert hub.seen == list(range(1, 22))


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
