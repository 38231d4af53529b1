"""How long a generation still takes, as the service tells it."""

import asyncio
from collections.abc import Sequence

import pytest

from app.appkeys import ESTIMATES
from app.db.samples import Samples
from app.domain.estimate import UNKNOWN, Kind
from tests.client import Client, running
from tests.databases import Sql
from tests.waiting import until
from tests.webhooks import completion, video, webhook

VEO = Kind("veo-2.0-generate-001", 8, 1)


async def finish(server: Client, *job_ids: str, seconds: int = 60) -> None:
    """Generated in that many seconds by the sender's clock, and downloaded in ten."""
    for job_id in job_ids:
        await server.register(job_id)
        end = 10 + seconds
        await server.send(webhook(job_id, "generating", at="2025-10-23T14:00:00Z"))
        await server.send(webhook(job_id, "downloading", at=f"2025-10-23T14:0{seconds // 60}:{seconds % 60:02}Z"))
        await server.send(completion(job_id, video(job_id), at=f"2025-10-23T14:0{end // 60}:{end % 60:02}Z"))


async def known(server: Client, kind: Kind = VEO) -> None:
    await until(lambda: server.app[ESTIMATES].of(kind, "generating", 0) != UNKNOWN)


async def test_estimate_is_told_from_the_fifth_success_on_by_event_snapshot_list_and_job(
    server: Client, sql: Sql
) -> None:
    await finish(server, "j1", "j2", "j3", "j4")
    await server.register("next")
    await server.send(webhook("next", "processing"))
    assert (await server.read("/api/videos/next"))[1]["eta_seconds"] is None
    await finish(server, "j5")
    await known(server)
    async with server.events("/events/next") as source:
        await source.next()
        await server.send(webhook("next", "generating"))
        assert 68 <= (told := (await source.next()).data)["eta_seconds"] <= told["eta_p90_seconds"] <= 70
    sql("UPDATE rushes_jobs SET since = since - INTERVAL 20 SECOND WHERE job_id = 'next'")
    async with server.events("/events/next") as source:
        assert 46 <= (await source.next()).data["eta_seconds"] <= 50
    job = (await server.read("/api/videos/next"))[1]
    (listed,) = (await server.read("/api/videos/user"))[1]["active"]
    assert 46 <= job["eta_seconds"] <= listed["eta_p90_seconds"] <= 50


async def test_step_that_is_told_again_does_not_begin_the_stage_anew(server: Client, sql: Sql) -> None:
    await finish(server, "j1", "j2", "j3", "j4", "j5")
    await known(server)
    await server.register("next")
    await server.send(webhook("next", "generating", at="2025-10-23T14:00:00Z"))
    sql("UPDATE rushes_jobs SET since = since - INTERVAL 50 SECOND WHERE job_id = 'next'")
    async with server.events("/events/next") as source:
        await source.next()
        await server.send(webhook("next", "generating", at="2025-10-23T14:00:40Z"))
        assert 17 <= (await source.next()).data["eta_seconds"] <= 20
        await server.send(webhook("next", "downloading", at="2025-10-23T14:00:55Z"))
        assert (await source.next()).data["eta_seconds"] == 10


async def test_job_that_takes_longer_than_all_others_is_given_no_number(server: Client, sql: Sql) -> None:
    await finish(server, "j1", "j2", "j3", "j4", "j5")
    await known(server)
    await server.register("next")
    await server.send(webhook("next", "generating"))
    sql("UPDATE rushes_jobs SET since = since - INTERVAL 9 MINUTE WHERE job_id = 'next'")
    job = (await server.read("/api/videos/next"))[1]
    assert (job["eta_seconds"], job["eta_p90_seconds"]) == (0, 0)


async def test_job_that_was_registered_is_estimated_from_its_first_event(server: Client) -> None:
    await finish(server, "j1", "j2", "j3", "j4", "j5")
    await known(server)
    async with server.events("/events") as source:
        await source.next()
        await server.register("next")
        assert 70 <= (await source.next()).data["eta_seconds"] <= 75


async def test_failed_generations_and_steps_without_an_end_tell_nothing(server: Client) -> None:
    for number in range(6):
        await server.register(f"j{number}")
        await server.send(webhook(f"j{number}", "generating", at="2025-10-23T14:00:00Z"))
        await server.send(webhook(f"j{number}", "failed", at="2025-10-23T14:00:01Z"))
    await finish(server, "one")
    await until(lambda: server.app[ESTIMATES].of(VEO, "generating", 0) == UNKNOWN)
    assert (await server.read("/api/videos/j1"))[1]["eta_seconds"] is None


async def test_what_others_completed_is_known_to_every_process_and_after_a_start(database_url: str) -> None:
    async with running(database_url) as one, running(database_url) as other:
        await finish(one, "j1", "j2", "j3", "j4", "j5")
        await known(one)
        await known(other)
    async with running(database_url) as later:
        assert later.app[ESTIMATES].of(VEO, "downloading", 0).seconds == 10


async def test_read_that_waited_long_holds_knowledge_back_no_longer_than_the_bound(
    server: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken_in, begun = Samples._take_in, asyncio.Event()

    async def waited(samples: Samples, job_ids: Sequence[str]) -> None:
        begun.set()
        await asyncio.sleep(0.3)  # a hundred times that is half a minute
        await taken_in(samples, job_ids)

    monkeypatch.setattr("app.db.samples._PAUSE_MAX", 0.2)
    monkeypatch.setattr(Samples, "_take_in", waited)
    await finish(server, "j1", "j2")
    await begun.wait()
    await finish(server, "j3", "j4", "j5")
    await known(server)


async def test_rows_of_other_programs_in_the_log_do_no_harm(server: Client, sql: Sql, database_url: str) -> None:
    await finish(server, "j1", "j2", "j3", "j4", "j5")
    sql("UPDATE rushes_events SET data = 'no json' WHERE job_id = 'j1'")
    sql("UPDATE rushes_events SET data = '{\"status\": 7, \"occurred_at\": {}}' WHERE job_id = 'j2'")
    sql("DELETE FROM video_generations WHERE id = 'j3'")
    async with running(database_url) as later:
        assert later.app[ESTIMATES].of(VEO, "downloading", 0) == UNKNOWN
        await finish(later, "j6", "j7", "j8")
        await known(later)
