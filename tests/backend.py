"""A generation backend that is asked for its jobs, and jobs to ask it for."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from app.db.pool import Pool
from app.generator import HttpGenerator
from app.upkeep.leader import Leader
from app.upkeep.reconcile import Reconciler
from tests.databases import Sql
from tests.writing import Harness, writing


class Backend:
    """The generation backend: what it knows, what it was asked, and how many asked at once."""

    url: str

    def __init__(self) -> None:
        self.jobs: dict[str, object] = {}
        self.asked: list[str] = []
        self.started: list[dict[str, Any]] = []
        self.at_once = self.most_at_once = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def start(self, request: web.Request) -> web.Response:
        self.started.append(await request.json())
        return web.json_response({}, status=202)

    async def status(self, request: web.Request) -> web.Response:
        assert request.raw_path.count("/") == 4, request.raw_path
        job_id = request.match_info["job_id"]
        self.asked.append(job_id)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.gate.wait()
        self.at_once -= 1
        found = self.jobs.get(job_id)
        if isinstance(found, int):
            return web.Response(status=found, text="out of order")
        if isinstance(found, bytes):
            return web.Response(body=found)
        if isinstance(found, str):
            return web.Response(status=302, headers={"Location": found})
        return web.json_response(found) if found else web.json_response({"error": "no such job"}, status=404)


@contextlib.asynccontextmanager
async def reconciling(url: str, backend: Backend, *, language: str = "fr", **options: Any) -> AsyncIterator[Harness]:
    async with writing(url) as harness:
        pool, leader = Pool(url, 4, 10.0), Leader(url)
        generator = HttpGenerator(backend.url, 5.0, "en")
        options = {"stall_after": 1.0, "give_up_after": 86_400.0} | options
        task = asyncio.create_task(
            Reconciler(pool, harness.writer, generator, leader, language=language, **options).run()
        )
        try:
            yield harness
        finally:
            task.cancel()
            await asyncio.wait([task])
            leader.close()
            pool.close()
            await generator.close()


@contextlib.asynccontextmanager
async def reconciler(
    url: str, backend: Backend, harness: Harness, pool: Pool, leader: Leader, **options: Any
) -> AsyncIterator[Reconciler]:
    """One whose rounds the test does by itself."""
    generator = HttpGenerator(backend.url, 5.0, "en")
    given: dict[str, Any] = {"language": "fr", "stall_after": 600.0, "give_up_after": 864_000.0} | options
    yield Reconciler(pool, harness.writer, generator, leader, **given)
    await generator.close()


def add_stalled(sql: Sql, *names: str, seconds: int = 100) -> None:
    for name in names:
        sql(
            "INSERT INTO video_generations (id, prompt, authorId, createdAt, updatedAt) VALUES (%s, 'p', 'u1',"
            " UTC_TIMESTAMP(3) - INTERVAL %s SECOND, UTC_TIMESTAMP(3) - INTERVAL %s SECOND)",
            name,
            seconds,
            seconds,
        )


def answer(job_id: str, status: str, *videos: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "status": status,
        "message": None,
        "progress": 50,
        "videos": list(videos),
        "generation_metadata": None,
        "error": None,
        "created_at": "2025-10-23T14:00:00",
        "updated_at": "2025-10-23T14:30:00.123456",
        "completed_at": None,
    } | fields


def job(sql: Sql, job_id: str = "j1") -> tuple[Any, ...]:
    return sql("SELECT status, progress, error FROM video_generations WHERE id = %s", job_id)[0]
