"""Web Push: a message is encrypted for one browser, signed with our key, and handed to that browser's push service
(RFC 8030, 8291, 8292).

A browser says where that is, so anybody may have written that address. It is asked by https alone, at the usual port,
never where its name leads into a network of ours, and no redirect is followed. It is a secret too: whoever has it may
write to that browser. No log has more of it than its host.
"""

import base64
import importlib.util
import ipaddress
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiohttp import ClientConnectorError, ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from yarl import URL

from app import times
from app.lookups import Lookups
from app.reasons import reason
from app.values import is_loopback

ENDPOINT_MAX = 2048
"""Characters of an address; those of the four services that there are have 200 to 600."""

PAYLOAD_MAX = 3000
"""Bytes, before they are encrypted: a push service takes 4096 afterwards (RFC 8030, 7.2)."""

_POINT_BYTES, _SECRET_BYTES, _KEY_BYTES = 65, 16, 32
_SIGNED_FOR = 3600  # seconds; RFC 8292 allows a day
_ANSWER_MAX = 4096  # bytes that are read of an answer, so that its connection can be used again
_RETRY_AFTER_MAX = 3600.0  # seconds
_NAMES_KEPT = 300  # seconds, so that the few services that nearly all browsers have are seldom looked up

# What passes through a gateway to IPv4 (RFC 6052).
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Subscription(NamedTuple):
    """A browser that is to be told. The keys are base64url without padding."""

    endpoint: str
    p256dh: str
    auth: str

    @property
    def host(self) -> str:
        """What may be logged of it."""
        return URL(self.endpoint).host or ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a push service said: its status, 0 where there was no answer; why, for the log; and after how many seconds
    it may be asked again, if it said so."""

    status: int
    why: str
    retry_after: float = 0.0

    @property
    def is_taken(self) -> bool:
        return 200 <= self.status < 300  # noqa: PLR2004

    @property
    def is_gone(self) -> bool:
        """Whether that browser is told nothing any more."""
        return self.status in (404, 410)

    @property
    def is_refused(self) -> bool:
        """Whether it does not take this message, and never will."""
        return self.status in (400, 413)


def is_there() -> bool:
    """Whether the packages of the extra `push` are installed."""
    return importlib.util.find_spec("pywebpush") is not None


def new_key() -> str:
    """A private key, as VAPID_PRIVATE_KEY has it."""
    number = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
    return _encoded(number.to_bytes(_KEY_BYTES, "big"))


def public_key(private_key: str) -> str:
    """What browsers subscribe with. Raises ValueError for what is no private key."""
    raw = _decoded(private_key.strip())
    if len(raw) != _KEY_BYTES:
        raise ValueError("it is not the 32 bytes of a private key in base64url")
    key = ec.derive_private_key(int.from_bytes(raw, "big"), ec.SECP256R1())
    return _encoded(key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))


def check(subscription: Subscription, *, allow_loopback: bool) -> Subscription:
    """It, its keys in one spelling. Raises ValueError, whose sentence does not tell the address."""
    _check_endpoint(subscription.endpoint, allow_loopback=allow_loopback)
    point, secret = _decoded(subscription.p256dh), _decoded(subscription.auth)
    try:
        if len(point) != _POINT_BYTES or len(secret) != _SECRET_BYTES:
            raise ValueError
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        raise ValueError("keys must be those of a subscription: a point of P-256, and 16 bytes") from None
    return Subscription(subscription.endpoint, _encoded(point), _encoded(secret))


def _check_endpoint(endpoint: str, *, allow_loopback: bool) -> None:
    wrong = ValueError("endpoint must be an https:// address of a push service")
    if len(endpoint) > ENDPOINT_MAX or not endpoint.isascii() or not endpoint.isprintable() or " " in endpoint:
        raise wrong
    try:
        url = URL(endpoint)
        host = url.host or ""
        if allow_loopback and is_loopback(host) and url.scheme in ("http", "https"):
            return
        usable = url.scheme == "https" and url.port == 443 and "." in host and not (url.raw_user or url.raw_password)  # noqa: PLR2004
    except ValueError:
        raise wrong from None
    if not usable or _is_address(host):
        raise wrong


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_public(address: Address) -> bool:
    """Whether it is somewhere in the internet, and not in a network of ours, also by way of another form of it."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return is_public(inner)
        if address.teredo is not None:
            return False
        if address.is_site_local:  # as private networks were before there was fc00::/7
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


class WebPush:
    """Sends messages, signed with `private_key` for `subject`, whom a push service may write to.

    A service is given `wait` seconds. `allow_loopback` lets tests have one of their own on this machine.
    """

    def __init__(self, private_key: str, subject: str, *, wait: float, allow_loopback: bool = False) -> None:
        self.public_key = public_key(private_key)
        self._private_key = private_key.strip()
        self._subject = subject
        self._wait = wait
        self.allow_loopback = allow_loopback
        self._session: ClientSession | None = None

    async def send(self, to: Subscription, payload: bytes, ttl: int) -> Answer:
        """Hands over what the browser is to get within `ttl` seconds. What goes wrong is told by the answer."""
        headers = {
            "TTL": str(ttl),
            "Urgency": "normal",
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            **self._signature(to),
        }
        try:
            post = self._open().post(URL(to.endpoint, encoded=True), data=seal(to, payload), headers=headers,
                                     allow_redirects=False)  # fmt: skip
            async with post as answer:
                with suppress(ClientError, TimeoutError):  # the status alone counts
                    await answer.content.read(_ANSWER_MAX)
                return Answer(answer.status, f"HTTP {answer.status}", _seconds(answer.headers.get("Retry-After", "")))
        except ClientConnectorError as error:
            return Answer(0, reason(error.os_error))
        except (ClientError, TimeoutError, OSError, ValueError) as error:
            return Answer(0, type(error).__name__)  # what some of them say has the address in it

    def _signature(self, to: Subscription) -> dict[str, str]:
        from py_vapid import Vapid02

        claims = {
            "aud": str(URL(to.endpoint).origin()),
            "sub": self._subject,
            "exp": times.now() // 1_000_000 + _SIGNED_FOR,
        }
        signed: dict[str, str] = Vapid02.from_string(self._private_key).sign(claims)
        return signed

    def _open(self) -> ClientSession:
        """Without cookies, and without a proxy of the environment's, which would look names up itself."""
        if self._session is None:
            connector = TCPConnector(
                limit=0, limit_per_host=0, socket_factory=self._socket, resolver=Lookups(), ttl_dns_cache=_NAMES_KEPT
            )
            timeout = ClientTimeout(total=self._wait)
            self._session = ClientSession(
                connector=connector,
                timeout=timeout,
                cookie_jar=DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,  # what is small on the way may be large afterwards
            )
        return self._session

    def _socket(self, to: tuple[Any, ...]) -> socket.socket:
        """A socket for an address that a name was found to have, just before it is connected: no later answer of the
        name's owner counts. Raises OSError for one that is not public."""
        family, kind, protocol, _, where = to
        address = ipaddress.ip_address(str(where[0]).partition("%")[0])
        if not is_public(address) and not (self.allow_loopback and address.is_loopback):
            raise OSError("not a public address")
        return socket.socket(family, kind, protocol)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


def seal(to: Subscription, payload: bytes) -> bytes:
    """The payload as that browser alone can read it."""
    from pywebpush import WebPusher

    keys = {"p256dh": to.p256dh, "auth": to.auth}
    sealed: bytes = WebPusher({"endpoint": to.endpoint, "keys": keys}).encode(payload)["body"]
    return sealed


def _seconds(retry_after: str) -> float:
    """Of a Retry-After in seconds; a date is not understood, and counts as none."""
    return min(float(retry_after), _RETRY_AFTER_MAX) if retry_after.isdecimal() and retry_after.isascii() else 0.0


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    """Of base64url, with padding or without, nothing where it is none."""
    try:
        return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return b""
