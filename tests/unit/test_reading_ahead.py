"""A part of the log is read while the one before it is delivered."""

import asyncio

import pytest

from app.domain.event import Found, LogEvent, Part
from tests.following import Recorder, Table, follow, until

PART = 500


async def test_next_part_is_read_while_one_is_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    table, hub = Table(), Recorder()
    follower, running = await follow(table, hub, poll=3600)
    go_on, publish, read_ahead = table.go_on, hub.publish, asyncio.Event()

    async def told(last_id: int, limit: int) -> tuple[Found, Part]:
        if last_id == PART:
            read_ahead.set()
        return await go_on(last_id, limit)

    async def held(one: LogEvent) -> None:
        if one.id == 1:
            await read_ahead.wait()
        await publish(one)

    monkeypatch.setattr(table, "go_on", told)
    monkeypatch.setattr(hub, "publish", held)
    for _ in range(PART + 3):
        table.commit()
    follower.look()
    await until(lambda: follower.last_id == PART + 3)
    running.cancel()
    assert hub.seen == list(range(1, PART + 4))


async def test_part_that_was_read_ahead_of_another_history_is_not_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    table, hub = Table(), Recorder()
    follower, running = await follow(table, hub, poll=3600)
    go_on, publish, taken_back = table.go_on, hub.publish, asyncio.Event()

    async def late(last_id: int, limit: int) -> tuple[Found, Part]:
        if last_id == PART:
            await taken_back.wait()
        return await go_on(last_id, limit)

    async def crash_meanwhile(one: LogEvent) -> None:
        await publish(one)
        if one.id == PART and not taken_back.is_set():
            del table.events[PART - 1 :]
            for _ in range(5):
                table.commit()
            taken_back.set()

    monkeypatch.setattr(table, "go_on", late)
    monkeypatch.setattr(hub, "publish", crash_meanwhile)
    for _ in range(PART + 3):
        table.commit()
    follower.look()
    await until(lambda: hub.resets)
    running.cancel()
    assert hub.seen == list(range(1, PART + 1))
    assert follower.last_id == PART + 4


async def test_what_cannot_be_read_ahead_is_read_again_and_nothing_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    table, hub = Table(), Recorder()
    follower, running = await follow(table, hub)
    go_on, failed = table.go_on, asyncio.Event()

    async def once_away(last_id: int, limit: int) -> tuple[Found, Part]:
        if last_id == PART and not failed.is_set():
            failed.set()
            raise ConnectionError
        return await go_on(last_id, limit)

    monkeypatch.setattr(table, "go_on", once_away)
    for _ in range(PART + 3):
        table.commit()
    await until(lambda: follower.last_id == PART + 3)
    running.cancel()
    assert failed.is_set()
    assert hub.seen == list(range(1, PART + 4))
    assert hub.resets == 0
