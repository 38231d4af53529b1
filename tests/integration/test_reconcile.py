"""Reconciliation on a real MariaDB with a real backend: what was lost on its way is asked for."""

import asyncio
import itertools
import json
from functools import partial
from typing import Any

import orjson
import pytest

from app.domain import payload
from app.generator import GeneratorError, HttpGenerator
from app.upkeep.reconcile import webhook_of
from tests.backend import Backend, add_stalled, answer, job, reconciling
from tests.databases import Sql
from tests.waiting import until
from tests.webhooks import video, webhook
from tests.writing import Harness, kinds


async def add_moved(harness: Harness, sql: Sql, name: str, status: str, seconds: int = 100, **fields: Any) -> None:
    """A job that a webhook moved, and then no other."""
    add_stalled(sql, name, seconds=0)
    assert kinds(await harness.submit(webhook(name, status, **fields))) == ["applied"]
    sql("UPDATE video_generations SET createdAt = createdAt - INTERVAL %s SECOND", seconds)
    sql("UPDATE rushes_jobs SET updated_at = updated_at - INTERVAL %s SECOND", seconds)


V2 = {"filename": "a.mp4", "s3_key": "k", "url": "https://a/k", "file_size": 9, "duration_seconds": 8, "format": "mp4"}
V3 = {"filename": "a.mp4", "s3_key": "k", "s3_url": "https://a/k", "size_bytes": 9, "duration": "8.0s"}


@pytest.mark.parametrize(
    "sent",
    [video("k"), V2 | {"aspect_ratio": "16:9", "dimensions": {"width": 1, "height": 1}}, V3],
    ids=["v1", "v2", "v3"],
)
async def test_completion_that_was_lost_is_asked_for_and_applied(
    database_url: str, sql: Sql, backend: Backend, sent: dict[str, Any]
) -> None:
    metadata = {"model_name": "veo-3", "processing_time": 61.5}
    backend.jobs["j1"] = answer(
        "j1", "completed", sent, generation_metadata=metadata, completed_at="2025-10-23T14:29:00"
    )
    add_stalled(sql, "j1")
    async with reconciling(database_url, backend) as harness:
        await until(lambda: harness.events)
        assert job(sql) == ("COMPLETED", 100, None)
        assert [orjson.loads(e.data)["status"] for e in harness.events] == ["completed"]
    assert sql("SELECT s3Key, durationSeconds FROM video_files") == (("k", 8),)
    ((model, seconds, completed_at),) = sql("SELECT model, processingTime, completedAt FROM video_generations")
    assert (model, seconds, completed_at.isoformat()) == ("veo-3", 61.5, "2025-10-23T14:29:00")
    assert sql("SELECT origin, outcome FROM rushes_webhooks") == (("reconciled", "applied"),)


async def test_failure_that_was_lost_is_applied_with_its_reason(database_url: str, sql: Sql, backend: Backend) -> None:
    backend.jobs["j1"] = answer("j1", "FAILED", error="quota exceeded", videos=None)
    add_stalled(sql, "j1")
    async with reconciling(database_url, backend):
        await until(lambda: job(sql) == ("FAILED", 0, "quota exceeded"))


async def test_failure_that_is_older_than_our_last_news_ends_the_job_too(
    database_url: str, sql: Sql, backend: Backend
) -> None:
    backend.jobs["j1"] = answer("j1", "failed", error="quota", updated_at="2025-10-23T10:00:00")
    async with reconciling(database_url, backend) as harness:
        await add_moved(harness, sql, "j1", "generating", at="2025-10-23T14:00:00Z")
        await until(lambda: job(sql) == ("FAILED", 0, "quota"))


async def test_progress_that_was_lost_is_applied_once(database_url: str, sql: Sql, backend: Backend) -> None:
    backend.jobs["j1"] = answer("j1", "generating")
    add_stalled(sql, "j1")
    async with reconciling(database_url, backend):
        await until(lambda: len(backend.asked) >= 3)
        assert job(sql) == ("PROCESSING", 50, None)
    assert sql("SELECT outcome, attempts FROM rushes_webhooks") == (("applied", 1),)


async def test_job_inserted_again_is_not_taken_to_stand_where_the_deleted_one_stood(
    database_url: str, sql: Sql, backend: Backend
) -> None:
    backend.jobs["j1"] = answer("j1", "generating")
    async with reconciling(database_url, backend) as harness:
        await add_moved(harness, sql, "j1", "generating", seconds=0, at="2025-10-23T14:00:00Z")
        sql("DELETE FROM video_generations")
        add_stalled(sql, "j1")
        await until(lambda: job(sql) == ("PROCESSING", 50, None))


def asked_so_often(backend: Backend, count: int) -> bool:
    return len(backend.asked) >= count


async def test_answer_that_changes_nothing_is_asked_for_after_longer_and_longer_pauses(
    database_url: str, sql: Sql, backend: Backend
) -> None:
    backend.jobs["j1"] = answer("j1", "generating", updated_at="2030-01-01T00:00:00")
    at = asyncio.get_running_loop().time
    async with reconciling(database_url, backend, stall_after=0.2) as harness:
        await add_moved(harness, sql, "j1", "generating")
        times = []
        for n in range(1, 5):
            await until(partial(asked_so_often, backend, n))
            times.append(at())
        pauses = [b - a for a, b in itertools.pairwise(times)]
        assert pauses[0] > 0.15
        assert pauses[2] > 0.6
    assert sql("SELECT origin FROM rushes_webhooks") == (("webhook",),)


async def test_job_with_news_is_not_asked_for(database_url: str, sql: Sql, backend: Backend) -> None:
    async with reconciling(database_url, backend, stall_after=50.0) as harness:
        await add_moved(harness, sql, "moving", "generating", seconds=40)
        sql("UPDATE video_generations SET createdAt = createdAt - INTERVAL 100 SECOND")
        add_stalled(sql, "stalled")
        add_stalled(sql, "made", seconds=10)
        sql("INSERT INTO video_generations (id, prompt, authorId, status, createdAt, updatedAt)"
            " VALUES ('done', 'p', 'u', 'COMPLETED', '2020-01-01', '2020-01-01')")  # fmt: skip
        async with asyncio.timeout(10):
            while not backend.asked:
                await asyncio.sleep(0.01)
    assert backend.asked == ["stalled"]


async def test_id_is_asked_for_as_it_is_spelled(database_url: str, sql: Sql, backend: Backend) -> None:
    names = ["a/b", "a?b=c#d", "été 1", "100%25", "a+b"]
    backend.jobs = {name: answer(name, "generating") for name in names}
    add_stalled(sql, *names)
    async with reconciling(database_url, backend):
        await until(lambda: all(job(sql, name)[1] == 50 for name in names))
    assert sorted(set(backend.asked)) == sorted(names)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("fr", "Le service de génération ne connaît pas cette vidéo ; abandon après 50 s sans nouvelles."),
        ("en", "The generation backend does not know this video; given up after 50 s without news."),
    ],
)
async def test_job_that_the_backend_does_not_know_fails_in_time_and_not_before(
    database_url: str, sql: Sql, backend: Backend, language: str, text: str
) -> None:
    add_stalled(sql, "young", seconds=30)
    add_stalled(sql, "j1", seconds=60)
    async with reconciling(database_url, backend, language=language, give_up_after=50.0):
        await until(lambda: job(sql)[0] == "FAILED" and "young" in backend.asked)
        assert job(sql) == ("FAILED", 0, text)
        assert job(sql, "young")[0] == "PENDING"


@pytest.mark.parametrize(
    "broken", [500, b"<html>", b"[1]", b'{"status": "queued"}', b'{"job_id":"x","status":"failed"}']
)
async def test_job_that_the_backend_does_not_answer_for_fails_after_some_tries(
    database_url: str, sql: Sql, backend: Backend, broken: bytes | int
) -> None:
    backend.jobs["j1"] = broken
    add_stalled(sql, "j1", seconds=60)
    async with reconciling(database_url, backend, stall_after=0.2, give_up_after=50.0, language="en"):
        await until(lambda: job(sql)[0] == "FAILED")
    assert job(sql)[2] == "The generation backend does not answer; given up after 50 s without news."
    assert len(backend.asked) == 3


async def test_job_that_the_backend_answers_for_is_not_given_up_whatever_it_says(
    database_url: str, sql: Sql, backend: Backend
) -> None:
    backend.jobs["j1"] = answer("j1", "queued")
    add_stalled(sql, "j1")
    async with reconciling(database_url, backend, stall_after=0.2, give_up_after=0.1):
        await until(lambda: len(backend.asked) >= 4, seconds=20)
    assert job(sql) == ("PENDING", 0, None)


async def test_webhook_that_comes_while_the_backend_is_asked_saves_the_job(
    database_url: str, sql: Sql, backend: Backend
) -> None:
    add_stalled(sql, "j1", seconds=60)
    backend.gate.clear()
    async with reconciling(database_url, backend, stall_after=5.0, give_up_after=50.0) as harness:
        await until(lambda: backend.asked == ["j1"])
        await harness.submit(webhook("j1", "generating"))
        backend.gate.set()
        add_stalled(sql, "other", seconds=60)
        await until(lambda: job(sql, "other")[0] == "FAILED")
        assert job(sql)[:2] == ("PROCESSING", 50)


async def test_backend_is_asked_for_four_jobs_at_once_at_most(database_url: str, sql: Sql, backend: Backend) -> None:
    names = [f"j{n}" for n in range(30)]
    add_stalled(sql, *names)
    backend.jobs = {name: answer(name, "processing") for name in names}
    backend.gate.clear()
    async with reconciling(database_url, backend):
        await until(lambda: backend.at_once == 4)
        backend.gate.set()
        await until(lambda: set(backend.asked) == set(names))
    assert backend.most_at_once == 4


async def test_backend_that_is_away_is_not_asked_for_every_job(database_url: str, sql: Sql, backend: Backend) -> None:
    names = [f"j{n}" for n in range(40)]
    add_stalled(sql, *names)
    backend.jobs = dict.fromkeys(names, 503)
    async with reconciling(database_url, backend, stall_after=5.0):
        await until(lambda: len(backend.asked) >= 4)
        asked = len(backend.asked)
        await until(lambda: len(backend.asked) > asked)
        assert len(set(backend.asked)) <= 12


def test_answer_becomes_the_webhook_that_says_the_same() -> None:
    update = payload.parse(webhook_of("j1", answer("j1", "completed", videos=None)))
    assert (update.status, update.has_data, update.timestamp) == ("completed", False, 1761229800123456)
    update = payload.parse(webhook_of("j1", answer("j1", "completed")))
    assert (update.has_data, update.files) == (True, ())
    update = payload.parse(webhook_of("j1", answer("j1", "failed", generation_metadata={"prompt_used": "la mer"})))
    assert (update.error, update.prompt_used) == (None, "la mer")
    with pytest.raises(payload.InvalidPayloadError):
        webhook_of("j1", answer("J1", "completed"))


async def test_answer_that_is_too_long_is_none(backend: Backend) -> None:
    backend.jobs["j1"] = b" " * 2_000_000
    generator = HttpGenerator(backend.url, 5.0, "en")
    with pytest.raises(GeneratorError):
        await generator.status("j1")
    assert await generator.status("nobody") is None
    await generator.close()


async def test_answer_that_is_elsewhere_is_none(backend: Backend) -> None:
    backend.jobs |= {"j1": "/api/videos/status/j2", "j2": answer("j1", "failed")}
    generator = HttpGenerator(backend.url, 5.0, "en")
    with pytest.raises(GeneratorError):
        await generator.status("j1")
    await generator.close()
    assert backend.asked == ["j1"]


async def test_answer_of_the_backend_is_taken_though_its_description_is_no_json(
    database_url: str, sql: Sql, backend: Backend
) -> None:
    metadata = {"processing_time": float("nan"), "prompt_used": "mer \ud83d"}
    told = answer("j1", "completed", video("k"), generation_metadata=metadata, updated_at="soon")
    backend.jobs["j1"] = json.dumps(told).encode()
    add_stalled(sql, "j1")
    async with reconciling(database_url, backend):
        await until(lambda: job(sql) == ("COMPLETED", 100, None))


async def test_what_the_backend_sent_before_does_not_make_its_answer_a_duplicate(
    database_url: str, sql: Sql, backend: Backend
) -> None:
    """The site took the job back to have it made again, after we had heard of its end."""
    told = answer("j1", "completed", video("k"))
    add_stalled(sql, "j1")
    async with reconciling(database_url, backend, stall_after=0.3) as harness:
        assert kinds(await harness.submit(orjson.loads(webhook_of("j1", told)))) == ["applied"]
        sql("UPDATE video_generations SET status = 'PROCESSING'")
        backend.jobs["j1"] = told
        await until(lambda: job(sql)[0] == "COMPLETED")
