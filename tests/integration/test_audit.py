"""What admins and commands did: written in the transaction that does it, and told to admins."""

import asyncio
import os
import pwd
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app import times
from app.appkeys import POOL
from app.db.audit import AuditFilter, _page
from app.db.audited import write
from app.domain.audit import Actor, Entry
from app.upkeep.leader import Leader
from app.upkeep.retention import Retention
from tests.acts import SIGNED, USERS, act, made
from tests.client import Client, leaving_parked_alone
from tests.databases import Sql
from tests.processes import run
from tests.rows import store
from tests.webhooks import completion, video, webhook
from tests.writing import add_jobs, holding

AUDIT = "/api/admin/audit"
WEBHOOKS = "/api/admin/webhooks"
BOSS = USERS["admin"]


@pytest.fixture
async def server(database_url: str) -> AsyncIterator[Client]:
    async with leaving_parked_alone(database_url, simulated_step=3600, answer_budget=1, **SIGNED) as made:
        yield made


async def told(server: Client, **query: str) -> list[dict[str, Any]]:
    code, body = await server.read(AUDIT, params=query, headers=BOSS)
    assert code == 200, body
    found: list[dict[str, Any]] = body["audit"]
    return found


async def do(server: Client, webhook_id: str, what: str) -> tuple[int, dict[str, Any]]:
    async with server.post(f"{WEBHOOKS}/{webhook_id}/{what}", headers=BOSS) as answer:
        return answer.status, await answer.json()


async def test_what_an_admin_does_to_a_webhook_is_told_with_what_it_changed(server: Client, sql: Sql) -> None:
    add_jobs(sql, "j1")
    (webhook_id,) = store(sql, webhook("j1", "generating"))
    before = times.now()
    for what in ("discard", "replay", "replay"):
        assert (await do(server, webhook_id, what))[0] == 200
    second, first = await told(server, webhook_id=webhook_id)
    at = times.read(first["at"])
    assert at is not None
    assert before - 1_000 <= at <= times.now()
    assert {**first, "id": "", "at": ""} == {
        "id": "", "at": "", "who": "boss", "by": "admin", "act": "discard", "webhook_id": webhook_id, "job_id": "j1",
        "replay_id": None, "before": {"outcome": "dead"}, "after": {"outcome": "discarded"},
    }  # fmt: skip
    assert (second["act"], second["before"], second["after"]) == (
        "replay", {"outcome": "discarded"}, {"outcome": "applied"},
    )  # fmt: skip
    assert [entry["id"] for entry in await told(server, job_id="j1")] == [second["id"], first["id"]]


async def test_what_nothing_came_of_is_not_told(server: Client, sql: Sql, database_url: str) -> None:
    add_jobs(sql, "j1", "held")
    applied, held = store(sql, webhook("j1", "generating"), webhook("held", "generating"))
    sql("UPDATE rushes_webhooks SET outcome = 'applied' WHERE id = %s", applied)
    assert (await do(server, applied, "discard"))[1]["changed"] is False
    assert (await do(server, applied, "replay"))[1]["changed"] is False
    with holding(database_url, "held"):
        code, body = await do(server, held, "replay")
        assert (code, body["code"]) == (503, "unavailable")
    assert await told(server) == []
    assert sql("SELECT outcome, attempts FROM rushes_webhooks WHERE id = %s", held) == (("dead", 1),)


async def test_two_admins_who_replay_at_once_are_both_told_and_it_is_applied_once(server: Client, sql: Sql) -> None:
    add_jobs(sql, "j1")
    (webhook_id,) = store(sql, webhook("j1", "generating"))
    await asyncio.gather(*(do(server, webhook_id, "replay") for _ in range(4)))
    entries = await told(server, webhook_id=webhook_id)
    changes = [(entry["before"]["outcome"], entry["after"]["outcome"]) for entry in entries]
    assert changes[-1] == ("dead", "applied")
    assert set(changes[:-1]) <= {("applied", "applied")}
    assert sql("SELECT outcome, attempts FROM rushes_webhooks") == (("applied", 2),)


async def test_what_an_admin_does_to_jobs_is_told_and_what_their_authors_do_is_not(server: Client, sql: Sql) -> None:
    for who in ("author", "admin"):
        await made(server, f"{who}-goes", "generating")
        await made(server, f"{who}-done", completion(f"{who}-done", video(f"{who}/1")))
        for job_id, what in [("goes", "cancel"), ("goes", "dismiss"), ("done", ""), ("done", "restore")]:
            code, body = await act(server, f"{who}-{job_id}", what, USERS[who])
            assert code == 200, body
    assert (await act(server, "admin-goes", "retry", BOSS))[0] == 202
    order = {"job_id": "theirs", "user_id": "author", "prompt": "the sea"}
    async with server.post("/api/videos", json=order, headers=BOSS) as answer:
        assert answer.status == 201
    async with server.post("/api/videos", json={"prompt": "the sea"}, headers=BOSS) as answer:
        assert answer.status == 201
    entries = (await told(server))[::-1]
    assert {entry["who"] for entry in entries} == {"boss"}
    assert [(entry["act"], entry["job_id"]) for entry in entries if entry["act"] != "retry"] == [
        ("cancel", "admin-goes"), ("dismiss", "admin-goes"), ("delete", "admin-done"), ("restore", "admin-done"),
        ("register", "theirs"),
    ]  # fmt: skip
    cancelled = entries[0]
    assert cancelled["before"] == {"state": "PROCESSING", "status": "generating", "author_id": "author"}
    assert cancelled["after"] == {"event": "failed"}
    (retried,) = (entry for entry in entries if entry["act"] == "retry")
    assert retried["after"] == {"author_id": "author"}
    assert sql("SELECT authorId FROM video_generations WHERE id = %s", retried["job_id"]) == (("author",),)


async def test_nothing_is_done_that_cannot_be_written_down(server: Client, sql: Sql) -> None:
    await made(server, "j1", "generating")
    (webhook_id,) = store(sql, webhook("j1", "downloading"))
    sql("RENAME TABLE rushes_audit TO away")
    assert (await act(server, "j1", "cancel", BOSS))[0] == 503
    for what in ("discard", "replay"):
        assert (await do(server, webhook_id, what))[0] == 503
    sql("RENAME TABLE away TO rushes_audit")
    assert await told(server) == []
    assert sql("SELECT status, progress FROM video_generations") == (("PROCESSING", 50),)
    assert sql("SELECT outcome, attempts FROM rushes_webhooks WHERE id = %s", webhook_id) == (("dead", 1),)


async def test_commands_are_told_by_who_typed_them(server: Client, sql: Sql, tmp_path: Path, database_url: str) -> None:
    add_jobs(sql, "j1")
    one, other = store(sql, webhook("j1", "generating"), webhook("nowhere", "generating"))
    commands = (
        ("dead", "discard", "--yes", other), ("dead", "replay", one), ("purge",), ("rollups", "--rebuild"),
    )  # fmt: skip
    for command in commands:
        settings = {"DATABASE_URL": database_url, "LOGNAME": "somebody-else", "RETENTION_DAYS": "30"}
        code, _, err = await run(tmp_path, *command, **settings)
        assert code == 0, err
    entries = (await told(server))[::-1]
    assert [(entry["act"], entry["by"], entry["webhook_id"]) for entry in entries] == [
        ("discard", "command", other), ("replay", "command", one), ("purge", "command", None),
        ("rollups", "command", None),
    ]  # fmt: skip
    assert all(entry["who"].startswith(f"{pwd.getpwuid(os.getuid()).pw_name}@") for entry in entries)
    assert entries[2]["before"] == {"retention_days": 30.0}
    assert entries[2]["after"]["webhooks"] == 0
    assert entries[3]["after"] == {"quarters": 1}


async def test_pages_show_each_act_once_newest_first_by_any_filter(server: Client, sql: Sql) -> None:
    entries = [
        Entry(Actor(f"u{n % 3}", "admin"), "cancel" if n % 2 else "delete", f"{n % 4:032x}", f"j{n % 5}")
        for n in range(250)
    ]
    for n, entry in enumerate(entries):
        sql(write([entry], times.microseconds_of("2026-11-01 00:00:00") + n * 1_000_000)[0].decode().replace("%", "%%"))
    for query, wanted in (
        ({}, lambda _: True),
        ({"who": "u1"}, lambda n: n % 3 == 1),
        ({"act": "delete", "job_id": "j2"}, lambda n: n % 2 == 0 and n % 5 == 2),
        ({"webhook_id": f"{3:032x}"}, lambda n: n % 4 == 3),
        ({"from": "2026-11-01T00:01:00Z", "to": "2026-11-01T00:02:00Z"}, lambda n: 60 <= n < 120),
        ({"who": "u1 "}, lambda _: False),
    ):
        found: list[int] = []
        cursor = ""
        while cursor is not None:
            code, body = await server.read(AUDIT, params=query | {"cursor": cursor, "limit": "40"}, headers=BOSS)
            assert code == 200
            found += [int(entry["id"]) - 1 for entry in body["audit"]]
            cursor = body["next_cursor"]
        assert found == [n for n in range(249, -1, -1) if wanted(n)], query
    assert body["filter"] == {
        "who": "u1 ", "act": None, "webhook_id": None, "job_id": None, "from": "1970-01-01T00:00:00.000Z", "to": None,
    }  # fmt: skip


@pytest.mark.parametrize("query", ["cursor=x", "cursor=0", "act=nothing", "from=2026-11-02&to=2026-11-01", "limit=101"])
async def test_question_that_cannot_be_is_told(server: Client, query: str) -> None:
    code, body = await server.read(f"{AUDIT}?{query}", headers=BOSS)
    assert (code, body["code"]) == (400, "invalid_request")


@pytest.mark.parametrize("webhook_id", ["😀", "é" * 32, "'", "0" * 33, "\0"])
async def test_webhook_that_cannot_be_has_no_acts(server: Client, webhook_id: str) -> None:
    assert await told(server, webhook_id=webhook_id) == []


async def test_nobody_but_admins_is_told(server: Client) -> None:
    assert (await server.read(AUDIT, headers=USERS["author"]))[0] == 403
    assert (await server.read(AUDIT))[0] == 401


async def test_acts_are_found_by_an_index(sql: Sql) -> None:
    entries = [Entry(Actor(f"u{n % 50}", "admin"), "cancel", f"{n:032x}", f"j{n}") for n in range(2_000)]
    sql(write(entries, times.now())[0].decode())
    sql("ANALYZE TABLE rushes_audit")
    for wanted, index in (
        (AuditFilter(), "PRIMARY"),
        (AuditFilter(who="u7"), "rushes_audit_who"),
        (AuditFilter(who="u7", job_id="j7"), "rushes_audit_job"),
        (AuditFilter(webhook_id=f"{7:032x}", act="cancel"), "rushes_audit_webhook"),
    ):
        ((_, _, _, *rest, extra),) = sql(f"EXPLAIN FORMAT=TRADITIONAL {_page(wanted, 50, None).decode()}")
        assert index in rest
        assert "filesort" not in (extra or "")


async def test_acts_are_forgotten_after_audit_days_and_no_sooner(server: Client, sql: Sql, database_url: str) -> None:
    entry = Entry(Actor("u1", "admin"), "cancel")
    for days in (9, 11):
        sql(write([entry], times.now() - days * 86_400_000_000)[0].decode())
    leader = Leader(database_url)
    deleted = await Retention(server.app[POOL], leader, days=1, audit_days=10).purge()
    leader.close()
    assert deleted["audit"] == 1
    assert len(await told(server)) == 1


async def test_names_of_any_kind_are_told_as_they_are(server: Client, sql: Sql) -> None:
    names = ["<b>ada</b>", "\u202eada", "ada'\"\\", "é" * 191]
    for name in names:
        entry = Entry(Actor(name, "admin"), "cancel", job_id=name, was={"text": "<i>" * 30_000})
        sql(write([entry], times.now())[0].decode().replace("%", "%%"))
    entries = await told(server)
    assert [entry["who"] for entry in entries] == [entry["job_id"] for entry in entries] == names[::-1]
    assert entries[0]["before"]["text"].startswith('{"text":"<i>')
