"""The simulated backend over HTTP: orders, their status, and the films."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import ValidationError

from app import errors, lenient, sockets
from app.errors import ApiError
from app.shares import NoShareError, Shares
from app.simulator import films
from app.simulator.backend import Backend, RefusedError
from app.simulator.bodies import Order

FILMS = "/simulated"

_BACKEND = web.AppKey("backend", Backend)
_BODIES = web.AppKey("bodies", Shares)

_BODY_MAX = 16 * 1024 * 1024  # with an image
_BODIES_MAX = 64 * 1024 * 1024  # on their way at once
_BODY_WAIT = 10.0

_FILM_HEADERS = {
    "Content-Type": "video/mp4",
    "Accept-Ranges": "bytes",
    "Cache-Control": "public, max-age=86400, immutable",
    "X-Content-Type-Options": "nosniff",
}


def create_app(backend: Backend) -> web.Application:
    """What `backend` is asked over HTTP, as rushes asks a generation backend; and the films, for everybody."""
    app = web.Application(middlewares=[_errors_as_json])
    app[_BACKEND] = backend
    app[_BODIES] = Shares(_BODIES_MAX, _BODIES_MAX)
    app.router.add_post("/api/videos/generate", _generate)
    app.router.add_get("/api/videos/status/{job_id:[^/]+}", _status)
    app.router.add_get(FILMS + "/{film}", film)
    return app


@asynccontextmanager
async def on_socket(backend: Backend) -> AsyncIterator[str]:
    """The address of a socket, in a folder that nobody else may enter, at which it is asked for as long as the block
    lasts."""
    with sockets.folder() as folder:
        address = str(Path(folder) / "generator")
        async with _running(backend) as runner:
            await web.UnixSite(runner, address).start()
            yield address


@asynccontextmanager
async def on_port(backend: Backend, host: str, port: int) -> AsyncIterator[None]:
    """It is asked there for as long as the block lasts. Raises OSError."""
    async with _running(backend) as runner:
        await web.TCPSite(runner, host, port).start()
        yield


@asynccontextmanager
async def _running(backend: Backend) -> AsyncIterator[web.AppRunner]:
    runner = web.AppRunner(create_app(backend), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        yield runner
    finally:
        await runner.cleanup()


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ApiError as error:
        headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
        return _json(error.body, error.status, headers)
    except web.HTTPException as error:
        return _json({"error": error.reason, "code": "http_error"}, error.status)


def _json(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json", headers=headers)


async def _generate(request: web.Request) -> web.Response:
    """Takes an order from a program, never from a page that a browser shows: webhooks are signed in its name."""
    if "Origin" in request.headers or request.content_type != "application/json":
        raise ApiError(403, "forbidden", "Orders are JSON, sent by a program and not by a page.")
    try:
        order = Order.model_validate(lenient.read(await _body_of(request)))
    except orjson.JSONDecodeError as error:
        raise ApiError(400, "invalid_request", f"400 INVALID_ARGUMENT: the body is not JSON ({error}).") from None
    except ValidationError as error:
        details = errors.details(error)
        raise ApiError(400, "invalid_request", f"400 INVALID_ARGUMENT: {errors.sentence(details)}") from None
    try:
        request.app[_BACKEND].start(order)
    except RefusedError as error:
        raise ApiError(error.status, "refused", str(error)) from None
    return _json({"job_id": order.job_id, "status": "pending"}, 202)


async def _body_of(request: web.Request) -> bytes:
    """Raises ApiError."""
    body = bytearray()
    try:
        with request.app[_BODIES].holding("all") as take:
            async with asyncio.timeout(_BODY_WAIT):
                async for data in request.content.iter_any():
                    take(len(data))
                    body += data
                    if len(body) > _BODY_MAX:
                        raise ApiError(413, "too_large", f"An order has at most {_BODY_MAX:,} bytes.")
            return bytes(body)
    except NoShareError:
        raise ApiError(503, "too_much_uploaded", "Too much is on its way; try again.", retry_after=1) from None
    except TimeoutError:
        raise ApiError(408, "timeout", "The order did not come in time.") from None


async def _status(request: web.Request) -> web.Response:
    found = request.app[_BACKEND].status(request.match_info["job_id"])
    if found is None:
        raise ApiError(404, "unknown_job", "There is no such job.")
    return _json(found)


async def film(request: web.Request) -> web.StreamResponse:
    """A film, or the part of it that is asked for. Raises ApiError 404 or 416."""
    found = films.named(request.match_info["film"])
    if found is None:
        raise ApiError(404, "not_found", "There is no such film.")
    asked = _range_of(request, found.size)
    start, stop = asked or (0, found.size)
    response = web.StreamResponse(headers=_FILM_HEADERS)
    if asked is not None:
        response.set_status(206)
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{found.size}"
    response.content_length = stop - start
    await response.prepare(request)
    if request.method != "HEAD":
        for piece in found.part(start, stop):
            await response.write(piece)
    await response.write_eof()
    return response


def _range_of(request: web.Request, size: int) -> tuple[int, int] | None:
    """Start and end, which is not part of it; None where no range is asked for, or none that can be read."""
    try:
        asked = request.http_range
    except ValueError:
        return None
    if asked == slice(None, None, 1):
        return None
    start, stop, _ = asked.indices(size)
    if start >= stop:
        raise ApiError(416, "no_such_range", f"The film has {size} bytes.")
    return start, stop
