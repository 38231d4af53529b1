"""POST and GET /api/webhooks/video-completion."""

import time
from math import ceil
from typing import Any

import orjson
from aiohttp import web

from app import ids, times
from app.appkeys import FAILURES, SETTINGS, UNPROVEN, WRITER
from app.auth import signature
from app.auth.proxies import client_address, counted_as
from app.domain import headers
from app.domain.delivery import Delivery, Outcome
from app.errors import RETRY_AFTER, ApiError
from app.routes.callers import NotSignedInError, refuse_strangers
from app.routes.http import TooMuch, holding, read_json_body, reply
from app.routes.ops import OK, database
from app.settings import Settings

_QUEUED = "It could not be written to the database yet; it is safe on local disk and will be applied."

# Whether a signature is good is known once the whole body is there: until then anybody may be sending it.
_SAID = "Too many signed bodies are on their way; try again shortly, or send X-Webhook-Secret."
_UNPROVEN = TooMuch("too_much_unproven", of_one=_SAID, of_all=_SAID)

_REFUSED = {
    "unknown_job": 404,
    "invalid_payload": 400,
    "key_conflict": 409,
    "too_many_files": 422,
    "apply_failed": 422,
}


async def receive(request: web.Request) -> web.Response:
    started = time.perf_counter()
    body = await authorized_body(request, request.app[SETTINGS].max_body_bytes)
    delivery = _delivery(request, body)
    outcome = await request.app[WRITER].submit(delivery)
    if outcome.kind == "queued" and delivery.failure is not None:
        outcome = Outcome("dead", "", *delivery.failure)
    return _answer(outcome, delivery, started)


async def health(request: web.Request) -> web.Response:
    healthy = await database(request.app) == OK
    body = {
        "status": "healthy" if healthy else "degraded",
        "webhook": "video-completion",
        "timestamp": times.rfc3339(times.now()),
    }
    response = reply(body, 200 if healthy else 503)
    if not healthy:
        response.headers["Retry-After"] = str(RETRY_AFTER)
    return response


async def authorized_body(request: web.Request, limit: int) -> bytes:
    """The body of a sender who may post. Raises ApiError 401, or 429 after too many of them, before 413 and 415.

    Without a secret set, which only development allows, everybody on this machine may post: ApiError 403 to others.
    """
    settings = request.app[SETTINGS]
    if not settings.webhook_secrets:
        try:
            refuse_strangers(request, "WEBHOOK_SECRET")
        except NotSignedInError:
            raise ApiError(
                401, "unauthorized", "Unauthorized: without WEBHOOK_SECRET, post to localhost, under that name."
            ) from None
        return await read_json_body(request, limit)
    if knows_secret(request):
        return await read_json_body(request, limit)
    if not signature.may_verify(request.headers, settings.webhook_secrets, time.time()):
        raise _unauthorized(request)
    with holding(request.app[UNPROVEN], counted_as(_address(request)), _UNPROVEN) as take:
        body = await read_json_body(request, limit, take)
        now, required = time.time(), settings.webhook_require_signature
        if not signature.verify(request.headers, body, settings.webhook_secrets, now, require_signature=required):
            raise _unauthorized(request)
        return body


def names_secret(request: web.Request) -> bool:
    """Whether the request claims to know a webhook secret, where there is one."""
    sent = request.headers
    return bool(request.app[SETTINGS].webhook_secrets) and ("X-Webhook-Secret" in sent or "webhook-signature" in sent)


def knows_secret(request: web.Request) -> bool:
    """Whether the request holds a secret itself, where that is enough."""
    settings = request.app[SETTINGS]
    plain = request.headers.get("X-Webhook-Secret")
    return not settings.webhook_require_signature and signature.secret_matches(plain, settings.webhook_secrets)


def _address(request: web.Request) -> str:
    forwarded = ",".join(request.headers.getall("X-Forwarded-For", []))
    return client_address(request.remote or "", forwarded or None, request.app[SETTINGS].trusted_proxies)


def _unauthorized(request: web.Request) -> ApiError:
    address, at = _address(request), time.monotonic()
    wait = request.app[FAILURES].allow(address, at)
    if wait is not None:
        return ApiError(429, "too_many_failures", "Too many failed authentications.", retry_after=ceil(wait))
    request.app[FAILURES].record(address, at)
    return ApiError(401, "unauthorized", "Unauthorized: Invalid webhook secret")


def _delivery(request: web.Request, body: bytes) -> Delivery:
    received_at = times.receipt()
    settings = request.app[SETTINGS]
    kept = headers.kept(request.headers.items(), _own_secrets(settings))
    return Delivery.from_body(
        body,
        id=ids.webhook_id(received_at),
        sent_id=request.headers.get("webhook-id") or None,
        received_at=received_at,
        headers=_headers_json(kept),
        max_depth=settings.max_json_depth,
        max_values=settings.max_json_values,
    )


def _own_secrets(settings: Settings) -> list[str]:
    signs = settings.auth_jwt_secret
    return [*settings.webhook_secrets, *([signs.get_secret_value()] if signs else [])]


def _headers_json(kept: dict[str, str]) -> bytes:
    try:
        return orjson.dumps(kept)
    except orjson.JSONEncodeError:
        # A header holds bytes that are no UTF-8.
        return orjson.dumps({k: v.encode("utf-8", "replace").decode() for k, v in kept.items()})


def _answer(outcome: Outcome, delivery: Delivery, started: float) -> web.Response:
    if outcome.kind == "queued":
        # Its id in the list of received webhooks is settled when it gets there.
        return reply({"success": True, "message": _QUEUED, "job_id": delivery.job_id, "status": "queued"}, 202)
    if outcome.code is not None:
        return _refusal(outcome, delivery)
    body: dict[str, Any] = {
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
    else:
        body |= {
            "message": f"Video generation status updated: {outcome.status}",
            "status": outcome.status,
            "progress": outcome.progress,
        }
    return reply(body)


def _refusal(outcome: Outcome, delivery: Delivery) -> web.Response:
    error = outcome.error or ""
    body: dict[str, Any] = {"error": error, "code": outcome.code}
    if outcome.webhook_id:  # one that waits on disk has none yet
        body["webhook_id"] = outcome.webhook_id
    if delivery.job_id is not None:
        body["job_id"] = delivery.job_id
    if outcome.code == "invalid_payload":
        body |= {"error": f"Invalid payload: {error}", "details": delivery.details}
    return reply(body, _REFUSED[outcome.code or "apply_failed"])
