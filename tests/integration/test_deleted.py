"""Deleted jobs: what a purge does while their users take the deletion back, and what came while they were deleted."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.appkeys import POOL
from app.domain.forms import StoredFile
from app.upkeep.deleted import DeletedJobs
from tests.acts import SIGNED, USERS, act, made, state
from tests.client import Client, running
from tests.databases import Sql
from tests.tables import add
from tests.webhooks import completion, video

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
