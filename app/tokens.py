"""Access tokens and stream tickets: whose they are, and until when. Whatever is wrong with one, it is refused.

The algorithm is fixed by the settings, never by the token (RFC 8725, 3.1). A ticket is signed with a key of its
own, derived from a secret that all processes have, so that neither passes for the other.
"""

import asyncio
import hashlib
import hmac
import re
import time
from dataclasses import dataclass
from typing import Any

import aiohttp
import jwt
import orjson
import structlog

log = structlog.get_logger(__name__)

_SYMMETRIC = ["HS256"]
_PUBLIC_KEY = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
_FORM = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_TICKET_FOR = "rushes:stream"
_ID_MAX = 191  # characters, as the columns that hold them
_JWKS_MAX_BYTES = 1024 * 1024
_JWKS_SECONDS = 5.0
# Seconds between two tries while there are no keys at all: until then nobody is let in.
_FIRST_COOL_DOWN = 1.0
# Seconds that an issuer's clock may be ahead of ours.
_AHEAD_MAX = 60.0


class TokenError(Exception):
    """The token or ticket is not accepted. The message never holds it."""


class KeysAwayError(Exception):
    """No public keys were ever fetched: whether a token is good cannot be told yet."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is asking. `expires_at`, in seconds since 1970, is when that ends; None for never."""

    user_id: str
    organization_id: str | None = None
    admin: bool = False
    expires_at: float | None = None

    def may_see(self, author_id: str, organization_id: str | None) -> bool:
        return (
            self.admin
            or self.user_id == author_id
            or (organization_id is not None and organization_id == self.organization_id)
        )


class KeySet:
    """The public keys at a JWKS address: fetched when first needed, then every `max_age` seconds, and for a key that is
    not known; not more often than every `cool_down` seconds, or every second while there are none. What was fetched
    stays while the address is away."""

    def __init__(self, url: str, *, max_age: float, cool_down: float) -> None:
        self._url = url
        self._max_age = max_age
        self._cool_down = cool_down
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._fetching = asyncio.Lock()
        self._failed = False
        self._renewal: asyncio.Task[None] | None = None

    async def find(self, key_id: str | None) -> jwt.PyJWK:
        """Raises TokenError when there is no such key, KeysAwayError when there are no keys yet."""
        if key_id not in self._keys:
            await self._renew()
        elif time.monotonic() - self._fetched_at > self._max_age:
            await self._renew_known()
        if not self._keys:
            raise KeysAwayError
        try:
            return self._keys[key_id]
        except KeyError:
            raise TokenError("signed with an unknown key") from None

    async def _renew_known(self) -> None:
        """Waits, since a key may have been withdrawn; but not for an address that did not answer last time."""
        if not self._failed:
            await self._renew()
        elif self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew(), name="jwks")

    async def there(self) -> bool:
        """Whether there are keys. Fetches them if there are none yet."""
        if not self._keys:
            await self._renew()
        return bool(self._keys)

    async def _renew(self) -> None:
        async with self._fetching:  # whoever waited here finds it fetched
            cool_down = self._cool_down if self._keys else min(self._cool_down, _FIRST_COOL_DOWN)
            if time.monotonic() - self._tried_at > cool_down:
                await self._fetch()
                # After it: those who waited for an address that says nothing must not wait again, one by one.
                self._tried_at = time.monotonic()

    async def _fetch(self) -> None:
        try:
            timeout = aiohttp.ClientTimeout(total=_JWKS_SECONDS)
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(self._url) as answer:
                answer.raise_for_status()
                body = await answer.content.read(_JWKS_MAX_BYTES + 1)
                while len(body) <= _JWKS_MAX_BYTES and (more := await answer.content.read(_JWKS_MAX_BYTES)):
                    body += more
            if len(body) > _JWKS_MAX_BYTES:
                raise ValueError(f"more than {_JWKS_MAX_BYTES} bytes")
            self._keys = _signing_keys(body)
            self._fetched_at = time.monotonic()
            self._failed = False
        except Exception as error:  # noqa: BLE001 - whatever that address answers, the keys that we have stay good
            self._failed = True
            log.warning("jwks_not_fetched", error=type(error).__name__)


def _signing_keys(body: bytes) -> dict[str | None, jwt.PyJWK]:
    """By `kid`; a set of one key serves tokens that name none too. Symmetric keys are left out."""
    found = jwt.PyJWKSet.from_dict(orjson.loads(body)).keys
    keys = [key for key in found if key.algorithm_name in _PUBLIC_KEY and key.public_key_use in (None, "sig")]
    if not keys:
        raise ValueError("no public key for signatures")
    by_id: dict[str | None, jwt.PyJWK] = {key.key_id: key for key in keys}
    return by_id | {None: keys[0]} if len(keys) == 1 else by_id


class Tokens:
    """Verifies tokens by `secret` (HS256) or by the keys at `jwks_url`; makes and verifies tickets.

    `ticket_secret` is one that all processes have. `admins` are user ids. `keys` are None where a secret signs.
    """

    def __init__(
        self,
        *,
        secret: str | None,
        jwks_url: str | None,
        ticket_secret: str,
        ticket_seconds: float,
        jwks_max_age: float,
        jwks_cool_down: float,
        issuer: str | None = None,
        audience: str | None = None,
        admins: tuple[str, ...] = (),
    ) -> None:
        self._secret = secret
        self.keys = KeySet(jwks_url, max_age=jwks_max_age, cool_down=jwks_cool_down) if jwks_url else None
        self._ticket_key = hmac.digest(ticket_secret.encode(), b"rushes stream ticket", hashlib.sha256)
        self._issuer = issuer
        self._audience = audience
        self._admins = frozenset(admins)
        self._ticket_seconds = ticket_seconds

    async def verify(self, token: str) -> Identity:
        """Whose token it is. Raises TokenError, KeysAwayError."""
        try:
            _check_form(token)
            if self.keys is not None:
                key = await self.keys.find(jwt.get_unverified_header(token).get("kid"))
                claims = self._claims(token, key, [key.algorithm_name])
            else:
                claims = self._claims(token, self._secret or "", _SYMMETRIC)
            user_id = _name(claims["sub"])
            organization = claims.get("org_id")
            return Identity(
                user_id,
                None if organization in (None, "") else _name(organization),
                admin=claims.get("role") == "admin" or user_id in self._admins,
                expires_at=float(claims["exp"]),
            )
        except (TokenError, KeysAwayError):
            raise
        except Exception as error:  # noqa: BLE001 - nothing that a stranger sends may be more than refused
            raise TokenError(type(error).__name__) from None

    def _claims(self, token: str, key: Any, algorithms: list[str]) -> dict[str, Any]:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=algorithms,
            issuer=self._issuer,
            audience=self._audience,
            # `iat` of an issuer whose clock is ahead of ours refuses good tokens, and guards nothing here. `nbf` is
            # checked below: the leeway of this library would be one for `exp` too.
            options={
                "require": ["sub", "exp"],
                "verify_aud": self._audience is not None,
                "verify_iat": False,
                "verify_nbf": False,
            },
        )
        if float(claims.get("nbf", 0)) > time.time() + _AHEAD_MAX:
            raise TokenError("not valid yet")
        return claims

    def ticket(self, who: Identity) -> tuple[str, float]:
        """(ticket, when it expires in seconds since 1970). Good for opening streams as `who`, until then."""
        expires_at = time.time() + self._ticket_seconds
        if who.expires_at is not None:
            expires_at = min(expires_at, who.expires_at)
        claims = {
            "aud": _TICKET_FOR,
            "sub": who.user_id,
            "org": who.organization_id,
            "admin": who.admin,
            "exp": int(expires_at),
            "until": who.expires_at,
        }
        return jwt.encode(claims, self._ticket_key, algorithm="HS256"), float(int(expires_at))

    def verify_ticket(self, ticket: str) -> Identity:
        """Whose ticket it is; it expires when the token does that bought it. Raises TokenError."""
        try:
            _check_form(ticket)
            claims = jwt.decode(
                ticket,
                self._ticket_key,
                algorithms=_SYMMETRIC,
                audience=_TICKET_FOR,
                options={"require": ["sub", "exp", "aud"], "verify_sub": True},
            )
            return Identity(claims["sub"], claims["org"], admin=claims["admin"], expires_at=claims["until"])
        except Exception as error:  # noqa: BLE001 - as above
            raise TokenError(type(error).__name__) from None


def _check_form(token: str) -> None:
    """RFC 7515: base64url without padding. The library also reads what has some."""
    if not _FORM.fullmatch(token):
        raise TokenError("a token is three parts of base64url")


def _name(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _ID_MAX:
        raise TokenError("sub and org_id must be texts of at most 191 characters")
    return value
