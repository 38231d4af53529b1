"""The way in, over HTTP and into MariaDB: answers, and what is stored of webhooks that count."""

import asyncio
import json
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from app.times import moment, now, rfc3339
from app.upkeep.leader import Leader
from tests.client import Client, running
from tests.databases import Sql
from tests.webhooks import completion, video, webhook


async def test_intermediate_status_is_stored_and_answered(server: Client, sql: Sql) -> None:
    await server.register("j1")
    code, body = await server.send(webhook("j1", "generating"))
    assert code == 200
    assert body.pop("webhook_id")
    assert body == {
        "success": True, "message": "Video generation status updated: generating",
        "job_id": "j1", "status": "generating", "progress": 50,
    }  # fmt: skip
    assert sql("SELECT status, progress, message FROM video_generations") == (
        ("PROCESSING", 50, "Génération de la vidéo en cours"),
    )


async def test_completion_stores_the_job_and_its_files(server: Client, sql: Sql) -> None:
    await server.register("j1")
    code, body = await server.send(completion("j1", video("k/1", duration_seconds=8.5)))
    assert (code, body["num_videos"]) == (200, 1)
    assert body["processing_time_ms"] > 0
    assert body["message"] == "Video generation webhook processed successfully"
    assert sql(
        "SELECT status, progress, message, error, model, modelVersion, processingTime, generationTime, downloadTime,"
        " completedAt FROM video_generations"
    ) == (
        (
            "COMPLETED", 100, "Génération terminée avec succès", None, "veo-3", "3.0", 120.5, 90.2, 30.3,
            moment(1_761_229_800_000_000).replace(tzinfo=None),
        ),
    )  # fmt: skip
    assert sql("SELECT generationId, s3Key, filePath, fileUrl, fileSize, durationSeconds, width FROM video_files") == (
        ("j1", "k/1", "k/1", "https://files.example/k/1", 15728640, 9, 1920),
    )


async def test_failure_is_recorded_with_its_reason(server: Client, sql: Sql) -> None:
    await server.register("j1")
    code, body = await server.send(webhook("j1", "failed", data={"metadata": {"prompt_used": "la mer"}}))
    assert (code, body["message"], body["status"]) == (200, "Video generation failure recorded", "failed")
    ((state, progress, error, done),) = sql("SELECT status, progress, error, completedAt FROM video_generations")
    assert (state, progress, error) == ("FAILED", 0, 'Échec de génération pour: "la mer"')
    assert done is not None


async def test_unsuccessful_completion_is_a_failure_also_beside_has_data_false(server: Client, sql: Sql) -> None:
    await server.register("j1")
    sent = webhook("j1", "completed", data={"success": False, "videos": []}) | {"has_data": False, "error": "quota"}
    code, body = await server.send(sent)
    assert (code, body["status"]) == (200, "failed")
    assert sql("SELECT status, progress, error FROM video_generations") == (
        ("FAILED", 0, "Aucune vidéo n'a été produite: quota"),
    )


async def test_same_webhook_again_is_a_duplicate_and_changes_nothing(server: Client, sql: Sql) -> None:
    await server.register("j1")
    sent = completion("j1", video("k/1"))
    await server.send(sent)
    before = sql("SELECT * FROM video_generations"), sql("SELECT value FROM rushes_counter")
    code, body = await server.send(sent)
    assert (code, body["status"], body["message"]) == (200, "duplicate", "Webhook already processed")
    assert (sql("SELECT * FROM video_generations"), sql("SELECT value FROM rushes_counter")) == before
    assert sql("SELECT outcome FROM rushes_webhooks ORDER BY id") == (("applied",), ("duplicate",))


async def test_late_webhook_is_stale_and_does_not_move_a_video_back(server: Client, sql: Sql) -> None:
    await server.register("j1")
    await server.send(completion("j1", video("k/1")))
    code, body = await server.send(webhook("j1", "generating", at=rfc3339(now())))
    assert (code, body["status"], body["success"]) == (200, "stale", True)
    assert sql("SELECT status FROM video_generations") == (("COMPLETED",),)


async def test_webhook_for_an_unknown_job_is_kept_and_tried_again_in_its_own_row(database_url: str, sql: Sql) -> None:
    leader = Leader(database_url)
    assert await leader.leads()  # so that nobody else looks for its job meanwhile
    async with running(database_url) as server:
        sent = webhook("late", "generating")
        code, body = await server.send(sent)
        webhook_id = body.pop("webhook_id")
        assert (code, body) == (404, {"error": "VideoGeneration not found", "code": "unknown_job", "job_id": "late"})
        sql("INSERT INTO video_generations (id, prompt, authorId, updatedAt) VALUES ('late', 'p', 'dev', NOW(3))")
        code, body = await server.send(sent)
        assert (code, body["progress"], body["webhook_id"]) == (200, 50, webhook_id)
    leader.close()
    assert sql("SELECT id, outcome, attempts FROM rushes_webhooks") == ((webhook_id, "applied", 2),)


@pytest.mark.parametrize("other", ["CABC", "cabc ", "cábc"])
async def test_job_id_is_compared_exactly_whatever_the_tables_collation(server: Client, sql: Sql, other: str) -> None:
    await server.register("cabc")
    code, body = await server.send(webhook(other, "generating"))
    assert (code, body["code"]) == (404, "unknown_job")
    assert (await server.read(f"/api/videos/{other.strip() if other.strip() != 'cabc' else 'cabc%20'}"))[0] == 404
    assert sql("SELECT progress FROM video_generations") == ((0,),)


async def test_job_of_another_program_without_a_key_of_ours_is_not_moved_back(server: Client, sql: Sql) -> None:
    sql(
        "INSERT INTO video_generations (id, prompt, authorId, status, progress, updatedAt, completedAt)"
        " VALUES ('old', 'p', 'u1', 'COMPLETED', 100, NOW(3), NOW(3))"
    )
    sql(
        "INSERT INTO video_files (id, filename, s3Key, fileSize, durationSeconds, aspectRatio, width, height,"
        " generationId) VALUES ('f', 'f', 'k', 1, 8, '16:9', 1, 1, 'old')"
    )
    code, body = await server.send(webhook("old", "generating", at=rfc3339(now() + 60_000_000)))
    assert (code, body["status"]) == (200, "stale")
    assert sql("SELECT status FROM video_generations") == (("COMPLETED",),)


async def test_older_completion_adds_its_missing_files_without_a_second_row_for_a_key(server: Client, sql: Sql) -> None:
    await server.register("j1")
    newer = completion("j1", video("k/1", file_url="https://new"), at="2025-10-23T15:00:00Z")
    older = completion("j1", video("k/1", file_url="https://old"), video("k/2"), at="2025-10-23T14:00:00Z")
    await server.send(newer)
    code, body = await server.send(older)
    assert (code, body["num_videos"]) == (200, 2)
    assert sql("SELECT s3Key, fileUrl FROM video_files ORDER BY s3Key") == (
        ("k/1", "https://new"), ("k/2", "https://files.example/k/2"),
    )  # fmt: skip


async def test_newer_completion_gives_a_file_its_fresh_url(server: Client, sql: Sql) -> None:
    await server.register("j1")
    await server.send(completion("j1", video("k/1", file_url="https://old"), at="2025-10-23T14:00:00Z"))
    await server.send(completion("j1", video("k/1", file_url="https://new"), at="2025-10-23T15:00:00Z"))
    assert sql("SELECT fileUrl FROM video_files") == (("https://new",),)


async def test_secrets_are_not_kept_with_the_headers(server: Client, sql: Sql) -> None:
    await server.send(webhook("x", "pending"), {"X-Webhook-Secret": "hush", "Authorization": "hush", "X-Kept": "yes"})
    ((headers,),) = sql("SELECT headers FROM rushes_webhooks")
    assert "hush" not in headers
    assert '"x-kept":"yes"' in headers


async def test_many_webhooks_at_once_are_each_applied_once(server: Client, sql: Sql) -> None:
    await asyncio.gather(*(server.register(f"j{n}") for n in range(20)))
    sent = [webhook(f"j{n}", status) for n in range(20) for status in ("processing", "generating", "downloading")]
    answers = await asyncio.gather(*(server.send(body) for body in sent * 2))
    assert all(code == 200 for code, _ in answers)
    assert sql("SELECT DISTINCT progress FROM video_generations") == ((75,),)
    counts = sql("SELECT outcome, COUNT(*) FROM rushes_webhooks GROUP BY outcome")
    outcomes: dict[str, int] = {str(outcome): count for outcome, count in counts}
    assert outcomes["duplicate"] == len(sent)
    assert sum(outcomes.values()) == 2 * len(sent)


async def test_health_tells_that_the_webhook_is_there(server: Client) -> None:
    code, body = await server.read("/api/webhooks/video-completion")
    assert (code, body["status"], body["webhook"]) == (200, "healthy", "video-completion")


async def test_job_registered_again_after_it_was_deleted_starts_afresh(server: Client, sql: Sql) -> None:
    await server.register("j1")
    await server.send(completion("j1", video("k"), at="2025-10-23T15:00:00Z"))
    sql("DELETE FROM video_generations")
    await server.register("j1")
    code, body = await server.send(webhook("j1", "generating"))
    assert (code, body["progress"]) == (200, 50)


async def test_job_that_another_program_deleted_and_inserted_again_starts_afresh_and_is_shown_so(
    server: Client, sql: Sql
) -> None:
    await server.register("j1")
    await server.send(completion("j1", video("k"), at="2025-10-23T15:00:00Z"))
    sql("DELETE FROM video_generations")
    sql("INSERT INTO video_generations (id, prompt, authorId, updatedAt) VALUES ('j1', 'p', 'dev', NOW(3))")
    _, shown = await server.read("/api/videos/j1")
    assert (shown["status"], shown["state"], shown["progress"], shown["videos"]) == ("pending", "PENDING", 0, [])
    code, body = await server.send(webhook("j1", "generating"))
    assert (code, body["progress"]) == (200, 50)
    _, shown = await server.read("/api/videos/j1")
    assert (shown["status"], shown["state"], shown["progress"]) == ("generating", "PROCESSING", 50)


@pytest.mark.parametrize("job_id", ["a{b}", "a b", "é", "a.b", "50%"])
async def test_job_id_may_be_any_text(server: Client, job_id: str) -> None:
    await server.register(job_id)
    code, job = await server.read("/api/videos/" + quote(job_id, safe=""))
    assert (code, job["id"]) == (200, job_id)


async def test_failure_with_a_very_long_text_still_fails_the_job(server: Client, sql: Sql) -> None:
    await server.register("j1")
    code, _ = await server.send(webhook("j1", "failed") | {"error": "x" * 100_000})
    assert code == 200
    assert sql("SELECT status FROM video_generations") == (("FAILED",),)


def nested(levels: int) -> dict[str, Any]:
    return {"a": nested(levels - 1)} if levels > 1 else {}


@pytest.mark.parametrize(
    ("metadata", "files", "kept"),
    [
        (nested(31), 1, True),
        (nested(32), 1, False),
        ({"": "\0\uffff😀", "big": 2**64 - 1, "small": 5e-324}, 1, True),
        ({"logs": "y" * 900_000}, 80, False),
        ({"model_name": "m" * 192, "model_version": "v" * 192}, 1, True),
    ],
)
async def test_no_completion_is_lost_by_what_its_metadata_holds(
    server: Client, sql: Sql, metadata: dict[str, Any], files: int, kept: bool
) -> None:
    await server.register("j1")
    sent = completion("j1", *[video(f"k/{number}") for number in range(files)])
    sent["data"]["metadata"] = metadata
    code, answer = await server.send(sent)
    assert (code, answer.get("num_videos")) == (200, files), answer
    [(stored,)] = sql("SELECT metadata FROM video_files WHERE s3Key = 'k/0'")
    # MySQL puts spaces into it.
    assert (stored and orjson.loads(stored)) == (metadata if kept else None)


async def test_two_different_webhooks_of_one_second_both_count(server: Client, sql: Sql) -> None:
    await server.register("none-first")
    await server.register("two-files")
    for job_id, first, second in (
        ("none-first", [], [video("n/a")]),
        ("two-files", [video("t/a")], [video("t/b")]),
    ):
        for files in (first, second):
            code, body = await server.send(completion(job_id, *files))
            assert (code, body["success"], body.get("status") == "duplicate") == (200, True, False)
    assert sql("SELECT status FROM video_generations") == (("COMPLETED",), ("COMPLETED",))
    assert sql("SELECT s3Key FROM video_files ORDER BY s3Key") == (("n/a",), ("t/a",), ("t/b",))


async def test_same_update_in_another_spelling_is_a_duplicate(server: Client) -> None:
    await server.register("j1")
    sent = completion("j1", video("k/1"))
    await server.send(sent)
    spaced = orjson.dumps(dict(reversed(sent.items())) | {"environment": "production"}, option=orjson.OPT_INDENT_2)
    assert (await server.send(spaced))[1]["status"] == "duplicate"


async def test_path_of_a_file_that_also_has_a_key_is_stored_and_shown(server: Client, sql: Sql) -> None:
    await server.register("j1")
    sent = completion("j1", video("srv/1.mp4", s3_key="bucket/1.mp4"))
    assert (await server.send(sent))[1]["num_videos"] == 1
    assert sql("SELECT s3Key, filePath FROM video_files") == (("bucket/1.mp4", "srv/1.mp4"),)
    shown = (await server.read("/api/videos/j1"))[1]["videos"][0]
    assert shown["file_path"] == "srv/1.mp4"


async def test_paid_video_is_taken_whatever_its_description_says(server: Client, sql: Sql) -> None:
    await server.register("j1")
    sent = completion("j1", video("k/1", created_at="soon"))
    sent["data"]["metadata"] |= {"model_version": 3, "processing_time": float("nan"), "prompt_used": "mer \ud83d"}
    sent["data"]["generated_at"] = "ODD"
    code, body = await server.send(json.dumps(sent).encode())
    assert (code, body["num_videos"]) == (200, 1)
    assert sql("SELECT status, modelVersion, processingTime FROM video_generations") == (("COMPLETED", "3", None),)
    assert sql("SELECT JSON_UNQUOTE(JSON_EXTRACT(metadata, '$.prompt_used')) FROM video_files") == (("mer \ufffd",),)


async def test_paid_video_of_the_end_of_time_is_taken_and_a_webhook_of_then_is_invalid(server: Client) -> None:
    await server.register("j1")
    last = "9999-12-31T23:59:60Z"
    code, body = await server.send(webhook("j1", "generating", at=last))
    assert (code, body["code"]) == (400, "invalid_payload")
    sent = completion("j1", video("k/1", created_at=last))
    sent["data"]["generated_at"] = last
    assert (await server.send(sent))[1]["num_videos"] == 1
