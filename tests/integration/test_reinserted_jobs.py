"""Jobs that another program deletes and inserts again under their ids: each begins anew."""

from tests.databases import Rows, Sql
from tests.webhooks import completion, video, webhook
from tests.writing import Harness, add_jobs, kinds, writing


async def test_job_inserted_again_under_the_id_of_a_deleted_one_begins_anew(harness: Harness, sql: Sql) -> None:
    add_jobs(sql, "j1", "j2")
    await harness.submit(completion("j1", video("k1")), webhook("j2", "downloading"))
    sql("DELETE FROM video_generations WHERE id = 'j1'")
    assert kinds(await harness.submit(webhook("j1", "processing"))) == ["parked"]
    add_jobs(sql, "j1")
    assert kinds(await harness.submit(webhook("j1", "generating"))) == ["applied"]
    assert sql("SELECT job_id, status FROM rushes_jobs ORDER BY job_id") == (
        ("j1", "generating"),
        ("j2", "downloading"),
    )


async def test_job_inserted_again_unnoticed_has_neither_key_nor_file_keys_of_the_deleted_one(
    harness: Harness, sql: Sql
) -> None:
    add_jobs(sql, "j1", "j2")
    await harness.submit(
        completion("j1", video("k1"), at="2025-10-23T16:00:00Z"),
        webhook("j2", "failed", at="2025-10-23T16:00:00Z"),
    )
    sql("DELETE FROM video_generations")
    add_jobs(sql, "j1", "j2")
    moved = [webhook(name, "generating", at="2025-10-23T15:00:00Z") for name in ("j1", "j2")]
    assert kinds(await harness.submit(*moved)) == ["applied", "applied"]
    late = [webhook(name, "processing", at="2025-10-23T14:00:00Z") for name in ("j1", "j2")]
    assert kinds(await harness.submit(*late)) == ["stale", "stale"]
    assert sql("SELECT job_id, status, has_files, file_keys FROM rushes_jobs ORDER BY job_id") == (
        ("j1", "generating", 0, None),
        ("j2", "generating", 0, None),
    )
    assert created_at_of_keys(sql) == created_at_of_jobs(sql)


async def test_job_inserted_again_unnoticed_is_completed_with_a_file_that_the_deleted_one_had(
    harness: Harness, sql: Sql
) -> None:
    add_jobs(sql, "j1")
    await harness.submit(completion("j1", video("k1"), at="2025-10-23T16:00:00Z"))
    sql("DELETE FROM video_generations")
    add_jobs(sql, "j1")
    (outcome,) = await harness.submit(completion("j1", video("k1", file_size=7), at="2025-10-23T15:00:00Z"))
    assert (outcome.kind, outcome.state, outcome.num_videos) == ("applied", "COMPLETED", 1)
    newer = completion("j1", video("k1", file_size=8), at="2025-10-23T15:30:00Z")
    older = completion("j1", video("k1", file_size=9), at="2025-10-23T14:30:00Z")
    assert kinds([*await harness.submit(newer), *await harness.submit(older)]) == ["applied", "stale"]
    assert sql("SELECT fileSize FROM video_files") == ((8,),)


async def test_finished_job_inserted_again_unnoticed_is_not_moved_back(harness: Harness, sql: Sql) -> None:
    add_jobs(sql, "j1")
    await harness.submit(webhook("j1", "pending", at="2025-10-23T10:00:00Z"))
    sql("DELETE FROM video_generations")
    sql(
        "INSERT INTO video_generations (id, prompt, authorId, status, progress, completedAt, updatedAt)"
        " VALUES ('j1', 'p', 'u1', 'COMPLETED', 100, '2025-10-23 14:00:00', NOW(3))"
    )
    sql(
        "INSERT INTO video_files (id, filename, s3Key, fileSize, durationSeconds, aspectRatio, width, height,"
        " generationId) VALUES ('f1', 'a.mp4', 'k1', 9, 8, '16:9', 1, 1, 'j1')"
    )
    late, nothing = webhook("j1", "generating", at="2025-10-23T12:00:00Z"), completion("j1", at="2025-10-23T15:00:00Z")
    assert kinds(await harness.submit(late, nothing)) == ["stale", "stale"]


async def test_key_of_which_nobody_knows_whose_row_it_was_stays_its_jobs(harness: Harness, sql: Sql) -> None:
    """As keys from before this was remembered."""
    add_jobs(sql, "j1")
    await harness.submit(webhook("j1", "generating", at="2025-10-23T15:00:00Z"))
    sql("UPDATE rushes_jobs SET created_at = NULL")
    assert kinds(await harness.submit(webhook("j1", "pending", at="2025-10-23T14:00:00Z"))) == ["stale"]
    assert kinds(await harness.submit(webhook("j1", "downloading", at="2025-10-23T16:00:00Z"))) == ["applied"]
    assert created_at_of_keys(sql) == created_at_of_jobs(sql)


async def test_clock_set_back_does_not_make_an_old_key_the_new_jobs(harness: Harness, sql: Sql) -> None:
    add_jobs(sql, "j1")
    await harness.submit(webhook("j1", "downloading", at="2025-10-23T16:00:00Z"))
    sql("DELETE FROM video_generations")
    add_jobs(sql, "j1")
    sql("UPDATE video_generations SET createdAt = createdAt - INTERVAL 1 YEAR")
    assert kinds(await harness.submit(webhook("j1", "generating", at="2025-10-23T15:00:00Z"))) == ["applied"]


async def test_job_that_a_webhook_made_keeps_its_key_until_it_is_inserted_again(database_url: str, sql: Sql) -> None:
    async with writing(database_url, create_unknown=True) as harness:
        assert kinds(await harness.submit(webhook("j1", "generating", data={"user_id": "u1"}))) == ["applied"]
        assert created_at_of_keys(sql) == created_at_of_jobs(sql)
        late, later = (webhook("j1", "processing", at=f"2020-01-01T0{hour}:00:00Z") for hour in (1, 2))
        assert kinds(await harness.submit(late)) == ["stale"]
        sql("DELETE FROM video_generations")
        add_jobs(sql, "j1")
        assert kinds(await harness.submit(later)) == ["applied"]


def created_at_of_keys(sql: Sql) -> Rows:
    return sql("SELECT job_id, created_at FROM rushes_jobs ORDER BY job_id")


def created_at_of_jobs(sql: Sql) -> Rows:
    return sql("SELECT id, createdAt FROM video_generations ORDER BY id")
