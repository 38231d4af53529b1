"""Lists and snapshots of users with much: bounded in number and in bytes, and nobody waits for them but themselves."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from app.db.gallery import Gallery, Wanted
from app.db.pool import Pool
from app.db.snapshots import Snapshots, UserState
from tests.client import Client, running
from tests.databases import Sql
from tests.rows import fill
from tests.streams import events


def names(first: int, last: int) -> list[str]:
    return [f"j{number:05}" for number in range(first, last + 1)]


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    """One session, whose own counters tell what was asked of the database."""
    pool = Pool(database_url, 1, 10)
    yield pool
    pool.close()


async def cost(pool: Pool, what: str) -> int:
    return sum(int(value) for _, value in await pool.rows(f"SHOW SESSION STATUS LIKE '{what}'"))


# -- The gallery


async def test_first_page_has_the_newest_two_hundred_unfinished_jobs_and_says_that_there_are_more(
    server: Client, sql: Sql
) -> None:
    fill(sql, 200)
    _, body = await server.read("/api/videos/user")
    assert [job["id"] for job in body["active"]] == names(1, 200)
    assert "active_more" not in body
    fill(sql, 3, name="k")
    _, body = await server.read("/api/videos/user")
    assert len(body["active"]) == 200
    assert body["active_more"] is True
    assert {"j00001", "k00001", "j00002", "k00002"} & {job["id"] for job in body["active"]} == {"k00002"}


async def test_long_prompts_end_the_lists_early_and_stay_whole(database_url: str, sql: Sql) -> None:
    fill(sql, 20, prompt="REPEAT('x', 10000)")
    fill(sql, 20, name="done", prompt="REPEAT('y', 10000)", status="'COMPLETED'")
    async with running(database_url, list_max_bytes=100_000) as server:
        seen, cursor = [], ""
        while cursor is not None:
            _, body = await server.read("/api/videos/user", params={"limit": 100, "cursor": cursor})
            assert 0 < len(body["generations"]) <= 10
            assert {job["prompt"] for job in body["generations"]} == {"y" * 10_000}
            seen += [job["id"] for job in body["generations"]]
            if not cursor:
                assert [job["id"] for job in body["active"]] == names(12, 20)
                assert body["active_more"] is True
                assert {job["prompt"] for job in body["active"]} == {"x" * 10_000}
            cursor = body["next_cursor"]
        assert seen == [f"done{number:05}" for number in range(20, 0, -1)]


@pytest.mark.parametrize(("column", "shown"), [("prompt", ("generations", "active")), ("message", ("active",))])
async def test_characters_that_json_writes_in_six_count_for_six(
    database_url: str, sql: Sql, column: str, shown: tuple[str, ...]
) -> None:
    texts = {"prompt": "'p'"} | {column: "REPEAT(CHAR(1), 2000)"}
    fill(sql, 60, **texts)
    fill(sql, 60, name="done", status="'COMPLETED'", **texts)
    async with running(database_url, list_max_bytes=100_000) as server:
        async with server.get("/api/videos/user", params={"limit": 100}) as answer:
            body = await answer.read()
        lists = json.loads(body)
        assert all(60_000 < len(json.dumps(lists[name])) <= 105_000 for name in shown)


async def test_jobs_with_many_files_end_the_page_early(database_url: str, sql: Sql) -> None:
    fill(sql, 5, status="'COMPLETED'")
    sql(
        "INSERT INTO video_files (id, filename, s3Key, fileUrl, fileSize, durationSeconds, aspectRatio, width, height,"
        " generationId) SELECT CONCAT(g.id, '/', seq), 'f', CONCAT(g.id, '/', seq), REPEAT('u', 1000), 1, 1, '1:1', 1,"
        " 1, g.id FROM video_generations g, seq_1_to_20"
    )
    async with running(database_url, list_max_bytes=70_000) as server:
        _, body = await server.read("/api/videos/user")
        assert [(job["id"], len(job["videos"])) for job in body["generations"]] == [("j00005", 20), ("j00004", 20)]
        _, body = await server.read("/api/videos/user", params={"cursor": body["next_cursor"]})
        assert body["generations"][0]["id"] == "j00003"


@pytest.mark.parametrize("files", [1, 20])
@pytest.mark.parametrize("key", ["'k'", "REPEAT('é', 150)"])
async def test_signed_addresses_count_among_the_bytes_of_a_list(
    database_url: str, sql: Sql, files: int, key: str
) -> None:
    fill(sql, 60, status="'COMPLETED'")
    sql(
        "INSERT INTO video_files (id, filename, s3Key, fileSize, durationSeconds, aspectRatio, width, height,"
        f" generationId) SELECT CONCAT(g.id, '/', seq), 'f', CONCAT(g.id, '/', seq, {key}), 1, 1, '1:1', 1, 1, g.id"
        f" FROM video_generations g, seq_1_to_{files}"
    )
    signed = {
        "s3_bucket": "videos",
        "aws_access_key_id": "A",
        "aws_secret_access_key": "s",
        "aws_session_token": "t" * 1000,
    }
    async with running(database_url, list_max_bytes=100_000, **signed) as server:
        async with server.get("/api/videos/user", params={"limit": 60}) as answer:
            body = await answer.read()
        assert 40_000 < len(body) <= 105_000
        assert b"X-Amz-Signature" in body


async def test_job_that_is_too_large_for_a_page_has_one_of_its_own(database_url: str, sql: Sql) -> None:
    fill(sql, 2, prompt="REPEAT('x', 60000)", status="'COMPLETED'")
    fill(sql, 2, name="k", prompt="REPEAT('x', 60000)")
    async with running(database_url, list_max_bytes=1000) as server:
        _, body = await server.read("/api/videos/user")
        assert [job["id"] for job in body["generations"]] == ["j00002"]
        assert ([job["id"] for job in body["active"]], body["active_more"]) == (["k00002"], True)
        _, body = await server.read("/api/videos/user", params={"cursor": body["next_cursor"]})
        assert ([job["id"] for job in body["generations"]], body["next_cursor"]) == (["j00001"], None)


async def test_gallery_of_a_user_with_twenty_thousand_unfinished_jobs_reads_some_hundreds(pool: Pool, sql: Sql) -> None:
    fill(sql, 20_000)
    fill(sql, 500, name="done", status="'COMPLETED'")
    gallery = Gallery(pool, 4_000_000, 30)
    before = await cost(pool, "Handler_read%")
    page = await gallery.page(Wanted("dev", 12))
    assert (len(page.jobs), len(page.active), page.active_more) == (12, 200, True)
    assert await cost(pool, "Handler_read%") - before < 4000


@pytest.mark.parametrize(
    ("completed_at", "listed"),
    [("UTC_TIMESTAMP() - INTERVAL 1 HOUR", True), ("UTC_TIMESTAMP() - INTERVAL 25 HOUR", False)],
)
async def test_job_that_failed_today_is_listed_however_long_it_went_on(
    database_url: str, sql: Sql, completed_at: str, listed: bool
) -> None:
    """As one is that was given up after a day, where a day is also how long what failed is listed."""
    fill(sql, 1, status="'FAILED'")
    sql(
        "UPDATE video_generations SET createdAt = UTC_TIMESTAMP() - INTERVAL 26 HOUR, updatedAt = UTC_TIMESTAMP(),"
        f" completedAt = {completed_at}"
    )
    async with running(database_url, retention_days=1) as server:
        _, body = await server.read("/api/videos/user")
    assert [job["id"] for job in body["failed"]] == (["j00001"] if listed else [])


@pytest.mark.parametrize("hours", [1, 100])
async def test_gallery_of_a_user_with_twenty_thousand_failed_jobs_reads_some_hundreds(
    pool: Pool, sql: Sql, hours: int
) -> None:
    fill(sql, 20_000, status="'FAILED'")
    sql(f"UPDATE video_generations SET createdAt = UTC_TIMESTAMP() - INTERVAL {hours} HOUR, completedAt = createdAt")
    gallery = Gallery(pool, 4_000_000, 1)
    before = await cost(pool, "Handler_read%")
    page = await gallery.page(Wanted("dev", 12))
    assert (len(page.failed), page.failed_more) == ((50, True) if hours == 1 else (0, False))
    assert await cost(pool, "Handler_read%") - before < 1500


# -- Snapshots


@pytest.mark.parametrize("many", [30, 700])
async def test_snapshot_is_of_the_newest_jobs_oldest_first_and_its_last_frame_says_that_there_are_more(
    database_url: str, sql: Sql, many: int
) -> None:
    fill(sql, many)
    async with running(database_url, snapshot_max=20) as server:
        async with events(server.session, f"{server.url}/events") as source:
            frames = await source.take(20)
        async with server.session.ws_connect(f"{server.url}/ws") as ws:
            messages = [await ws.receive_json(timeout=10) for _ in range(20)]
        assert [frame.data["job_id"] for frame in frames] == names(many - 19, many)
        assert [frame.data.get("more") for frame in frames] == [None] * 19 + [True]
        assert [message["data"] for message in messages] == [frame.data for frame in frames]
        assert [frame.id for frame in frames] == [None] * 19 + [0]


async def test_snapshot_that_holds_them_all_says_nothing_of_more(database_url: str, sql: Sql) -> None:
    fill(sql, 20)
    async with running(database_url, snapshot_max=20) as server:
        async with events(server.session, f"{server.url}/events") as source:
            assert all("more" not in frame.data for frame in await source.take(20))


@pytest.mark.parametrize("many", [40, 700])
async def test_snapshot_is_bounded_in_bytes(database_url: str, sql: Sql, many: int) -> None:
    fill(sql, many, message="REPEAT('m', 3000)")
    async with running(database_url, snapshot_max_bytes=40_000) as server:
        async with events(server.session, f"{server.url}/events") as source:
            frames = [await source.next()]
            while frames[-1].id is None:
                frames.append(await source.next())
        assert 5 < len(frames) <= 13
        assert frames[-1].data["more"] is True
        assert frames[-1].data["job_id"] == f"j{many:05}"


async def test_streams_read_no_prompts(pool: Pool, sql: Sql) -> None:
    fill(sql, 400, prompt="REPEAT('x', 16000)")
    snapshots = Snapshots(pool, 1000, 2_000_000)
    before = await cost(pool, "Bytes_sent")
    (_, jobs, *_), (_, job) = await asyncio.gather(snapshots.of_user("dev"), snapshots.of_job("j00001"))
    assert job is not None
    assert (len(jobs), job.id) == (400, "j00001")
    assert await cost(pool, "Bytes_sent") - before < 400 * 300


@pytest.mark.parametrize("heavy", [1000, 50_000])
async def test_nobodys_snapshot_waits_for_that_of_a_user_with_many_jobs(pool: Pool, sql: Sql, heavy: int) -> None:
    fill(sql, heavy, "heavy", name="h")
    for number in range(30):
        fill(sql, 2, f"u{number}", name=f"u{number}-")
    snapshots = Snapshots(pool, 1000, 2_000_000)
    users = [f"u{number}" for number in range(30)]
    order = []

    async def read(user: str) -> UserState:
        found = await snapshots.of_user(user)
        order.append(user)
        return found

    for _ in range(2):
        order.clear()
        before = await cost(pool, "Handler_read%")
        answers = await asyncio.gather(*(read(user) for user in [*users[:15], "heavy", *users[15:]]))
        assert [len(jobs) for _, jobs, *_ in answers] == [2] * 15 + [1000] + [2] * 15
        assert answers[15][2] == (heavy > 1000)
        assert order[-1] == "heavy"
        read_now = await cost(pool, "Handler_read%") - before
        assert read_now < 20_000
    # Once it is known how much he has, he is not among those who are read together.
    assert read_now < 12_000


async def test_user_whose_jobs_have_ended_is_read_with_the_others_again(pool: Pool, sql: Sql) -> None:
    fill(sql, 900, "heavy", name="h")
    snapshots = Snapshots(pool, 1000, 2_000_000)
    assert len((await snapshots.of_user("heavy"))[1]) == 900
    sql("UPDATE video_generations SET status = 'COMPLETED' WHERE id > 'h00003'")
    assert [len((await snapshots.of_user("heavy"))[1]) for _ in range(2)] == [3, 3]
