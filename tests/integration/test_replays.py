"""Replays of many: what each would do is told first; what is ordered is done once, as fast as it may, or aborted."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app import times
from app.appkeys import LEADER, POOL, REPLAYS
from app.db.replays import RUNNING_MAX
from app.db.webhook_list import Filter
from app.upkeep.leader import Leader
from app.upkeep.retention import Retention
from tests.client import Client, running
from tests.databases import Sql
from tests.dead_letters import TABLES, everything
from tests.replays import REPLAYS_PATH, begin, ended, results
from tests.rows import TESTER, store
from tests.waiting import until
from tests.webhooks import completion, video, webhook
from tests.writing import add_jobs


@pytest.fixture
async def server(database_url: str) -> AsyncIterator[Client]:
    async with running(database_url, replays_per_second=100_000, parked_poll=10_000) as made:
        yield made


def mixed(sql: Sql) -> list[str]:
    """Dead letters: 120 of jobs that are there, one of none, one of nonsense, one that a job has passed."""
    jobs = [f"j{n}" for n in range(40)]
    add_jobs(sql, *jobs)
    statuses = ("pending", "processing", "generating")
    return store(
        sql, *(webhook(job, status) for job in jobs for status in statuses), webhook("nowhere", "pending"), b"{",
        webhook("j1", "processing", at="2025-10-23T07:00:00Z"),
    )  # fmt: skip


async def test_dry_run_tells_what_each_would_become_and_does_nothing(server: Client, sql: Sql) -> None:
    ids = mixed(sql)
    before = everything(sql)
    body = await begin(server, outcome="dead", dry_run=True)
    assert (body["total"], body["previewed"], body["done"], body["outcomes"]) == (123, 123, 0, {})
    # Each fifty as if they came together: the one that its job has passed is not among those that pass it.
    assert body["preview"] == {"applied": 121, "dead": 1, "parked": 1}
    assert (await ended(server, body["id"]))["state"] == "done"
    assert everything(sql) == before
    found = await results(server, body["id"])
    assert [result["webhook_id"] for result in found] == ids
    assert {(result["before"], result["outcome"]) for result in found} == {("dead", None)}
    sql("START TRANSACTION")
    for table in TABLES:
        sql(f"SELECT 1 FROM {table} FOR UPDATE NOWAIT")
    sql("ROLLBACK")


async def test_replay_tries_all_that_the_filter_means_once_and_tells_what_became_of_each(
    server: Client, sql: Sql
) -> None:
    ids = mixed(sql)
    (parked,) = store(sql, webhook("nobody", "downloading"), outcome="parked")
    body = await begin(server, outcome="dead", name="after the outage")
    assert (body["name"], body["state"], body["total"], body["dry_run"]) == ("after the outage", "running", 123, False)
    assert body["filter"]["outcome"] == "dead"
    now = await ended(server, body["id"])
    assert (now["state"], now["done"], now["total"]) == ("done", 123, 123)
    assert now["outcomes"] == {"applied": 120, "dead": 1, "parked": 1, "stale": 1}
    found = {result["webhook_id"]: result for result in await results(server, body["id"])}
    assert list(found) == ids
    assert [found[webhook_id]["outcome"] for webhook_id in ids[-3:]] == ["parked", "dead", "stale"]
    assert (found[ids[-2]]["changed"], found[ids[-2]]["code"]) == (False, "invalid_payload")
    assert (found[ids[0]]["changed"], found[ids[0]]["code"]) == (True, None)
    assert len(await results(server, body["id"], outcome="applied")) == 120
    assert sql("SELECT DISTINCT attempts FROM rushes_webhooks WHERE id <> %s", parked) == ((2,),)
    assert sql("SELECT outcome, attempts FROM rushes_webhooks WHERE id = %s", parked) == (("parked", 1),)
    assert sql("SELECT DISTINCT progress FROM video_generations") == ((50,),)
    _, told = await server.read("/api/admin/audit", params={"webhook_id": ids[0]})
    assert [(entry["act"], entry["replay_id"]) for entry in told["audit"]] == [("replay", body["id"])]
    _, told = await server.read("/api/admin/audit", params={"act": "replay_many"})
    assert [(entry["who"], entry["replay_id"]) for entry in told["audit"]] == [("dev", body["id"])]
    _, listed = await server.read(REPLAYS_PATH)
    assert [(replay["id"], replay["done"]) for replay in listed["replays"]] == [(body["id"], 123)]


async def test_what_was_given_up_is_replayed_only_where_that_is_asked_for(server: Client, sql: Sql) -> None:
    add_jobs(sql, "j1")
    (dead,) = store(sql, webhook("j1", "pending"))
    (discarded,) = store(sql, webhook("j1", "generating"), outcome="discarded")
    store(sql, webhook("j1", "processing"), outcome="applied")
    body = await begin(server)
    assert body["replayed_outcomes"] == ["dead", "parked"]
    assert [result["webhook_id"] for result in await results(server, body["id"])] == [dead]
    await ended(server, body["id"])
    body = await begin(server, outcome="discarded")
    assert (await ended(server, body["id"]))["outcomes"] == {"applied": 1}
    assert sql("SELECT outcome FROM rushes_webhooks WHERE id = %s", discarded) == (("applied",),)
    again = await begin(server, outcome="discarded")
    assert (again["total"], (await ended(server, again["id"]))["done"]) == (0, 0)


async def test_aborted_replay_tries_no_more(database_url: str, sql: Sql) -> None:
    add_jobs(sql, "j1")
    store(sql, *(webhook("j1", "generating", at=f"2026-11-01T00:{n // 60:02}:{n % 60:02}Z") for n in range(400)))
    async with running(database_url, replays_per_second=60) as server:
        body = await begin(server, outcome="dead", name="too many")
        await until(lambda: sql("SELECT COUNT(*) FROM rushes_webhooks WHERE attempts = 2")[0][0] > 0)
        async with server.delete(f"{REPLAYS_PATH}/{body['id']}") as answer:
            aborted = await answer.json()
        assert (answer.status, aborted["state"]) == (200, "aborted")
        await until(lambda: not sql("SELECT 1 FROM rushes_replays WHERE state = 'running'"))
        # One more replay is done after it: by then it would have gone on.
        other = await begin(server, job_id="nobody")
        await ended(server, other["id"])
        _, later = await server.read(f"{REPLAYS_PATH}/{body['id']}")
        async with server.delete(f"{REPLAYS_PATH}/{body['id']}") as answer:
            assert (answer.status, (await answer.json())["state"]) == (200, "aborted")
        assert 0 < later["done"] <= 150
        assert later["ended_at"] is not None
        assert sql("SELECT COUNT(*) FROM rushes_webhooks WHERE attempts = 2") == ((later["done"],),)
        _, told = await server.read("/api/admin/audit", params={"act": "abort"})
        assert [entry["replay_id"] for entry in told["audit"]] == [body["id"]]


async def test_replay_leaves_time_for_live_webhooks(database_url: str, sql: Sql) -> None:
    add_jobs(sql, "j1")
    store(sql, *(webhook("j1", "generating", at=f"2026-11-01T00:{n // 60:02}:{n % 60:02}Z") for n in range(200)))
    async with running(database_url, replays_per_second=100) as server:
        began = time.monotonic()
        body = await begin(server, outcome="dead")
        await ended(server, body["id"])
        # After the last fifty nobody waits.
        assert time.monotonic() - began >= 1.5


async def test_no_more_replays_begin_at_once_than_may_go_on(database_url: str, sql: Sql) -> None:
    another = Leader(database_url)
    assert await another.leads()
    async with running(database_url) as server:

        async def begin() -> int:
            async with server.post(REPLAYS_PATH, json={"name": "all at once"}) as answer:
                return answer.status

        for _ in range(RUNNING_MAX - 2):
            await server.app[REPLAYS].begin("", Filter(), TESTER, dry_run=True)
        codes = await asyncio.gather(*(begin() for _ in range(12)))
        assert sorted(codes) == [202] * 2 + [429] * 10
    another.close()
    assert sql("SELECT COUNT(*) FROM rushes_replays") == ((RUNNING_MAX,),)


async def test_aborted_replay_is_counted_no_more_once_all_that_was_tried_is_told(database_url: str, sql: Sql) -> None:
    another = Leader(database_url)
    assert await another.leads()
    async with running(database_url) as server:
        replay = await server.app[REPLAYS].begin("", Filter(), TESTER, dry_run=False)
        ids = store(sql, *(webhook(f"j{n}", "generating") for n in range(3)))
        await server.app[REPLAYS].choose(replay, ids, None)
        await server.app[REPLAYS].abort(replay.id, TESTER)
        for kept in (False, True):
            _, listed = await server.read(REPLAYS_PATH)
            assert [(each["state"], each["total"], each["done"]) for each in listed["replays"]] == [("aborted", 3, 0)]
            assert sql("SELECT counts IS NOT NULL FROM rushes_replays") == ((int(kept),),)
            sql("UPDATE rushes_replays SET ended_at = ended_at - INTERVAL 61 SECOND")
    another.close()


async def test_preview_that_is_given_up_is_no_act_and_makes_room(database_url: str, sql: Sql) -> None:
    another = Leader(database_url)
    assert await another.leads()
    async with running(database_url) as server:
        replay = await server.app[REPLAYS].begin("", Filter(), TESTER, dry_run=True)
        async with server.delete(f"{REPLAYS_PATH}/{replay.id}") as answer:
            assert (await answer.json())["state"] == "aborted"
    another.close()
    assert sql("SELECT COUNT(*) FROM rushes_audit") == ((0,),)


async def test_no_more_replays_go_on_than_may(database_url: str, sql: Sql) -> None:
    another = Leader(database_url)
    assert await another.leads()
    async with running(database_url) as server:
        for _ in range(RUNNING_MAX):
            await server.app[REPLAYS].begin("", Filter(), TESTER, dry_run=True)
        body = await begin(server, 429, dry_run=True)
        assert body["code"] == "too_many_replays"
    another.close()
    assert sql("SELECT COUNT(*) FROM rushes_replays") == ((RUNNING_MAX,),)


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ({"outcome": "applied"}, "outcome: only dead, parked or discarded webhooks can be replayed"),
        ({"outcome": "lost"}, "outcome: Input should be"),
        ({"name": "x" * 192}, "name: String should have at most 191 characters"),
        ({"job_id": "x" * 100_000}, "job_id: String should have at most 191 characters"),
        ({"version": "x" * 192}, "version: String should have at most 191 characters"),
        ({"from": "2026-11-02", "to": "2026-11-01"}, "`from` must be before `to`."),
    ],
)
async def test_order_that_cannot_be_is_told(server: Client, sql: Sql, order: dict[str, Any], told: str) -> None:
    body = await begin(server, 400, **order)
    assert body["error"].startswith(f"Invalid request: {told}")
    assert sql("SELECT COUNT(*) FROM rushes_replays") == ((0,),)


@pytest.mark.parametrize("replay_id", ["0" * 32, "x", "%C3%A9"])
async def test_replay_that_is_not_there_is_not_found(server: Client, replay_id: str) -> None:
    for method, path in (("GET", ""), ("GET", "/results"), ("DELETE", "")):
        async with server.request(method, f"{REPLAYS_PATH}/{replay_id}{path}") as answer:
            assert answer.status == 404


async def test_replays_are_forgotten_with_what_they_replayed(server: Client, sql: Sql) -> None:
    store(sql, webhook("nowhere", "pending"))
    body = await begin(server, outcome="dead", dry_run=True)
    await ended(server, body["id"])
    old = f"{times.now() - 3 * 86_400_000_000:014x}{'0' * 18}"
    sql("UPDATE rushes_replays SET id = %s", old)
    sql("UPDATE rushes_replayed SET replay_id = %s", old)
    kept = await begin(server, outcome="dead", dry_run=True)
    await ended(server, kept["id"])
    deleted = await Retention(server.app[POOL], server.app[LEADER], days=2).purge()
    assert deleted["replays"] == 1
    assert sql("SELECT DISTINCT replay_id FROM rushes_replayed") == ((kept["id"],),)


async def test_preview_of_one_that_our_code_stumbles_over_does_not_stop_the_others(
    server: Client, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.domain import job as rules

    add_jobs(sql, "j1", "odd")
    store(sql, webhook("odd", "generating"), completion("j1", video("k")))
    apply = rules.apply

    def broken(job: Any, update: Any, *rest: Any) -> Any:
        if update.job_id == "odd":
            raise TypeError("not foreseen")
        return apply(job, update, *rest)

    monkeypatch.setattr(rules, "apply", broken)
    body = await begin(server, outcome="dead", dry_run=True)
    assert body["preview"] == {"applied": 1, "dead": 1}
