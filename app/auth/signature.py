"""Who may post a webhook. Pure.

Our own few lines of HMAC: the library `standardwebhooks` reads the clock itself and takes only bodies that are UTF-8.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping

PREFIX = "whsec_"
"""What a secret that signs starts with; its base64 key follows. Any other secret is only compared."""

TOLERANCE = 300
"""How many seconds a signature's time may be behind or ahead of ours."""

MAX_SIGNATURES = 32
"""How many signatures of one header are tried."""

# Bytes that a key has at least, by the Standard Webhooks.
_KEY_MIN = 24

_TIMESTAMP = re.compile(r"[0-9]{1,12}")


def check_secrets(secrets: tuple[str, ...], *, require_signature: bool = False) -> None:
    """Raises ValueError when one of the secrets, or all of them, could never let anybody in, or a signing one could be
    guessed. Tells no secret."""
    for place, secret in enumerate(secrets, 1):
        if not secret:
            raise ValueError(f"secret {place} of {len(secrets)} is empty")
        if not secret.startswith(PREFIX):
            continue
        key = _key(secret)
        if key is None:
            raise ValueError(f"secret {place} of {len(secrets)} starts with {PREFIX} but is not base64 after it")
        if len(key) < _KEY_MIN or len(set(key)) == 1:
            raise ValueError(
                f"secret {place} of {len(secrets)} starts with {PREFIX} but has no {_KEY_MIN} bytes after it"
            )
    if require_signature and not any(secret.startswith(PREFIX) for secret in secrets):
        raise ValueError(f"requiring signatures needs a secret that starts with {PREFIX}")


def verify(
    headers: Mapping[str, str], body: bytes, secrets: tuple[str, ...], now: float, *, require_signature: bool
) -> bool:
    """Whether the sender knows one of the secrets: by `X-Webhook-Secret`, or by a Standard Webhooks signature.

    Either is enough, whatever the other says; with `require_signature` only the signature counts. `headers` finds a
    name in any case, `body` is the raw body, `now` the time in seconds since 1970. Never raises: what is malformed
    is False.
    """
    if not require_signature and secret_matches(headers.get("X-Webhook-Secret"), secrets):
        return True
    return _signature_matches(headers, body, secrets, now)


def sign(webhook_id: str, timestamp: int, body: bytes, secret: str) -> str:
    """The header `webhook-signature` for one webhook. `timestamp` goes into `webhook-timestamp` as it is.

    Raises ValueError for an id that is empty or has a full stop, a time before 1970, and a secret that cannot sign.
    """
    key = _key(secret)
    if key is None:
        raise ValueError(f"a secret that signs is {PREFIX} and base64")
    if not webhook_id or "." in webhook_id:
        raise ValueError("a webhook's id has at least one character, and no full stop")
    if not _TIMESTAMP.fullmatch(str(timestamp)):
        raise ValueError("a webhook's timestamp is in whole seconds since 1970")
    return _signature(webhook_id, str(timestamp), body, key).decode()


def secret_matches(given: str | None, secrets: tuple[str, ...]) -> bool:
    """Whether `given` is one of the secrets, in a time that does not tell which or how much of it.

    Compared as the bytes that came: a header may hold anything.
    """
    if not given:
        return False
    sent = _raw(given)
    matches = [hmac.compare_digest(sent, _raw(secret)) for secret in secrets]
    return any(matches)


def may_verify(headers: Mapping[str, str], secrets: tuple[str, ...], now: float) -> bool:
    """Whether some body could make the signature right: False is known before a body is read. Never raises."""
    webhook_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    # A full stop in the id would let `a.1.b` be read as another id, time and body than those signed.
    if not webhook_id or "." in webhook_id or not _TIMESTAMP.fullmatch(timestamp):
        return False
    if not abs(now - int(timestamp)) <= TOLERANCE:
        return False
    return bool(_given(headers)) and any(secret.startswith(PREFIX) for secret in secrets)


def _signature_matches(headers: Mapping[str, str], body: bytes, secrets: tuple[str, ...], now: float) -> bool:
    if not may_verify(headers, secrets, now):
        return False
    webhook_id, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    # Compared as text: base64 has several spellings of the same bytes, and senders write the usual one.
    expected = [_signature(webhook_id, timestamp, body, key) for key in map(_key, secrets) if key is not None]
    matches = [hmac.compare_digest(one, ours) for one in _given(headers) for ours in expected]
    return any(matches)


def _given(headers: Mapping[str, str]) -> list[bytes]:
    sent = headers.get("webhook-signature", "").split(" ", MAX_SIGNATURES)[:MAX_SIGNATURES]
    return [_raw(signature) for signature in sent if signature.startswith("v1,")]


def _signature(webhook_id: str, timestamp: str, body: bytes, key: bytes) -> bytes:
    digest = hmac.digest(key, b"%b.%b.%b" % (_raw(webhook_id), timestamp.encode(), body), hashlib.sha256)
    return b"v1," + base64.b64encode(digest)


def _key(secret: str) -> bytes | None:
    """The key in a `whsec_` secret, its base64 padded or not. None if there is none."""
    if not secret.startswith(PREFIX):
        return None
    encoded = secret.removeprefix(PREFIX).rstrip("=")
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True) or None
    except ValueError:
        return None


def _raw(text: str) -> bytes:
    """The bytes of a header, which aiohttp gives as UTF-8 with whatever else escaped. Any other text has some, too."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
