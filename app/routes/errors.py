"""Every error, whoever raised it, as the same JSON."""

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler

from app import errors
from app.auth.jwks import KeysAwayError
from app.db.errors import DatabaseAwayError, DatabaseError, RetryableError, ValuesRefusedError
from app.errors import ApiError
from app.routes import pages
from app.routes.callers import NotSignedInError
from app.routes.http import reply

log = structlog.get_logger(__name__)

# What RFC 9110 asks for with these.
_HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 426: {"Upgrade": "websocket", "Connection": "Upgrade"}}

_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "not_json"}


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:  # noqa: PLR2004
            raise
        if error.status == 404 and _is_for_a_reader(request):  # noqa: PLR2004
            return pages.missing(request)
        answer = _answer(ApiError(error.status, _CODES.get(error.status, "error"), error.reason))
        if "Allow" in error.headers:
            answer.headers["Allow"] = error.headers["Allow"]
        return answer
    except HttpProcessingError as error:
        return _answer(ApiError(400, "bad_request", f"The request cannot be read: {error.message}."))
    except Exception as error:  # noqa: BLE001 - the last place to turn it into an answer
        if isinstance(error, ConnectionError) and (request.transport is None or request.transport.is_closing()):
            return web.Response()  # to nobody: the client has gone
        return _answer(as_api_error(error, request))


def _is_for_a_reader(request: web.Request) -> bool:
    """Whether a browser shows the answer: what a program asks for is JSON, whatever address it asks."""
    return request.method == "GET" and "text/html" in request.headers.get("Accept", "")


def as_api_error(error: Exception, request: web.Request) -> ApiError:
    """What the caller is told of it. What is nobody's but ours is logged."""
    match error:
        case ApiError():
            return error
        case NotSignedInError():
            return ApiError(401, error.code, error.sentence)
        case DatabaseAwayError():
            return errors.away()
        case KeysAwayError():
            return errors.away("The keys that tokens are signed with could not be fetched yet; try again shortly.")
        case DatabaseError():
            return _database_error(error, request)
    log.error("request_failed", method=request.method, path=request.path, exc_info=error)
    return ApiError(500, "internal", "Something went wrong here; it has been logged.")


def _database_error(error: DatabaseError, request: web.Request) -> ApiError:
    if isinstance(error, ValuesRefusedError):
        return ApiError(422, "apply_failed", f"The database does not take this: {error}.")
    if isinstance(error, DatabaseAwayError):
        return errors.away()
    if isinstance(error, RetryableError) and not error.is_contention:
        log.warning("database_refused", method=request.method, path=request.path, error=str(error))
    return errors.away("The database cannot do this at the moment; try again shortly.")


def _answer(error: ApiError) -> web.Response:
    response = reply(error.body, error.status)
    response.headers.update(_HEADERS.get(error.status, {}))
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response
