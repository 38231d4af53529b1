"""Who is asking, and what they may see. Fails closed: nobody is somebody only where a rule says so."""

import re
from functools import lru_cache

from aiohttp import web

from app.appkeys import PEOPLE, REFUSALS, SETTINGS, TICKETS, TOKENS
from app.auth.proxies import forwarded_scheme, is_own
from app.auth.tokens import Identity, TokenError, Tokens
from app.domain.audit import Actor
from app.errors import ApiError
from app.settings import is_loopback

_SAFE_METHODS = ("GET", "HEAD")
# Cookies of one name, of several paths and domains, that are tried.
_COOKIES_MAX = 5

# What `Sec-Fetch-Site` is for programs, pages of this site, and what somebody types.
_OF_NO_OTHER_SITE = (None, "same-origin", "none")

# How the names of headers begin that proxies, balancers and tunnels add to what they pass on.
_PROXIES = (
    "x-forwarded", "forwarded", "via", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "x-original-", "x-envoy-",
    "true-client-ip", "fastly-client-ip", "cf-", "cdn-loop", "x-amzn-trace-id", "x-azure-", "x-arr-", "tailscale-",
    "client-ip", "wl-proxy-client-ip", "x-scheme", "x-proxy", "proxy-", "x-vercel-", "x-appengine-", "x-cloud-trace-",
    "x-nf-", "x-varnish", "fly-", "x-railway-", "x-akamai-", "akamai-", "x-sucuri-", "x-request-start",
    "front-end-https",
)  # fmt: skip


# RFC 9110, 7.2: nothing else is a name or an address and its port.
_HOST = re.compile(r"(?:(?P<name>[a-z0-9.-]+)|\[(?P<address>[0-9a-f:.]+)\])(?::[0-9]*)?")


class NotSignedInError(Exception):
    """Not signed in."""

    code, sentence = "unauthorized", "Unauthorized: sign in first."


class UnknownUserError(NotSignedInError):
    """Signed in as somebody whom the site's tables do not know."""

    code, sentence = "unknown_user", "This site does not know you, or not yet: finish signing up first."


async def identify(request: web.Request, *, ticket: bool = False, looks: bool = False) -> Identity:
    """The caller, by bearer token, by a stream's ticket where `ticket` allows it, or by cookie: the first that is
    there counts, and is never made up for by another. Raises NotSignedInError, KeysAwayError, for a ticket
    DatabaseAwayError, or ApiError 403 for a change that a page of another origin asks for.

    Development without an auth setting: everybody on this machine is `dev`, an admin; see `refuse_strangers`.

    Raises ApiError 403 for a viewer who asks for a change, as every request but GET is, unless it only `looks`.
    """
    who = await _identified(request, ticket=ticket)
    if who.only_looks and not looks and request.method not in _SAFE_METHODS:
        raise ApiError(403, "viewer", "You may see all there is here, and change nothing.")
    return who


async def _identified(request: web.Request, *, ticket: bool) -> Identity:
    settings, tokens = request.app[SETTINGS], request.app[TOKENS]
    if tokens is None:
        refuse_strangers(request, "AUTH_JWT_SECRET or AUTH_JWKS_URL", stream=ticket)
        return Identity("dev", admin=True)
    carrier = "cookie"
    try:
        # Any other scheme is somebody else's: a proxy's in front of a page, which browsers send with all they ask for.
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() == "bearer":
            carrier = "bearer"
            return await _known(request, await tokens.verify(token.strip()))
        if ticket and "ticket" in request.query:
            carrier = "ticket"
            return await _known(request, await request.app[TICKETS].verify(request.query["ticket"]))
        who = await _by_cookie(tokens, _cookies(request, settings.auth_cookie))
    except TokenError as error:
        request.app[REFUSALS].tell(carrier, str(error))
        raise NotSignedInError from None
    _refuse_foreign_page(request, stream=ticket)
    return await _known(request, who)


async def require_admin(request: web.Request, *, ticket: bool = False) -> Identity:
    """As `identify`. Raises ApiError 403 for somebody who is no admin, and for viewers where this is a change."""
    who = await identify(request, ticket=ticket)
    if not who.sees_all:
        raise ApiError(403, "forbidden", "Only an admin may do this.")
    return who


def actor(who: Identity) -> Actor:
    """As he is written down with what he does."""
    return Actor(who.subject, "admin")


async def _known(request: web.Request, who: Identity) -> Identity:
    """Who he is to the site, where its tables are looked up. Raises UnknownUserError, DatabaseAwayError."""
    people = request.app[PEOPLE]
    if not people.is_asked:
        return who
    person = await people.find(who.user_id)
    if person is None:
        raise UnknownUserError
    return who.known_as(person.author_id, person.organizations, admin=person.admin)


def refuse_strangers(request: web.Request, setting: str, *, stream: bool = False) -> None:
    """Nobody proves who he is here, so what is asked must come from this machine itself. `setting` would change that.

    Raises ApiError 403 for what a proxy passes on, from whomever, and for a page of another origin. Raises
    NotSignedInError in production, where the server can be reached from elsewhere, and where the Host header is not
    this machine's: a page elsewhere may have made its name point here (DNS rebinding).
    """
    settings = request.app[SETTINGS]
    if settings.app_env != "development" or not is_loopback(settings.host):
        raise NotSignedInError
    if any(map(_is_of_proxy, request.headers)):
        raise ApiError(
            403,
            "proxied_development",
            f"This came through a proxy, which may pass on anybody's requests, and nothing here tells who asks: "
            f"set {setting}.",
        )
    if not _is_local(request.host.lower()):
        raise NotSignedInError
    _refuse_foreign_page(request, stream=stream)


def is_from_here(request: web.Request) -> bool:
    """Whether a program of this machine asks, under a name of it, and for itself: what a proxy passes on is from
    anybody, and a page elsewhere may have made its own name point here, or be one that may call the API."""
    headers = request.headers
    return (
        is_own(request.remote or "")
        and not any(map(_is_of_proxy, headers))
        and "Host" in headers  # without it, aiohttp says the address that was connected to
        and _is_local(request.host.lower())
        and "Origin" not in headers
        and headers.get("Sec-Fetch-Site") in _OF_NO_OTHER_SITE
    )


def _cookies(request: web.Request, name: str) -> list[str]:
    """The values of all cookies of this name, in order. aiohttp keeps one, and logs names that it cannot read."""
    pairs = [pair.partition("=") for header in request.headers.getall("Cookie", ()) for pair in header.split(";")]
    values = (value.strip().strip('"') for found, _, value in pairs if found.strip() == name)
    return [value for value in dict.fromkeys(values) if value]


async def _by_cookie(tokens: Tokens, values: list[str]) -> Identity:
    """Any that verifies counts: one of another path or domain may be old, or somebody else's.

    Raises NotSignedInError without any, TokenError of the first where none verifies.
    """
    refused: TokenError | None = None
    for value in values[:_COOKIES_MAX]:
        try:
            return await tokens.verify(value)
        except TokenError as error:
            refused = refused or error
    raise refused or NotSignedInError


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


def _refuse_foreign_page(request: web.Request, *, stream: bool) -> None:
    """What a browser signs in by itself, it does for any page that asks (CSRF): no change, and no `stream`, which such
    a page could not read, but hold open.

    Browsers name the origin of every POST to another site: a request with neither header is a program's.
    """
    if request.method in _SAFE_METHODS and not stream:
        return
    origin = request.headers.get("Origin")
    if origin is None:
        allowed = request.headers.get("Sec-Fetch-Site") in _OF_NO_OTHER_SITE
    else:
        allowed = is_own_origin(request, origin)
    if not allowed:
        raise ApiError(
            403,
            "origin_not_allowed",
            "By what a browser adds by itself, this must come from a page of this site or of CORS_ORIGINS; "
            "else send Authorization: Bearer.",
        )


@lru_cache(maxsize=1024)
def _is_of_proxy(header: str) -> bool:
    return header.lower().startswith(_PROXIES)


@lru_cache(maxsize=256)
def _is_local(host: str) -> bool:
    found = _HOST.fullmatch(host)
    return found is not None and is_loopback(found["name"] or found["address"])
