"""The writer on a real MariaDB: batches, and what goes wrong in them."""

import asyncio
import gc
import os
import socket
from typing import Any

import orjson
import pymysql
import pytest

from app.db.connection import Connection
from app.db.errors import BusyError, DatabaseAwayError
from app.db.resultsets import ResultSets
from app.db.url import parameters
from app.domain import job as rules
from app.domain.job import Change, Job, StatusUpdate
from tests.databases import Sql
from tests.webhooks import completion, video, webhook
from tests.writing import Harness, add_jobs, delivery, kinds, log_ids, writing


async def test_what_arrives_together_is_committed_together(harness: Harness, sql: Sql) -> None:
    add_jobs(sql, *(f"j{n}" for n in range(100)))
    outcomes = await harness.submit(*(webhook(f"j{n}", "generating") for n in range(100)))
    assert set(kinds(outcomes)) == {"applied"}
    assert len(harness.batches) <= 2
    assert [event.id for event in harness.events] == log_ids(sql) == list(range(1, 101))


async def test_updates_of_one_job_in_one_batch_each_have_their_event(harness: Harness, sql: Sql) -> None:
    add_jobs(sql, "j1")
    outcomes = await harness.submit(*(webhook("j1", s) for s in ("processing", "generating", "downloading")))
    assert [o.progress for o in outcomes] == [25, 50, 75]
    assert [orjson.loads(e.data)["progress"] for e in harness.events] == [25, 50, 75]
    assert sql("SELECT progress FROM video_generations") == ((75,),)


async def test_duplicates_within_a_batch_and_across_batches_are_applied_once(harness: Harness, sql: Sql) -> None:
    add_jobs(sql, "j1")
    sent = webhook("j1", "generating")
    assert sorted(kinds(await harness.submit(sent, sent, sent))) == ["applied", "duplicate", "duplicate"]
    assert kinds(await harness.submit(sent)) == ["duplicate"]
    assert log_ids(sql) == [1]


async def test_what_is_over_leaves_no_garbage_to_collect(harness: Harness, sql: Sql) -> None:
    """A collection of a busy server's garbage holds its loop for tens of milliseconds."""
    add_jobs(sql, "j1", "j2")
    await harness.submit(webhook("j1", "processing"))
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        await harness.submit(webhook("j1", "generating"), webhook("gone", "failed"))
        await harness.submit(completion("j2", video("k1")))
        gc.collect()
        assert [thing for thing in gc.garbage if type(thing).__module__.startswith("app.")] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


async def test_one_poisonous_update_in_a_batch_of_100_fails_alone(harness: Harness, sql: Sql) -> None:
    add_jobs(sql, *(f"j{n}" for n in range(100)))
    bodies = [webhook(f"j{n}", "generating") for n in range(100)]
    bodies[42] = completion("j42", video("k", file_size=3_000_000_000))
    outcomes = await harness.submit(*bodies)
    assert [n for n, o in enumerate(outcomes) if o.kind != "applied"] == [42]
    assert (outcomes[42].kind, outcomes[42].code) == ("dead", "apply_failed")
    assert sql("SELECT COUNT(*) FROM video_generations WHERE progress = 50") == ((99,),)
    assert log_ids(sql) == list(range(1, 100))


def stand_still_until_answered(session: Connection) -> None:
    """The whole answer is there, and the loop has not read it."""
    with socket.socket(fileno=os.dup(session._raw._writer.get_extra_info("socket").fileno())) as peeking:
        peeking.setblocking(True)
        try:
            while not ResultSets().feed(peeking.recv(65_536, socket.MSG_PEEK)):
                pass
        finally:
            peeking.setblocking(False)  # the two share that


@pytest.mark.parametrize("breaks", [False, True])
async def test_webhook_that_comes_has_the_batch_before_it_sent_and_meets_none_of_its_errors(
    harness: Harness, sql: Sql, monkeypatch: pytest.MonkeyPatch, breaks: bool
) -> None:
    add_jobs(sql, "j0", "j1", "j2")
    await harness.submit(webhook("j0", "generating"))
    session = harness.writer._connection
    assert session is not None
    decided_in: dict[str, asyncio.Task[Any] | None] = {}
    apply = rules.apply

    def watched(job: Job, update: StatusUpdate, *rest: Any) -> Change | None:
        decided_in.setdefault(update.job_id, asyncio.current_task())
        if breaks and update.job_id == "j1":
            raise TypeError("not foreseen")
        return apply(job, update, *rest)

    monkeypatch.setattr(rules, "apply", watched)
    first = asyncio.create_task(harness.writer.submit(delivery(webhook("j1", "generating"))))
    while session._reading is None:
        await asyncio.sleep(0)
    stand_still_until_answered(session)
    second = await harness.writer.submit(delivery(webhook("j2", "generating")))
    assert kinds([await first, second]) == ["dead" if breaks else "applied", "applied"]
    assert decided_in["j1"] is asyncio.current_task()


@pytest.mark.parametrize("word", ["rushes_webhooks_dedup", "rushes_jobs", "rushes_webhooks_dedup'"])
async def test_senders_text_in_an_error_is_not_taken_for_a_race(harness: Harness, sql: Sql, word: str) -> None:
    add_jobs(sql, "j1", "j2")
    outcomes = await harness.submit(
        completion("j1", video(f"{word}/a"), video(f"{word}/A")), webhook("j2", "generating")
    )
    assert [(o.kind, o.code) for o in outcomes] == [("dead", "key_conflict"), ("applied", None)]


async def test_update_that_breaks_our_own_code_fails_alone_too(
    harness: Harness, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_jobs(sql, "j1", "j2", "j3")
    apply = rules.apply

    def broken(job: Job, update: StatusUpdate, *rest: Any) -> Change | None:
        if update.job_id == "j2":
            raise TypeError("not foreseen")
        return apply(job, update, *rest)

    monkeypatch.setattr(rules, "apply", broken)
    outcomes = await harness.submit(*(webhook(f"j{n}", "generating") for n in (1, 2, 3)))
    assert kinds(outcomes) == ["applied", "dead", "applied"]
    assert log_ids(sql) == [1, 2]


async def test_key_that_somebody_locks_is_not_forgotten(harness: Harness, sql: Sql, database_url: str) -> None:
    add_jobs(sql, "j1")
    await harness.submit(webhook("j1", "downloading", at="2025-10-23T14:00:00Z"))
    arguments = parameters(database_url)
    session = pymysql.connect(unix_socket=arguments["unix_socket"], user="root", database=arguments["db"])
    session.cursor().execute("SELECT * FROM rushes_jobs FOR UPDATE")
    outcomes = await harness.submit(webhook("j1", "pending", at="2020-01-01T00:00:00Z"))
    session.close()
    assert kinds(outcomes) == ["stale"]


@pytest.mark.parametrize("state", ["PROCESSING", "COMPLETED"])
async def test_completion_without_a_file_does_not_fail_a_job_to_which_another_program_gave_one(
    harness: Harness, sql: Sql, state: str
) -> None:
    add_jobs(sql, "j1")
    sql("UPDATE video_generations SET status = %s, completedAt = '2025-10-23 14:00:00'", state)
    sql(
        "INSERT INTO video_files (id, filename, s3Key, fileSize, durationSeconds, aspectRatio, width, height,"
        " generationId) VALUES ('f1', 'a.mp4', 'k1', 1, 8, '16:9', 1, 1, 'j1')"
    )
    late = webhook("j1", "generating", at="2025-10-23T14:30:00Z")
    empty = webhook("j1", "completed", at="2025-10-23T15:00:00Z", data={"videos": [], "success": True})
    moves = "applied" if state == "PROCESSING" else "stale"
    assert kinds([*await harness.submit(late), *await harness.submit(empty)]) == [moves, "stale"]
    assert sql("SELECT status FROM video_generations") == ((state,),)


async def test_database_out_of_reach_is_told_within_the_budget() -> None:
    async with writing("mysql://root@127.0.0.1:1/none", budget=0.3) as harness:
        with pytest.raises(DatabaseAwayError):
            await harness.submit(webhook("j1", "generating"))


async def test_too_many_waiting_webhooks_are_refused(sql: Sql, database_url: str) -> None:
    add_jobs(sql, "j1")
    async with writing(database_url, pending_max=1) as harness:
        outcomes = await asyncio.gather(
            *(harness.writer.submit(delivery(webhook("j1", "generating"))) for _ in range(5)), return_exceptions=True
        )
        assert any(isinstance(o, BusyError) for o in outcomes)


async def test_stopping_commits_what_still_waits(sql: Sql, database_url: str) -> None:
    add_jobs(sql, "j1")
    async with writing(database_url) as harness:
        waiting = asyncio.create_task(harness.writer.submit(delivery(webhook("j1", "generating"))))
        await asyncio.sleep(0)
    assert (await waiting).kind == "applied"


async def test_webhooks_with_one_id_are_one_webhook_whatever_they_say(harness: Harness, sql: Sql) -> None:
    add_jobs(sql, "j1")
    first = await harness.submit(webhook("j1", "generating"), webhook_id="msg_1")
    second = await harness.submit(webhook("j1", "downloading"), webhook_id="msg_1")
    assert kinds(first + second) == ["applied", "duplicate"]


async def test_webhook_that_names_its_owner_makes_the_missing_job_where_that_is_wanted(
    sql: Sql, database_url: str
) -> None:
    brings = completion("new", video("k"))
    brings["data"]["user_id"] = "u7"
    async with writing(database_url, create_unknown=True) as one, writing(database_url, create_unknown=True) as two:
        first, second = await asyncio.gather(one.submit(brings), two.submit(brings))
        assert sorted(kinds(first + second)) == ["applied", "duplicate"]
        assert kinds(await one.submit(webhook("ownerless", "generating"))) == ["parked"]
        long = webhook("long", "failed", data={"user_id": "u7", "metadata": {"prompt_used": "\u00e9" * 70_000}})
        assert kinds(await one.submit(long)) == ["applied"]
        sql("DELETE FROM video_generations WHERE id = 'long'")
        brings["job_id"] = "NEW"
        assert kinds(await one.submit(brings)) == ["parked"]
    assert sql("SELECT id, authorId, prompt, status FROM video_generations") == (("new", "u7", "la mer", "COMPLETED"),)
    assert sql("SELECT generationId FROM video_files") == (("new",),)


async def test_job_that_a_webhook_makes_has_what_was_ordered(sql: Sql, database_url: str) -> None:
    config = {"aspect_ratio": "9:16", "duration_seconds": 5, "person_generation": "DONT_ALLOW"}
    told = completion("told", video("k"))
    told["data"] |= {"user_id": "u7", "prompt": "not this"}
    told["data"]["metadata"]["config_used"] = config
    step = webhook("step", "generating", data={"user_id": "u7", "prompt": "A calm sea"})
    async with writing(database_url, create_unknown=True) as harness:
        assert kinds(await harness.submit(told, step)) == ["applied", "applied"]
    assert sql(
        "SELECT id, prompt, aspectRatio, durationSeconds, personGeneration, status FROM video_generations ORDER BY id"
    ) == (
        ("step", "A calm sea", "16:9", 8, "ALLOW_ALL", "PROCESSING"),
        ("told", "la mer", "9:16", 5, "DONT_ALLOW", "COMPLETED"),
    )


async def test_two_new_jobs_that_are_one_to_the_collation_do_not_hold_up_the_others(
    sql: Sql, database_url: str
) -> None:
    add_jobs(sql, "there")

    def brings(job_id: str, status: str = "processing") -> dict[str, Any]:
        return webhook(job_id, status, data={"user_id": "u7"})

    async with writing(database_url, create_unknown=True) as harness, asyncio.timeout(3):
        outcomes = await harness.submit(brings("p1"), brings("P1"), brings("p\u00e9"), webhook("there", "generating"))
        assert kinds(outcomes) == ["applied", "parked", "applied", "applied"]
        # One that is spelled otherwise than a job that is there keeps no other from being made.
        assert kinds(await harness.submit(brings("THERE"), brings("fresh"))) == ["parked", "applied"]
    assert sql("SELECT id FROM video_generations ORDER BY id") == (("fresh",), ("p1",), ("p\u00e9",), ("there",))
