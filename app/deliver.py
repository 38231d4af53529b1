"""Posts a webhook to rushes as a sender should: one function, on Python's standard library alone.

Copy this file into the sender, or import it where rushes is installed.
"""

import base64
import hashlib
import hmac
import http.client
import json
import math
import random
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

PATH = "/api/webhooks/video-completion"

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0


class NotDeliveredError(Exception):
    """Every attempt failed; the message tells the last one's reason."""


def deliver(
    url: str,
    update: dict[str, Any] | bytes,
    secret: str | None = None,
    *,
    attempts: int = 8,
    timeout: float = 30.0,
    on_retry: Callable[[int, str, float], None] | None = None,
) -> tuple[int, str]:
    """Posts `update` to the server at `url` until it is taken or refused: (status, body) of that answer.

    NaN and Infinity in it, which JSON does not have, are sent as null.

    A `secret` that starts with `whsec_` signs (Standard Webhooks), any other is sent as it is. 5xx, 429, 408 and lost
    connections are tried again: after half a second, then twice as long each time, up to 30 s and with jitter, or after
    what `Retry-After` asks for. A redirect is not followed: it is a refusal, and its body here is a sentence that names
    the other address. The `webhook-id` stays the same, so an update that arrived after all is not applied
    twice. `timeout`, in seconds, is each attempt's. `on_retry(attempt, reason, wait)` hears of each failure. Blocks
    meanwhile. Raises NotDeliveredError, and ValueError for an address that cannot be one.
    """
    body = update if isinstance(update, bytes) else _json(update)
    webhook_id = f"msg_{secrets.token_hex(12)}"
    reason = "not one attempt was allowed"
    for attempt in range(1, attempts + 1):
        asked = 0.0
        try:
            status, answer, asked = _post(endpoint(url), body, proof(webhook_id, body, secret), timeout)
            if status < 500 and status not in (408, 429):  # noqa: PLR2004
                return status, answer
            reason = f"{status}: {answer[:200]}"
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "reason", error)
            reason = getattr(why, "strerror", None) or str(why) or type(error).__name__
        if attempt < attempts:
            wait = max(min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** (attempt - 1)) * random.uniform(0.75, 1.25), asked)  # noqa: S311
            if on_retry is not None:
                on_retry(attempt, reason, wait)
            time.sleep(wait)
    raise NotDeliveredError(reason)


def endpoint(url: str) -> str:
    """The webhook address of a server's address; a longer address is taken as it is. Raises ValueError."""
    trimmed = url.rstrip("/")
    if "@" in trimmed.partition("://")[2].partition("/")[0]:
        raise ValueError("the address names a user or a password, which is sent to nobody: leave that out")
    if not trimmed.startswith(("http://", "https://")):
        raise ValueError(f"{url} is no address: it must begin with http:// or https://")
    return trimmed if trimmed.count("/") > 2 else trimmed + PATH  # noqa: PLR2004 - https://host has two


def proof(webhook_id: str, body: bytes, secret: str | None) -> dict[str, str]:
    """The headers that name a webhook and prove who sends it. Made anew for each try: a signature holds its time."""
    headers = {"Content-Type": "application/json", "webhook-id": webhook_id}
    if secret is None:
        return headers
    if not secret.startswith("whsec_"):
        return headers | {"X-Webhook-Secret": secret}
    encoded, at = secret.removeprefix("whsec_").rstrip("="), str(int(time.time()))
    key = base64.b64decode(encoded + "=" * (-len(encoded) % 4))
    digest = hmac.digest(key, b"%b.%b.%b" % (webhook_id.encode(), at.encode(), body), hashlib.sha256)
    return headers | {"webhook-timestamp": at, "webhook-signature": "v1," + base64.b64encode(digest).decode()}


def _json(update: Any) -> bytes:
    """JSON has no NaN and no Infinity, which json.dumps would write: they are null."""
    try:
        return json.dumps(update, allow_nan=False).encode()
    except ValueError:
        return json.dumps(_finite(update), allow_nan=False).encode()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class _Unfollowed(urllib.request.HTTPRedirectHandler):
    """urllib would make a GET of the POST, and take its headers along, the secret among them, to any host."""

    def http_error_302(self, *_: Any, **__: Any) -> None:
        return None

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


_OPENER = urllib.request.build_opener(_Unfollowed)


def _post(url: str, body: bytes, headers: dict[str, str], timeout: float) -> tuple[int, str, float]:
    """(status, body, seconds that the server asks to wait)."""
    request = urllib.request.Request(url, body, method="POST")  # noqa: S310 - endpoint() has looked
    # http.client would write text as Latin-1, and refuse the rest; secrets are read as UTF-8.
    coded: dict[str, Any] = {name: text.encode("utf-8", "surrogateescape") for name, text in headers.items()}
    request.headers.update(coded)
    try:
        with _OPENER.open(request, timeout=timeout) as answer:
            return answer.status, answer.read().decode(errors="replace"), 0.0
    except urllib.error.HTTPError as error:
        with error:
            if error.code < 400:  # noqa: PLR2004
                to = error.headers.get("Location", "nowhere")
                return error.code, f"a redirect to {to}, which is not followed: post to that address itself", 0.0
            after = error.headers.get("Retry-After", "")
            return error.code, error.read().decode(errors="replace"), float(after) if after.isdecimal() else 0.0
