"""POST and GET /api/webhooks/video-completion."""

import time
from typing import Any

import orjson
from aiohttp import web

from app import ids, payload, signature, times
from app.db.pool import DatabaseAwayError
from app.db.webhooks import Delivery, Outcome
from app.errors import ApiError
from app.keys import LOG, SETTINGS, WRITER
from app.routes.http import read_json_body, reply
from app.settings import Settings

PATH = "/api/webhooks/video-completion"

_SECRET_HEADERS = {"x-webhook-secret", "webhook-signature", "authorization", "proxy-authorization", "cookie"}

_REFUSED = {"unknown_job": 404, "invalid_payload": 400, "key_conflict": 409, "apply_failed": 422}


async def receive(request: web.Request) -> web.Response:
    started = time.perf_counter()
    settings = request.app[SETTINGS]
    authorize_sender(request, settings)
    body = await read_json_body(request, settings.max_body_bytes)
    delivery, details = _delivery(request, body)
    outcome = await request.app[WRITER].submit(delivery)
    job_id = delivery.update.job_id if delivery.update else None
    return _answer(outcome, job_id, details, started)


async def health(request: web.Request) -> web.Response:
    try:
        await request.app[LOG].head()
    except DatabaseAwayError:
        status, code = "degraded", 503
    else:
        status, code = "healthy", 200
    return reply({"status": status, "webhook": "video-completion", "timestamp": times.rfc3339(times.now())}, code)


def authorize_sender(request: web.Request, settings: Settings) -> None:
    """Raises ApiError 401. Without a secret set, which only development allows, everybody may post."""
    secrets = settings.webhook_secrets
    if not secrets and settings.app_env == "development":
        return
    if not signature.secret_matches(request.headers.get("X-Webhook-Secret"), secrets):
        raise ApiError(401, "unauthorized", "Unauthorized: Invalid webhook secret")


def _delivery(request: web.Request, body: bytes) -> tuple[Delivery, list[dict[str, str]]]:
    received_at = times.now()
    webhook_id = request.headers.get("webhook-id") or None
    kept = {name: value for key, value in request.headers.items() if (name := key.lower()) not in _SECRET_HEADERS}
    details: list[dict[str, str]] = []
    update, failure = None, None
    try:
        update = payload.parse(body)
    except payload.InvalidPayloadError as error:
        failure, details = ("invalid_payload", str(error)), error.details
    delivery = Delivery(
        id=ids.webhook_id(received_at),
        dedup_key=payload.dedup_key(webhook_id, update, body),
        received_at=received_at,
        headers=_headers_json(kept),
        body=body,
        version=update.version if update else None,
        update=update,
        failure=failure,
    )
    return delivery, details


def _headers_json(headers: dict[str, str]) -> bytes:
    try:
        return orjson.dumps(headers)
    except orjson.JSONEncodeError:
        # A header holds bytes that are no UTF-8.
        return orjson.dumps({k: v.encode("utf-8", "replace").decode() for k, v in headers.items()})


def _answer(outcome: Outcome, job_id: str | None, details: list[dict[str, str]], started: float) -> web.Response:
    if outcome.code is not None:
        return _refusal(outcome, job_id, details)
    body: dict[str, Any] = {
        "success": True,
        "message": "",
        "job_id": job_id,
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
    else:
        body |= {
            "message": f"Video generation status updated: {outcome.status}",
            "status": outcome.status,
            "progress": outcome.progress,
        }
    return reply(body)


def _refusal(outcome: Outcome, job_id: str | None, details: list[dict[str, str]]) -> web.Response:
    error = outcome.error or ""
    body: dict[str, Any] = {"error": error, "code": outcome.code, "webhook_id": outcome.webhook_id}
    if job_id is not None:
        body["job_id"] = job_id
    if outcome.code == "invalid_payload":
        body |= {"error": f"Invalid payload: {error}", "details": details}
    return reply(body, _REFUSED[outcome.code or "apply_failed"])
