"""Reads made together: each asker gets its own answer, fresh, and nobody another's error."""

import asyncio
from collections.abc import Collection

import pytest

from app.db.errors import DatabaseAwayError
from app.db.loader import Loader


class Reads:
    """Stands where the database stands: it answers with how many were committed when the read began."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.committed = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def read(self, keys: Collection[str]) -> dict[str, tuple[str, int]]:
        self.batches.append(list(keys))
        value = self.committed
        await self.gate.wait()
        if "bad" in keys:
            raise ValueError("bad key")
        if "away" in keys:
            raise DatabaseAwayError("away")
        return {key: (key, value) for key in keys}


async def test_those_who_ask_in_one_turn_are_read_for_at_once_and_a_key_only_once() -> None:
    reads = Reads()
    batched = Loader(reads.read, 10)
    answers = await asyncio.gather(*(batched.get(key) for key in "abcab"))
    assert [key for key, _ in answers] == list("abcab")
    assert reads.batches == [["a", "b", "c"]]


async def test_no_batch_is_larger_than_it_may_be() -> None:
    reads = Reads()
    batched = Loader(reads.read, 2)
    await asyncio.gather(*(batched.get(key) for key in "abcde"))
    assert [len(batch) for batch in reads.batches] == [2, 2, 1]


async def test_who_asks_while_a_read_is_under_way_gets_one_that_began_later() -> None:
    reads = Reads()
    batched = Loader(reads.read, 10)
    reads.gate.clear()
    early = asyncio.create_task(batched.get("a"))
    while not reads.batches:
        await asyncio.sleep(0)
    reads.committed = 1
    late = asyncio.create_task(batched.get("a"))
    await asyncio.sleep(0)
    reads.gate.set()
    assert (await early, await late) == (("a", 0), ("a", 1))


async def test_one_bad_key_harms_nobody_else() -> None:
    batched = Loader(Reads().read, 10)
    good, bad = await asyncio.gather(batched.get("a"), batched.get("bad"), return_exceptions=True)
    assert good == ("a", 0)
    assert isinstance(bad, ValueError)


async def test_database_that_is_away_is_told_to_all_and_asked_once() -> None:
    reads = Reads()
    batched = Loader(reads.read, 10)
    answers = await asyncio.gather(batched.get("a"), batched.get("away"), return_exceptions=True)
    assert [type(answer) for answer in answers] == [DatabaseAwayError] * 2
    assert len(reads.batches) == 1
    assert await batched.get("a") == ("a", 0)


async def test_who_leaves_takes_nobody_along() -> None:
    reads = Reads()
    batched = Loader(reads.read, 10)
    reads.gate.clear()
    leaving, staying = asyncio.create_task(batched.get("a")), asyncio.create_task(batched.get("a"))
    while not reads.batches:
        await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    reads.gate.set()
    assert await staying == ("a", 0)
