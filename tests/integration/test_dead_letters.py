"""Webhooks that were not applied: seen, tried again, laid to rest by HTTP."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NoReturn

import pytest
from aiohttp import web

from app import times
from app.appkeys import RECEIVED, WRITER
from app.auth.tokens import Identity
from app.routes import callers
from tests.client import Client, leaving_parked_alone, running
from tests.databases import Sql
from tests.dead_letters import TABLES, WEBHOOKS, act, conflict, everything
from tests.processes import run
from tests.rows import TESTER, store
from tests.webhooks import completion, video, webhook
from tests.writing import add_jobs, holding


@pytest.fixture
async def server(database_url: str) -> AsyncIterator[Client]:
    async with leaving_parked_alone(database_url) as made:
        yield made


async def test_parked_webhook_is_listed_and_applied_by_a_replay_once_its_job_is_there(server: Client, sql: Sql) -> None:
    _, sent = await server.send(webhook("late", "generating"))
    code, body = await server.read(f"{WEBHOOKS}?outcome=parked")
    (row,) = body["webhooks"]
    assert (code, body["next_cursor"]) == (200, None)
    assert row.pop("duration_ms") > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", row.pop("received_at"))
    assert row == {
        "id": sent["webhook_id"], "origin": "webhook", "job_id": "late", "status": "generating", "version": "v1",
        "outcome": "parked", "attempts": 1, "error_code": "unknown_job", "error": "VideoGeneration not found",
    }  # fmt: skip
    add_jobs(sql, "late")
    code, answer = await act(server, f"/{sent['webhook_id']}/replay")
    assert (code, answer) == (
        200,
        {
            "webhook_id": sent["webhook_id"], "changed": True, "outcome": "applied", "code": None, "error": None,
            "job_id": "late", "status": "generating",
            "job": {"status": "generating", "state": "PROCESSING", "progress": 50, "num_videos": 0},
        },
    )  # fmt: skip
    assert sql("SELECT id, outcome, attempts FROM rushes_webhooks") == ((sent["webhook_id"], "applied", 2),)
    assert sql("SELECT progress FROM video_generations") == ((50,),)


async def test_replayed_webhook_keeps_its_place_in_the_order_of_its_job(server: Client, sql: Sql) -> None:
    early = webhook("late", "generating")
    del early["timestamp"]
    _, sent = await server.send(early)
    add_jobs(sql, "late")
    newer = webhook("late", "processing", at=times.rfc3339(times.now() + 1000))
    assert (await server.send(newer))[1]["progress"] == 25
    _, answer = await act(server, f"/{sent['webhook_id']}/replay")
    assert (answer["outcome"], sql("SELECT progress FROM video_generations")) == ("stale", ((25,),))


async def test_key_conflict_is_applied_by_a_replay_once_the_other_file_is_gone(server: Client, sql: Sql) -> None:
    webhook_id = await conflict(server, sql)
    _, answer = await act(server, f"/{webhook_id}/replay")
    assert (answer["changed"], answer["outcome"], answer["job"]["num_videos"]) == (True, "applied", 2)
    assert sql("SELECT generationId, s3Key FROM video_files ORDER BY s3Key") == (("j2", "k/1"), ("j2", "k/2"))
    assert sql("SELECT outcome, attempts, error FROM rushes_webhooks WHERE id = %s", webhook_id) == (
        ("applied", 2, None),
    )


async def test_dead_letter_that_cannot_be_applied_yet_stays_one_and_tells_why(server: Client, sql: Sql) -> None:
    await server.register("j1")
    _, sent = await server.send(completion("j1", video("k", file_size=3_000_000_000)))
    _, answer = await act(server, f"/{sent['webhook_id']}/replay")
    assert (answer["changed"], answer["outcome"], answer["code"]) == (False, "dead", "apply_failed")
    assert "fileSize" in answer["error"]
    assert sql("SELECT outcome, attempts FROM rushes_webhooks") == (("dead", 2),)
    _, sent = await server.send(b'{"job_id": "j1", "status": "exploded"}')
    _, answer = await act(server, f"/{sent['webhook_id']}/replay")
    assert (answer["changed"], answer["outcome"], answer["code"]) == (False, "dead", "invalid_payload")


@pytest.mark.parametrize("outcome", ["applied", "stale", "duplicate"])
async def test_replay_and_discard_of_a_settled_webhook_say_so_and_change_nothing(
    server: Client, sql: Sql, outcome: str
) -> None:
    await server.register("j1")
    newest = webhook("j1", "generating", at="2025-10-23T15:00:00Z")
    await server.send(newest)
    await server.send(newest)
    await server.send(webhook("j1", "processing", at="2025-10-23T14:00:00Z"))
    ((webhook_id,),) = sql("SELECT id FROM rushes_webhooks WHERE outcome = %s", outcome)
    before = everything(sql)
    for action in ("replay", "discard"):
        code, answer = await act(server, f"/{webhook_id}/{action}")
        assert (code, answer["changed"], answer["outcome"]) == (200, False, outcome)
        assert answer["message"] == f"It is {outcome} already: nothing was changed."
    assert everything(sql) == before


async def test_two_replays_at_once_apply_it_once_and_leave_one_row(server: Client, sql: Sql) -> None:
    _, sent = await server.send(webhook("late", "generating"))
    add_jobs(sql, "late")
    answers = await asyncio.gather(*(act(server, f"/{sent['webhook_id']}/replay") for _ in range(5)))
    assert {code for code, _ in answers} == {200}
    assert [answer["outcome"] for _, answer in answers] == ["applied"] * 5
    assert sum(answer["changed"] for _, answer in answers) == 1
    assert sql("SELECT outcome, attempts FROM rushes_webhooks") == (("applied", 2),)
    assert sql("SELECT COUNT(*) FROM rushes_events") == ((1,),)


async def test_preview_tells_what_the_replay_then_does(server: Client, sql: Sql) -> None:
    webhook_id = await conflict(server, sql)
    row = "SELECT * FROM video_generations WHERE id = 'j2'"
    _, detail = await server.read(f"{WEBHOOKS}/{webhook_id}")
    preview = detail["replay"]
    assert (preview["outcome"], preview["code"], preview["error"]) == ("applied", None, None)
    assert preview["columns"]["status"] == {"old": "PENDING", "new": "COMPLETED"}
    assert preview["columns"]["completedAt"] == {"old": None, "new": "2025-10-23T14:30:00.000Z"}
    names = [column[0] for column in sql("SHOW COLUMNS FROM video_generations")]
    before = dict(zip(names, sql(row)[0], strict=True))
    _, answer = await act(server, f"/{webhook_id}/replay")
    after = dict(zip(names, sql(row)[0], strict=True))
    assert answer["outcome"] == preview["outcome"]
    changed = {name for name in names if before[name] != after[name]} - {"updatedAt"}
    assert set(preview["columns"]) == changed
    for name in changed - {"completedAt"}:
        assert preview["columns"][name] == {"old": before[name], "new": after[name]}
    assert not any("id" in file for file in preview["files_added"])
    assert [(file["s3_key"], file["file_url"]) for file in preview["files_added"]] == [
        ("k/1", "https://files.example/k/1"), ("k/2", "https://files.example/k/2"),
    ]  # fmt: skip
    assert sql("SELECT COUNT(*) FROM video_files") == ((2,),)


async def test_preview_tells_which_files_get_other_fields(server: Client, sql: Sql) -> None:
    await server.register("j1")
    await server.send(completion("j1", video("k"), at="2025-10-23T14:00:00Z"))
    newer = completion("j1", video("k", file_url="https://new.example/k", file_size=7), at="2025-10-23T15:00:00Z")
    (webhook_id,) = store(sql, newer)
    _, detail = await server.read(f"{WEBHOOKS}/{webhook_id}")
    assert detail["replay"]["files_added"] == []
    assert detail["replay"]["files_refreshed"] == [
        {
            "s3_key": "k",
            "columns": {
                "file_url": {"old": "https://files.example/k", "new": "https://new.example/k"},
                "file_size": {"old": 15728640, "new": 7},
            },
        }
    ]
    await act(server, f"/{webhook_id}/replay")
    assert sql("SELECT fileUrl, fileSize FROM video_files") == (("https://new.example/k", 7),)


async def test_preview_tells_that_a_job_would_be_made_where_that_is_wanted(database_url: str, sql: Sql) -> None:
    (webhook_id,) = store(sql, webhook("late", "generating", data={"user_id": "u9"}), outcome="parked")
    async with running(database_url, unknown_job="create") as server:
        _, detail = await server.read(f"{WEBHOOKS}/{webhook_id}")
        assert sql("SELECT COUNT(*) FROM video_generations") == ((0,),)
        _, answer = await act(server, f"/{webhook_id}/replay")
    preview = detail["replay"]
    assert (preview["outcome"], preview["makes_job"]) == (answer["outcome"], True) == ("applied", True)
    assert preview["columns"]["authorId"] == {"old": None, "new": "u9"}
    assert sql("SELECT authorId, progress FROM video_generations") == (("u9", 50),)


async def test_replay_of_a_webhook_purged_meanwhile_keeps_when_it_was_received(server: Client, sql: Sql) -> None:
    (webhook_id,) = store(sql, webhook("nowhere", "pending"))
    ((received_at,),) = sql("SELECT received_at FROM rushes_webhooks")
    found = await server.app[RECEIVED].get(webhook_id)
    assert found is not None
    sql("DELETE FROM rushes_webhooks")
    await server.app[RECEIVED].replay(found, server.app[WRITER], TESTER)
    assert sql("SELECT received_at, outcome FROM rushes_webhooks") == ((received_at, "parked"),)


async def test_few_dead_letters_among_many_webhooks_are_found_without_reading_all(server: Client, sql: Sql) -> None:
    store(sql, *(webhook(f"many{n}", "generating") for n in range(4000)), outcome="applied")
    (dead,) = store(sql, webhook("j1", "generating"))
    before = rows_read(sql)
    for query in ("outcome=dead", "outcome=dead&job_id=j1", "job_id=j1", "limit=5"):
        assert (await server.read(f"{WEBHOOKS}?{query}"))[1]["webhooks"][0]["id"] == dead
    assert rows_read(sql) - before < 2000


def rows_read(sql: Sql) -> int:
    return sum(int(count) for name, count in sql("SHOW GLOBAL STATUS LIKE 'Handler_read_%'") if "key" not in name)


async def test_preview_changes_nothing_and_leaves_no_lock(server: Client, sql: Sql) -> None:
    webhook_id = await conflict(server, sql)
    before = everything(sql)
    for _ in range(10):
        assert (await server.read(f"{WEBHOOKS}/{webhook_id}"))[0] == 200
    assert everything(sql) == before
    sql("START TRANSACTION")
    for table in TABLES:
        sql(f"SELECT 1 FROM {table} FOR UPDATE NOWAIT")
    sql("ROLLBACK")


async def test_preview_of_what_would_not_be_applied_says_so(server: Client, sql: Sql, database_url: str) -> None:
    _, parked = await server.send(webhook("late", "generating"))
    _, detail = await server.read(f"{WEBHOOKS}/{parked['webhook_id']}")
    assert (detail["replay"]["outcome"], detail["replay"]["code"]) == ("parked", "unknown_job")
    _, invalid = await server.send(b"{}")
    _, detail = await server.read(f"{WEBHOOKS}/{invalid['webhook_id']}")
    assert (detail["replay"]["outcome"], detail["replay"]["code"]) == ("dead", "invalid_payload")
    add_jobs(sql, "j1")
    (refused,) = store(sql, completion("j1", video("k", file_size=3_000_000_000)))
    _, detail = await server.read(f"{WEBHOOKS}/{refused}")
    assert "refused when it was written" in detail["replay"]["note"]
    with holding(database_url, "j1"):
        _, detail = await server.read(f"{WEBHOOKS}/{refused}")
    assert (detail["replay"]["outcome"], detail["replay"]["code"]) == (None, "job_held")


async def test_webhook_that_our_own_code_stumbles_over_can_still_be_looked_at(
    server: Client, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.domain import job as rules

    add_jobs(sql, "j1")
    (webhook_id,) = store(sql, webhook("j1", "generating"))

    def broken(*_: object) -> NoReturn:
        raise TypeError("not foreseen")

    monkeypatch.setattr(rules, "apply", broken)
    code, detail = await server.read(f"{WEBHOOKS}/{webhook_id}")
    assert (code, detail["replay"]["outcome"], detail["replay"]["error"]) == (200, "dead", "TypeError: not foreseen")
    sql("SELECT 1 FROM video_generations FOR UPDATE NOWAIT")


async def test_discarded_webhook_rests_until_its_sender_sends_it_again(server: Client, sql: Sql) -> None:
    sent = webhook("late", "generating")
    _, body = await server.send(sent)
    code, answer = await act(server, f"/{body['webhook_id']}/discard")
    assert (code, answer) == (200, {"webhook_id": body["webhook_id"], "changed": True, "outcome": "discarded"})
    assert (await act(server, f"/{body['webhook_id']}/discard"))[1]["changed"] is False
    add_jobs(sql, "late")
    code, again = await server.send(sent)
    assert (code, again["webhook_id"], again["progress"]) == (200, body["webhook_id"], 50)


async def test_pages_show_250_webhooks_once_each_newest_first_while_more_arrive(server: Client, sql: Sql) -> None:
    stored = store(sql, *(webhook(f"j{n}", "generating") for n in range(250)))
    seen, cursor, pages = [], "", 0
    while cursor is not None:
        code, body = await server.read(f"{WEBHOOKS}?outcome=dead&limit=50&cursor={cursor}")
        assert code == 200
        seen += [row["id"] for row in body["webhooks"]]
        cursor, pages = body["next_cursor"], pages + 1
        store(sql, webhook(f"newer{pages}", "generating"))
    assert seen == stored[::-1]
    assert pages == 5


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("outcome=lost", "outcome: Input should be 'applied', "),
        ("limit=0", "limit: Input should be greater than or equal to 1"),
        ("limit=101", "limit: Input should be less than or equal to 100"),
        ("limit=%C2%B2", "limit: Input should be a valid integer"),
        ("cursor=x", "cursor: String should match"),
        ("cursor=" + "G" * 32, "cursor: String should match"),
    ],
)
async def test_filter_that_cannot_be_is_told_in_a_sentence(server: Client, query: str, told: str) -> None:
    code, body = await server.read(f"{WEBHOOKS}?{query}")
    assert (code, body["code"]) == (400, "invalid_request")
    assert body["error"].startswith(f"Invalid request: {told}")


async def test_filter_by_job_shows_that_job_alone_whatever_the_collation(server: Client, sql: Sql) -> None:
    names = ["cabc", "cabc ", "CABC", "cábc"]
    store(sql, *(webhook(name, "generating") for name in names))
    for name in names:
        _, body = await server.read(WEBHOOKS, params={"job_id": name})
        assert [row["job_id"] for row in body["webhooks"]] == [name]
    _, body = await server.read(WEBHOOKS, params={"outcome": "applied", "job_id": "cabc"})
    assert (body["webhooks"], body["next_cursor"]) == ([], None)


@pytest.mark.parametrize(
    ("sent", "shown", "encoding"),
    [
        (b'{"a": [1, 2.50, "\\u00e9"]}', {"a": [1, 2.5, "é"]}, "json"),
        (b"{", "{", "text"),
        (b"\xff\x00", "/wA=", "base64"),
        (b"[" * 300 + b"]" * 300, None, "json"),
        (b"123456789012345678901234567890", 123456789012345678901234567890, "json"),
        (b'"\\ud800"', '"\\ud800"', "text"),
        (b"[" + b"{}," * 200_000 + b"0]", "[" + "{}," * 200_000 + "0]", "text"),
    ],
)
async def test_detail_shows_the_payload_as_it_came_whatever_it_is(
    server: Client, sent: bytes, shown: object, encoding: str
) -> None:
    _, body = await server.send(sent)
    async with server.session.get(f"{server.url}{WEBHOOKS}/{body['webhook_id']}") as answer:
        assert answer.status == 200
        detail = await answer.json()
    assert detail["payload_encoding"] == encoding
    if shown is not None:
        assert detail["payload"] == shown
    assert detail["headers"]["content-type"] == "application/json"


async def test_secrets_are_never_shown(server: Client, tmp_path: Path, database_url: str) -> None:
    headers = dict.fromkeys(("X-Webhook-Secret", "webhook-signature", "Authorization", "Cookie"), "hush-hush")
    _, body = await server.send(webhook("x", "pending"), headers | {"X-Kept": "yes"})
    for path in (f"{WEBHOOKS}/{body['webhook_id']}", WEBHOOKS):
        async with server.session.get(server.url + path) as answer:
            assert answer.status == 200
            text = await answer.text()
            assert "hush" not in text
    code, out, err = await run(tmp_path, "dead", "show", body["webhook_id"], DATABASE_URL=database_url)
    assert code == 0, err
    assert "x-kept: yes" in out
    assert "hush" not in out + err


async def test_nobody_but_an_admin_sees_or_touches_webhooks(
    server: Client, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, sent = await server.send(webhook("late", "generating"))
    before = everything(sql)

    async def identify(_request: web.Request, **_: bool) -> Identity:
        return Identity("u1", admin=False)

    monkeypatch.setattr(callers, "identify", identify)
    path = f"{WEBHOOKS}/{sent['webhook_id']}"
    answers = [await server.read(WEBHOOKS), await server.read(path)]
    answers += [await act(server, f"/{sent['webhook_id']}/{action}") for action in ("replay", "discard")]
    assert [(code, body["code"]) for code, body in answers] == [(403, "forbidden")] * 4
    assert everything(sql) == before


@pytest.mark.parametrize("webhook_id", ["0" * 32, "x", "%C3%A9", "' OR 1 --", "A" * 32, "0" * 31 + "%20"])
async def test_webhook_that_is_not_there_is_not_found(server: Client, sql: Sql, webhook_id: str) -> None:
    store(sql, webhook("j1", "generating"))
    assert (await server.read(f"{WEBHOOKS}/{webhook_id}"))[0] == 404
    for action in ("replay", "discard"):
        assert (await act(server, f"/{webhook_id}/{action}"))[0] == 404
