"""Signed webhooks, by the rules of Standard Webhooks, and what the server makes of them."""

import base64
import hashlib
import hmac
from collections.abc import Mapping

from multidict import CIMultiDict

from app.auth import signature

# The example of the Standard Webhooks libraries.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
AT = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

LONE = chr(0xD800)  # text that no bytes can become

OTHER = "whsec_" + base64.b64encode(b"another key of thirty-two bytes!").decode()
PLAIN = "a plain secret, é"


def signed(webhook_id: str = ID, at: int | str = AT, by: str = SIGNATURE, **more: str) -> CIMultiDict[str]:
    return CIMultiDict({"Webhook-Id": webhook_id, "Webhook-Timestamp": str(at), "Webhook-Signature": by, **more})


def verify(
    headers: Mapping[str, str],
    body: bytes = BODY,
    secrets: tuple[str, ...] = (SECRET,),
    now: float = AT,
    *,
    require_signature: bool = True,
) -> bool:
    return signature.verify(headers, body, secrets, now, require_signature=require_signature)


def of(raw: bytes) -> str:
    """A header's text, as aiohttp makes it."""
    return raw.decode("utf-8", "surrogateescape")


def wire(text: str) -> bytes:
    """The bytes a header's text came from, or stands for when it came from none."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def independent_signature(webhook_id: bytes, at: bytes, body: bytes, secret: str) -> str:
    key = base64.b64decode(secret[6:])
    return (
        "v1," + base64.b64encode(hmac.new(key, webhook_id + b"." + at + b"." + body, hashlib.sha256).digest()).decode()
    )
