"""Where videos lie, and addresses by which browsers reach them for a while: made when they are told, never kept.

What the database, the log and the bus hold is the stored form: an address as the sender gave it, and what signing
needs.
"""

import re
from collections import OrderedDict
from typing import NamedTuple, NotRequired
from urllib.parse import quote, unquote, urlsplit

import orjson
from aiohttp import ClientSession, ClientTimeout
from typing_extensions import TypedDict
from yarl import URL

from app.domain.forms import File, StoredFile
from app.sigv4 import Credentials, Place, path_of, presigned, signed_headers
from app.times import now

_REMEMBERED = 16 * 1024 * 1024  # bytes of addresses
_TIMEOUT = 10.0  # seconds

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html, with its older forms.
_AMAZON = re.compile(
    r"(?:(?P<bucket>[a-z0-9][a-z0-9.-]{1,62}?)\.)?s3(?:[.-](?:dualstack\.)?(?P<region>[a-z]{2}(?:-[a-z]+)+-\d))?"
    r"(?:\.dualstack)?\.amazonaws\.com(?:\.cn)?"
)
_GLOBAL = "us-east-1"

# In an event's data, as orjson writes it: within a text the quotes would have backslashes.
_PLACE = re.compile(rb',"s3_[a-z]+":"(?:[^"\\]|\\.)*"')


class _Object(NamedTuple):
    bucket: str
    key: str
    region: str | None


class Event(TypedDict):
    """The part of an event's data that is looked at here."""

    videos: list[StoredFile]
    num_videos: NotRequired[int]


class Storage:
    """An S3 or what speaks like it, `bucket` there unless a job's row names another; or none, where files have the
    address that their sender gave them. `ttl` is how many seconds an address is good for: one that is told is so for
    half of it at least. In the same half all processes tell the same one."""

    def __init__(
        self,
        *,
        bucket: str | None,
        endpoint: str | None,
        region: str | None,
        credentials: Credentials | None,
        ttl: float,
        event_max: int,
    ) -> None:
        self._bucket = bucket
        self._endpoint = URL(endpoint) if endpoint else None
        self._region = region
        self._credentials = credentials
        self._ttl = ttl
        self._event_max = event_max
        self._signed: OrderedDict[tuple[_Object, str, int], str] = OrderedDict()
        self._bytes = 0

    @property
    def window(self) -> int:
        """The half of the addresses' life that it is: while it lasts they are the same."""
        return 0 if self._credentials is None else int(now() / 1e6 // (self._ttl / 2))

    def shown(self, file: StoredFile) -> File:
        """As it is told: with an address that works now, and nothing of where it lies."""
        shown: File = {name: value for name, value in file.items() if not name.startswith("s3_")}  # type: ignore[assignment]
        found = self._find(file)
        return shown if found is None else shown | {"file_url": self._address(found, "")}

    def outgoing(self, data: bytes) -> bytes:
        """An event's data as it is sent."""
        if b'"s3_key":' not in data:
            return data
        if self._credentials is None:
            return _PLACE.sub(b"", data)
        event: Event = orjson.loads(data)
        event["videos"] = [self.shown(file) for file in event["videos"]]  # type: ignore[misc]
        made = orjson.dumps(event)
        while len(made) > self._event_max:  # addresses that were signed are longer; the rest is to be asked for
            event["videos"] = event["videos"][: len(event["videos"]) * self._event_max // (len(made) + 1)]
            made = orjson.dumps(event)
        return made

    def download(self, file: StoredFile) -> str | None:
        """An address that saves the file under its name; the stored one where it is no object of ours, and None where
        that is none that a browser may be sent to."""
        found = self._find(file)
        if found is not None:
            return self._address(found, file["filename"])
        url = file["file_url"] or ""
        return url if url.lower().startswith(("https://", "http://")) else None

    async def remove(self, file: StoredFile) -> None:
        """Deletes the object; one that is not there is deleted. Raises OSError or aiohttp's ClientError."""
        found = self._find(file)
        if found is None or self._credentials is None:
            return
        place = self._place(found)
        headers = signed_headers(self._credentials, place, "DELETE", at=now())
        address = URL(f"{place.scheme}://{place.host}{place.path}", encoded=True)
        async with (
            ClientSession(timeout=ClientTimeout(total=_TIMEOUT)) as session,
            session.delete(address, headers=headers, allow_redirects=False) as answer,
        ):
            if answer.status not in (200, 204, 404):
                raise OSError(f"the object was not deleted: HTTP {answer.status}")

    def _find(self, file: StoredFile) -> _Object | None:
        """The object that a file is; None for one that lies elsewhere, or where nothing can be signed."""
        if self._credentials is None or file.get("s3_provider", "AWS_S3") != "AWS_S3" or not file.get("s3_key"):
            return None
        bucket, url = file.get("s3_bucket") or self._bucket, file["file_url"]
        there = _in_amazon(url) if self._endpoint is None else _at(self._endpoint, url)
        if there is not None and bucket in (None, there.bucket):
            return there
        return None if bucket is None else _Object(bucket, file["s3_key"], None)

    def _place(self, found: _Object) -> Place:
        region = found.region or self._region or _GLOBAL
        if self._endpoint is not None:
            host, base = self._endpoint.raw_authority.rpartition("@")[2], self._endpoint.raw_path.rstrip("/")
            return Place(self._endpoint.scheme, host, base + path_of(found.bucket, found.key), region)
        domain = f"s3.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")
        if "." in found.bucket:  # no certificate of theirs is for such a host
            return Place("https", domain, path_of(found.bucket, found.key), region)
        return Place("https", f"{found.bucket}.{domain}", path_of(found.key), region)

    def _address(self, found: _Object, filename: str) -> str:
        """`filename` is the name that it is saved under, empty for one that is looked at."""
        assert self._credentials is not None  # noqa: S101 - nothing is found without
        known = (found, filename, self.window)
        address = self._signed.get(known)
        if address is None:
            query = {"response-content-disposition": disposition(filename)} if filename else None
            at = int(known[2] * self._ttl / 2) * 1_000_000
            place = self._place(found)
            address = presigned(self._credentials, place, at=at, seconds=max(1, int(self._ttl)), query=query)
            self._signed[known] = address
            self._bytes += len(address)
            while self._bytes > _REMEMBERED:
                self._bytes -= len(self._signed.popitem(last=False)[1])
        return address


def disposition(filename: str) -> str:
    """RFC 6266: saved under this name, which old clients are told without what is not ASCII."""
    plain = re.sub(r"[^ !#-\[\]-~]|[%/]", "_", filename)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"


def _in_amazon(url: str | None) -> _Object | None:
    """What an address of Amazon's says: bucket, key and region, in any of its forms."""
    try:
        parts = urlsplit(url or "")
        found = _AMAZON.fullmatch(parts.hostname or "")
    except ValueError:
        return None
    if found is None or parts.scheme not in ("http", "https"):
        return None
    path = parts.path.removeprefix("/")
    bucket, key = (found["bucket"], path) if found["bucket"] else path.partition("/")[::2]
    return _Object(unquote(bucket), unquote(key), found["region"]) if bucket and key else None


def _at(endpoint: URL, url: str | None) -> _Object | None:
    base = str(endpoint).rstrip("/") + "/"
    if not (url or "").startswith(base):
        return None
    bucket, _, key = (url or "").removeprefix(base).partition("?")[0].partition("/")
    return _Object(unquote(bucket), unquote(key), None) if bucket and key else None
