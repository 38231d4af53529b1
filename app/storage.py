"""Where videos lie, and addresses by which browsers reach them for a while: made when they are told, never kept.

What the database, the log and the bus hold is the stored form: an address as the sender gave it, and what signing
needs.
"""

import re
from collections import OrderedDict
from typing import NamedTuple, NotRequired
from urllib.parse import quote, unquote, unquote_plus

import orjson
import structlog
from aiohttp import ClientSession, ClientTimeout
from typing_extensions import TypedDict
from yarl import URL

from app.domain.forms import File, StoredFile
from app.sigv4 import Credentials, Place, path_of, presigned, signed_headers
from app.times import now
from app.values import is_bucket, is_region, is_web_address

log = structlog.get_logger(__name__)

_REMEMBERED = 16 * 1024 * 1024  # bytes of addresses
_TIMEOUT = 10.0  # seconds

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html, with its older forms.
_AMAZON = re.compile(
    r"(?:(?P<bucket>[a-z0-9][a-z0-9.-]{1,62}?)\.)?s3(?:[.-](?:dualstack\.)?(?P<region>[a-z]{2}(?:-[a-z]+)+-\d))?"
    r"(?:\.dualstack)?\.amazonaws\.com(?:\.cn)?"
)
_GLOBAL = "us-east-1"
_HTTP = re.compile(r"(?i:https?)://(?P<host>[a-z0-9.-]+)(?::\d+)?/(?P<rest>.*)", re.DOTALL | re.IGNORECASE)
_QUERY = re.compile(r"(?:\?(?:[^=&]+=[^&]*(?:&|$))+)?", re.DOTALL)

# By values.is_bucket and values.is_region.
_BUCKET_MAX, _REGION_MAX = 63, 32

_ASCII = "".join(map(chr, range(0x21, 0x7F)))
_CONTROL = re.compile(r"[\x00-\x20\x7f]")

# In an event's data, as orjson writes it: within a text the quotes would have backslashes.
_PLACE = re.compile(rb',"s3_[a-z]+":"(?:[^"\\]|\\.)*"')


class _Object(NamedTuple):
    bucket: str
    key: str
    region: str | None

    @property
    def can_be_asked_for(self) -> bool:
        """Whether there may be such a bucket, and a browser asks for the key as it is: it takes `.` and `..` out of a
        path, and the signature would be that of another one."""
        return is_bucket(self.bucket) and {".", ".."}.isdisjoint(self.key.split("/"))


class _Read(NamedTuple):
    """An address of the storage: its bucket and region, and the key with all that follows it, as they were written."""

    bucket: str
    region: str | None
    rest: str


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

    @property
    def longest(self) -> int:
        """Bytes of an address at most, beside those of its key as it is written there; 0 where none is signed."""
        if self._credentials is None:
            return 0
        found = _Object("b" * _BUCKET_MAX, "", None)
        region = "r" * _REGION_MAX
        place = self._place(found._replace(region=region))
        return len(presigned(self._credentials, place, at=now(), seconds=int(self._ttl)))

    def shown(self, file: StoredFile) -> File:
        """As it is told: with an address that works now, and nothing of where it lies."""
        shown: File = {name: value for name, value in file.items() if not name.startswith("s3_")}  # type: ignore[assignment]
        found = self._find(file)
        return shown if found is None else shown | {"file_url": self._address(found, "")}

    def outgoing(self, data: bytes) -> bytes:
        """An event's data as it is sent; empty where it cannot be shown, since another program wrote what is no event
        with files."""
        if b'"s3_key":' not in data:
            return data
        if self._credentials is None:
            return _PLACE.sub(b"", data)
        try:
            return self._with_addresses(orjson.loads(data))
        except (AttributeError, KeyError, TypeError, ValueError):
            return b""

    def _with_addresses(self, event: Event) -> bytes:
        """Raises AttributeError, KeyError, TypeError or ValueError where it is no event with files."""
        videos: list[File] = [self.shown(file) for file in event["videos"]]
        while True:
            made = orjson.dumps({**event, "videos": videos})
            if len(made) <= self._event_max:
                return made
            if not videos:
                raise ValueError
            # Addresses that were signed are longer; the rest is to be asked for.
            videos = videos[: len(videos) * self._event_max // (len(made) + 1)]

    def download(self, file: StoredFile) -> str | None:
        """An address that saves the file under its name; the stored one where it is no object of ours, and None where
        that is none that a browser may be sent to."""
        named = self._named(file)
        if named is not None:
            return self._address(named, file["filename"]) if named.can_be_asked_for else None
        url = file["file_url"] or ""
        # A header takes ASCII; what is not, a browser would write so too.
        return quote(url, safe=_ASCII) if is_web_address(url) and _CONTROL.search(url) is None else None

    def lies_at(self, file: StoredFile) -> tuple[str, str] | None:
        """Bucket and key of the object that is told as this file, None where there is none."""
        found = self._find(file)
        return None if found is None else (found.bucket, found.key)

    async def remove(self, file: StoredFile) -> None:
        """Deletes the object of the file's own key; one that is not there is deleted. An object that an address alone
        names, or that cannot be asked for, is left. Raises OSError or aiohttp's ClientError."""
        named = self._named(file)
        if named is None or self._credentials is None:
            return
        if named.key != file["s3_key"] or not named.can_be_asked_for:
            log.warning("object_left", file_id=file["id"])
            return
        place = self._place(named)
        headers = signed_headers(self._credentials, place, "DELETE", at=now())
        address = URL(f"{place.scheme}://{place.host}{place.path}", encoded=True)
        async with (
            ClientSession(timeout=ClientTimeout(total=_TIMEOUT)) as session,
            session.delete(address, headers=headers, allow_redirects=False) as answer,
        ):
            if answer.status not in (200, 204, 404):
                raise OSError(f"the object was not deleted: HTTP {answer.status}")

    def _find(self, file: StoredFile) -> _Object | None:
        """The object that is told as a file; None where there is none, or none that can be asked for."""
        named = self._named(file)
        return named if named is not None and named.can_be_asked_for else None

    def _named(self, file: StoredFile) -> _Object | None:
        """The object that a file is said to be; None for one that lies elsewhere, or where nothing can be signed."""
        if self._credentials is None or file.get("s3_provider", "AWS_S3") != "AWS_S3" or not file.get("s3_key"):
            return None
        url = file["file_url"] or ""
        there = _in_amazon(url) if self._endpoint is None else _at(self._endpoint, url)
        bucket = file.get("s3_bucket") or self._bucket or (there and there.bucket)
        if bucket is None:
            return None
        if there is None or there.bucket != bucket:
            return _Object(bucket, file["s3_key"], None)
        return _Object(bucket, _key_of(file, there.rest), there.region)

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


def _in_amazon(url: str) -> _Read | None:
    """What an address of Amazon's says, in any of its forms."""
    parts = _HTTP.fullmatch(url)
    found = _AMAZON.fullmatch(parts["host"].lower()) if parts else None
    if parts is None or found is None or not is_region(found["region"] or _GLOBAL):
        return None
    bucket, rest = (found["bucket"], parts["rest"]) if found["bucket"] else parts["rest"].partition("/")[::2]
    return _Read(bucket, found["region"], rest) if is_bucket(bucket) else None


def _at(endpoint: URL, url: str) -> _Read | None:
    base = str(endpoint).rstrip("/") + "/"
    if not url.startswith(base):
        return None
    bucket, _, rest = url.removeprefix(base).partition("/")
    return _Read(bucket, None, rest) if is_bucket(bucket) else None


def _key_of(file: StoredFile, rest: str) -> str:
    """The row's own key. But one that is its path too may be no key, but a path where the sender wrote the file: then
    it is what the address says, unless that means the row's key in some way in which senders write them."""
    key, written = file["s3_key"], rest.partition("?")[0]
    ways = {way(text) for text in (rest, written) for way in (str, unquote, unquote_plus)}
    if key != file.get("file_path") or key in ways:
        return key
    # What follows the key is a query, or else a key that was not encoded: nobody knows then where that ends.
    is_clear = _QUERY.fullmatch(rest[len(written) :]) and "#" not in rest
    return (unquote(written) if is_clear else "") or key
