"""The generation backend: asked over HTTP; simulated on this machine in development; or none."""

import asyncio
import json
import secrets
from io import BytesIO
from typing import Any, Protocol
from urllib.parse import quote

import orjson
import structlog
from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, TCPConnector
from yarl import URL

from app import lenient
from app.deliver import proof
from app.times import now, rfc3339

log = structlog.get_logger(__name__)

# Not a redirect: a POST would be sent on as a GET, to a page that says 200 to anything.
_DONE = range(200, 300)
_ANSWER_MAX = 1024 * 1024
_VALUES_MAX = 50_000
_REMEMBERED_MAX = 1000
_REASON_MAX = 500

# What users see, and what is stored as the job's `error`.
_NOT_STARTED = {
    "fr": {
        "refused": "Le service de génération a refusé cette vidéo : {reason}",
        "unexplained": "Le service de génération a refusé cette vidéo, sans dire pourquoi (HTTP {status}).",
        "silent": "Le service de génération ne répond pas.",
        "none": "Aucun service de génération n'est configuré (GENERATOR_URL).",
    },
    "en": {
        "refused": "The generation backend refused this video: {reason}",
        "unexplained": "The generation backend refused this video, and did not say why (HTTP {status}).",
        "silent": "The generation backend does not answer.",
        "none": "No generation backend is set (GENERATOR_URL).",
    },
}


class GeneratorError(Exception):
    """The backend refused, or did not answer. The message is for users, in their language, if a start failed; else for
    the log."""


class Generator(Protocol):
    async def start(self, order: dict[str, Any], /) -> None:
        """Has the video of `order` ({"job_id", "user_id", "prompt", …}) made. Raises GeneratorError."""

    async def status(self, job_id: str, /) -> dict[str, Any] | None:
        """What the backend knows of a job, None when it does not know it. Raises GeneratorError.

        {"job_id", "status", "message", "progress", "videos", "generation_metadata", "error", "created_at",
        "updated_at", "completed_at"}, as the backend sends it: whether it is so is for the caller to see.
        """

    async def close(self) -> None: ...


class HttpGenerator:
    """The backend at `GENERATOR_URL`. `wait` is in seconds; `language` is that of the reasons of failures."""

    def __init__(self, url: str, wait: float, language: str) -> None:
        self._url = url.rstrip("/") + "/api/videos/"
        self._texts = _NOT_STARTED[language]
        # Orders are bounded by user before they get here. A queue in the session would count for the time-out of all.
        self._session = ClientSession(connector=TCPConnector(limit=0), timeout=ClientTimeout(total=wait))

    async def start(self, order: dict[str, Any]) -> None:
        # Read a piece at a time: an image handed over whole would hold up the loop. Not by orjson, which sets aside
        # eight times the memory of a text.
        body, kind = BytesIO(json.dumps(order).encode()), {"Content-Type": "application/json"}
        try:
            async with self._session.post(
                self._url + "generate", data=body, headers=kind, allow_redirects=False
            ) as answer:
                if answer.status not in _DONE:
                    began = await _begin(answer)
                    said = began[:_REASON_MAX].decode(errors="replace")
                    log.warning("generation_refused", job_id=order["job_id"], status=answer.status, said=said)
                    reason = _reason(began)
                    text = self._texts["refused" if reason else "unexplained"]
                    raise GeneratorError(text.format(reason=reason, status=answer.status))
        except (ClientError, TimeoutError) as error:
            log.warning("generation_backend_silent", job_id=order["job_id"], error=type(error).__name__)
            raise GeneratorError(self._texts["silent"]) from error

    async def status(self, job_id: str) -> dict[str, Any] | None:
        url = URL(f"{self._url}status/{quote(job_id, safe='')}", encoded=True)
        try:
            async with self._session.get(url, allow_redirects=False) as answer:
                if answer.status == 404:  # noqa: PLR2004
                    return None
                if answer.status not in _DONE:
                    raise GeneratorError(f"The generation backend answered {answer.status}.")
                body = await _begin(answer)
                if len(body) > _ANSWER_MAX:
                    raise GeneratorError(f"The generation backend answered with more than {_ANSWER_MAX} bytes.")
            if lenient.has_more_values(body, _VALUES_MAX):
                raise GeneratorError(f"The generation backend answered with more than {_VALUES_MAX} values.")
            found = lenient.read(body)
        except (ClientError, TimeoutError) as error:
            raise GeneratorError(f"The generation backend did not answer ({type(error).__name__}).") from error
        except orjson.JSONDecodeError:
            found = None
        if not isinstance(found, dict):
            raise GeneratorError("The generation backend did not answer with a JSON object.")
        return found

    async def close(self) -> None:
        await self._session.close()


async def _begin(answer: ClientResponse) -> bytes:
    """The answer's body, or its beginning when it has more than `_ANSWER_MAX` bytes: more than those, then."""
    body = bytearray()
    async for data in answer.content.iter_any():
        body += data
        if len(body) > _ANSWER_MAX:
            break
    return bytes(body)


def _reason(body: bytes) -> str | None:
    """The backend's own words, by the names that its webhooks have for them; None if there are none."""
    try:
        said = None if lenient.has_more_values(body, _VALUES_MAX) else lenient.read(body)
    except orjson.JSONDecodeError:
        return None
    words = [said.get("error"), said.get("message")] if isinstance(said, dict) else []
    return next((word.strip()[:_REASON_MAX] for word in words if isinstance(word, str) and word.strip()), None)


class NoGenerator:
    """Where there is no backend: nothing can be started here, and nobody knows how a job stands."""

    def __init__(self, language: str) -> None:
        self._text = _NOT_STARTED[language]["none"]

    async def start(self, _order: dict[str, Any]) -> None:
        raise GeneratorError(self._text)

    async def status(self, _job_id: str) -> dict[str, Any] | None:
        raise GeneratorError(self._text)

    async def close(self) -> None:
        pass


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
