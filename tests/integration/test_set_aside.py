"""Webhooks that can never be written: they keep nobody waiting, are seen, and can be tried again."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.appkeys import SPOOL
from app.db.writer import drain, set_aside
from tests.client import Client, running
from tests.databases import Sql
from tests.gate import Gate
from tests.processes import run
from tests.tables import break_table, mend
from tests.waiting import until
from tests.webhooks import completion, video, webhook

STATES = "SELECT id, status FROM video_generations ORDER BY id"
OUTCOMES = "SELECT job_id, outcome, error_code FROM rushes_webhooks ORDER BY job_id, id"
LISTED = "SELECT COUNT(*) FROM rushes_set_aside"


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is on disk is tried, left alone and looked at ten times as often."""
    for name in ("_EVERY", "_LOOK_ASIDE", "_REST_MIN", "_REST_MAX"):
        monkeypatch.setattr(drain, name, getattr(drain, name) / 10)


async def poisoned(server: Client, sql: Sql) -> None:
    """A job whose webhook can never be written, and one after it that can."""
    for name in ("poison", "good"):
        await server.register(name)
    break_table(sql, "video_generations", 1030, "OLD.id = 'poison'")
    code, body = await server.send(webhook("poison", "generating"))
    assert (code, body["status"]) == (202, "queued")


async def others_pass(server: Client, until_true: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not until_true():
            assert (await server.send(webhook("good", "generating")))[0] in (200, 202)
            await asyncio.sleep(0.05)


async def test_webhook_that_can_never_be_written_is_set_aside_seen_and_tried_again_on_demand(
    database_url: str, sql: Sql
) -> None:
    async with running(database_url, answer_budget=0.5, spool_tries=2) as server:
        await poisoned(server, sql)
        spool = server.app[SPOOL]
        await others_pass(server, lambda: spool.set_aside)
        assert spool.pending == 0
        _, listed = await server.read("/api/admin/webhooks?outcome=dead")
        (found,) = listed["webhooks"]
        assert (found["error_code"], found["job_id"], found["status"]) == ("set_aside", "poison", "generating")
        assert "1030" in found["error"]
        _, whole = await server.read(f"/api/admin/webhooks/{found['id']}")
        assert whole["payload"]["job_id"] == "poison"
        assert await server.read("/readyz") == (200, {"status": "degraded", "database": "ok", "set_aside": 1})
        await mend(sql)
        url = f"{server.url}/api/admin/webhooks/{found['id']}/replay"
        async with server.session.post(url) as answer:
            assert (answer.status, (await answer.json())["outcome"]) == (200, "queued")
        await until(lambda: ("poison", "PROCESSING") in sql(STATES))
        await until(lambda: not spool.set_aside and spool.pending == 0 and sql(LISTED) == ((0,),))
        assert sql("SELECT outcome, error_code FROM rushes_webhooks WHERE id = %s", found["id"]) == (("applied", None),)
        assert (await server.read("/readyz"))[1]["status"] == "ready"


async def test_what_is_set_aside_outlives_its_process_and_is_tried_again_by_the_one_that_took_it_over(
    database_url: str, sql: Sql, tmp_path: Path
) -> None:
    async with running(database_url, answer_budget=0.5, spool_tries=2, data_dir=tmp_path) as server:
        await poisoned(server, sql)
        await others_pass(server, lambda: server.app[SPOOL].set_aside)
    async with running(database_url, data_dir=tmp_path) as server:
        await until(lambda: server.app[SPOOL].set_aside)
        _, listed = await server.read("/api/admin/webhooks?outcome=dead")
        await mend(sql)
        async with server.session.post(
            f"{server.url}/api/admin/webhooks/{listed['webhooks'][0]['id']}/replay"
        ) as answer:
            assert answer.status == 200
        await until(lambda: ("poison", "PROCESSING") in sql(STATES))
        await until(lambda: server.app[SPOOL].bytes == 0)


async def test_sender_that_sends_it_again_has_it_applied_and_it_lies_aside_no_more(database_url: str, sql: Sql) -> None:
    async with running(database_url, answer_budget=0.5, spool_tries=2) as server:
        await poisoned(server, sql)
        sent = webhook("poison", "downloading")
        assert (await server.send(sent))[0] == 202
        await others_pass(server, lambda: len(server.app[SPOOL].set_aside) == 2)
        await mend(sql)
        assert (await server.send(sent))[0] == 200
        await until(lambda: len(server.app[SPOOL].set_aside) == 1)
        await until(lambda: sql(LISTED) == ((1,),))


async def test_sent_again_and_again_it_takes_the_room_of_one(database_url: str, sql: Sql) -> None:
    async with running(database_url, answer_budget=0.5, spool_tries=2) as server:
        await poisoned(server, sql)
        sent = webhook("poison", "downloading")
        spool = server.app[SPOOL]
        for _ in range(3):
            assert (await server.send(sent))[0] == 202
            await others_pass(server, lambda: spool.pending == 0)
        assert len(spool.set_aside) == 2
        await until(lambda: sql(LISTED) == ((2,),))


async def test_alone_it_is_set_aside_too(database_url: str, sql: Sql) -> None:
    async with running(database_url, answer_budget=0.5, spool_tries=1) as server:
        await poisoned(server, sql)
        await until(lambda: server.app[SPOOL].set_aside)
        assert (sql(OUTCOMES)[0], sql(STATES)[0]) == (("poison", "dead", "set_aside"), ("good", "PENDING"))


async def test_where_nothing_passes_nothing_is_set_aside(
    database_url: str, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table that fails for all: what waits is applied when it is mended."""
    monkeypatch.undo()  # at the pace of a server: one that fails just as it is mended may be set aside
    async with running(database_url, answer_budget=0.5, spool_tries=1) as server:
        names = [f"j{n}" for n in range(40)]
        for name in names:
            await server.register(name)
        break_table(sql, "rushes_webhooks", 1114, when="INSERT")
        answers = await asyncio.gather(*(server.send(webhook(name, "generating")) for name in names))
        assert {code for code, _ in answers} == {202}
        await asyncio.sleep(3)  # as long as it takes to set one aside
        assert not server.app[SPOOL].set_aside
        await mend(sql)
        await until(lambda: server.app[SPOOL].pending == 0)
        assert sql("SELECT outcome, COUNT(*) FROM rushes_webhooks GROUP BY outcome") == (("applied", 40),)


async def test_one_that_ends_every_session_is_found_among_200_and_set_aside(database_url: str, sql: Sql) -> None:
    """Its transaction is lost with the connection, each time: as where it is more than a proxy takes."""
    gate = Cutting(database_url)
    await gate.open()
    try:
        async with running(gate.url, answer_budget=0.5, spool_tries=2) as server:
            names = [f"j{n}" for n in range(200)]
            for name in (*names, "good"):
                await server.register(name)
            await gate.shut()
            bodies = [completion(n, video(n, filename="CUT ME.mp4" if n == "j99" else "a.mp4")) for n in names]
            answers = await asyncio.gather(*(server.send(body) for body in bodies))
            assert {code for code, _ in answers} == {202}
            await gate.open()
            await until(lambda: sql("SELECT COUNT(*) FROM video_generations WHERE status = 'COMPLETED'") == ((199,),))
            await others_pass(server, lambda: server.app[SPOOL].set_aside)
            assert server.app[SPOOL].pending == 0
            assert sql("SELECT error_code FROM rushes_webhooks WHERE job_id = 'j99'") == (("set_aside",),)
    finally:
        await gate.shut()


class Cutting(Gate):
    """Ends a session that says the word."""

    async def _lets_through(self, data: bytes) -> bool:
        return b"'CUT ME.mp4'" not in data


async def replay(server: Client, webhook_id: str) -> tuple[int, dict[str, Any]]:
    async with server.session.post(f"{server.url}/api/admin/webhooks/{webhook_id}/replay") as answer:
        return answer.status, await answer.json()


async def the_dead_one(server: Client) -> str:
    _, listed = await server.read("/api/admin/webhooks?outcome=dead")
    (found,) = listed["webhooks"]
    return str(found["id"])


async def test_when_its_server_is_gone_with_its_disk_it_is_applied_from_the_payload_in_the_database(
    database_url: str, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(set_aside, "_ANSWERED", 0.3)
    async with running(database_url, answer_budget=0.5, spool_tries=1) as server:
        await poisoned(server, sql)
        await until(lambda: server.app[SPOOL].set_aside)
    await mend(sql)
    async with running(database_url) as other:
        webhook_id = await the_dead_one(other)
        assert (await replay(other, webhook_id))[1]["outcome"] == "queued"
        await asyncio.sleep(0.5)  # nobody did anything
        assert (await replay(other, webhook_id))[1]["outcome"] == "applied"
        assert ("poison", "PROCESSING") in sql(STATES)
        assert (await other.read("/readyz"))[1]["status"] == "ready"


async def test_what_cannot_be_asked_about_those_aside_does_not_keep_the_others_on_disk(
    database_url: str, sql: Sql
) -> None:
    """The table is locked, or broken, or a right was taken away."""
    async with running(database_url, answer_budget=0.5, spool_tries=1) as server:
        await poisoned(server, sql)
        spool = server.app[SPOOL]
        await until(lambda: spool.set_aside)
        await mend(sql)
        sql("RENAME TABLE rushes_set_aside TO elsewhere")
        try:
            break_table(sql, "video_generations", 1030, "OLD.id = 'good'")
            assert (await server.send(webhook("good", "generating")))[0] == 202
            await mend(sql)
            await until(lambda: ("good", "PROCESSING") in sql(STATES))
        finally:
            sql("RENAME TABLE elsewhere TO rushes_set_aside")


async def test_two_processes_that_hold_the_same_one_leave_it_aside(database_url: str, sql: Sql) -> None:
    async with (
        running(database_url, answer_budget=0.5, spool_tries=1) as one,
        running(database_url, answer_budget=0.5, spool_tries=1) as two,
    ):
        await poisoned(one, sql)
        sent = webhook("poison", "downloading")
        assert [(await server.send(sent))[0] for server in (one, two)] == [202, 202]
        spools = [server.app[SPOOL] for server in (one, two)]
        await until(lambda: all(spool.set_aside and not spool.pending for spool in spools), seconds=20)
        tries = "SELECT SUM(attempts) FROM rushes_webhooks"
        before = sql(tries)
        await asyncio.sleep(0.5)  # several looks at what lies aside
        assert sql(tries) == before
        await mend(sql)
        _, listed = await one.read("/api/admin/webhooks?outcome=dead")
        for found in listed["webhooks"]:
            await replay(one, found["id"])
        await until(lambda: all(s.app[SPOOL].bytes == 0 for s in (one, two)), seconds=20)
        assert ("poison", "PROCESSING") in sql(STATES)


async def test_replay_from_the_terminal_tells_of_each_that_lies_aside(
    database_url: str, sql: Sql, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(database_url, answer_budget=0.5, spool_tries=1) as server:
        await poisoned(server, sql)
        await until(lambda: server.app[SPOOL].set_aside)
        soon = drain._LOOK_ASIDE
        monkeypatch.setattr(drain, "_LOOK_ASIDE", 3600)  # before it is mended, it would be set aside again
        code, out, _ = await run(tmp_path, "dead", "replay", "--all", DATABASE_URL=database_url)
        assert (code, "1 replayed: 1 queued" in out, "will try it again" in out) == (0, True, True)
        await mend(sql)
        monkeypatch.setattr(drain, "_LOOK_ASIDE", soon)
        await until(lambda: ("poison", "PROCESSING") in sql(STATES))
