"""Failed jobs and partial results, as users are told of them."""

from collections import Counter
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

from app import logs
from tests.client import Client
from tests.databases import Sql
from tests.webhooks import completion, video, webhook

REFUSED = "The prompt could not be submitted: sensitive words. Support codes: 58061214 (request id: abcdef123456)"


async def failed(server: Client, job_id: str, error: str) -> None:
    await server.register(job_id)
    await server.send(webhook(job_id, "failed") | {"error": error})


async def read(server: Client, job_id: str, language: str = "en") -> dict[str, Any]:
    status, job = await server.read(f"/api/videos/{job_id}", headers={"Accept-Language": language})
    assert status == 200
    return job


async def test_failed_job_says_why_and_what_to_do_by_answer_and_by_event(server: Client, sql: Sql) -> None:
    async with server.events("/events") as source:
        await source.next()
        await failed(server, "j1", REFUSED)
        await source.next()
        event = (await source.next()).data
    job = await read(server, "j1")
    shown = "The prompt could not be submitted: sensitive words. Support codes: 58061214 (request id: …)"
    why = {"kind": "safety", "side": "prompt", "category": "child", "retryable": False, "operator": False}
    assert (event["failure"], event["error"]) == (why, shown)
    assert job["failure"] == why | {
        "advice": "The safety filter refused the description. Put it in other words. It is about minors."
    }
    assert job["error"] == shown
    async with server.events("/events/j1") as source:
        assert (await source.next()).data["failure"] == why
    assert sql("SELECT error FROM video_generations") == ((REFUSED,),)
    assert "abcdef123456" not in str(sql("SELECT data FROM rushes_events"))


@pytest.mark.parametrize(
    ("asked", "told"),
    [("fr-FR,fr;q=0.9,en;q=0.8", "fr"), ("en-US,en;q=0.9", "en"), ("de,en;q=0.4,fr;q=0.5", "fr"), ("", "fr"),
     ("de", "fr"), ("en;q=nonsense", "fr"), ("*", "fr"), ("fr;q=0,en;q=0.1", "en")],
)  # fmt: skip
async def test_advice_is_in_the_language_that_the_reader_likes_best(server: Client, asked: str, told: str) -> None:
    await failed(server, "j1", "503 UNAVAILABLE")
    job = await read(server, "j1", asked)
    assert job["failure"]["advice"].startswith({"fr": "Le service", "en": "The generation"}[told])


async def test_job_that_has_not_failed_has_no_failure(server: Client) -> None:
    await server.register("j1")
    assert (await read(server, "j1"))["failure"] is None
    await server.send(completion("j1", video("k1")))
    assert (await read(server, "j1"))["failure"] is None


def asking_for(
    job_id: str, number: object, *videos: dict[str, Any], at: str | None = None, **metadata: Any
) -> dict[str, Any]:
    body = completion(job_id, *videos, at=at)
    body["data"]["metadata"] |= {"num_videos_requested": number, "num_videos_generated": len(videos)} | metadata
    return body


async def test_partial_result_is_a_success_that_says_how_many_came_and_why_no_more(server: Client) -> None:
    await server.register("j1")
    sent = asking_for("j1", 4, video("k1"), video("k2"), raiMediaFilteredCount=2, raiMediaFilteredReasons=["61493863"])
    async with server.events("/events/j1") as source:
        await source.next()
        await server.send(sent)
        event = (await source.next()).data
    job = await read(server, "j1")
    (listed,) = (await server.read("/api/videos/user"))[1]["generations"]
    for told in (event, job, listed):
        assert (told["requested"], told["generated"], told["num_videos"]) == (4, 2, 2)
        assert (told["failure"]["kind"], told["failure"]["side"]) == ("safety", "output")
    assert (job["state"], event["state"]) == ("COMPLETED", "COMPLETED")
    async with server.events("/events/j1") as source:
        assert (await source.next()).data["requested"] == 4


async def test_partial_result_without_a_reason_can_be_tried_again(server: Client) -> None:
    await server.register("j1")
    await server.send(asking_for("j1", 2, video("k1")))
    failure = (await read(server, "j1"))["failure"]
    assert (failure["kind"], failure["retryable"]) == ("no_video", True)


@pytest.mark.parametrize("turned", [False, True])
async def test_result_is_whole_once_another_completion_brings_the_rest_in_any_order(
    server: Client, turned: bool
) -> None:
    await server.register("j1")
    both = [
        asking_for("j1", 2, video("k1"), at="2025-10-23T14:30:05Z"),
        asking_for("j1", 2, video("k2"), at="2025-10-23T14:30:00Z"),
    ]
    for body in both[::-1] if turned else both:
        await server.send(body)
    job = await read(server, "j1")
    assert (job["num_videos"], job["failure"]) == (2, None)
    assert "requested" not in job


async def test_partial_result_counts_the_videos_that_are_there_whatever_its_sender_said(server: Client) -> None:
    await server.register("j1")
    async with server.events("/events/j1") as source:
        await source.next()
        await server.send(asking_for("j1", 4, video("k1"), video("k2"), at="2025-10-23T14:30:05Z"))
        await server.send(asking_for("j1", 4, video("k3"), at="2025-10-23T14:30:00Z", num_videos_generated=0))
        events = [(await source.next()).data, (await source.next()).data]
    (listed,) = (await server.read("/api/videos/user"))[1]["generations"]
    async with server.events("/events/j1") as source:
        now = (await source.next()).data
    for told, number in zip([*events, listed, await read(server, "j1"), now], [2, 3, 3, 3, 3], strict=True):
        assert (told["requested"], told["generated"], told["num_videos"]) == (4, number, number)


@pytest.mark.parametrize("number", [None, "4", -1, 2.5, True, 10**30, [], 0])
async def test_what_is_no_number_of_videos_refuses_nothing(server: Client, number: object) -> None:
    await server.register("j1")
    assert (await server.send(asking_for("j1", number, video("k1"))))[0] == 200
    assert (await read(server, "j1"))["failure"] is None


async def test_completion_whose_videos_were_all_withheld_fails_with_the_reason(server: Client) -> None:
    await server.register("j1")
    body = webhook("j1", "completed", data={"videos": [], "success": True})
    body["data"]["generateVideoResponse"] = {
        "raiMediaFilteredCount": 1,
        "raiMediaFilteredReasons": ["Support codes: 90789179"],
    }
    await server.send(body)
    job = await read(server, "j1")
    assert (job["state"], job["failure"]["kind"], job["failure"]["category"]) == ("FAILED", "safety", "sexual")


async def test_rows_of_other_programs_and_earlier_versions_are_told_likewise(server: Client, sql: Sql) -> None:
    await server.register("j1")
    await server.register("j2")
    sql("UPDATE video_generations SET status = 'FAILED', error = 'HTTP 502', completedAt = NOW(3) WHERE id = 'j1'")
    await server.send(completion("j2", video("k1")))
    sql("UPDATE rushes_jobs SET partial = '[1]'")
    assert (await read(server, "j1"))["failure"]["kind"] == "unreachable"
    assert (await read(server, "j2"))["failure"] is None


async def test_code_that_the_table_does_not_know_is_told_to_the_operator_once(
    server: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = LogCapture()
    log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[told], wrapper_class=structlog.BoundLogger)
    monkeypatch.setattr(logs, "_unknown", Counter())
    monkeypatch.setattr(structlog, "get_logger", lambda *_: log)
    for number in range(3):
        await failed(server, f"j{number}", "Refused. Support codes: 11112222")
    assert [line["code"] for line in told.entries if line["event"] == "support_code_unknown"] == ["11112222"]
