"""Requests to S3, signed by version 4 of AWS's signature: addresses that carry their signature, and headers. Pure.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote

from app.times import moment

_ALGORITHM = "AWS4-HMAC-SHA256"
_NOTHING = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class Credentials:
    """Whose signature it is. `token` goes with keys that were lent for a while."""

    key_id: str
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an object lies: the scheme and host of its address, the path (as it is sent), and the region."""

    scheme: str
    host: str
    path: str
    region: str


def path_of(*parts: str) -> str:
    """The path of a bucket and a key, or of a key alone, as it is sent and signed: S3 takes a key as it is."""
    return "/" + quote("/".join(parts), safe="/~")


def presigned(who: Credentials, place: Place, *, at: int, seconds: int, query: Mapping[str, str] | None = None) -> str:
    """An address to GET the object, good for so many seconds from `at`, in microseconds since 1970.

    `query` are parameters of S3's own, such as `response-content-disposition`.
    """
    stamp = _stamp(at)
    scope = _scope(stamp, place.region)
    asked = {
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{who.key_id}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(seconds),
        "X-Amz-SignedHeaders": "host",
        **({} if who.token is None else {"X-Amz-Security-Token": who.token}),
        **(query or {}),
    }
    text = "&".join(sorted(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in asked.items()))
    request = f"GET\n{place.path}\n{text}\nhost:{place.host}\n\nhost\nUNSIGNED-PAYLOAD"
    signature = _sign(who, stamp, place.region, scope, request)
    return f"{place.scheme}://{place.host}{place.path}?{text}&X-Amz-Signature={signature}"


def signed_headers(who: Credentials, place: Place, method: str, *, at: int) -> dict[str, str]:
    """The headers of a request without a body."""
    stamp = _stamp(at)
    scope = _scope(stamp, place.region)
    headers = {"host": place.host, "x-amz-content-sha256": _NOTHING, "x-amz-date": stamp}
    if who.token is not None:
        headers["x-amz-security-token"] = who.token
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    request = f"{method}\n{place.path}\n\n{lines}\n{names}\n{_NOTHING}"
    signature = _sign(who, stamp, place.region, scope, request)
    del headers["host"]
    headers["Authorization"] = (
        f"{_ALGORITHM} Credential={who.key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return headers


def _stamp(at: int) -> str:
    return moment(at).strftime("%Y%m%dT%H%M%SZ")


def _scope(stamp: str, region: str) -> str:
    return f"{stamp[:8]}/{region}/s3/aws4_request"


def _sign(who: Credentials, stamp: str, region: str, scope: str, request: str) -> str:
    text = f"{_ALGORITHM}\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    return _mac(_key(who.secret, stamp[:8], region), text).hex()


@lru_cache(maxsize=16)
def _key(secret: str, day: str, region: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = _mac(key, part)
    return key


def _mac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
