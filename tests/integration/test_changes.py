"""Changes of received webhooks, numbered and read whatever their transactions do meanwhile."""

import asyncio
import contextlib
import random
from typing import Any

import pytest

from app import ids, times
from app.db.changed import note
from app.db.changes import NONE_YET, Change, ChangeId, Changes, newest_of_each
from app.db.connection import Connection, connect
from app.db.pool import Pool
from tests.databases import Sql, status
from tests.log_rows import appending

TRANSACTIONS = 600
LOOKS = 50


@pytest.fixture
def changes(pool: Pool) -> Changes:
    return Changes(pool)


async def test_who_reads_while_others_give_numbers_gets_all_and_hears_of_no_gap(database_url: str) -> None:
    with contextlib.ExitStack() as stack:
        pools = [stack.enter_context(contextlib.closing(Pool(database_url, 8, 10.0))) for _ in range(2)]
        made = [stack.enter_context(contextlib.closing(await connect(database_url, 10.0))) for _ in range(2)]
        changes = [Changes(pool) for pool in pools]
        committed: list[str] = []

        async def commit(connection: Connection) -> None:
            for number in range(TRANSACTIONS):
                row_id = ids.webhook_id(times.now())
                told = appending([row_id]) if number % 2 else note([row_id])
                await connection.run("START TRANSACTION", *told, "COMMIT")
                committed.append(row_id)

        async def read(looker: Changes) -> list[str]:
            found: list[str] = []
            while not (ended.is_set() and len(found) == len(committed)):
                news = await looker.after(len(found))
                assert news is not None, f"a gap after {len(found)}"
                found += [change.webhook_id for change in news]
            return found

        async def number(looker: Changes) -> None:
            while not ended.is_set():
                await looker.number()
                await asyncio.sleep(0)

        ended = asyncio.Event()
        async with asyncio.timeout(30):
            reading = [asyncio.create_task(read(looker)) for looker in changes * 3]
            numbering = [asyncio.create_task(number(looker)) for looker in changes]
            await asyncio.gather(*map(commit, made))
            ended.set()
            await asyncio.gather(*numbering)
            await changes[0].number()
            told = await asyncio.gather(*reading)
        assert all(found == told[0] for found in told)
        assert sorted(told[0]) == sorted(committed)


async def test_look_is_one_transaction_though_others_go_on_committing(database_url: str, sql: Sql) -> None:
    with contextlib.ExitStack() as stack:
        changes = Changes(stack.enter_context(contextlib.closing(Pool(database_url, 2, 10.0))))
        connection = stack.enter_context(contextlib.closing(await connect(database_url, 10.0)))
        committed: list[str] = []
        ended = asyncio.Event()

        async def commit() -> None:
            while not ended.is_set():
                row_id = ids.webhook_id(times.now())
                told = appending([row_id]) if len(committed) % 2 else note([row_id])
                await connection.run("START TRANSACTION", *told, "COMMIT")
                committed.append(row_id)

        sql("INSERT INTO rushes_places (name, place) VALUES ('changes', '0')")
        before = status(sql, "Com_begin")
        committing = asyncio.create_task(commit())
        for _ in range(LOOKS):
            await changes.number()
        ended.set()
        await committing
        assert status(sql, "Com_begin") - before - len(committed) <= LOOKS
        await changes.number()
        assert await changes.head() == len(committed)


async def test_who_looks_while_another_in_his_process_does_finds_all_numbered(changes: Changes, sql: Sql) -> None:
    async def look() -> int:
        await changes.number()
        return await changes.head()

    for made in range(1, 20):
        sql(note([ids.webhook_id(times.now())])[0].decode())
        assert await asyncio.gather(*(look() for _ in range(3))) == [made] * 3


class Sessions:
    """Sessions that begin, change, commit and roll back, and two that look, in any order."""

    def __init__(self, chance: random.Random, sessions: list[Connection], lookers: list[Changes]) -> None:
        self.chance = chance
        self.sessions = sessions
        self.lookers = lookers
        self.open_now: dict[int, list[str]] = {}
        self.appends: dict[int, list[bytes]] = {}
        self.committed: list[list[str]] = []  # in the order of their commits
        self.looks: list[int] = []  # after how many commits each look was made
        self.seen: list[Change] = []

    async def step(self) -> None:
        place = self.chance.randrange(len(self.sessions) + 2)
        if place in self.open_now:
            await self.end(place, commits=self.chance.random() < 0.8)
        elif place < len(self.sessions):
            made = self.open_now[place] = [ids.webhook_id(times.now()) for _ in range(self.chance.randint(1, 4))]
            # Or the log is to tell it, which one appends to at the end.
            told = [] if self.chance.random() < 0.5 else note(made)
            self.appends[place] = [] if told else appending(made, self.chance.randint(1, 3))
            await self.sessions[place].run("START TRANSACTION", *told)
        elif self.chance.random() < 0.5:
            await self.look()
        else:
            await self.read()

    async def end(self, place: int, *, commits: bool) -> None:
        made = self.open_now.pop(place)
        await self.sessions[place].run(*self.appends.pop(place), "COMMIT" if commits else "ROLLBACK")
        self.committed += [made] if commits else []

    async def look(self) -> None:
        lookers = self.chance.sample(self.lookers, self.chance.randint(1, 2))
        await asyncio.gather(*(looker.number() for looker in lookers))
        self.looks.append(len(self.committed))

    async def read(self) -> int:
        news = await self.chance.choice(self.lookers).after(self.seen[-1].id.number if self.seen else 0)
        assert news is not None
        self.seen += news
        return len(news)


@pytest.mark.parametrize("seed", range(10))
async def test_changes_are_numbered_once_each_whatever_their_transactions_do_meanwhile(
    database_url: str, sql: Sql, seed: int
) -> None:
    with contextlib.ExitStack() as stack:
        pools = [stack.enter_context(contextlib.closing(Pool(database_url, 2, 10.0))) for _ in range(2)]
        made = [stack.enter_context(contextlib.closing(await connect(database_url, 10.0))) for _ in range(5)]
        sessions = Sessions(random.Random(seed), made, [Changes(pool) for pool in pools])
        for _ in range(120):
            await sessions.step()
        for place in list(sessions.open_now):
            await sessions.end(place, commits=True)
        await sessions.look()
        while await sessions.read():
            pass
    told = [change.webhook_id for change in sessions.seen]
    assert sorted(told) == sorted(row_id for rows in sessions.committed for row_id in rows)
    assert [change.id.number for change in sessions.seen] == list(range(1, len(told) + 1))
    assert sql("SELECT COUNT(*) FROM rushes_changes WHERE number IS NULL") == ((0,),)
    assert_looks_part(told, sessions.committed, sessions.looks)


def assert_looks_part(told: list[str], committed: list[list[str]], looks: list[int]) -> None:
    """What was committed before a look comes before what was committed after it."""
    place_of = {row_id: place for place, row_id in enumerate(told)}
    for count in looks:
        before = [place_of[row_id] for made in committed[:count] for row_id in made]
        after = [place_of[row_id] for made in committed[count:] for row_id in made]
        assert not before or not after or max(before) < min(after)


async def test_slower_of_two_transactions_is_not_passed_over(database_url: str, changes: Changes) -> None:
    async def told(last: int) -> list[str]:
        found = await changes.after(last)
        assert found is not None
        return [change.webhook_id[-1] for change in found]

    with contextlib.ExitStack() as stack:
        slow, quick = [stack.enter_context(contextlib.closing(await connect(database_url, 10.0))) for _ in range(2)]
        await slow.run("START TRANSACTION", *note(["0" * 31 + "1"]))
        await quick.run("START TRANSACTION", *note(["0" * 31 + "2"]), "COMMIT")
        assert await changes.number() == 1
        assert await told(0) == ["2"]
        await slow.run("COMMIT")
        assert await changes.number() == 1
        assert await told(0) == ["2", "1"]
        assert await told(1) == ["1"]


async def test_no_transaction_waits_for_another_one_or_for_who_numbers_them(
    database_url: str, changes: Changes, sql: Sql
) -> None:
    sql(note(["0" * 32])[0].decode())
    assert await changes.number() == 1
    with contextlib.ExitStack() as stack:
        numbers, slow, quick = [
            stack.enter_context(contextlib.closing(await connect(database_url, 10.0))) for _ in range(3)
        ]
        await numbers.run("START TRANSACTION", "SELECT place FROM rushes_places WHERE name = 'changes' FOR UPDATE")
        await slow.run("START TRANSACTION", *note(["0" * 31 + "1"]))
        # A wait for a lock is an error after a second.
        await quick.run("START TRANSACTION", *note(["0" * 31 + "2"]), "COMMIT")
        assert await changes.number() == 0
    async with asyncio.timeout(10):
        while not (numbered := await changes.number()):  # the server may not have seen yet that they have gone
            await asyncio.sleep(0.01)
    assert numbered == 1


def test_of_each_webhook_its_last_change_is_told() -> None:
    made = [Change(ChangeId(n, "x"), name) for n, name in enumerate("abcab", start=1)]
    assert [(change.id.number, change.webhook_id) for change in newest_of_each(made)] == [(3, "c"), (4, "a"), (5, "b")]


async def test_ids_before_the_first_change_are_gone_on_from(changes: Changes, sql: Sql) -> None:
    assert await changes.newest() == NONE_YET
    assert await changes.find(NONE_YET)
    sql(note(["0" * 32])[0].decode())
    await changes.number()
    assert await changes.find(NONE_YET)
    newest: Any = await changes.newest()
    assert await changes.find(newest)
