"""The writer's queue, by itself: no database, no disk."""

import asyncio

import pytest

from app.db.writer import queue as queues
from app.db.writer.inbox import statement_bytes
from app.db.writer.queue import Queue, Waiting
from app.domain.delivery import Delivery, Outcome

SIZE = statement_bytes(Delivery("w", "w", 0, b"{}", b"{}"))

WHY = TimeoutError("not now")


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(queues, "time", clock)
    return clock


def made(*names: str) -> list[Delivery]:
    return [Delivery(name, name, 0, b"{}", b"{}") for name in names]


def queue(batch_max: int = 500, batch_max_bytes: int = 1_000_000, budget: float = 10.0) -> Queue:
    return Queue(batch_max, batch_max_bytes, budget)


def names(batch: list[Waiting]) -> str:
    return "".join(w.delivery.id for w in batch)


async def waits(taking: asyncio.Task[list[Waiting]]) -> bool:
    """Whether it still does after all that was ready had its turn."""
    for _ in range(5):
        await asyncio.sleep(0)
    return not taking.done()


async def test_what_arrived_meanwhile_is_one_batch_in_the_order_of_arrival() -> None:
    line = queue()
    line.put(made("a"))
    line.put(made("b", "c"))
    assert names(await line.take()) == "abc"
    assert len(line) == 0


async def test_whoever_puts_gets_the_answer_to_each_of_his_own() -> None:
    line = queue()
    first, second = line.put(made("a", "b"))
    for w in await line.take():
        w.settle(Outcome("applied", w.delivery.id))
    assert [(await answer).webhook_id for answer in (first, second)] == ["a", "b"]


async def test_no_batch_has_more_than_it_may() -> None:
    line = queue(batch_max=2)
    line.put(made(*"abcde"))
    assert [names(await line.take()) for _ in range(3)] == ["ab", "cd", "e"]


async def test_no_batch_has_more_bytes_than_it_may_but_one_webhook_is_always_taken() -> None:
    line = queue(batch_max_bytes=2 * SIZE)
    line.put([*made(*"abc"), Delivery("L", "L", 0, b"{}", b"x" * 9 * SIZE), *made("d")])
    assert [names(await line.take()) for _ in range(4)] == ["ab", "c", "L", "d"]


async def test_taker_waits_until_something_arrives() -> None:
    line = queue()
    taking = asyncio.create_task(line.take())
    assert await waits(taking)
    line.put(made("a"))
    assert names(await taking) == "a"


async def test_what_failed_comes_again_together_before_what_has_just_arrived_and_not_before_its_time(
    clock: Clock,
) -> None:
    line = queue()
    line.put(made("a", "b"))
    failed = await line.take()
    line.put_back(failed, 5.0, WHY)
    line.put(made("c"))
    assert names(await line.take()) == "c"
    clock.now += 5.0
    line.put(made("d"))
    assert [names(await line.take()) for _ in range(2)] == ["ab", "d"]
    assert [(w.tries, w.why) for w in failed] == [(1, WHY)] * 2


async def test_taker_wakes_when_the_first_may_be_tried_again() -> None:
    line = queue()
    line.put(made("a", "b"))
    soon, late = await line.take()
    line.put_back([late], 60.0, WHY)
    line.put_back([soon], 0.001, WHY)
    assert names(await line.take()) == "a"


async def test_taker_who_waits_already_hears_of_what_may_be_tried_again() -> None:
    line = queue()
    line.put(made("a"))
    failed = await line.take()
    taking = asyncio.create_task(line.take())
    assert await waits(taking)
    line.put_back(failed, 0.0, WHY)
    assert names(await taking) == "a"


async def test_closed_queue_gives_out_what_it_has_and_then_nothing() -> None:
    line = queue(batch_max=2)
    line.put(made("a", "b", "c"))
    line.put_back(await line.take(), 0.001, WHY)
    line.close()
    assert {names(await line.take()) for _ in range(2)} == {"ab", "c"}
    assert [await line.take() for _ in range(2)] == [[], []]


async def test_taker_who_waits_is_told_that_the_queue_is_closed() -> None:
    line = queue()
    taking = asyncio.create_task(line.take())
    assert await waits(taking)
    line.close()
    assert await taking == []


async def test_who_has_waited_for_as_long_as_he_may_is_taken_out_of_both_lines(clock: Clock) -> None:
    line = queue(budget=10.0)
    line.put(made("a", "b"))
    first, second = await line.take()
    line.put_back([first], 60.0, WHY)
    clock.now += 4.0
    line.put(made("c", "d"))
    assert line.take_overdue() == []
    second.deadline = clock.now + 60.0
    line.put_back([second], 0.0, WHY)
    clock.now += 6.0
    assert names(line.take_overdue()) == "a"
    clock.now += 4.0
    assert names(line.take_overdue()) == "cd"
    assert len(line) == 1
    assert names(await line.take()) == "b"


async def test_who_has_left_is_told_nothing() -> None:
    line = queue()
    (left,) = line.put(made("a"))
    (w,) = await line.take()
    left.cancel()
    w.settle(Outcome("applied", "a"))
    w.fail(WHY)
    assert left.cancelled()


async def test_only_the_first_answer_counts() -> None:
    line = queue()
    (answer,) = line.put(made("a"))
    (w,) = await line.take()
    w.settle(Outcome("queued", "a"))
    w.settle(Outcome("applied", "a"))
    w.fail(WHY)
    assert (await answer).kind == "queued"


async def test_webhooks_from_the_disk_say_so() -> None:
    line = queue()
    line.put(made("a"), spooled=True)
    line.put(made("b"))
    assert [w.spooled for w in await line.take()] == [True, False]
