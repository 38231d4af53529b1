"""The generation backend: asked over HTTP, or none. `simulator` is the one of development."""

import json
from io import BytesIO
from typing import Any, Protocol
from urllib.parse import quote

import orjson
import structlog
from aiohttp import BaseConnector, ClientError, ClientResponse, ClientSession, ClientTimeout, TCPConnector
from yarl import URL

from app import lenient
from app.redaction import beginning
from app.texts import NOT_STARTED

log = structlog.get_logger(__name__)

# Not a redirect: a POST would be sent on as a GET, to a page that says 200 to anything.
_DONE = range(200, 300)
_ANSWER_MAX = 1024 * 1024
_VALUES_MAX = 50_000
_REASON_MAX = 500


class GeneratorError(Exception):
    """The backend refused, or did not answer. The message is for users, in their language, if a start failed; else for
    the log."""


class Generator(Protocol):
    """Makes videos, and sends webhooks of what becomes of them."""

    async def start(self, order: dict[str, Any], /) -> None:
        """Has the video of `order` ({"job_id", "user_id", "prompt", …}) made. Raises GeneratorError."""

    async def status(self, job_id: str, /) -> dict[str, Any] | None:
        """What the backend knows of a job, None when it does not know it. Raises GeneratorError.

        {"job_id", "status", "message", "progress", "videos", "generation_metadata", "error", "created_at",
        "updated_at", "completed_at"}, as the backend sends it: whether it is so is for the caller to see.
        """

    async def close(self) -> None:
        """Ends its connections. Nothing is asked of it afterwards."""


class HttpGenerator:
    """The backend at `url`, over `connector` where it is not simply there. `wait` is in seconds; `language` is that of
    the reasons of failures."""

    def __init__(self, url: str, wait: float, language: str, connector: BaseConnector | None = None) -> None:
        self._url = url.rstrip("/") + "/api/videos/"
        self._texts = NOT_STARTED[language]
        # Orders are bounded by user before they get here. A queue in the session would count for the time-out of all.
        self._session = ClientSession(connector=connector or TCPConnector(limit=0), timeout=ClientTimeout(total=wait))

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
                    said = beginning(began[: 3 * _REASON_MAX].decode(errors="replace"), _REASON_MAX)
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
    """The backend's own words without secrets, by the names that its webhooks have for them; None if there are none."""
    try:
        said = None if lenient.has_more_values(body, _VALUES_MAX) else lenient.read(body)
    except orjson.JSONDecodeError:
        return None
    words = [said.get("error"), said.get("message")] if isinstance(said, dict) else []
    reasons = (word.strip() for word in words if isinstance(word, str))
    return next((beginning(reason, _REASON_MAX) for reason in reasons if reason), None)


class NoGenerator:
    """Where there is no backend: nothing can be started here, and nobody knows how a job stands."""

    def __init__(self, language: str) -> None:
        self._text = NOT_STARTED[language]["none"]

    async def start(self, _order: dict[str, Any]) -> None:
        raise GeneratorError(self._text)

    async def status(self, _job_id: str) -> dict[str, Any] | None:
        raise GeneratorError(self._text)

    async def close(self) -> None:
        pass
