"""A log that is taken back, by a crash or a restore: what was sent is looked up before anything else is."""

import pytest

from app.domain.event import Found, LogEvent, Part
from tests.following import Recorder, Table, event, follow, until


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


async def test_news_that_contradict_the_very_last_event_are_looked_up_too() -> None:
    table, hub = Table(), Recorder()
    table.commit()
    follower, running = await follow(table, hub, poll=3600)
    table.events.pop()
    follower.offer([table.commit()])
    await until(lambda: hub.resets)
    running.cancel()


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


async def test_news_of_another_history_that_come_before_a_part_of_the_old_one_is_delivered_are_looked_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table, hub = Table(), Recorder()
    follower, running = await follow(table, hub, poll=3600)
    go_on = table.go_on

    async def crash_on_the_way(last_id: int, limit: int) -> tuple[Found, Part]:
        answer = await go_on(last_id, limit)
        monkeypatch.setattr(table, "go_on", go_on)
        table.events.clear()
        follower.offer([table.commit() for _ in range(3)])
        return answer

    monkeypatch.setattr(table, "go_on", crash_on_the_way)
    for _ in range(3):
        table.commit()
    follower.look()
    await until(lambda: hub.resets)
    running.cancel()
    assert hub.seen == [1, 2, 3]
    assert follower.digits_of(3) == table.events[2].digits


async def test_news_that_were_lost_before_their_turn_do_not_go_on_after_those_of_another_history() -> None:
    table, hub = Table(), Recorder()
    follower, running = await follow(table, hub, poll=3600)
    follower.offer([table.commit() for _ in range(3)])
    table.events.clear()
    follower.offer([table.commit()])
    await until(lambda: follower.last_id == 1)
    follower.offer([table.commit()])
    await until(lambda: follower.last_id == 2)
    running.cancel()
    assert hub.seen == [1, 2]
    assert follower.digits_of(2) == table.events[1].digits
    assert (follower._ahead, follower._ahead_bytes) == ({}, 0)


async def test_news_that_were_lost_between_two_parts_do_not_go_on_after_those_of_another_history(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.push.follower._READ", 2)
    table, hub = Table(), Recorder()
    follower, running = await follow(table, hub, poll=3600)
    go_on = table.go_on

    async def told_and_lost(last_id: int, limit: int) -> tuple[Found, Part]:
        answer = await go_on(last_id, limit)
        if last_id == 0:
            _, *told = [table.commit() for _ in range(3)]
            follower.offer(told)
            del table.events[3:]
            table.commit()
        return answer

    monkeypatch.setattr(table, "go_on", told_and_lost)
    for _ in range(3):
        table.commit()
    follower.look()
    await until(lambda: follower.last_id == 4 and not follower._ahead)
    follower.offer([table.commit()])
    await until(lambda: follower.last_id == 5)
    running.cancel()
    assert (hub.seen, hub.resets) == ([1, 2, 3, 4, 5], 0)
    assert follower.digits_of(5) == table.events[4].digits


async def test_memory_has_no_events_of_another_history_that_was_lost_while_it_was_filled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.push.follower._READ", 5)
    table, hub = Table(), Recorder()
    after = table.after

    async def crash_on_the_way(last_id: int, limit: int) -> Part:
        part = await after(last_id, limit)
        if last_id == 0:
            del table.events[3:]
            for _ in range(9):
                table.commit()
        return part

    monkeypatch.setattr(table, "after", crash_on_the_way)
    for _ in range(12):
        table.commit()
    follower, running = await follow(table, hub, poll=3600)
    running.cancel()
    assert [follower.digits_of(number) for number in range(1, 13)] == [
        *[None] * 5, *(one.digits for one in table.events[5:])
    ]  # fmt: skip


async def test_purge_of_all_that_came_after_the_last_event_sent_resets_the_streams(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table, hub = Table(), Recorder()
    table.commit()
    follower, running = await follow(table, hub, poll=3600)
    second = table.commit()

    async def purged(last_id: int, _limit: int) -> tuple[Found, Part]:
        return Found(second.digits if last_id == 2 else None, 2, second.event_id), Part([], False, 2)

    monkeypatch.setattr(table, "go_on", purged)
    follower.expect(2)
    await until(lambda: hub.resets)
    running.cancel()
    assert (follower.last_id, hub.seen, hub.resets) == (2, [], 1)
