"""Who posts: senders, by the webhook secret or by a signature over the body."""

import time
from math import ceil

from aiohttp import web

from app.appkeys import FAILURES, SETTINGS, UNPROVEN
from app.auth import signature
from app.auth.proxies import client_address, counted_as
from app.errors import ApiError
from app.routes.callers import NotSignedInError, refuse_strangers
from app.routes.http import TooMuch, holding, read_json_body

# Whether a signature is good is known once the whole body is there: until then anybody may be sending it.
_SAID = "Too many signed bodies are on their way; try again shortly, or send X-Webhook-Secret."
_INVALID = "Unauthorized: Invalid webhook secret"
_UNPROVEN = TooMuch("too_much_unproven", of_one=_SAID, of_all=_SAID)


async def authorized_body(request: web.Request, limit: int) -> bytes:
    """The body, of `limit` bytes at most, of a sender who may post. Raises ApiError 401, or 429 after too many of them,
    before what `read_json_body` raises; 429 or 503 while too many signed bodies are on their way.

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
        raise refusal(request, _INVALID)
    with holding(request.app[UNPROVEN], counted_as(_address(request)), _UNPROVEN) as take:
        body = await read_json_body(request, limit, take)
        now, required = time.time(), settings.webhook_require_signature
        if not signature.verify(request.headers, body, settings.webhook_secrets, now, require_signature=required):
            raise refusal(request, _INVALID)
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


def refusal(request: web.Request, sentence: str) -> ApiError:
    """What to raise of somebody who has not proved that he may, counted against his address."""
    address, at = _address(request), time.monotonic()
    wait = request.app[FAILURES].allow(address, at)
    if wait is not None:
        return ApiError(429, "too_many_failures", "Too many failed authentications.", retry_after=ceil(wait))
    request.app[FAILURES].record(address, at)
    return ApiError(401, "unauthorized", sentence)
