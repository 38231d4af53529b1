"""Who is asking, and what they may see. Fails closed: nobody is somebody only where a rule says so."""

from aiohttp import web

from app.clients import forwarded_scheme
from app.errors import ApiError
from app.keys import SETTINGS, TOKENS
from app.settings import Settings, is_loopback
from app.tokens import Identity, TokenError

_SAFE_METHODS = ("GET", "HEAD")


class NotSignedInError(Exception):
    """Not signed in."""


async def identify(request: web.Request, *, ticket: bool = False) -> Identity:
    """The caller, by bearer token, by a stream's ticket where `ticket` allows it, or by cookie: the first that is
    there counts, and is never made up for by another. Raises NotSignedInError, KeysAwayError, or ApiError 403 for a
    change that a page of another origin asks for.

    Development without an auth setting: everybody on this machine is `dev`, an admin. The Host header must be this
    machine's too: a page elsewhere whose name was made to point here must not act as `dev` (DNS rebinding).
    """
    settings, tokens = request.app[SETTINGS], request.app[TOKENS]
    if tokens is None:
        if not (
            settings.app_env == "development"
            and is_loopback(settings.host)
            and _is_local(request.host.lower(), settings)
        ):
            raise NotSignedInError
        _refuse_foreign_change(request)
        return Identity("dev", admin=True)
    try:
        # Any other scheme is somebody else's: a proxy's in front of a page, which browsers send with all they ask for.
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return await tokens.verify(token.strip())
        if ticket and "ticket" in request.query:
            return tokens.verify_ticket(request.query["ticket"])
        token = request.cookies.get(settings.auth_cookie, "")
        if not token:
            raise NotSignedInError
        who = await tokens.verify(token)
    except TokenError:
        raise NotSignedInError from None
    _refuse_foreign_change(request)
    return who


def is_own_origin(request: web.Request, origin: str) -> bool:
    """Whether a page of this origin may act here: this host's own, PUBLIC_URL's, or one of CORS_ORIGINS."""
    settings = request.app[SETTINGS]
    # `null`, of sandboxed frames and files, has no host: it must not equal one that is missing here too.
    scheme, _, host = origin.partition("://")
    if host != "" and host == settings.public_origin.partition("://")[2]:
        return origin == settings.public_origin
    known = forwarded_scheme(
        request.remote or "", request.headers.get("X-Forwarded-Proto", ""), settings.trusted_proxies
    )
    return (host != "" and host == request.host.lower() and known in (None, scheme)) or origin in settings.cors_origins


def _refuse_foreign_change(request: web.Request) -> None:
    """What a browser signs in by itself, it does for any page that asks (CSRF).

    Browsers name the origin of every POST to another site: a request with neither header is a program's.
    """
    if request.method in _SAFE_METHODS:
        return
    origin = request.headers.get("Origin")
    if origin is None:
        allowed = request.headers.get("Sec-Fetch-Site") in (None, "same-origin", "none")
    else:
        allowed = is_own_origin(request, origin)
    if not allowed:
        raise ApiError(
            403,
            "origin_not_allowed",
            "Signed in by cookie, this must come from a page of this site or of CORS_ORIGINS; "
            "else send Authorization: Bearer.",
        )


def _is_local(host: str, settings: Settings) -> bool:
    name = host if host.endswith("]") else host.rsplit(":", 1)[0]
    public = settings.public_origin.partition("://")[2]
    return is_loopback(name.strip("[]")) or (public != "" and host == public)
