"""What happens while a replay goes on: each webhook is tried once, whatever others do to it and whatever is killed."""

import asyncio
import signal
from pathlib import Path

import aiohttp
import pytest

from app.appkeys import POOL, REPLAYS, WRITER
from app.db.dead_letters import ReceivedWebhooks
from app.db.pool import Pool
from app.db.replays import Replays
from app.db.webhook_list import Filter, WebhookList
from app.upkeep.leader import Leader
from app.upkeep.replays import ReplayRounds
from tests.client import running
from tests.databases import Sql
from tests.processes import serving
from tests.replays import REPLAYS_PATH, begin, ended, results
from tests.rows import TESTER, store
from tests.waiting import until
from tests.webhooks import webhook
from tests.writing import add_jobs, holding, writing


async def test_webhook_that_was_applied_meanwhile_is_left_and_the_result_says_so(database_url: str, sql: Sql) -> None:
    add_jobs(sql, "j1")
    ids = store(sql, *(webhook("j1", "generating", at=f"2026-11-01T00:{n // 60:02}:{n % 60:02}Z") for n in range(60)))
    async with running(database_url, replays_per_second=50) as server:
        body = await begin(server, outcome="dead")
        async with server.post(f"/api/admin/webhooks/{ids[-1]}/replay") as answer:
            assert (await answer.json())["outcome"] == "applied"
        await ended(server, body["id"])
        result = (await results(server, body["id"]))[-1]
    assert (result["webhook_id"], result["before"], result["outcome"], result["changed"]) == (
        ids[-1], "dead", "applied", False,
    )  # fmt: skip
    assert sql("SELECT attempts FROM rushes_webhooks WHERE id = %s", ids[-1]) == ((2,),)


async def test_webhook_that_was_deleted_meanwhile_is_told_as_gone(database_url: str, sql: Sql) -> None:
    add_jobs(sql, "j1")
    one, other = store(sql, webhook("j1", "generating"), webhook("j1", "pending"))
    another = Leader(database_url)
    assert await another.leads()
    async with running(database_url) as server:
        replay = await server.app[REPLAYS].begin("", Filter(("dead",)), TESTER, dry_run=False)
        await server.app[REPLAYS].choose(replay, [one, other], None)
        sql("DELETE FROM rushes_webhooks WHERE id = %s", one)
        another.close()
        found = await ended(server, replay.id)
    assert (found["preview"], found["outcomes"]) == ({"applied": 1, "gone": 1}, {"applied": 1, "gone": 1})


async def test_job_that_another_program_holds_does_not_stop_a_replay(
    sql: Sql, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.upkeep.replays._BUSY_PAUSE", 0.05)
    monkeypatch.setattr("app.upkeep.replays._BUSY_TRIES", 2)
    add_jobs(sql, "held", "later", "free")
    held, _, _ = store(sql, webhook("held", "generating"), webhook("free", "generating"), b"{")
    async with running(database_url, answer_budget=1) as server:
        with holding(database_url, "held"):
            body = await begin(server, outcome="dead")
            assert body["preview"] == {"applied": 1, "busy": 1, "dead": 1}
            found = await ended(server, body["id"])
    assert found["outcomes"] == {"applied": 1, "busy": 1, "dead": 1}
    assert sql("SELECT outcome, attempts FROM rushes_webhooks WHERE id = %s", held) == (("dead", 1),)


async def test_two_processes_that_both_take_themselves_for_the_leader_try_each_once(
    database_url: str, sql: Sql
) -> None:
    jobs = [f"j{n}" for n in range(100)]
    add_jobs(sql, *jobs)
    store(sql, *(webhook(job, "generating") for job in jobs), *(b"%d" % n for n in range(50)))

    class Both(Leader):
        async def leads(self) -> bool:
            return True

    async with running(database_url, parked_poll=10_000) as server, writing(database_url) as harness:
        app = server.app
        pool = app[POOL]
        replay = await app[REPLAYS].begin("", Filter(("dead",)), TESTER, dry_run=False)
        rounds = [
            ReplayRounds(
                Replays(pool), WebhookList(pool), ReceivedWebhooks(pool, "fr"), writer, Both(database_url),
                per_second=100_000,
            )
            for writer in (app[WRITER], harness.writer)
        ]  # fmt: skip
        tasks = [asyncio.create_task(each.run()) for each in rounds]
        found = await ended(server, replay.id)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert found["outcomes"] == {"applied": 100, "dead": 50}
    assert sql("SELECT DISTINCT attempts FROM rushes_webhooks") == ((2,),)
    assert sql("SELECT COUNT(*) FROM rushes_audit WHERE act = 'replay'") == ((150,),)


async def test_webhook_that_one_writer_gets_twice_at_once_of_a_replay_is_tried_and_written_down_once(
    database_url: str, sql: Sql
) -> None:
    add_jobs(sql, "j1")
    found = store(sql, webhook("j1", "generating"), b"1")
    pool = Pool(database_url, 2, 10.0)
    replays, received = Replays(pool), ReceivedWebhooks(pool, "fr")
    async with writing(database_url) as harness:
        replay = await replays.begin("", Filter(("dead",)), TESTER, dry_run=False)
        await replays.choose(replay, found, None)
        webhooks = await replays.rows(found)
        await asyncio.gather(
            *(received.replay_or_busy(each, harness.writer, TESTER, replay.id) for each in (*webhooks, *webhooks))
        )
    pool.close()
    assert sql("SELECT webhook_id, COUNT(*) FROM rushes_audit WHERE act = 'replay' GROUP BY webhook_id") == tuple(
        (webhook_id, 1) for webhook_id in found
    )
    assert sql("SELECT DISTINCT attempts FROM rushes_webhooks") == ((2,),)


def tried(sql: Sql) -> int:
    ((count,),) = sql("SELECT COUNT(*) FROM rushes_replayed WHERE outcome IS NOT NULL")
    return int(count)


@pytest.mark.timeout(180)
async def test_replay_goes_on_after_kills_and_tries_each_webhook_once(
    database_url: str, sql: Sql, tmp_path: Path
) -> None:
    jobs = [f"j{n}" for n in range(300)]
    add_jobs(sql, *jobs)
    store(sql, *(webhook(job, "generating") for job in jobs), *(b"%d" % n for n in range(100)))
    replay_id = ""
    kills = 0
    while True:
        settings = {"DATABASE_URL": database_url, "REPLAYS_PER_SECOND": "400", "DATA_DIR": str(tmp_path / "data")}
        async with serving(tmp_path, **settings) as (process, url, _), aiohttp.ClientSession() as session:
            if not replay_id:
                async with session.post(url + REPLAYS_PATH, json={"outcome": "dead"}) as answer:
                    replay_id = (await answer.json())["id"]
            if kills < 3:
                kills += 1
                so_far = tried(sql)
                while tried(sql) == so_far:
                    await asyncio.sleep(0.01)
                process.send_signal(signal.SIGKILL)
                await process.wait()
                continue
            await until(lambda: sql("SELECT state FROM rushes_replays") == (("done",),), 30)
            async with session.get(f"{url}{REPLAYS_PATH}/{replay_id}") as answer:
                found = await answer.json()
            break
    assert found["outcomes"] == {"applied": 300, "dead": 100}
    assert sql("SELECT DISTINCT attempts FROM rushes_webhooks") == ((2,),)
    assert sql("SELECT COUNT(*) FROM rushes_events") == ((300,),)
