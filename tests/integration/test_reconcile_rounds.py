"""Rounds of reconciliation, one at a time: each job that has stalled is found, and asked for when it is due."""

import pytest

from app import times
from app.db.pool import Pool
from app.upkeep.leader import Leader
from tests.backend import Backend, add_stalled, answer, reconciler
from tests.databases import Sql
from tests.rows import add_heap
from tests.webhooks import webhook
from tests.writing import kinds, writing


async def test_jobs_of_long_ago_are_found_a_page_at_a_time_until_all_are(
    database_url: str,
    sql: Sql,
    backend: Backend,
    pool: Pool,
    leader: Leader,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.db.asked._BY_ID", 1000)
    monkeypatch.setattr("app.db.asked._STRETCH", 500)
    add_heap(sql, 2400)
    known: list[tuple[int]] = []
    async with writing(database_url) as harness:
        for _ in range(4):  # each in another process, as after a change of leader
            async with reconciler(database_url, backend, harness, pool, leader) as made:
                await made._jobs.find()
            known += sql("SELECT COUNT(*) FROM rushes_asked")
    assert known == [(1000,), (2000,), (2400,), (2400,)]


async def test_many_jobs_of_one_time_are_all_found_by_it(
    database_url: str,
    sql: Sql,
    backend: Backend,
    pool: Pool,
    leader: Leader,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.db.asked._BY_ID", 0)
    add_heap(sql, 1000, days=0, minutes=30)
    add_stalled(sql, "later", seconds=700)
    async with writing(database_url) as harness:
        async with reconciler(database_url, backend, harness, pool, leader) as made:
            await made._jobs.find()
    assert sql("SELECT COUNT(*) FROM rushes_asked") == ((1001,),)


@pytest.mark.parametrize("what", ["no index", "an index that may not be used"])
async def test_jobs_are_found_without_an_index_too(
    database_url: str, sql: Sql, backend: Backend, pool: Pool, leader: Leader, what: str
) -> None:
    index = "video_generations_createdAt_idx"
    if what == "no index":
        sql(f"DROP INDEX {index} ON video_generations")
    else:
        mysql = "MariaDB" not in sql("SELECT VERSION()")[0][0]
        sql(f"ALTER TABLE video_generations ALTER INDEX {index} {'INVISIBLE' if mysql else 'IGNORED'}")
    add_stalled(sql, "j1", seconds=700)
    async with writing(database_url) as harness:
        async with reconciler(database_url, backend, harness, pool, leader) as made:
            await made._round()
    assert backend.asked == ["j1"]


async def test_restarted_server_does_not_ask_again_at_once(
    database_url: str, sql: Sql, backend: Backend, pool: Pool, leader: Leader
) -> None:
    backend.jobs["j1"] = answer("j1", "pending")
    add_stalled(sql, "j1", seconds=700)
    async with writing(database_url) as harness:
        for _ in range(3):
            async with reconciler(database_url, backend, harness, pool, leader) as made:
                await made._round()
    assert backend.asked == ["j1"]


async def test_job_that_moved_since_it_was_noted_is_left_alone_until_it_has_stalled_again(
    database_url: str,
    sql: Sql,
    backend: Backend,
    pool: Pool,
    leader: Leader,
) -> None:
    add_stalled(sql, "j1", seconds=700)
    async with writing(database_url) as harness:
        async with reconciler(database_url, backend, harness, pool, leader) as made:
            await made._jobs.find()
            assert kinds(await harness.submit(webhook("j1", "generating"))) == ["applied"]
            await made._round()
            assert backend.asked == []
            ((due_at, moved_at),) = sql("SELECT due_at, moved_at FROM rushes_asked")
            assert due_at == moved_at + 600_000_000
            sql("UPDATE rushes_jobs SET updated_at = updated_at - INTERVAL 700 SECOND")
            sql("UPDATE rushes_asked SET due_at = due_at - 700000000")
            await made._round()
    assert backend.asked == ["j1"]


async def test_job_that_another_program_ended_or_deleted_is_forgotten_unasked(
    database_url: str,
    sql: Sql,
    backend: Backend,
    pool: Pool,
    leader: Leader,
) -> None:
    add_stalled(sql, "ended", "deleted", "spelled", seconds=700)
    async with writing(database_url) as harness:
        async with reconciler(database_url, backend, harness, pool, leader) as made:
            await made._jobs.find()
            sql("UPDATE video_generations SET status = 'FAILED' WHERE id = 'ended'")
            sql("DELETE FROM video_generations WHERE id = 'deleted'")
            sql("UPDATE video_generations SET id = 'SPELLED' WHERE id = 'spelled'")
            await made._round()
    assert backend.asked == ["SPELLED"]
    assert sql("SELECT job_id FROM rushes_asked") == ((b"SPELLED",),)


async def test_clock_that_was_ahead_keeps_nobody_waiting(
    database_url: str, sql: Sql, backend: Backend, pool: Pool, leader: Leader
) -> None:
    ahead = times.now() + 9 * 3600 * 1_000_000
    sql("INSERT INTO rushes_places VALUES ('asked.time', %s)", f'["{times.sql6(ahead)}", "z"]')
    add_stalled(sql, "known", "new", seconds=700)
    sql("INSERT INTO rushes_asked VALUES ('known', 1, 1, %s, 5, 0, NULL)", ahead)
    async with writing(database_url) as harness:
        async with reconciler(database_url, backend, harness, pool, leader) as made:
            await made._round()
            add_stalled(sql, "newer", seconds=600)
            await made._round()
    assert sorted(backend.asked) == ["known", "new", "newer"]


async def test_another_program_s_clock_that_is_ahead_delays_its_jobs_by_no_more_than_that(
    database_url: str,
    sql: Sql,
    backend: Backend,
    pool: Pool,
    leader: Leader,
) -> None:
    add_stalled(sql, "j1", seconds=700)
    sql("UPDATE video_generations SET updatedAt = UTC_TIMESTAMP(3) + INTERVAL 2 HOUR")
    async with writing(database_url) as harness:
        async with reconciler(database_url, backend, harness, pool, leader) as made:
            await made._round()
    ((due_at,),) = sql("SELECT due_at FROM rushes_asked")
    assert due_at <= times.now() + 600_000_000
    assert backend.asked == []


async def test_ids_that_only_bytes_tell_apart_are_each_asked_for(
    database_url: str, sql: Sql, backend: Backend, pool: Pool, leader: Leader
) -> None:

    names = ["é", "日本", "a'b\\", "x" * 191]
    add_stalled(sql, *names, seconds=700)
    backend.jobs = {name: answer(name, "pending") for name in names}
    async with writing(database_url) as harness:
        async with reconciler(database_url, backend, harness, pool, leader) as made:
            for _ in range(2):
                await made._round()
    assert sorted(backend.asked) == sorted(names)
