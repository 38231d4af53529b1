"""Finished jobs that are told as they were made before: never what is not so any more, whoever has changed it."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from app.appkeys import GALLERY, RENDERED, TOLD
from app.db import unread
from app.db.gallery import Gallery, Wanted
from app.db.pool import Pool
from app.db.videos import Generation
from tests.client import Client, running
from tests.databases import Sql
from tests.rows import fill
from tests.servers import is_mysql
from tests.tables import UNASKED, add
from tests.webhooks import completion, video

LIST = "/api/videos/user?limit=100"

# Of each type of column, something that it may hold and does not yet.
OTHERS = {
    "varchar": "'other'", "text": "'other'", "longtext": "'other'", "mediumtext": "'other'", "int": "77",
    "double": "7.5", "datetime": "'2024-02-03 04:05:06.789'", "json": "'{}'", "enum": "3", "bigint": "77",
    "tinyint": "7",
}  # fmt: skip


async def asked(server: Client, tag: str = "") -> tuple[int, str, bytes]:
    async with server.session.get(server.url + LIST, headers={"If-None-Match": tag}) as answer:
        return answer.status, answer.headers["ETag"], await answer.read()


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> Callable[[], pytest.MonkeyPatch]:
    """Has every job read in the other way, until `undo`."""

    def slow() -> pytest.MonkeyPatch:
        monkeypatch.setattr(unread, "jobs", lambda *_: None)
        return monkeypatch

    return slow


async def test_change_of_any_column_shows_at_once(
    server: Client, sql: Sql, slowly: Callable[[], pytest.MonkeyPatch]
) -> None:
    for job_id in ("j1", "j2"):
        await server.register(job_id)
        await server.send(completion(job_id, video(f"{job_id}/a"), video(f"{job_id}/b")))
    columns = sql(
        "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE()"
        " AND TABLE_NAME IN ('video_generations', 'video_files', 'rushes_jobs')"
        " AND COLUMN_NAME NOT IN ('id', 'authorId', 'job_id', 'generationId', 's3Key')"
        # What makes it no finished job any more comes last.
        " ORDER BY FIELD(COLUMN_NAME, 'status', 'deleted_at'), TABLE_NAME DESC"
    )
    changed = []
    _, tag, body = await asked(server)
    for table, column, kind in columns:
        key = {"video_generations": "id = 'j1'", "video_files": "s3Key = 'j1/a'", "rushes_jobs": "job_id = 'j1'"}[table]
        value = "'{}'" if column == "metadata" else OTHERS[kind]
        sql(f"UPDATE {table} SET `{column}` = {value} WHERE {key}")
        patched = slowly()
        _, _, right = await asked(server)
        patched.undo()
        status, tag, now = await asked(server, tag)
        assert (status == 200) == (shown(right) != shown(body)), column
        if status == 200:
            assert shown(now) == shown(right), column
            changed.append(column)
        body = right
    assert {"prompt", "model", "completedAt", "createdAt", "fileUrl", "filename", "deleted_at"} <= set(changed)


def shown(body: bytes) -> Any:
    return orjson.loads(body) | {"last_event_id": ""}


@pytest.mark.parametrize("seed", range(4))
async def test_both_ways_tell_the_same(
    database_url: str, sql: Sql, seed: int, slowly: Callable[[], pytest.MonkeyPatch]
) -> None:
    chance = random.Random(seed)
    sql("SET SESSION sql_mode = ''")
    for number in range(30):
        job_id = f"{chance.choice('jJé')}{number:02}"
        add(
            sql, job_id, chance.choice(["2025-10-23 10:00:00.1", "0000-00-00", "2025-10-24 11:22:33.456"]),
            authorId="dev", status=chance.choice(["COMPLETED"] * 9 + ["FAILED", "PENDING"]),
            prompt=chance.choice(["p", "é" * 700, "x" * 3000, 'a "quoted" \\ thing\n\x01', "", "😀"]),
            completedAt=chance.choice([None, "2025-10-25 00:00:00"]), processingTime=chance.choice([None, 1.5]),
            error=chance.choice([None, "odd"]), storageProvider=chance.choice(["LOCAL", "AWS_S3"]),
        )  # fmt: skip
        for file in range(chance.choice([0, 1, 1, 1, 2, 3])):
            add_file(sql, job_id, f"{job_id}/{chance.choice('zaZé')}{file}")
        if chance.random() < 0.5:
            sql(
                "INSERT INTO rushes_jobs (job_id, status, has_files, at, stage, tie, updated_at, created_at, partial,"
                " deleted_at) SELECT id, 'completed', 1, 1, 6, '', createdAt, %s, %s, %s"
                " FROM video_generations WHERE id = %s",
                chance.choice([None, "2001-01-01"]), chance.choice([None, '[4, 2, "2 were filtered"]', "nonsense"]),
                chance.choice([None, None, "2025-01-01"]), job_id,
            )  # fmt: skip
    async with running(database_url, **UNASKED) as server:
        quick = shown((await asked(server))[2])
        again = shown((await asked(server))[2])
        page = await server.app[GALLERY].page(Wanted("dev", 100))
        assert not any(isinstance(job, Generation) for job in page.jobs)
        slowly()
        assert quick == again == shown((await asked(server))[2])
        assert len(quick["generations"]) > 10


def add_file(sql: Sql, job_id: str, key: str) -> None:
    sql(
        "INSERT INTO video_files (id, generationId, s3Key, filename, fileUrl, filePath, fileSize, format,"
        " durationSeconds, aspectRatio, width, height, createdAt) VALUES (UUID(), %s, %s, 'a.mp4', NULL, %s, 1, 'mp4',"
        " 8, '16:9', 1, 1, NOW(3))",
        job_id,
        key,
        key,
    )


async def test_long_texts_and_many_files_are_whole(server: Client, sql: Sql) -> None:
    for job_id, prompt in (("j1", "x" * 4000), ("j2", "é" * 9000), ("j3", "p")):
        add(sql, job_id, "2025-10-23", authorId="dev", status="COMPLETED", prompt=prompt)
    for number in range(120):
        add_file(sql, "j3", f"k{number:03}")
    _, _, body = await asked(server)
    at = {job["id"]: job for job in orjson.loads(body)["generations"]}
    assert [at["j1"]["prompt"], at["j2"]["prompt"]] == ["x" * 4000, "é" * 9000]
    assert (len(at["j3"]["videos"]), at["j3"]["num_videos"]) == (100, 120)


async def test_what_is_kept_is_bounded_in_bytes(database_url: str, sql: Sql) -> None:
    fill(sql, 100, prompt="REPEAT('x', 500)", status="'COMPLETED'")
    async with running(database_url, list_cache_bytes=20_000) as server:
        for _ in range(2):
            _, _, body = await asked(server)
            assert len(orjson.loads(body)["generations"]) == 100
        pieces = server.app[RENDERED]._entries
        assert 1 <= len(pieces) < 20
        assert sum(room for _, room in pieces.values()) <= 20_000


async def test_whole_pages_are_kept_in_as_many_bytes_again(database_url: str, sql: Sql) -> None:
    fill(sql, 100, prompt="REPEAT('x', 500)", status="'COMPLETED'")
    async with running(database_url, list_cache_bytes=20_000) as server:
        pages = server.app[TOLD]._entries
        async with asyncio.timeout(10):
            while len(pages) < 4 and not is_mysql():
                for limit in (1, 2, 3, 4, 5, 6, 7, 100):
                    assert (await server.read(f"/api/videos/user?limit={limit}"))[0] == 200
        assert all(room >= len(told.body) for told, room in pages.values())
        assert sum(room for _, room in pages.values()) <= 20_000


async def test_list_reads_each_of_its_rows_a_few_times(database_url: str, sql: Sql) -> None:
    """However many jobs there are besides, and however much they say."""
    fill(sql, 300, prompt="REPEAT('x', 500)", status="'COMPLETED'")
    fill(sql, 5000, name="other", author="others", status="'COMPLETED'")
    sql("ANALYZE TABLE video_generations, video_files, rushes_jobs")
    pool = Pool(database_url, 1, 10)
    gallery = Gallery(pool, 4_000_000, 30)
    try:
        cost = []
        for _ in range(3):
            counts = [await pool.rows("SHOW SESSION STATUS LIKE 'Handler_read%'")]
            await gallery.page(Wanted("dev", 100))
            counts.append(await pool.rows("SHOW SESSION STATUS LIKE 'Handler_read%'"))
            before, after = (sum(int(value) for _, value in rows) for rows in counts)
            cost.append(after - before)
        assert cost[-1] < 1000
    finally:
        pool.close()
