"""Ids that the database takes for the same, since its collations pass over spaces at the end, are different users."""

import base64
from collections.abc import AsyncIterator

import pytest

from app.db.log import Log
from app.db.pool import Pool
from app.db.snapshots import Snapshots
from tests.client import Client, order, running
from tests.databases import Sql
from tests.streams import events
from tests.webhooks import completion, video, webhook

TWIN = "dev "


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    opened = Pool(database_url, 1, 10)
    yield opened
    opened.close()


def add_events(sql: Sql, count: int, author: str, job: str) -> None:
    """So many more events at the end of the log."""
    sql(
        "INSERT INTO rushes_events (id, job_id, author_id, event, data, created_at) "
        "SELECT value + seq, %s, %s, 'progress', CONCAT('{\"n\": ', value + seq, '}'), UTC_TIMESTAMP(3) "
        f"FROM rushes_counter, seq_1_to_{count}",
        job, author,
    )  # fmt: skip
    sql("UPDATE rushes_counter SET value = value + %s", count)


@pytest.mark.parametrize("of", ["author_id", "job_id"])
async def test_twins_events_are_neither_read_nor_do_they_use_up_what_is_read_at_once(
    pool: Pool, sql: Sql, of: str
) -> None:
    add_events(sql, 1, "bob", "j1")
    add_events(sql, 300, "bob ", "j1 ")
    add_events(sql, 1, "bob", "j1")
    log = Log(pool)
    mine, twins = {"author_id": ("bob", "bob "), "job_id": ("j1", "j1 ")}[of]
    assert [event.id for event in (await log.after(0, 10, **{of: mine})).events] == [1, 302]
    assert [event.id for event in (await log.after(0, 10, **{of: twins})).events] == list(range(2, 12))
    for other in ("bo", "b", "j", "", "BOB", "J1", "bob\t", "bob\ud83d"):
        assert (await log.after(0, 10, **{of: other})).events == []


async def test_stream_that_comes_back_gets_nothing_of_a_twins_and_all_of_its_own(database_url: str, sql: Sql) -> None:
    add_events(sql, 1, "dev", "mine")
    add_events(sql, 500, TWIN, "theirs")
    add_events(sql, 1, "dev", "mine")
    async with running(database_url, ring_size=1) as server:
        async with events(server.session, f"{server.url}/events", 0) as source:
            assert [event.id for event in await source.take(2)] == [1, 502]


async def test_stream_shows_no_unfinished_job_of_a_twin(server: Client) -> None:
    await server.register("theirs", user_id=TWIN)
    await server.register("mine")
    async with events(server.session, f"{server.url}/events") as source:
        (event,) = await source.take(1)
        assert (event.id, event.data["job_id"]) == (2, "mine")
        await server.send(webhook("theirs", "generating"))
        await server.send(webhook("mine", "generating"))
        assert (await source.next()).data["job_id"] == "mine"


@pytest.mark.parametrize("twin", [TWIN, "DEV", "dév"])
async def test_gallery_is_as_long_as_was_asked_for_and_its_cursor_tells_no_twins_ids(
    server: Client, sql: Sql, twin: str
) -> None:
    for n in range(6):
        job_id, owner = (f"mine{n}", "dev") if n % 3 == 0 else (f"hidden{n}", twin)
        await server.register(job_id, user_id=owner)
        await server.send(completion(job_id, video(f"k{n}")))
    sql("UPDATE video_generations SET createdAt = CONCAT('2025-01-0', RIGHT(id, 1) + 1)")
    _, first = await server.read("/api/videos/user?limit=1")
    assert [job["id"] for job in first["generations"]] == ["mine3"]
    assert b"hidden" not in base64.urlsafe_b64decode(first["next_cursor"])
    _, second = await server.read("/api/videos/user", params={"limit": 1, "cursor": first["next_cursor"]})
    assert ([job["id"] for job in second["generations"]], second["next_cursor"]) == (["mine0"], None)


async def test_key_of_a_twins_request_makes_a_job_of_ones_own(database_url: str, sql: Sql) -> None:
    sql(
        "INSERT INTO rushes_requests (user_id, idempotency_key, job_id, created_at) VALUES (%s, 'k', 'theirs', NOW(3))",
        TWIN,
    )
    async with running(database_url, simulated_step=60) as server:
        answers = [await order(server, "/api/videos/generate", {"Idempotency-Key": "k"}) for _ in range(2)]
        assert [code for code, _ in answers] == [202, 202]
        assert answers[0][1]["job_id"] == answers[1][1]["job_id"] != "theirs"
    assert len(sql("SELECT 1 FROM rushes_requests")) == 2


async def test_job_of_another_spelling_is_a_conflict_and_stays_as_it_is(server: Client, sql: Sql) -> None:
    await server.register("j1")
    await server.send(webhook("j1", "generating"))
    for twin in ("j1 ", "J1"):
        code, body = await order(server, job_id=twin)
        assert (code, body["code"]) == (409, "id_conflict")
        assert (await server.read(f"/api/videos/{twin.replace(' ', '%20')}"))[0] == 404
    assert sql("SELECT job_id, status FROM rushes_jobs") == (("j1", "generating"),)


async def test_unfinished_jobs_of_both_are_told_apart_in_one_read(pool: Pool, server: Client) -> None:
    await server.register("theirs", user_id=TWIN)
    await server.register("mine")
    for author, job in ((TWIN, "theirs"), ("dev", "mine")):
        assert [found.id for found in (await Snapshots(pool, 1000, 1_000_000).of_user(author))[1]] == [job]
