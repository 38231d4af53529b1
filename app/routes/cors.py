"""Pages of other origins: those in CORS_ORIGINS may call the API and open streams, nobody else."""

from aiohttp import web
from aiohttp.typedefs import Handler

from app.appkeys import SETTINGS
from app.settings import Settings

_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID",
    "Access-Control-Max-Age": "600",
    "Vary": "Origin",
}


def allowed(request: web.Request) -> dict[str, str]:
    """The headers that let the request's origin read the answer; none for an origin that may not. That the answer
    depends on the origin is said by its own `Vary`, with or without them."""
    return allowed_of(request.headers.get("Origin"), request.app[SETTINGS])


def allowed_of(origin: str | None, settings: Settings) -> dict[str, str]:
    if origin is None or origin not in settings.cors_origins:
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": "ETag, Retry-After",
    }


@web.middleware
async def cross_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
    if "Origin" not in request.headers:
        return await handler(request)
    headers = allowed(request)
    if request.method == "OPTIONS" and headers and "Access-Control-Request-Method" in request.headers:
        return web.Response(status=204, headers=headers | _PREFLIGHT)
    response = await handler(request)
    if not response.prepared:
        response.headers.update(headers)
    return response
