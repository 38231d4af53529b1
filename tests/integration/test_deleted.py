"""Deleted jobs: what a purge does while their users take the deletion back, and what came while they were deleted."""

import asyncio
import random
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from app.appkeys import ACTS, POOL
from app.domain.forms import StoredFile
from app.upkeep.deleted import DeletedJobs
from tests.acts import SIGNED, USERS, act, made, state, tell
from tests.client import Client, running
from tests.databases import Rows, Sql
from tests.tables import add
from tests.webhooks import completion, video, webhook

AUTHOR = USERS["author"]
LATER = 4_000_000_000_000_000  # microseconds: nothing that is deleted may be restored then


@pytest.fixture
async def site(database_url: str) -> AsyncIterator[Client]:
    """A server that users sign in to, and that senders know the secret of."""
    async with running(database_url, **SIGNED) as server:
        yield server


class Bucket:
    """Where files lie: it deletes one, tells that it has begun to, and waits before it is through with it."""

    def __init__(self) -> None:
        self.removed: list[str] = []
        self.begun = asyncio.Event()
        self.open = asyncio.Event()

    async def remove(self, file: StoredFile) -> None:
        self.removed.append(file["s3_key"])
        self.begun.set()
        await self.open.wait()


async def deleted(server: Client, *job_ids: str) -> None:
    for job_id in job_ids:
        await made(server, job_id, completion(job_id, video(job_id)))
        assert (await act(server, job_id, "", AUTHOR))[0] == 200


async def test_job_that_is_restored_while_others_are_purged_stays_with_its_file(site: Client, sql: Sql) -> None:
    await deleted(site, "j1", "j2")
    bucket = Bucket()
    purge = asyncio.create_task(DeletedJobs(site.app[POOL], bucket.remove).purge(LATER))
    await bucket.begun.wait()
    assert (await act(site, "j2", "restore", AUTHOR))[1]["changed"] is True
    bucket.open.set()
    assert await purge == 1
    assert bucket.removed == ["j1"]
    assert await state(site, "j2") == "COMPLETED"
    assert sql("SELECT generationId FROM video_files") == (("j2",),)


async def test_job_that_is_restored_and_deleted_again_is_not_purged_by_its_first_deletion(
    site: Client, sql: Sql
) -> None:
    await deleted(site, "j1", "j2")
    bucket = Bucket()
    purge = asyncio.create_task(DeletedJobs(site.app[POOL], bucket.remove).purge(LATER))
    await bucket.begun.wait()
    for name in ("restore", ""):
        assert (await act(site, "j2", name, AUTHOR))[0] == 200
    bucket.open.set()
    assert await purge == 1
    assert bucket.removed == ["j1"]
    assert (await act(site, "j2", "restore", AUTHOR))[0] == 200
    assert await state(site, "j2") == "COMPLETED"


async def test_job_whose_file_is_being_deleted_cannot_be_restored(site: Client) -> None:
    await deleted(site, "j1")
    bucket = Bucket()
    purge = asyncio.create_task(DeletedJobs(site.app[POOL], bucket.remove).purge(LATER))
    await bucket.begun.wait()
    assert (await act(site, "j1", "restore", AUTHOR))[0] == 404
    bucket.open.set()
    assert await purge == 1


async def test_purge_that_is_cut_short_leaves_nothing_to_restore_and_is_finished_by_the_next(
    site: Client, sql: Sql
) -> None:
    await deleted(site, "j1")
    bucket = Bucket()
    purge = asyncio.create_task(DeletedJobs(site.app[POOL], bucket.remove).purge(LATER))
    await bucket.begun.wait()
    purge.cancel()
    await asyncio.gather(purge, return_exceptions=True)
    assert (await act(site, "j1", "restore", AUTHOR))[0] == 404
    assert await state(site, "j1") == 404
    bucket.open.set()
    assert await DeletedJobs(site.app[POOL], bucket.remove).purge(LATER) == 1
    assert bucket.removed == ["j1", "j1"]
    assert sql("SELECT (SELECT COUNT(*) FROM video_generations), (SELECT COUNT(*) FROM rushes_jobs)") == ((0, 0),)


async def test_file_stays_of_a_job_whose_row_cannot_go(site: Client, sql: Sql) -> None:
    """It can be restored after all, and has its video then."""
    await deleted(site, "j1")
    sql("CREATE TABLE likes (job VARCHAR(191) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci,"
        " FOREIGN KEY (job) REFERENCES video_generations (id)) ENGINE=InnoDB")  # fmt: skip
    sql("INSERT INTO likes VALUES ('j1')")
    bucket = Bucket()
    bucket.open.set()
    assert await DeletedJobs(site.app[POOL], bucket.remove).purge(LATER) == 0
    assert bucket.removed == []
    assert (await act(site, "j1", "restore", AUTHOR))[0] == 200


async def test_purge_leaves_the_file_of_a_job_that_another_program_made_under_a_deleted_ones_id(
    site: Client, sql: Sql
) -> None:
    await deleted(site, "j1")
    sql("DELETE FROM video_files")
    sql("DELETE FROM video_generations")
    add(sql, "j1", "2031-01-01 00:00:00", authorId="author")
    sql(
        "INSERT INTO video_files (id, filename, s3Key, fileSize, durationSeconds, aspectRatio, width, height,"
        " generationId) VALUES ('f', 'new.mp4', 'new', 1, 8, '16:9', 1, 1, 'j1')"
    )
    bucket = Bucket()
    bucket.open.set()
    await DeletedJobs(site.app[POOL], bucket.remove).purge(LATER)
    assert bucket.removed == []
    assert sql("SELECT s3Key FROM video_files") == (("new",),)
    assert sql("SELECT COUNT(*) FROM rushes_jobs") == ((0,),)


# -- What came meanwhile


async def test_video_that_comes_while_its_failed_job_is_deleted_is_there_once_that_is_taken_back(
    site: Client, sql: Sql
) -> None:
    await made(site, "j1", "failed")
    await act(site, "j1", "", AUTHOR)
    late = completion("j1", video("k1"), at="2035-10-23T14:30:00Z")
    assert await tell(site, late) == ["stale"]
    assert await tell(site, late) == ["duplicate"]
    async with site.events("/events", headers=AUTHOR) as source:
        await source.next()
        assert (await act(site, "j1", "restore", AUTHOR))[0] == 200
        assert [(await source.next()).event, (await source.next()).event] == ["restored", "completed"]
    assert await state(site, "j1") == "COMPLETED"
    assert sql("SELECT outcome, error_code FROM rushes_webhooks WHERE status = 'completed' ORDER BY id") == (
        ("applied", None), ("duplicate", None),
    )  # fmt: skip


async def test_what_came_meanwhile_is_applied_also_if_the_server_dies_at_the_restoration(database_url: str) -> None:
    async with running(database_url, parked_poll=0.1, **SIGNED) as server:
        await made(server, "j1", "failed")
        await act(server, "j1", "", AUTHOR)
        await tell(server, completion("j1", video("k1"), at="2035-10-23T14:30:00Z"))
        async with server.events("/events", headers=AUTHOR) as source:
            await source.next()
            await server.app[ACTS].restore("j1")  # and whoever asked for it does no more
            assert [(await source.next()).event, (await source.next()).event] == ["restored", "completed"]


@pytest.mark.parametrize("seed", range(8))
async def test_deletions_that_are_taken_back_end_in_the_row_of_the_webhooks_alone(
    site: Client, sql: Sql, seed: int
) -> None:
    chance = random.Random(seed)
    bodies = partial(_bodies_in_some_order, seed)
    await made(site, "plain")
    await tell(site, *bodies("plain"))
    await made(site, "undone")
    for body in bodies("undone"):
        await tell(site, body)
        if chance.random() < 0.8:
            await act(site, "undone", "", AUTHOR)
        if chance.random() < 0.2:
            await act(site, "undone", "restore", AUTHOR)
    await act(site, "undone", "restore", AUTHOR)
    plain, undone = (_stands(sql, job_id) for job_id in ("plain", "undone"))
    assert undone == plain


def _bodies_in_some_order(seed: int, job_id: str) -> list[dict[str, Any]]:
    steps = enumerate(["pending", "failed", "generating", "failed", "downloading", "failed", "processing"])
    bodies = [webhook(job_id, status, at=f"2025-10-23T14:00:0{second}Z") for second, status in steps]
    bodies += [
        completion(job_id, video(f"{job_id}/k1"), at="2025-10-23T14:00:01Z"),
        completion(job_id, video(f"{job_id}/k1", file_url=None), video(f"{job_id}/k2"), at="2025-10-23T14:00:05Z"),
    ][: seed % 3]
    bodies += bodies[:2]
    random.Random(seed).shuffle(bodies)
    return bodies


def _stands(sql: Sql, job_id: str) -> tuple[Rows, Rows, Rows]:
    return (
        sql("SELECT status, progress, message, error, completedAt FROM video_generations WHERE id = %s", job_id),
        sql("SELECT filename, REPLACE(fileUrl, %s, '') FROM video_files WHERE generationId = %s ORDER BY s3Key",
            job_id, job_id),
        sql("SELECT status, has_files, at, stage FROM rushes_jobs WHERE job_id = %s", job_id),
    )  # fmt: skip


async def test_what_came_for_a_job_that_is_purged_is_not_for_a_later_one_of_its_id(site: Client, sql: Sql) -> None:
    await made(site, "j1", "failed")
    await act(site, "j1", "", AUTHOR)
    await tell(site, completion("j1", video("k1"), at="2035-10-23T14:30:00Z"))
    assert await DeletedJobs(site.app[POOL], None).purge(LATER) == 1
    await made(site, "j1", "failed")
    await act(site, "j1", "", AUTHOR)
    await act(site, "j1", "restore", AUTHOR)
    assert await state(site, "j1") == "FAILED"
    assert sql("SELECT COUNT(*) FROM video_files") == ((0,),)


async def test_webhook_that_was_older_than_a_deleted_job_is_not_tried_again(site: Client, sql: Sql) -> None:
    await made(site, "j1", "generating", "failed")
    old = webhook("j1", "downloading", at="2025-10-01T00:00:00Z")
    assert await tell(site, old) == ["stale"]
    await act(site, "j1", "", AUTHOR)
    await act(site, "j1", "restore", AUTHOR)
    assert sql("SELECT outcome, attempts FROM rushes_webhooks WHERE status = 'downloading'") == (("stale", 1),)
