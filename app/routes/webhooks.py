"""POST /api/webhooks/video-completion: what senders post."""

import time
from functools import reduce
from operator import or_
from typing import Any, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from app import ids, times
from app.appkeys import SETTINGS, WRITER
from app.domain import headers
from app.domain.delivery import Delivery, Outcome
from app.domain.fields import False_, Nothing
from app.domain.versions import VERSIONS, Envelope
from app.errors import Error
from app.routes import schemas
from app.routes.describe import OF_BODY, SENDER, describes
from app.routes.http import reply
from app.routes.senders import authorized_body

_QUEUED = "It could not be written to the database yet; it is safe on local disk and will be applied."

_EXAMPLE: dict[str, Any] = {"job_id": "j1", "content_type": "video", "timestamp": "2025-10-23T14:30:00Z"}

_REFUSED = {
    "unknown_job": 404,
    "invalid_payload": 400,
    "key_conflict": 409,
    "too_many_files": 422,
    "apply_failed": 422,
}


class OfUpdate(Envelope):
    """A webhook of an intermediate status, or of a failure."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE | {"status": "generating"}]})

    status: Literal["pending", "processing", "generating", "downloading", "failed"]


class Withheld(BaseModel):
    """What is told of a completion that has no file, whatever it lists."""

    success: False_


class NoFilesYet(BaseModel):
    """What is told beside `has_data: false`, where no file is."""

    videos: Nothing = None


# Of all versions that payload.py has, the oldest first. Given to pydantic alone: to mypy, an envelope's is a dict.
_DATA: Any = reduce(or_, (completion.model_fields["data"].annotation for _, _, completion in reversed(VERSIONS)))
_WITHHELD: Any = Withheld
_NO_FILES_YET: Any = NoFilesYet


class OfCompletion(Envelope):
    """A webhook that brings files, in any version of the payload, or says that they will follow, or that none will."""

    status: Literal["completed"]
    data: _DATA | _WITHHELD | None = None


class OfCompletionWithoutData(Envelope):
    """A webhook that says that files will follow, whatever else it tells."""

    status: Literal["completed"]
    has_data: False_
    data: _NO_FILES_YET | None = None


BODIES = (OfUpdate, OfCompletion, OfCompletionWithoutData)


@describes(
    "Take a webhook; 2xx means that it is durable",
    {200: schemas.Received, 202: schemas.Queued},
    (*OF_BODY, 401, 403, 404, 409, 422, 429, 503),
    body=BODIES,
    who=SENDER,
)
async def receive(request: web.Request) -> web.Response:
    """Who may post is asked first, then the body is read, parsed and handed to the writer, and its outcome answered.

    What is invalid is recorded too, as dead, and refused.
    """
    started = time.perf_counter()
    body = await authorized_body(request, request.app[SETTINGS].max_body_bytes)
    delivery = _delivery(request, body)
    outcome = await request.app[WRITER].submit(delivery)
    if outcome.kind == "queued" and delivery.failure is not None:
        outcome = Outcome("dead", "", *delivery.failure)
    return _answer(outcome, delivery, started)


def _delivery(request: web.Request, body: bytes) -> Delivery:
    received_at = times.receipt()
    settings = request.app[SETTINGS]
    return Delivery.from_body(
        body,
        id=ids.webhook_id(received_at),
        sent_id=request.headers.get("webhook-id") or None,
        received_at=received_at,
        headers=headers.kept_json(request.raw_headers, settings.own_secrets),
        max_depth=settings.max_json_depth,
        max_values=settings.max_json_values,
    )


def _answer(outcome: Outcome, delivery: Delivery, started: float) -> web.Response:
    if outcome.kind == "queued" and delivery.update is not None:
        # Its id in the list of received webhooks is settled when it gets there.
        queued: schemas.Queued = {
            "success": True,
            "message": _QUEUED,
            "job_id": delivery.update.job_id,
            "status": "queued",
        }
        return reply(queued, 202)
    if outcome.code is not None and outcome.kind != "stale":
        return _refusal(outcome, outcome.code, delivery)
    body: schemas.Received = {
        "success": True,
        "message": "",
        "job_id": delivery.job_id,
        "webhook_id": outcome.webhook_id,
    }
    if outcome.kind == "duplicate":
        body |= {"message": "Webhook already processed", "status": "duplicate"}
    elif outcome.kind == "stale":
        body |= {"message": f"Older than what is already known: {outcome.status}", "status": "stale"}
    elif outcome.state == "COMPLETED":
        body |= {
            "message": "Video generation webhook processed successfully",
            "num_videos": outcome.num_videos,
            "processing_time_ms": round((time.perf_counter() - started) * 1000, 2),
        }
    elif outcome.state == "FAILED":
        body |= {"message": "Video generation failure recorded", "status": "failed"}
    elif outcome.status is not None:
        body |= {
            "message": f"Video generation status updated: {outcome.status}",
            "status": outcome.status,
            "progress": outcome.progress,
        }
    return reply(body)


def _refusal(outcome: Outcome, code: str, delivery: Delivery) -> web.Response:
    error = outcome.error or ""
    body: Error = {"error": error, "code": code}
    if outcome.webhook_id:  # one that waits on disk has none yet
        body["webhook_id"] = outcome.webhook_id
    if delivery.job_id is not None:
        body["job_id"] = delivery.job_id
    if code == "invalid_payload":
        body |= {"error": f"Invalid payload: {error}", "details": delivery.details}
    return reply(body, _REFUSED[code])
