"""The public keys of an issuer of access tokens, kept up to date."""

import asyncio
import time
from typing import Any

import aiohttp
import jwt
import orjson
import structlog
from yarl import URL

from app import lenient
from app.values import is_safe_to_fetch

log = structlog.get_logger(__name__)

PUBLIC_KEY_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")

_MAX_BYTES = 1024 * 1024
_VALUES_MAX = 10_000
_SECONDS = 5.0
# Of a set, and so of the keys that a token without `kid` is tried with.
_KEYS_MAX = 32
# Seconds between two tries while there are no keys at all: until then nobody is let in.
_FIRST_COOL_DOWN = 1.0


class KeysAwayError(Exception):
    """There are no public keys: whether a token is good cannot be told yet."""


class KeySet:
    """The public keys at a JWKS address: fetched when first needed, then every `max_age` seconds, and for a key that is
    not known; not more often than every `cool_down` seconds, or every second while there are none. Once more in that
    time they are fetched for a signature that no key fits. What was fetched stays while the address is away; what it
    no longer names is forgotten.
    """

    def __init__(self, url: str, *, max_age: float, cool_down: float) -> None:
        self._url = url
        self._max_age = max_age
        self._cool_down = cool_down
        self._keys: list[jwt.PyJWK] = []
        self._fetched_at = self._began_at = self._tried_at = self._doubted_at = float("-inf")
        self._fetching = asyncio.Lock()
        self._failed = False
        self._renewal: asyncio.Task[None] | None = None

    async def find(self, key_id: str | None) -> list[jwt.PyJWK]:
        """The keys that may have signed a token of this `kid`. Raises KeysAwayError when there are no keys at all."""
        if not self._known(key_id):
            await self._renew()
        elif time.monotonic() - self._fetched_at > self._max_age:
            await self._renew_known()
        if not self._keys:
            raise KeysAwayError
        return self._known(key_id)

    async def find_newer(self, key_id: str | None, tried: list[jwt.PyJWK], since: float) -> list[jwt.PyJWK]:
        """The keys to try again with, after none of those `tried` fitted a signature that came at `since`, by the
        monotonic clock; none if there are no others. The issuer may have changed a key under its old name."""
        async with self._fetching:
            if self._began_at < since and time.monotonic() - self._doubted_at > self._cool_down:
                await self._fetch()
                self._doubted_at = time.monotonic()
        known = self._known(key_id)
        return [key for key in known if not any(key is old for old in tried)]

    async def there(self, patience: float) -> bool:
        """Whether there are keys. If there are none yet they are fetched, which is waited for so many seconds."""
        if not self._keys:
            await asyncio.wait([self._renewing()], timeout=patience)
        return bool(self._keys)

    def _known(self, key_id: str | None) -> list[jwt.PyJWK]:
        """A key without a name may be any; a token that names none may be signed with any."""
        return [key for key in self._keys if key_id is None or key.key_id in (None, key_id)]

    async def _renew_known(self) -> None:
        """Waits, since a key may have been withdrawn; but not for an address that did not answer last time."""
        renewal = self._renewing()
        if not self._failed:
            # Others may be fetching for what strangers send, one after the other: who has a good token waits for one.
            await asyncio.wait([renewal], timeout=_SECONDS)

    def _renewing(self) -> asyncio.Task[None]:
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew(), name="jwks")
        return self._renewal

    async def _renew(self) -> None:
        async with self._fetching:  # whoever waited here finds it fetched
            cool_down = self._cool_down if self._keys else min(self._cool_down, _FIRST_COOL_DOWN)
            if time.monotonic() - self._tried_at > cool_down:
                await self._fetch()
                # After it: those who waited for an address that says nothing must not wait again, one by one.
                self._tried_at = time.monotonic()

    async def _fetch(self) -> None:
        began_at = time.monotonic()
        try:
            self._keys = _signing_keys(await _download(self._url))
            self._fetched_at, self._began_at = time.monotonic(), began_at
            self._failed = False
        except Exception as error:  # noqa: BLE001 - whatever that address answers, the keys that we have stay good
            self._failed = True
            log.warning("jwks_not_fetched", error=type(error).__name__)


async def _download(url: str) -> bytes:
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(URL(url)) as answer:
        answer.raise_for_status()
        if not all(is_safe_to_fetch(str(passed.url)) for passed in (*answer.history, answer)):
            raise ValueError("it leads to an address without TLS")
        body = await answer.content.read(_MAX_BYTES + 1)
        while len(body) <= _MAX_BYTES and (more := await answer.content.read(_MAX_BYTES)):
            body += more
    if len(body) > _MAX_BYTES:
        raise ValueError(f"more than {_MAX_BYTES} bytes")
    return body


def _signing_keys(body: bytes) -> list[jwt.PyJWK]:
    """Those that we can verify with: what is symmetric, private, of a kind that is not known, or no key, is left out.

    Raises for what is no set of keys. An empty one is: its issuer has withdrawn them all.
    """
    if lenient.has_more_values(body, _VALUES_MAX):
        raise ValueError(f"more than {_VALUES_MAX} values")
    listed: list[Any] = orjson.loads(body)["keys"]
    found = [key for key in map(_signing_key, listed[:_KEYS_MAX]) if key is not None]
    if listed and not found:
        raise ValueError("no public key for signatures")
    return found


def _signing_key(stated: Any) -> jwt.PyJWK | None:
    try:
        key = jwt.PyJWK.from_dict(stated)
    except Exception:  # noqa: BLE001 - whatever stands there, the other keys are good
        return None
    # Whoever reads the private half that is published here could sign too.
    usable = key.algorithm_name in PUBLIC_KEY_ALGORITHMS and key.public_key_use in (None, "sig") and "d" not in stated
    return key if usable else None
