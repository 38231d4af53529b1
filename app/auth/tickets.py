"""Stream tickets: what an EventSource or a WebSocket of a browser carries instead of a token.

They are signed with a key that is for nothing else, so that neither passes for the other, and that all processes read
from the database.
"""

import time
from typing import Any, Protocol

import jwt

from app.auth.tokens import BAD_SIGNATURE, Identity, TokenError, check_date, check_form, check_name, reason_of

_FOR = "rushes:stream"
# Seconds by which the clocks of two machines may differ.
_CLOCKS = 5.0


class Key(Protocol):
    """Where all processes read it: 32 bytes, or what says that they cannot be had."""

    async def get(self) -> bytes: ...

    async def get_newer(self) -> bytes: ...


class Tickets:
    """Each is good for `seconds`, for any number of streams."""

    def __init__(self, key: Key, seconds: float) -> None:
        self._key = key
        self._seconds = seconds

    async def make(self, who: Identity) -> tuple[str, float]:
        """(ticket, when it expires in seconds since 1970). Good for opening streams as `who`, until then.

        Raises DatabaseAwayError.
        """
        expires_at = time.time() + self._seconds
        until = expires_at if who.expires_at is None else who.expires_at
        expires_at = float(int(min(expires_at, until)))
        who = who.token or who  # looked up again when it is used
        claims = {
            "aud": _FOR,
            "sub": who.user_id,
            "org": who.organization_id,
            "admin": who.admin,
            "viewer": who.viewer,
            "exp": int(expires_at),
            "until": until,
        }
        return jwt.encode(claims, await self._key.get(), algorithm="HS256"), expires_at

    async def verify(self, ticket: str) -> Identity:
        """Whose ticket it is; `expires_at` is when the token expires that bought it. Raises TokenError,
        DatabaseAwayError."""
        check_form(ticket)
        try:
            claims = _claims(ticket, await self._key.get())
        except TokenError as error:
            if str(error) != BAD_SIGNATURE:
                raise
            claims = _claims(ticket, await self._key.get_newer())
        return self._identity(claims)

    def _identity(self, claims: dict[str, Any]) -> Identity:
        now = time.time()
        organization, admin, viewer = claims.get("org"), claims.get("admin"), claims.get("viewer", False)
        exp, until = check_date(claims["exp"]), check_date(claims["until"])
        if exp > now + self._seconds + _CLOCKS:
            raise TokenError("valid for too long")
        if until <= now:
            raise TokenError("expired")
        if not isinstance(admin, bool) or not isinstance(viewer, bool):
            raise TokenError("malformed")
        return Identity(
            check_name(claims["sub"]),
            None if organization is None else check_name(organization),
            admin=admin,
            viewer=viewer,
            expires_at=until,
        )


def _claims(ticket: str, key: bytes) -> dict[str, Any]:
    required = ["sub", "exp", "aud", "until"]
    try:
        claims: dict[str, Any] = jwt.decode(
            ticket, key, algorithms=["HS256"], audience=_FOR, options={"require": required, "strict_aud": True}
        )
    except Exception as error:  # noqa: BLE001 - nothing that a stranger sends may be more than refused
        raise TokenError(reason_of(error)) from None
    return claims
