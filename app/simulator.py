"""A generation backend for development, on this machine."""

import asyncio
import secrets
from typing import Any

import orjson
import structlog
from aiohttp import ClientError, ClientSession

from app.deliver import proof
from app.times import now, rfc3339

log = structlog.get_logger(__name__)

_REMEMBERED_MAX = 1000


class SimulatedGenerator:
    """Posts the webhooks of a generation to this server, `step` seconds apart; every video is the same small file.

    A prompt with the word `fail` in it fails.
    """

    def __init__(self, webhook_url: str, secret: str | None, step: float, file_size: int) -> None:
        self._webhook_url = webhook_url
        self._secret = secret
        self._step = step
        self._file_size = file_size
        self._session = ClientSession()
        self._running: set[asyncio.Task[None]] = set()
        self._known: dict[str, dict[str, Any]] = {}

    async def start(self, order: dict[str, Any]) -> None:
        task = asyncio.create_task(self._generate(order))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def status(self, job_id: str) -> dict[str, Any] | None:
        return self._known.get(job_id)

    async def close(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._session.close()

    async def _generate(self, order: dict[str, Any]) -> None:
        job_id, began = order["job_id"], now()
        await asyncio.sleep(self._step / 4)
        for status in ("processing", "generating", "downloading"):
            await self._post(job_id, status)
            await asyncio.sleep(self._step)
        if "fail" in order["prompt"].lower():
            await self._post(job_id, "failed", {"metadata": {"prompt_used": order["prompt"]}})
        else:
            await self._post(job_id, "completed", self._completion(order, began))

    def _completion(self, order: dict[str, Any], began: int) -> dict[str, Any]:
        at = now()
        names = [f"video_{n}.mp4" for n in range(1, order["number_of_videos"] + 1)]
        taken = (at - began) / 1e6
        return {
            "job_id": order["job_id"],
            "status": "completed",
            "videos": [
                {
                    "filename": name,
                    "file_path": f"simulated/{order['job_id']}/{name}",
                    "file_url": "/static/simulated.mp4",
                    "file_size": self._file_size,
                    "format": "mp4",
                    "duration_seconds": 8,
                    "aspect_ratio": "16:9",
                    "dimensions": {"width": 1280, "height": 720},
                    "created_at": rfc3339(at),
                }
                for name in names
            ],
            "metadata": {
                "model_name": "simulated",
                "model_version": "1.0",
                "processing_time": round(taken, 1),
                "generation_time": round(taken * 0.6, 1),
                "download_time": round(taken * 0.3, 1),
                "prompt_used": order["prompt"],
            },
            "generated_at": rfc3339(at),
            "success": True,
            "num_videos": len(names),
        }

    async def _post(self, job_id: str, status: str, data: dict[str, Any] | None = None) -> None:
        self._remember(job_id, status, data or {})
        update = {
            "job_id": job_id,
            "status": status,
            "content_type": "video",
            "timestamp": rfc3339(now()),
            "has_data": data is not None,
            "data": data,
            "environment": "development",
        }
        body = orjson.dumps(update)
        headers = proof(f"msg_{secrets.token_hex(12)}", body, self._secret)
        try:
            async with self._session.post(self._webhook_url, data=body, headers=headers) as answer:
                if answer.status >= 400:  # noqa: PLR2004
                    log.warning("simulated_webhook_refused", job_id=job_id, status=status, answer=answer.status)
        except ClientError as error:
            log.warning("simulated_webhook_lost", job_id=job_id, status=status, error=str(error))

    def _remember(self, job_id: str, status: str, data: dict[str, Any]) -> None:
        at = rfc3339(now())
        before = self._known.pop(job_id, None)
        if len(self._known) >= _REMEMBERED_MAX:
            del self._known[next(iter(self._known))]
        self._known[job_id] = {
            "job_id": job_id,
            "status": status,
            "message": None,
            "progress": None,
            "videos": data.get("videos", []),
            "generation_metadata": data.get("metadata"),
            "error": None,
            "created_at": before["created_at"] if before else at,
            "updated_at": at,
            "completed_at": at if status in ("completed", "failed") else None,
        }
