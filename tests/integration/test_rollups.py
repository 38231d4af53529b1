"""Rollups on a real MariaDB: whoever counts and is killed, they say what a full count says, and cost little."""

import asyncio
import random
import signal
import sys
from typing import Any

import pymysql
import pytest

from app import times
from app.db.connection import Connection
from app.db.dirty import first_id, mark, quarter_of_id, quarters_of
from app.db.pool import Pool
from app.db.rollup_check import RollupCheck
from app.db.rollups import Rollups, count
from app.db.rollups import store as store_rollup
from app.db.url import parameters
from app.domain.spans import QUARTER, quarter_of
from app.upkeep.leader import Leader
from app.upkeep.rollups import RollupRounds
from tests.counting import Counting, differences, stored, told
from tests.databases import Sql, status
from tests.processes import ROOT, environment
from tests.rows import add_events, add_webhooks, store
from tests.waiting import until
from tests.webhooks import completion, video, webhook
from tests.world import HOUR, Clock, World, late, learn_jobs
from tests.writing import add_jobs, writing


@pytest.mark.parametrize("seed", range(4))
async def test_rollups_say_what_a_full_count_says_whatever_happened_in_any_order(
    seed: int, pool: Pool, sql: Sql, database_url: str, clock: Clock, leader: Leader
) -> None:
    async with writing(database_url) as harness:
        world = World(seed, pool, harness, sql, clock, leader)
        await world.make_job()
        for _ in range(150):
            await world.step()
        await world.rollups.settle()
        assert differences(sql, world.counting) == {}
        before, check = told(sql), RollupCheck(pool)
        assert ([found async for found in check.differences()], await check.untold()) == ([], 0)
        await check.rebuild()
        assert told(sql) == before
        outcomes = {outcome for (outcome,) in sql("SELECT DISTINCT outcome FROM rushes_webhooks")}
        assert len(outcomes) >= 4
        assert len(told(sql)) > 5


_KILLED = """
import asyncio, sys
from app.db.pool import Pool
from app.db.rollup_check import RollupCheck
from app.db.rollups import Rollups, count
from app.db.rollups import store as store_rollup

async def main():
    rollups = Rollups(Pool(sys.argv[1], 1, 10.0))
    print("ready", flush=True)
    while True:
        await rollups.settle()

asyncio.run(main())
"""


async def test_process_that_counts_is_killed_again_and_again_and_nothing_is_counted_wrongly(
    rollups: Rollups, sql: Sql, database_url: str
) -> None:
    chance = random.Random(1)
    counting = Counting()
    add_jobs(sql, *(f"j{n}" for n in range(30)))
    learn_jobs(sql, counting)
    async with writing(database_url) as harness:
        for _ in range(5):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", _KILLED, database_url, cwd=ROOT, env=environment(), stdout=asyncio.subprocess.PIPE
            )
            assert process.stdout is not None
            await process.stdout.readline()
            for n in range(chance.randint(5, 20)):
                name = f"j{chance.randrange(40)}"
                await harness.submit(webhook(name, "generating"), completion(name, video(f"{name}/{n}")))
            process.send_signal(signal.SIGKILL)
            await process.wait()
    assert sql("SELECT COUNT(*) FROM rushes_rollups") != ((0,),)
    await rollups.settle()
    assert differences(sql, counting) == {}


async def test_several_that_count_at_once_do_not_undo_what_the_other_counted(
    pool: Pool, sql: Sql, database_url: str
) -> None:
    counting = Counting()
    add_jobs(sql, *(f"j{n}" for n in range(20)))
    learn_jobs(sql, counting)

    async def count() -> None:
        other = Rollups(pool)
        while True:
            await other.settle()
            await asyncio.sleep(0)

    async with writing(database_url) as harness:
        counters = [asyncio.create_task(count()) for _ in range(3)]
        for n in range(60):
            name = f"j{n % 25}"
            await harness.submit(webhook(name, "generating"), webhook(name, "failed"), webhook(f"x{n}", "failed"))
        for task in counters:
            task.cancel()
        await asyncio.wait(counters)
    await Rollups(pool).settle()
    assert differences(sql, counting) == {}


async def test_who_counted_before_does_not_store_it_after_who_counted_later(
    pool: Pool, rollups: Rollups, sql: Sql, database_url: str
) -> None:
    add_jobs(sql, "j1")
    async with writing(database_url) as harness:
        await harness.submit(webhook("j1", "generating"))
        quarter = quarter_of(times.now())
        async with rollups.holding() as (connection, _):
            counted = await count(connection, quarter)
            await harness.submit(webhook("j1", "downloading"))
            other = asyncio.create_task(Rollups(pool).settle())
            await until(lambda: other.done() or status(sql, "Innodb_row_lock_current_waits") > 0)
            await connection.run(store_rollup(quarter, counted))
        await other
    assert stored(sql)[quarter].webhooks == {"applied": 2}


class KilledError(Exception):
    pass


@pytest.mark.parametrize("sent", [False, True])
async def test_process_that_is_killed_at_any_of_its_statements_leaves_nothing_uncounted(
    sent: bool, pool: Pool, sql: Sql, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, one, other = 0, Connection.run, Connection.run_text

    def killed(original: Any) -> Any:
        async def step(connection: Connection, *statements: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            result = await original(connection, *statements, **kwargs) if sent or left else None
            if left == 0:
                connection.close()
                raise KilledError
            return result

        return step

    counting = Counting()
    finished, at = False, 0
    async with writing(database_url) as harness:
        while not finished:
            at += 1
            sql("UPDATE rushes_places SET place = JSON_SET(place, '$.walk', 0)")
            names = f"completed-{at}", f"failed-{at}"
            add_jobs(sql, *names)
            learn_jobs(sql, counting)
            parked, failed = webhook("x", "failed"), webhook(names[1], "failed")
            await harness.submit(completion(names[0], video(names[0])), failed, parked)
            with monkeypatch.context() as patch:
                left = at
                patch.setattr(Connection, "run", killed(one))
                patch.setattr(Connection, "run_text", killed(other))
                try:
                    await Rollups(pool).settle()
                    finished = True
                except KilledError:
                    pass
            await Rollups(pool).settle()
            assert differences(sql, counting) == {}, at
    assert at > 12


async def test_transaction_that_commits_after_its_quarter_was_counted_is_counted_all_the_same(
    rollups: Rollups, sql: Sql, database_url: str
) -> None:
    (first,) = store(sql, webhook("j1", "generating"))
    sql("DELETE FROM rushes_webhooks")
    arguments = parameters(database_url)
    slow = pymysql.connect(unix_socket=arguments["unix_socket"], user="root", database=arguments["db"])
    with slow.cursor() as cursor:
        cursor.execute(
            "INSERT INTO rushes_webhooks (id, outcome, attempts, duration_ms, received_at, headers, payload)"
            " VALUES (%s, 'stale', 1, 2, UTC_TIMESTAMP(6), '{}', '')",
            (first,),
        )
        for statement in mark(quarters_of([first])):
            cursor.execute(statement.decode())
        store(sql, webhook("j2", "generating"))
        sql("INSERT INTO rushes_dirty VALUES (%s, 1)", quarter_of_id(first))
        await rollups.settle()
        assert stored(sql)[quarter_of_id(first) or 0].webhooks == {"dead": 1}
        slow.commit()
    slow.close()
    await rollups.settle()
    assert stored(sql)[quarter_of_id(first) or 0].webhooks == {"dead": 1, "stale": 1}


async def test_what_is_applied_at_once_costs_its_transaction_no_statement_more(
    rollups: Rollups, sql: Sql, database_url: str
) -> None:
    add_jobs(sql, "j1")
    body = webhook("j1", "generating")
    async with writing(database_url) as harness:
        await harness.submit(body)
        assert sql("SELECT COUNT(*) FROM rushes_dirty") == ((0,),)
        # A duplicate has no event.
        await harness.submit(body)
        assert sql("SELECT COUNT(*) FROM rushes_dirty") == ((1,),)
        # Neither does an event tell of a webhook that was received long ago.
        await harness.writer.submit(late(webhook("j1", "downloading"), HOUR))
        assert sql("SELECT COUNT(*) FROM rushes_dirty") == ((2,),)
    await rollups.settle()
    assert sorted(rollup.webhooks.total() for rollup in stored(sql).values()) == [1, 2]


async def test_quarter_is_counted_from_the_index_by_as_many_rows_as_it_has(
    rollups: Rollups, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = times.now() // QUARTER * QUARTER - 100 * QUARTER
    for n in range(100):
        sql(
            "INSERT INTO rushes_webhooks (id, outcome, attempts, duration_ms, received_at, headers, payload)"
            " SELECT CONCAT(%s, LPAD(HEX(seq), 18, '0')), ELT(1 + seq %% 3, 'applied', 'stale', 'dead'), 1, seq,"
            " UTC_TIMESTAMP(6), '{}', REPEAT('x', 500) FROM seq_1_to_200",
            first_id(quarter_of(start) + n),
        )
    add_events(sql, 20_000, 0)
    sql("UPDATE rushes_places SET place = '{}'")
    await rollups.settle()
    sql("INSERT INTO rushes_dirty VALUES (%s, 1)", quarter_of(start) + 50)
    names = ("Handler_read_next", "Handler_read_rnd_next", "Handler_read_first", "Handler_read_key")
    before = [status(sql, name) for name in names]
    looked = [status(sql, name) - b for name, b in zip(names, before, strict=True)]  # what looking at it costs
    before = [status(sql, name) for name in names]
    await rollups.settle()
    read = sum(status(sql, name) - b for name, b in zip(names, before, strict=True)) - sum(looked)
    # The rows, once more where they are put into bins, and the few of all else.
    assert 200 <= read < 1500
    ids_of_it = first_id(quarter_of(start) + 50), first_id(quarter_of(start) + 51)
    explained = sql(
        "EXPLAIN SELECT outcome, duration_ms FROM rushes_webhooks FORCE INDEX (rushes_webhooks_outcome)"
        " WHERE outcome IN ('applied', 'stale', 'dead') AND id >= %s AND id < %s",
        *ids_of_it,
    )
    said = str(explained).lower()
    assert "using index" in said or "covering index range" in said  # MariaDB's words, MySQL's
    assert "range" in said


async def test_round_that_waited_long_holds_the_next_one_back_no_longer_than_the_bound(
    pool: Pool, leader: Leader, sql: Sql, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.upkeep.rollups._SHARE", 1_000_000)  # as if the first one had taken hours
    monkeypatch.setattr("app.upkeep.rollups._REST_MAX", 0.1)
    rounds = RollupRounds(pool, leader, every=0.02)
    await rounds._round()
    task = asyncio.create_task(rounds.run())
    async with writing(database_url) as harness:
        await harness.submit(webhook("j1", "generating"))
    await until(lambda: [r.webhooks["parked"] for r in stored(sql).values()] == [1])
    task.cancel()
    await asyncio.wait([task])


async def test_server_counts_by_itself_what_was_there_before_it_and_what_comes(
    pool: Pool, leader: Leader, sql: Sql, database_url: str
) -> None:
    add_webhooks(sql, 30, 0)
    store(sql, *(webhook(f"j{n}", "generating") for n in range(5)))
    task = asyncio.create_task(RollupRounds(pool, leader, every=0.02).run())
    await until(lambda: {r.webhooks.total() for r in stored(sql).values()} == {30, 5})
    async with writing(database_url) as harness:
        await harness.submit(webhook("j1", "generating"))
    await until(lambda: stored(sql)[quarter_of(times.now())].webhooks["parked"] == 1)
    task.cancel()
    await asyncio.wait([task])
