"""Upkeep costs what is due, and not what lies there: the rows that the database reads are counted."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from app import times
from app.db import health
from app.db.connection import Connection, Statement, connect
from app.db.log import Log
from app.db.pool import Pool
from app.db.samples import Samples
from app.db.writer import set_aside
from app.domain.estimate import Estimates, Kind
from app.lifecycle import storage_of
from app.main import _hub
from app.push.follower import Follower
from app.push.traces import Traces
from app.settings import Settings
from app.upkeep.leader import Leader
from app.upkeep.parked import Parked
from app.upkeep.retention import Retention
from tests.backend import Backend, add_stalled, answer, reconciler
from tests.databases import Sql
from tests.rows import add_events, add_heap, add_webhooks
from tests.servers import is_mysql
from tests.webhooks import webhook
from tests.writing import add_jobs, delivery, kinds, writing

# `make chaos` sets RUSHES_CHAOS, and runs this file too.
CHAOS = bool(os.environ.get("RUSHES_CHAOS"))
MANY = 200_000 if CHAOS else 20_000
pytestmark = pytest.mark.timeout(900 if CHAOS else 120)

# So many rows are read in less than 10 ms.
AT_ONCE = 500

# Rows more than before are within this of none: an index is entered at another page.
FEW = 60


async def nothing() -> None:
    pass


class Knowing(dict[str, Any]):
    """A backend's jobs: each is as it was."""

    def get(self, job_id: str, _default: object = None) -> dict[str, Any]:
        return answer(job_id, "pending")


class Counting:
    """Counts the rows that the database reads, for whomever: nobody else uses it meanwhile."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    async def cost(self, step: Callable[[], Awaitable[object]]) -> int:
        """The rows read for it. It is done once before: the first time may ask for what never changes."""
        await step()
        return await self._of(step) - await self._of(nothing)

    async def _of(self, step: Callable[[], Awaitable[object]]) -> int:
        before = self._read()
        await step()
        return self._read() - before

    def _read(self) -> int:
        return sum(int(value) for _, value in self._sql(r"SHOW GLOBAL STATUS LIKE 'Handler\_read\_%'"))


@pytest.fixture
def counting(sql: Sql) -> Counting:
    return Counting(sql)


@pytest.fixture
def largest(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """The number of rows in each answer that came through the loop."""
    sizes: list[int] = []
    for name in ("run", "run_text"):
        original = getattr(Connection, name)

        async def counted(
            self: Connection, *statements: Statement, _original: Any = original, **options: Any
        ) -> list[Any]:
            results: list[Any] = await _original(self, *statements, **options)
            sizes.extend(map(len, results))
            return results

        monkeypatch.setattr(Connection, name, counted)
    return lambda: max(sizes)


@pytest.mark.parametrize("kind", ["never asked for", "asked for lately", "finished"])
async def test_round_of_reconciliation_costs_the_same_whatever_lies_there(
    database_url: str,
    sql: Sql,
    backend: Backend,
    counting: Counting,
    largest: Callable[[], int],
    pool: Pool,
    leader: Leader,
    kind: str,
) -> None:
    def add(start: int) -> None:
        add_heap(sql, MANY, start, status="COMPLETED" if kind == "finished" else "PENDING")
        if kind == "asked for lately":
            sql("INSERT IGNORE INTO rushes_asked SELECT id, 1, 1, %s, 1, 0, NULL FROM video_generations",
                times.now() + 3_600_000_000)  # fmt: skip

    backend.jobs = Knowing()
    async with writing(database_url) as harness:
        async with reconciler(database_url, backend, harness, pool, leader) as made:
            costs = [await counting.cost(made._round)]
            for start in (1, MANY + 1):
                add(start)
                costs.append(await counting.cost(made._round))
    # Some rows are looked at each time, to find what other programs made; so many, and not one more.
    assert costs[2] < costs[1] + 1000, costs
    assert costs[1] < (20_000 if is_mysql() else 12_000), costs
    assert largest() <= AT_ONCE


async def test_job_that_has_just_stalled_does_not_wait_behind_those_of_long_ago_nor_they_behind_it(
    database_url: str,
    sql: Sql,
    backend: Backend,
    pool: Pool,
    leader: Leader,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add_heap(sql, MANY)
    add_stalled(sql, *(f"new{n:03}" for n in range(150)), seconds=700)
    add_stalled(sql, "newest", seconds=601)
    turns: list[str] = []  # in which they are asked for; some ask at once, and which is heard first is chance
    async with writing(database_url) as harness:
        async with reconciler(database_url, backend, harness, pool, leader) as made:
            status = made._generator.status

            async def noted(job_id: str) -> Any:
                turns.append(job_id)
                return await status(job_id)

            monkeypatch.setattr(made._generator, "status", noted)
            await made._round()
    assert sorted(turns) == sorted(backend.asked)
    assert "newest" in turns[:4]
    assert sum(name.startswith("new") for name in backend.asked) == 50
    assert sum(name.startswith("heap") for name in backend.asked) == 50


async def test_look_for_parked_webhooks_costs_the_same_whatever_lies_there(
    database_url: str, sql: Sql, counting: Counting, pool: Pool, leader: Leader
) -> None:
    async with writing(database_url) as harness:
        parked = Parked(pool, harness.writer, leader, poll=1.0, per_round=100_000)
        assert kinds(await harness.submit(webhook("nobody", "generating"))) == ["parked"]
        before = await counting.cost(parked._round)
        add_webhooks(sql, MANY, 1)
        add_heap(sql, MANY)
        assert await counting.cost(parked._round) < before + FEW


async def test_parked_webhooks_of_many_jobs_that_appear_at_once_are_looked_for_a_page_at_a_time(
    database_url: str, sql: Sql, largest: Callable[[], int], pool: Pool, leader: Leader
) -> None:
    async with writing(database_url) as harness:
        parked = Parked(pool, harness.writer, leader, poll=0.05, per_round=100_000)
        names = [f"j{n:04}" for n in range(700)]
        assert set(kinds(await harness.submit(*(webhook(name, "generating") for name in names)))) == {"parked"}
        add_jobs(sql, *names)
        async with asyncio.timeout(60):
            while sql("SELECT 1 FROM rushes_webhooks WHERE outcome = 'parked' LIMIT 1"):
                await parked._round()
    assert largest() <= AT_ONCE


async def test_retention_costs_the_same_whatever_is_young(
    sql: Sql, counting: Counting, largest: Callable[[], int], pool: Pool, leader: Leader
) -> None:
    retention = Retention(pool, leader, days=30)
    costs = [await counting.cost(retention._purge_and_tell)]
    for start in (1, MANY + 1):
        add_webhooks(sql, MANY, 1, start=start)
        add_events(sql, MANY, 1, start=start)
        add_heap(sql, MANY, start)
        sql(
            "INSERT INTO rushes_jobs (job_id, status, has_files, at, stage, tie, updated_at, created_at)"
            " SELECT id, 'pending', 0, 1, 0, '', createdAt, createdAt"
            " FROM video_generations WHERE id >= %s",
            f"heap{start:07}",
        )
        sql(
            "INSERT INTO rushes_requests (user_id, idempotency_key, job_id, created_at)"
            f" SELECT CONCAT('u', seq MOD 7), CONCAT('k', seq), 'j1', UTC_TIMESTAMP(3)"
            f" FROM seq_{start}_to_{start + MANY - 1}"
        )
        costs.append(await counting.cost(retention._purge_and_tell))
    # Some keys of jobs are looked at each time; so many, and not one more.
    assert costs[2] < costs[1] + 1000, costs
    assert costs[1] < 12_000, costs
    assert largest() <= AT_ONCE


async def test_start_of_the_follower_costs_what_its_ring_holds(
    sql: Sql, counting: Counting, largest: Callable[[], int], pool: Pool
) -> None:
    settings = Settings(_env_file=None)
    hub = _hub(settings, storage_of(settings), Traces(0))
    follower = Follower(Log(pool), hub, poll=1.0, poll_with_bus=1.0, ring_size=1000, ring_max_bytes=64 << 20)
    add_events(sql, 1000, 1)
    before = await counting.cost(follower.start)
    add_events(sql, MANY, 1, start=1001)
    assert await counting.cost(follower.start) < before + FEW
    assert largest() <= AT_ONCE


async def test_estimate_at_the_start_costs_the_same_whatever_lies_there(
    sql: Sql, counting: Counting, pool: Pool
) -> None:
    samples = Samples(pool, estimates := Estimates())
    add_heap(sql, 3000, status="COMPLETED")
    add_events(sql, 3000, 1)
    sql("UPDATE rushes_events SET event = 'completed', job_id = CONCAT('heap', LPAD(id, 7, '0'))")
    before = await counting.cost(samples.begin)
    assert before < 10_000
    assert estimates.of(Kind("veo-2.0-generate-001", 8, 1), "pending", 0).seconds is not None
    add_heap(sql, MANY, 3001, status="COMPLETED")
    add_events(sql, MANY, 1, start=3001)
    sql("UPDATE rushes_events SET event = 'completed', job_id = CONCAT('heap', LPAD(id, 7, '0'))")
    assert await counting.cost(samples.begin) < before + FEW


async def test_look_whether_the_database_is_well_costs_the_same_whatever_lies_there(
    database_url: str, sql: Sql, counting: Counting, pool: Pool
) -> None:
    async def look() -> None:
        await health.examine(database_url, 10.0)
        await Log(pool).head()
        await set_aside.count(pool)

    before = await counting.cost(look)
    add_webhooks(sql, MANY, 1, "dead")
    add_events(sql, MANY, 1)
    add_heap(sql, MANY)
    assert await counting.cost(look) < before + FEW


async def test_webhook_from_the_spool_costs_the_same_whatever_lies_there(
    database_url: str, sql: Sql, counting: Counting
) -> None:
    async with writing(database_url) as harness:
        numbers = iter(range(1000))

        async def drain() -> None:
            """As the drainer hands it on: it may be there already."""
            sent = delivery(webhook("j1", "generating", at=times.rfc3339(times.now()), data={"n": next(numbers)}))
            sent.redelivered = True
            assert (await harness.writer.submit(sent)).kind == "applied"

        add_stalled(sql, "j1")
        before = await counting.cost(drain)
        add_webhooks(sql, MANY, 1)
        add_events(sql, MANY, 1, start=100)
        add_heap(sql, MANY)
        assert await counting.cost(drain) < before + FEW


async def test_look_after_what_is_set_aside_costs_the_same_whatever_lies_there(
    database_url: str, sql: Sql, counting: Counting
) -> None:
    connection = await connect(database_url, 10.0)
    sql("INSERT INTO rushes_set_aside VALUES (%s, %s, NULL, UTC_TIMESTAMP(6))", "a" * 32, "b" * 32)

    async def look() -> None:
        await set_aside.changes(connection, ["b" * 32])

    before = await counting.cost(look)
    add_webhooks(sql, MANY, 1, "dead")
    sql(
        "INSERT INTO rushes_set_aside SELECT LPAD(HEX(seq), 32, '0'), LPAD(HEX(seq), 32, '0'), NULL, UTC_TIMESTAMP(6)"
        f" FROM seq_1_to_{MANY}"
    )
    assert await counting.cost(look) < before + FEW
    connection.close()
