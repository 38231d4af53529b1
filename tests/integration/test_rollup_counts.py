"""What the rollups count, and in which quarter: ends, purges, wrong clocks, hostile rows, a log that was taken back."""

import random

import pytest

from app import times
from app.db.dead_letters import ReceivedWebhooks
from app.db.dirty import quarter_of_id
from app.db.pool import Pool
from app.db.rollups import Rollups
from app.db.sql import bind
from app.domain.sketch import LONGEST, bin_sql
from app.domain.spans import QUARTER, quarter_of
from app.upkeep.leader import Leader
from app.upkeep.retention import Retention
from tests.counting import bin_of, stored, told
from tests.databases import Sql
from tests.rows import TESTER, store
from tests.webhooks import completion, video, webhook
from tests.world import DAY, HOUR, Clock, late
from tests.writing import add_jobs, writing


async def test_generation_counts_once_where_it_ended_last(
    rollups: Rollups, sql: Sql, database_url: str, clock: Clock
) -> None:
    add_jobs(sql, "j1", "j2", "j3")
    async with writing(database_url) as harness:
        await harness.submit(webhook("j1", "failed"), webhook("j2", "failed"), completion("j3", video("j3/1")))
        began = quarter_of(times.now())
        await rollups.settle()
        assert (stored(sql)[began].finished, stored(sql)[began].failed) == (1, {"other": 2})
        clock.ahead = HOUR
        # One has failed for another reason since, one was completed after all; one has a file more, and no other end.
        await harness.submit(
            webhook("j1", "failed") | {"error": "HTTP 503"},
            completion("j2", video("j2/1")),
            completion("j3", video("j3/2"), at="2025-10-23T14:29:00Z"),
        )
    await rollups.settle()
    found = stored(sql)
    later = found[began + 4]
    assert (found[began].finished, found[began].failed) == (1, {})
    assert (later.finished, later.failed, later.job_times.count) == (1, {"transient": 1}, 1)


async def test_each_end_is_counted_once_however_many_events_and_ends_there_are_in_a_step(
    rollups: Rollups, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.db.rollups._ENDS", 7)
    monkeypatch.setattr("app.db.rollups.EVENTS", 30)
    store(sql, webhook("nobody", "generating"))  # nothing is counted before the oldest that is kept
    # Of 400 events every third of the middle ones is an end: some steps have as many ends as one may, some have none.
    sql(
        "INSERT INTO rushes_events (id, job_id, author_id, event, data, created_at)"
        " SELECT seq, CONCAT('j', seq), 'u1', IF(seq % 3 = 0 AND seq BETWEEN 100 AND 300,"
        " IF(seq % 2, 'completed', 'failed'), 'progress'), '{}', UTC_TIMESTAMP(3) FROM seq_1_to_400"
    )
    sql("UPDATE rushes_counter SET value = 400")
    steps = 0
    while await rollups.follow():
        steps += 1
    assert steps < 25
    await rollups.settle()
    (found,) = stored(sql).values()
    assert (found.finished, found.failed.total()) == (33, 34)
    assert sql("SELECT COUNT(*) FROM rushes_ends") == ((67,),)


async def test_purge_leaves_what_was_counted_and_counts_first_what_was_not(
    pool: Pool, rollups: Rollups, sql: Sql, database_url: str, clock: Clock, leader: Leader
) -> None:
    add_jobs(sql, "j1")
    clock.ahead = -40 * DAY
    async with writing(database_url) as harness:
        await harness.submit(webhook("j1", "generating"), webhook("j1", "failed"), webhook("nobody", "failed"))
    clock.ahead = 0
    assert told(sql) == ()
    assert (await Retention(pool, leader, days=30).purge())["webhooks"] == 3
    before = told(sql)
    ((quarter, rollup),) = stored(sql).items()
    assert (rollup.webhooks, rollup.failed) == ({"applied": 2, "parked": 1}, {"other": 1})
    async with writing(database_url) as harness:
        await harness.submit(webhook("nobody", "failed"))
    sql("INSERT INTO rushes_dirty VALUES (%s, 1)", quarter)
    await rollups.settle()
    assert told(sql)[:1] == before
    assert sql("SELECT COUNT(*) FROM rushes_dirty") == ((0,),)
    assert sql("SELECT COUNT(*) FROM rushes_ends") == ((0,),)


async def test_quarter_that_is_purged_in_part_is_not_counted_again(
    rollups: Rollups, pool: Pool, sql: Sql, database_url: str, clock: Clock, leader: Leader
) -> None:
    start = times.now() // QUARTER * QUARTER
    clock.ahead = start + 2 * DAY + QUARTER // 2 - times.now()
    async with writing(database_url) as harness:
        for minute in (1, 14):
            await harness.writer.submit(late(webhook("x", "failed"), times.now() - start - minute * 60_000_000))
    assert (await Retention(pool, leader, days=2).purge())["webhooks"] == 1
    ((kept,),) = sql("SELECT id FROM rushes_webhooks")
    await ReceivedWebhooks(pool, "fr").discard([kept], TESTER)
    await rollups.settle()
    assert stored(sql)[quarter_of(start)].webhooks == {"parked": 2}


async def test_clock_that_was_a_year_ahead_while_it_purged_does_not_stop_the_counting(
    pool: Pool, rollups: Rollups, sql: Sql, database_url: str, clock: Clock, leader: Leader
) -> None:
    add_jobs(sql, "j1")
    async with writing(database_url) as harness:
        await harness.submit(webhook("j1", "generating"))
        clock.ahead = 365 * DAY
        await Retention(pool, leader, days=30).purge()
        clock.ahead = 0
        await harness.submit(webhook("j1", "downloading"))
    await rollups.settle()
    assert stored(sql)[quarter_of(times.now())].webhooks == {"applied": 1}


async def test_hostile_rows_stop_nobody_and_what_they_tell_is_counted(
    rollups: Rollups, sql: Sql, database_url: str
) -> None:
    add_jobs(sql, "j1", "j2")
    sql("SET SESSION sql_mode = ''")
    sql("UPDATE video_generations SET createdAt = '9999-12-31 23:59:59', completedAt = '2001-01-01' WHERE id = 'j1'")
    (valid,) = store(sql, webhook("j1", "generating"))
    row = (
        "INSERT INTO rushes_webhooks (id, outcome, attempts, duration_ms, received_at, headers, payload)"
        " VALUES (%s, %s, 1, %s, UTC_TIMESTAMP(6), '{}', '')"
    )
    for n, duration in enumerate((-5.0, 0.0, 1e300, -1e300)):
        sql(row, f"{valid[:16]}{n:016x}", "applied", duration)
    sql(row, "not-of-our-making", "applied", 1)
    sql(row, f"{valid[:16]}{9:016x}", "exploded", 1)
    event = (
        "INSERT INTO rushes_events (id, job_id, author_id, event, data, created_at) VALUES (%s, %s, 'u1', %s, %s, %s)"
    )
    now = times.sql(times.now())
    for number, (job_id, name, data, at) in enumerate(
        [
            ("j1", "completed", "{}", now),
            ("j2", "failed", "no json", now),
            ("J2", "failed", '{"failure": {"kind": ["list"]}}', now),
            ("gone", "completed", '{"failure": 7}', now),
            ("x", "failed", '{"failure": {"kind": "\\u0000' + "x" * 100 + '"}}', now),
            ("y", "failed", '{"failure": {"kind": "quota"}}', "0000-00-00"),
            ("z", "failed", '{"failure": {"kind": "quota"}}', "1960-01-01"),
            ("j2", "exploded", "{}", now),
        ],
        start=1,
    ):
        sql(event, number, job_id, name, data, at)
    sql("UPDATE rushes_counter SET value = 8")
    await rollups.settle()
    found = stored(sql)[quarter_of_id(valid) or 0]
    assert found.webhooks == {"dead": 1, "applied": 4}
    assert found.webhook_times.quantiles(1.0) == [pytest.approx(LONGEST, rel=0.02)]
    assert (found.finished, found.failed) == (2, {"other": 3})
    assert found.job_times.quantiles(1.0) == [0.0]


async def test_log_that_was_taken_back_is_followed_from_where_it_is_now(
    rollups: Rollups, sql: Sql, database_url: str
) -> None:
    add_jobs(sql, "j1", "j2")
    async with writing(database_url) as harness:
        await harness.submit(webhook("j1", "generating"), webhook("j1", "failed"))
        await rollups.settle()
        sql("DELETE FROM rushes_events")
        sql("UPDATE rushes_counter SET value = 0, digits_of = NULL")
        await rollups.settle()
        await harness.submit(webhook("j2", "failed"))
    await rollups.settle()
    assert stored(sql)[quarter_of(times.now())].failed == {"other": 2}


async def test_bins_of_the_database_are_those_of_the_program(pool: Pool) -> None:
    chance = random.Random(1)
    values = [-1, 0, 1, 2, 3, LONGEST, *(int(10 ** chance.uniform(0, 13)) for _ in range(2000))]
    table = b" UNION ALL ".join(bind("SELECT %s AS us", value) for value in values)
    async with pool.connection() as connection:
        (rows,) = await connection.run_text(b"SELECT " + bin_sql("us").encode() + b" FROM (" + table + b") v")
    assert [int(place or 0) for (place,) in rows] == [bin_of(value) for value in values]
