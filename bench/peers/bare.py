"""The peer without a group commit: the same rows as rushes writes, one transaction for each webhook.

It is what one would write by hand for speed: a pool, READ COMMITTED, one statement a step and no step
that rushes does not also take. Of the rules it has those that this load needs.
"""

import os
import secrets
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, NamedTuple

import aiomysql
import orjson
from aiohttp import web

from app.db.url import parameters
from bench import payload
from bench.peers.body import Completion, Video, Webhook, answer, serve

POOL = web.AppKey("pool", aiomysql.Pool)

SESSION = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"

LOCK_JOB = """
SELECT g.authorId, g.organizationId, j.has_files, j.at, j.stage, g.createdAt
FROM video_generations g LEFT JOIN rushes_jobs j ON j.job_id = %s
WHERE g.id = %s FOR UPDATE"""

FIND_DUPLICATE = "SELECT 1 FROM rushes_webhooks WHERE dedup_key = %s"

UPDATE_PROGRESS = """
UPDATE video_generations SET status = 'PROCESSING', progress = 50, message = %s, updatedAt = %s
WHERE id = %s"""

UPDATE_COMPLETED = """
UPDATE video_generations SET status = 'COMPLETED', progress = 100, error = NULL, message = %s, model = %s,
  modelVersion = %s, processingTime = %s, generationTime = %s, downloadTime = %s, completedAt = %s,
  updatedAt = %s
WHERE id = %s"""

FIND_FILE = "SELECT id, generationId FROM video_files WHERE s3Key = %s FOR UPDATE"

UPDATE_FILE = """
UPDATE video_files SET filename = %s, fileUrl = %s, filePath = %s, fileSize = %s, format = %s,
  durationSeconds = %s, aspectRatio = %s, width = %s, height = %s, metadata = %s WHERE id = %s"""

INSERT_FILE = """
INSERT INTO video_files (filename, fileUrl, filePath, fileSize, format, durationSeconds, aspectRatio, width,
  height, metadata, id, s3Key, generationId, createdAt)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"""

INSERT_WEBHOOK = """
INSERT INTO rushes_webhooks (id, dedup_key, job_id, status, version, outcome, attempts, duration_ms,
  received_at, headers, payload)
VALUES (%s, %s, %s, %s, 'v1', 'applied', 1, %s, %s, %s, %s)"""

SET_JOB_KEY = """
INSERT INTO rushes_jobs (job_id, status, has_files, at, stage, tie, file_keys, updated_at, created_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
ON DUPLICATE KEY UPDATE status = VALUES(status), has_files = VALUES(has_files), at = VALUES(at),
  stage = VALUES(stage), tie = VALUES(tie), file_keys = VALUES(file_keys), updated_at = VALUES(updated_at),
  created_at = VALUES(created_at)"""

TAKE_EVENT_ID = "UPDATE rushes_counter SET value = LAST_INSERT_ID(value + 1) WHERE id = 1"

INSERT_EVENT = """
INSERT INTO rushes_events (id, job_id, author_id, organization_id, event, data, created_at)
VALUES (%s, %s, %s, %s, %s, %s, %s)"""

MESSAGES = {
    "generating": "Génération de la vidéo en cours",
    "completed": "Génération terminée avec succès",
}
STAGES = {"generating": 2, "completed": 6}


class Received(NamedTuple):
    """A request as it came.

    `raw` is text, since aiomysql 0.3.2 with PyMySQL 1.2 cannot bind bytes; `started` is of the performance
    counter.
    """

    id: str
    headers: str
    raw: str
    started: float


async def receive(request: web.Request) -> web.Response:
    """Commit one webhook, then answer it."""
    started = time.perf_counter()
    raw = await request.read()
    webhook = Webhook.model_validate_json(raw)
    received = Received(
        id=f"{time.time_ns() // 1000:016x}{secrets.token_hex(8)}",
        headers=orjson.dumps({str(name): value for name, value in request.headers.items()}).decode(),
        raw=raw.decode(),
        started=started,
    )
    async with request.app[POOL].acquire() as connection:
        try:
            async with connection.cursor() as cursor:
                refusal = await _apply(cursor, webhook, received)
            await connection.commit()
        except BaseException:
            await connection.rollback()
            raise
    return refusal or answer(webhook, received.id)


async def _apply(cursor: aiomysql.Cursor, webhook: Webhook, received: Received) -> web.Response | None:
    """Write all rows of one webhook in the open transaction; return the answer if it is refused."""
    job, at = webhook.job_id, webhook.timestamp
    now = datetime.now(UTC).replace(tzinfo=None)
    order = (webhook.data is not None, int(at.timestamp() * 1_000_000), STAGES[webhook.status])
    dedup_key = blake2b(f"{job}\n{webhook.status}\n{at.isoformat()}".encode(), digest_size=16).hexdigest()
    await cursor.execute(LOCK_JOB, (job, job))
    found = await cursor.fetchone()
    if found is None:
        return web.json_response({"error": "VideoGeneration not found", "code": "unknown_job"}, status=404)
    await cursor.execute(FIND_DUPLICATE, (dedup_key,))
    if await cursor.fetchone():
        return web.json_response({"success": True, "job_id": job, "status": "duplicate"})
    if found[3] is not None and order <= (bool(found[2]), found[3], found[4]):
        return web.json_response({"success": True, "job_id": job, "status": "stale"})

    videos = []
    if webhook.data is None:
        await cursor.execute(UPDATE_PROGRESS, (MESSAGES[webhook.status], now, job))
    else:
        await _complete(cursor, webhook.data, job, now)
        videos = [await _merge_file(cursor, video, webhook.data, job, now) for video in webhook.data.videos]
    duration = (time.perf_counter() - received.started) * 1000
    await cursor.execute(
        INSERT_WEBHOOK,
        (received.id, dedup_key, job, webhook.status, duration, now, received.headers, received.raw),
    )
    tie = dedup_key
    file_keys = orjson.dumps({video["file_path"]: [order[1], tie] for video in videos}).decode()
    await cursor.execute(
        SET_JOB_KEY,
        (job, webhook.status, order[0], order[1], order[2], tie, file_keys if videos else None, now, found[5]),
    )
    event, data = _event(webhook, videos)
    await cursor.execute(TAKE_EVENT_ID)
    await cursor.execute(INSERT_EVENT, (cursor.lastrowid, job, found[0], found[1], event, data, now))
    return None


async def _complete(cursor: aiomysql.Cursor, data: Completion, job: str, now: datetime) -> None:
    meta, at = data.metadata, data.generated_at.astimezone(UTC).replace(tzinfo=None)
    times = (meta.processing_time, meta.generation_time, meta.download_time)
    await cursor.execute(
        UPDATE_COMPLETED, (MESSAGES["completed"], meta.model_name, meta.model_version, *times, at, now, job)
    )


async def _merge_file(
    cursor: aiomysql.Cursor, video: Video, data: Completion, job: str, now: datetime
) -> dict[str, Any]:
    """Update the file that has the video's key, or insert it; return it in the gallery's form."""
    await cursor.execute(FIND_FILE, (video.file_path,))
    known = await cursor.fetchone()
    file_id = known[0] if known else secrets.token_hex(12)
    fields = (
        *(video.filename, video.file_url, video.file_path, video.file_size, video.format),
        *(round(video.duration_seconds), video.aspect_ratio, video.dimensions.width, video.dimensions.height),
        orjson.dumps(data.metadata.model_dump()).decode(),
    )
    if known:
        await cursor.execute(UPDATE_FILE, (*fields, file_id))
    else:
        await cursor.execute(INSERT_FILE, (*fields, file_id, video.file_path, job, now))
    return {"id": file_id} | video.model_dump(mode="json")


def _event(webhook: Webhook, videos: list[dict[str, Any]]) -> tuple[str, str]:
    """Return the kind and the JSON of the log's row."""
    done = webhook.status == "completed"
    data = {
        "job_id": webhook.job_id,
        "status": webhook.status,
        "state": "COMPLETED" if done else "PROCESSING",
        "progress": 100 if done else 50,
        "message": MESSAGES[webhook.status],
        "occurred_at": webhook.timestamp,
        "error": None,
        "eta_seconds": None,
        "videos": videos,
    }
    return "completed" if done else "progress", orjson.dumps(data).decode()


async def _pool(app: web.Application) -> AsyncIterator[None]:
    size = int(os.environ["BENCH_POOL_SIZE"])
    app[POOL] = await aiomysql.create_pool(
        **parameters(os.environ["DATABASE_URL"]),
        charset="utf8mb4",
        minsize=size,
        maxsize=size,
        init_command=SESSION,
    )
    yield
    app[POOL].close()
    await app[POOL].wait_closed()


def create_app() -> web.Application:
    """Return the application; it wants `DATABASE_URL` and `BENCH_POOL_SIZE`."""
    app = web.Application()
    app.cleanup_ctx.append(_pool)
    app.router.add_post(payload.PATH, receive)
    return app


if __name__ == "__main__":
    serve(create_app())
