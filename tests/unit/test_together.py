"""What several wait for: made once, and after each of them has asked."""

import asyncio

import pytest

from app.turns import Together, Turns


class Kitchen:
    """Makes 1, then 2, ...; each when it is let."""

    def __init__(self) -> None:
        self.together: Together[int] = Together()
        self.turns = Turns()
        self.made = 0
        self.fails = 0
        self.begun = asyncio.Semaphore(0)
        self.let = asyncio.Semaphore(0)

    async def make(self) -> int:
        self.begun.release()
        await self.let.acquire()
        if self.fails:
            self.fails -= 1
            raise ValueError
        self.made += 1
        return self.made

    def ask(self, key: str = "k") -> "asyncio.Task[int]":
        return asyncio.create_task(self.together.get(key, self.turns.of("ada"), self.make))


async def turn() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_who_asks_while_it_is_made_gets_what_is_made_after() -> None:
    kitchen = Kitchen()
    first = kitchen.ask()
    await kitchen.begun.acquire()
    later = [kitchen.ask() for _ in range(5)]
    await turn()
    kitchen.let.release()
    kitchen.let.release()
    assert [await task for task in (first, *later)] == [1, 2, 2, 2, 2, 2]


async def test_other_questions_of_one_user_wait_for_their_turn_and_get_their_own() -> None:
    kitchen = Kitchen()
    asked = [kitchen.ask(key) for key in ("first", "a", "b", "a")]
    await turn()
    for _ in range(3):
        kitchen.let.release()
    assert [await task for task in asked] == [1, 2, 3, 2]


async def test_failure_is_told_to_one_and_the_others_try_themselves() -> None:
    kitchen = Kitchen()
    kitchen.fails = 1
    blocked = kitchen.ask("other")
    await kitchen.begun.acquire()
    asked = [kitchen.ask() for _ in range(3)]
    await turn()
    for _ in range(3):
        kitchen.let.release()
    with pytest.raises(ValueError):
        await blocked
    assert [await task for task in asked] == [1, 1, 1]
    kitchen.fails = 1
    again = [kitchen.ask(), kitchen.ask()]
    kitchen.let.release()
    kitchen.let.release()
    found = await asyncio.gather(*again, return_exceptions=True)
    assert [type(each) for each in found] == [ValueError, int]


async def test_one_that_gives_up_leaves_the_others_their_answer() -> None:
    kitchen = Kitchen()
    first = kitchen.ask()
    await kitchen.begun.acquire()
    leads, follows = kitchen.ask(), kitchen.ask()
    await turn()
    leads.cancel()
    kitchen.let.release()
    kitchen.let.release()
    assert [await first, await follows] == [1, 2]
    assert kitchen.together._waiting == {}
