"""The follower: whatever it hears, in whatever order, the hub gets the log."""

import asyncio
import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from app.push.follower import Follower
from app.wire import LogEvent


def event(number: int) -> LogEvent:
    return LogEvent(number, "job", "user", None, "progress", b"%d" % number)


class Table:
    """The log in memory; `readable` false is a database that is away."""

    def __init__(self) -> None:
        self.events: list[LogEvent] = []
        self.readable = True
        self._contents = itertools.count()

    def commit(self) -> LogEvent:
        made = event(len(self.events) + 1)
        made.data = b"%d" % next(self._contents)
        self.events.append(made)
        return self.events[-1]

    async def head(self) -> int:
        self._check()
        return len(self.events)

    async def after(self, last_id, limit, *, job_id=None, author_id=None):
        self._check()
        await asyncio.sleep(0)
        return self.events[last_id : last_id + limit]

    async def bounds(self) -> tuple[int, int]:
        return 0, len(self.events)

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
        st.tuples(st.just("turns"), st.integers(1, 6)),
        st.tuples(st.just("away"), st.booleans()),
    ),
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(steps)
def test_any_mix_of_news_lost_repeated_and_reordered_gives_the_log(what):
    async def play():
        table, hub = Table(), Recorder()
        follower = Follower(table, hub, poll=0.001)
        await follower.start()
        running = asyncio.create_task(follower.run())
        for name, value in what:
            if name == "commit":
                table.commit()
                # The news of it: of this one or of earlier ones, in any order, or none at all.
                heard = [table.events[-1 + back] for back in value if len(table.events) + back > 0]
                follower.offer(heard)
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


async def follow(table, hub, **options):
    follower = Follower(table, hub, poll=0.001, **options)
    await follower.start()
    return follower, asyncio.create_task(follower.run())


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


async def test_memory_keeps_the_newest_events_only():
    table, hub = Table(), Recorder()
    follower, running = await follow(table, hub, ring_size=3)
    follower.offer([table.commit() for _ in range(5)])
    await until(lambda: follower.last_id == 5)
    running.cancel()
    assert follower.since(1, 10) is None
    assert [e.id for e in follower.since(2, 10)] == [3, 4, 5]
    assert [e.id for e in follower.since(2, 2)] == [3, 4]
    assert follower.since(5, 10) == []


async def test_log_that_lost_its_newest_row_while_away_resets_the_streams():
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


async def test_purge_that_overtook_us_resets_the_streams():
    table, hub = Table(), Recorder()
    follower, running = await follow(table, hub)
    for _ in range(4):
        table.commit()

    async def purged(last_id, limit, **_):
        return [e for e in table.events if e.id > max(last_id, 2)]

    table.after = purged
    await until(lambda: hub.resets)
    running.cancel()
    assert follower.last_id == 4


async def test_news_after_the_log_was_taken_back_do_not_hide_what_is_missing():
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
