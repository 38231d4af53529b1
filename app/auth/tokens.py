"""Access tokens: whose they are, and until when. Whatever is wrong with one, it is refused.

The algorithm is fixed by the settings, never by the token (RFC 8725, 3.1).
"""

import hashlib
import math
import re
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import jwt
from jwt.exceptions import InvalidSubjectError

from app.auth.jwks import PUBLIC_KEY_ALGORITHMS, KeysAwayError, KeySet
from app.values import is_exact_name

_SYMMETRIC = ["HS256"]
# How long a secret must be is for our settings to say; the library would tell it in every process that meets a token.
warnings.filterwarnings("ignore", "The HMAC key is", module="jwt")
_FORM = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_ID_MAX = 191  # characters, as the columns that hold them
# Seconds that an issuer's clock may be ahead of ours.
_AHEAD_MAX = 60.0
# Of the tokens verified last it is known whose they are.
_VERIFIED_MAX = 5_000

_UNKNOWN_KEY, BAD_SIGNATURE, _ALGORITHM = "unknown key", "bad signature", "wrong algorithm"

# The first that fits counts. Logs tell these words: nothing of a token may be in them.
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (jwt.InvalidSignatureError, BAD_SIGNATURE),
    (jwt.ExpiredSignatureError, "expired"),
    (jwt.InvalidIssuerError, "wrong issuer"),
    (jwt.InvalidAudienceError, "wrong audience"),
    (jwt.InvalidAlgorithmError, _ALGORITHM),
    (InvalidSubjectError, "unusable sub"),
)


class TokenError(Exception):
    """The token or ticket is not accepted. The message is the reason in a few fixed words, and never holds it."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is asking. `expires_at`, in seconds since 1970, is when that ends; None for never.

    A `viewer` sees what an `admin` sees; `only_looks` says who may change nothing.

    `organization_id` is where his new jobs are. `organizations` are those whose jobs he sees, where a table of the
    site's tells them; else it is the one. `token` is what the token said, where a look-up made another of it.
    """

    user_id: str
    organization_id: str | None = None
    admin: bool = False
    viewer: bool = False
    expires_at: float | None = None
    organizations: tuple[str, ...] | None = None
    token: "Identity | None" = None

    @property
    def seen(self) -> tuple[str, ...]:
        """The organizations whose jobs he sees."""
        if self.organizations is not None:
            return self.organizations
        return () if self.organization_id is None else (self.organization_id,)

    @property
    def subject(self) -> str:
        """The token's `sub`."""
        return self.user_id if self.token is None else self.token.user_id

    def known_as(self, author_id: str, organizations: tuple[str, ...] | None, *, admin: bool) -> "Identity":
        """Who this is to the site. With a table of members it alone counts, and a new job is in his only one."""
        only = organizations[0] if organizations is not None and len(organizations) == 1 else None
        return Identity(
            author_id,
            self.organization_id if organizations is None else only,
            admin=self.admin or admin,
            viewer=self.viewer,
            expires_at=self.expires_at,
            organizations=organizations,
            token=self,
        )

    @property
    def sees_all(self) -> bool:
        return self.admin or self.viewer

    @property
    def only_looks(self) -> bool:
        return self.viewer and not self.admin

    def may_see(self, author_id: str, organization_id: str | None) -> bool:
        return (
            self.sees_all or self.user_id == author_id or (organization_id is not None and organization_id in self.seen)
        )

    def may_act(self, author_id: str) -> bool:
        """Whether he may do more than look."""
        return self.admin or self.user_id == author_id


class _Verified(NamedTuple):
    """Whose a token was found to be, the `kid` that it named, and the issuer's key that had signed it."""

    identity: Identity
    key_id: str | None
    key: jwt.PyJWK | None


class Tokens:
    """Verifies tokens by `secret` (HS256) or by the keys at `jwks_url`; `keys` are None where a secret signs.

    `admins` are user ids; `admin_claim` is the name and value of a claim that makes an admin, `parties` what `azp` may
    be, if there are any. So are `viewers` and `viewer_claim` for those who look only.

    A page sends the same token for a minute or an hour: what it was found to be is kept under its digest.
    """

    def __init__(
        self,
        *,
        secret: str | None,
        jwks_url: str | None,
        jwks_max_age: float,
        jwks_cool_down: float,
        issuer: str | None = None,
        audience: str | None = None,
        parties: tuple[str, ...] = (),
        admins: tuple[str, ...] = (),
        admin_claim: tuple[str, str] | None = None,
        viewers: tuple[str, ...] = (),
        viewer_claim: tuple[str, str] | None = None,
    ) -> None:
        self._secret = secret
        self.keys = KeySet(jwks_url, max_age=jwks_max_age, cool_down=jwks_cool_down) if jwks_url else None
        self._issuer = issuer
        self._audience = audience
        self._parties = parties
        self._admins = frozenset(admins)
        self._admin_claim = admin_claim
        self._viewers = frozenset(viewers)
        self._viewer_claim = viewer_claim
        self._verified: dict[bytes, _Verified] = {}

    async def verify(self, token: str) -> Identity:
        """Whose token it is. Raises TokenError, KeysAwayError."""
        try:
            digest = hashlib.blake2b(token.encode(), digest_size=16).digest()
            known = self._verified.get(digest)
            if known is not None and await self._is_still_good(known):
                return known.identity
            check_form(token)
            if self.keys is None:
                found = _Verified(self._identity(self._claims(token, self._secret or "", _SYMMETRIC)), None, None)
            else:
                found = await self._by_keys(token, self.keys)
        except (TokenError, KeysAwayError):
            raise
        except Exception as error:  # noqa: BLE001 - nothing that a stranger sends may be more than refused
            raise TokenError(reason_of(error)) from None
        while len(self._verified) >= _VERIFIED_MAX:
            del self._verified[next(iter(self._verified))]
        self._verified[digest] = found
        return found.identity

    async def _is_still_good(self, known: "_Verified") -> bool:
        """Of a token that was: while it lasts, and its key is one of the issuer's as they were fetched last."""
        if time.time() >= int(known.identity.expires_at or 0):  # whole seconds, as when it was verified
            return False
        return self.keys is None or any(key is known.key for key in await self.keys.find(known.key_id))

    async def _by_keys(self, token: str, keys: KeySet) -> "_Verified":
        came_at = time.monotonic()
        head = jwt.get_unverified_header(token)
        if head.get("alg") not in PUBLIC_KEY_ALGORITHMS:
            raise TokenError(_ALGORITHM)
        key_id = head.get("kid")
        tried = await keys.find(key_id)
        try:
            return self._by_any(token, key_id, tried)
        except TokenError as error:
            if str(error) not in (BAD_SIGNATURE, _ALGORITHM):
                raise
            newer = await keys.find_newer(key_id, tried, came_at)
            if not newer:
                raise
        return self._by_any(token, key_id, newer)

    def _by_any(self, token: str, key_id: str | None, keys: list[jwt.PyJWK]) -> "_Verified":
        refused = TokenError(_UNKNOWN_KEY)
        for key in keys:
            try:
                claims = self._claims(token, key, [key.algorithm_name])
                return _Verified(self._identity(claims), key_id, key)
            except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError) as error:
                refused = TokenError(reason_of(error))
        raise refused

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
        if check_date(claims.get("nbf", 0)) > time.time() + _AHEAD_MAX:
            raise TokenError("not valid yet")
        if self._parties and claims.get("azp") not in self._parties:
            raise TokenError("wrong authorized party")
        return claims

    def _identity(self, claims: dict[str, Any]) -> Identity:
        user_id = check_name(claims["sub"])
        return Identity(
            user_id,
            _organization(claims),
            admin=user_id in self._admins or self._is_admin(claims),
            viewer=user_id in self._viewers or _has(claims, self._viewer_claim),
            expires_at=check_date(claims["exp"]),
        )

    def _is_admin(self, claims: dict[str, Any]) -> bool:
        return _has(claims, self._admin_claim)


def _has(claims: dict[str, Any], claim: tuple[str, str] | None) -> bool:
    """Whether this is one of the claims; nothing is, where none is named."""
    if claim is None:
        return False
    name, wanted = claim
    return any(_says(found, wanted) for found in _found(claims, name))


def _organization(claims: dict[str, Any]) -> str | None:
    """`org_id`, or in Clerk's second form `o.id`; empty for none. A token that names two different ones is refused."""
    clerks = claims.get("o")
    named = {
        check_name(value)
        for value in (claims.get("org_id"), clerks.get("id") if isinstance(clerks, dict) else None)
        if value not in (None, "")
    }
    if len(named) > 1:
        raise TokenError("two organizations")
    return next(iter(named), None)


def _found(claims: Any, name: str) -> Iterator[Any]:
    """What a claim holds. A full stop in its name leads into an object, or is a part of the name itself."""
    if not isinstance(claims, dict):
        return
    if name in claims:
        yield claims[name]
    for at, letter in enumerate(name):
        if letter == "." and name[:at] in claims:
            yield from _found(claims[name[:at]], name[at + 1 :])


def _says(found: Any, wanted: str) -> bool:
    """Whether it is the value, or a list that has it. True and false are such words."""
    return any(
        value == wanted if isinstance(value, str) else isinstance(value, bool) and str(value).lower() == wanted
        for value in (found if isinstance(found, list) else [found])
    )


def reason_of(error: Exception) -> str:
    if isinstance(error, jwt.MissingRequiredClaimError):
        return f"no {error.claim}"  # a name that we require
    return next((words for kind, words in _REASONS if isinstance(error, kind)), "malformed")


def check_form(token: str) -> None:
    """RFC 7515: base64url without padding. The library also reads what has some. Raises TokenError."""
    if not _FORM.fullmatch(token):
        raise TokenError("malformed")


def check_date(value: Any) -> float:
    """RFC 7519, NumericDate: seconds since 1970. The library also reads text. Raises TokenError."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise TokenError("malformed")
    return float(value)


def check_name(value: Any) -> str:
    """A user's or an organization's id. Raises TokenError for one that a database may take for another."""
    if not isinstance(value, str) or not 0 < len(value) <= _ID_MAX or not is_exact_name(value):
        raise TokenError("unusable sub or organization")
    return value
