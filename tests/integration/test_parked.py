"""Parked webhooks on a real MariaDB: applied when their job appears, whoever inserts it."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from app.db.pool import Pool
from app.settings import Settings
from app.upkeep.leader import Leader
from app.upkeep.parked import Parked
from tests.databases import Rows, Sql
from tests.waiting import until
from tests.webhooks import webhook
from tests.writing import Harness, add_jobs, holding, kinds, writing


class Process:
    """What a server has for it: a writer, a pool, a leader."""

    def __init__(self, url: str, harness: Harness, **options: Any) -> None:
        self.harness = harness
        self.pool = Pool(url, 4, 10.0)
        self.leader = Leader(url)
        self.parked = Parked(self.pool, harness.writer, self.leader, **options)


@contextlib.asynccontextmanager
async def process(url: str, *, run: bool = True, budget: float = 10.0, **options: Any) -> AsyncIterator[Process]:
    async with writing(url, budget=budget) as harness:
        made = Process(url, harness, **({"poll": 0.02, "per_round": 100_000} | options))
        task = asyncio.create_task(made.parked.run()) if run else None
        try:
            yield made
        finally:
            if task:
                task.cancel()
                await asyncio.wait([task])
            made.leader.close()
            made.pool.close()


def outcomes(sql: Sql, job_id: str) -> Rows:
    return sql("SELECT outcome, attempts FROM rushes_webhooks WHERE job_id = %s ORDER BY id", job_id)


async def rounds_have_passed(made: Process, sql: Sql, name: str) -> None:
    """Everything that was there has been looked at: a webhook parked after it has been applied."""
    assert kinds(await made.harness.submit(webhook(name, "generating"))) == ["parked"]
    add_jobs(sql, name)
    await until(lambda: outcomes(sql, name) == (("applied", 2),))


async def test_webhooks_are_applied_in_order_when_another_program_inserts_their_job(
    database_url: str, sql: Sql
) -> None:
    async with process(database_url) as made:
        sent = [webhook("late", status) for status in ("processing", "generating", "downloading")]
        for body in sent:
            assert kinds(await made.harness.submit(body)) == ["parked"]
        add_jobs(sql, "late")
        await until(lambda: len(made.harness.events) == 3)
        assert outcomes(sql, "late") == (("applied", 2),) * 3
        assert sql("SELECT progress FROM video_generations") == ((75,),)
        assert [orjson.loads(e.data)["progress"] for e in made.harness.events] == [25, 50, 75]


async def test_registration_can_apply_them_before_it_answers(database_url: str, sql: Sql) -> None:
    async with process(database_url, run=False) as made:
        await made.harness.submit(webhook("late", "processing"), webhook("late", "generating"), webhook("no", "failed"))
        add_jobs(sql, "late")
        assert await made.parked.apply_for("late") == 2
        assert sql("SELECT progress FROM video_generations") == ((50,),)
        assert await made.parked.apply_for("late") == 0
        assert outcomes(sql, "no") == (("parked", 1),)


async def test_more_webhooks_of_one_job_than_are_read_at_once_are_all_applied(database_url: str, sql: Sql) -> None:
    async with process(database_url, run=False) as made:
        await made.harness.submit(*(webhook("late", "generating") for _ in range(120)))
        add_jobs(sql, "late")
        assert await made.parked.apply_for("late") == 120


async def test_job_of_another_spelling_gets_no_webhook_of_this_one(database_url: str, sql: Sql) -> None:
    async with process(database_url) as made:
        await made.harness.submit(webhook("late", "generating"), webhook("late ", "generating"))
        add_jobs(sql, "LATE")
        await rounds_have_passed(made, sql, "other")
        assert await made.parked.apply_for("LATE") == 0
        sql("UPDATE video_generations SET id = 'late ' WHERE id = 'LATE'")
        assert await made.parked.apply_for("late ") <= 1  # or the round was faster
        await rounds_have_passed(made, sql, "another")
        found = sql("SELECT CONCAT(job_id, '|'), outcome, attempts FROM rushes_webhooks WHERE job_id = 'late'")
        assert sorted(found) == [("late |", "applied", 2), ("late|", "parked", 1)]


@pytest.mark.parametrize("spelled", ["tb1 ", "TB1", "t\u00e81"])
async def test_webhook_of_another_spelling_that_came_first_hides_no_job(
    database_url: str, sql: Sql, spelled: str
) -> None:
    async with process(database_url) as made:
        for name in (spelled, "tb1", "te1"):
            assert kinds(await made.harness.submit(webhook(name, "generating"))) == ["parked"]
        add_jobs(sql, "tb1", "te1")
        await until(lambda: sql("SELECT SUM(progress) FROM video_generations") == ((100,),))


async def test_webhook_whose_job_never_comes_is_not_tried_again_and_again(database_url: str, sql: Sql) -> None:
    async with process(database_url) as made:
        await made.harness.submit(webhook("never", "generating"))
        for n in range(5):
            await rounds_have_passed(made, sql, f"other{n}")
        assert outcomes(sql, "never") == (("parked", 1),)


async def test_two_processes_at_once_apply_each_webhook_once(database_url: str, sql: Sql) -> None:
    async with process(database_url, run=False) as one, process(database_url, run=False) as two:
        for n in range(20):
            await one.harness.submit(webhook(f"j{n}", "processing"), webhook(f"j{n}", "generating"))
            add_jobs(sql, f"j{n}")
            counts = await asyncio.gather(one.parked.apply_for(f"j{n}"), two.parked.apply_for(f"j{n}"))
            assert sum(counts) == 2
    assert sql("SELECT outcome, COUNT(*) FROM rushes_webhooks GROUP BY outcome") == (("applied", 40),)
    assert sql("SELECT COUNT(*) FROM rushes_events") == ((40,),)


async def test_job_that_another_program_holds_does_not_hold_up_the_others(database_url: str, sql: Sql) -> None:
    async with process(database_url, budget=0.5) as made:
        await made.harness.submit(webhook("held", "generating"), webhook("free", "generating"))
        sql("INSERT INTO video_generations (id, prompt, authorId, updatedAt) VALUES ('held', 'p', 'u1', NOW(3))")
        with holding(database_url, "held"):
            add_jobs(sql, "free")
            await until(lambda: outcomes(sql, "free") == (("applied", 2),))
            assert outcomes(sql, "held") == (("parked", 1),)


async def test_lost_connections_are_survived(database_url: str, sql: Sql) -> None:
    async with process(database_url) as made:
        await rounds_have_passed(made, sql, "before")
        await made.harness.submit(webhook("late", "generating"))
        mine = sql("SELECT CONNECTION_ID()")[0][0]
        for (number,) in sql("SELECT id FROM information_schema.PROCESSLIST WHERE db = DATABASE() AND id <> %s", mine):
            with contextlib.suppress(Exception):
                sql(f"KILL {number}")
        add_jobs(sql, "late")
        await until(lambda: outcomes(sql, "late") == (("applied", 2),))


# `make chaos` sets RUSHES_CHAOS.
CHAOS = bool(os.environ.get("RUSHES_CHAOS"))
MANY = 100_000 if CHAOS else 10_000

# MySQL 9 has no MD5().
DIGEST = "LEFT(SHA2(seq, 256), 32)"


@pytest.fixture
def very_many(sql: Sql, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parked webhooks of as many jobs that nobody knows, received one after the other: ten pages of them."""
    monkeypatch.setattr("app.upkeep.parked._PAGE", MANY // 10)
    sql(
        "INSERT INTO rushes_webhooks (id, dedup_key, job_id, status, version, outcome, attempts, duration_ms,"
        f" received_at, headers, payload) SELECT LPAD(HEX(seq), 32, '0'), {DIGEST}, CONCAT('never-', {DIGEST}),"
        " 'generating', 'v1', 'parked', 1, 1, NOW(6), '{}',"
        f' CONCAT(\'{{"job_id":"never-\', {DIGEST}, \'","status":"generating","content_type":"video"}}\')'
        f" FROM seq_1_to_{MANY}"
    )


async def test_among_very_many_parked_webhooks_the_oldest_and_the_newest_are_applied_within_5_seconds(
    database_url: str, sql: Sql, very_many: None
) -> None:
    """As a server looks for them: with its own pause, in a table of jobs that is not small either."""
    sql(
        "INSERT INTO video_generations (id, prompt, authorId, updatedAt)"
        f" SELECT CONCAT('other-', {DIGEST}), 'p', 'u1', NOW(3) FROM seq_1_to_{MANY // 2}"
    )
    names = [row[0] for row in sql("SELECT job_id FROM rushes_webhooks WHERE id IN (LPAD('1', 32, '0'))")]
    settings = Settings(_env_file=None)
    async with process(database_url, poll=settings.parked_poll, per_round=settings.parked_per_round) as made:
        await made.harness.submit(webhook("new", "generating"))
        await asyncio.sleep(settings.parked_poll / 2)  # somewhere between two rounds
        began = time.monotonic()
        add_jobs(sql, "new", *names)
        await until(lambda: outcomes(sql, "new") == outcomes(sql, names[0]) == (("applied", 2),))
        assert time.monotonic() - began < 5.0
    assert sql("SELECT SUM(attempts) FROM rushes_webhooks") == ((MANY + 3,),)


async def test_round_over_very_many_parked_webhooks_is_short_and_reads_no_bodies(
    database_url: str, sql: Sql, very_many: None
) -> None:
    async with process(database_url, run=False) as made:
        took = []
        for _ in range(4):
            began = time.monotonic()
            await made.parked._round()
            took.append(time.monotonic() - began)
        assert min(took) < (1.0 if CHAOS else 0.3)
    plan = sql(
        "EXPLAIN FORMAT=TRADITIONAL SELECT job_id FROM rushes_webhooks FORCE INDEX (rushes_webhooks_outcome)"
        " WHERE outcome = 'parked' AND id > '' AND id <= 'g'"
    )
    assert "Using index" in plan[0][-1]
    assert "condition" not in plan[0][-1]


async def test_more_parked_webhooks_than_one_round_takes_have_their_turn_one_after_the_other(
    database_url: str, sql: Sql, very_many: None
) -> None:
    (name,) = sql("SELECT job_id FROM rushes_webhooks WHERE id = LPAD(HEX(%s), 32, '0')", MANY * 45 // 100)[0]
    async with process(database_url, run=False, per_round=MANY // 5) as made:
        add_jobs(sql, name)
        for _ in range(2):
            await made.parked._round()
        assert not made.parked._applying
        await made.parked._round()
        await until(lambda: outcomes(sql, name) == (("applied", 2),))


@pytest.mark.parametrize("collation", ["utf8mb4_general_ci", "utf8mb4_bin", "latin1_swedish_ci"])
async def test_site_with_another_collation_is_looked_through_as_fast_and_as_exactly(
    database_url: str, sql: Sql, collation: str
) -> None:
    charset = collation.split("_", maxsplit=1)[0]
    sql("ALTER TABLE video_files DROP FOREIGN KEY video_files_generationId_fkey")
    for table, column in (("video_generations", "id"), ("video_files", "generationId")):
        sql(f"ALTER TABLE {table} MODIFY {column} VARCHAR(191) CHARACTER SET {charset} COLLATE {collation} NOT NULL")
    async with process(database_url) as made:
        await made.harness.submit(webhook("late", "generating"), webhook("Other", "generating"))
        add_jobs(sql, "late", "OTHER")
        await until(lambda: outcomes(sql, "late") == (("applied", 2),))
        assert outcomes(sql, "Other") == (("parked", 1),)


async def test_one_process_leads_and_another_follows_when_it_is_gone(database_url: str, sql: Sql) -> None:
    one, two = Leader(database_url), Leader(database_url)
    assert [await one.leads(), await two.leads(), await one.leads()] == [True, False, True]
    (holder,) = sql("SELECT IS_USED_LOCK(%s)", one._name)[0]
    sql(f"KILL {holder}")
    await until(lambda: sql("SELECT IS_USED_LOCK(%s)", one._name) == ((None,),))
    assert await two.leads()
    assert not await one.leads()
    two.close()
    await until(lambda: sql("SELECT IS_USED_LOCK(%s)", one._name) == ((None,),))
    assert await one.leads()
    one.close()
    assert len(one._name) <= 64


async def test_step_that_fails_is_tried_again(database_url: str) -> None:
    leader, tried, done = Leader(database_url), [], asyncio.Event()

    async def step() -> None:
        tried.append(1)
        if len(tried) < 3:
            raise ValueError("not foreseen")
        done.set()

    task = asyncio.create_task(leader.repeat("a test", step, 0.01))
    async with asyncio.timeout(10):
        await done.wait()
    task.cancel()
    await asyncio.wait([task])
    leader.close()
