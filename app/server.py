"""aiohttp's runner, with what it lacks: bounds for clients that say nothing or come in masses, and one form of errors.

What cannot be read as a request aiohttp answers by itself, before any middleware, with what was sent, and logs it: a
header may be a secret.
"""

import asyncio
import contextlib
import logging
import re
import time
from http import HTTPStatus
from typing import Any, cast

import orjson
import structlog
from aiohttp import web, web_response
from aiohttp.abc import AbstractAccessLogger
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.web_protocol import RequestHandler

from app import sockets
from app.appkeys import METRICS, SETTINGS
from app.auth.proxies import counted_as, is_exempt
from app.errors import ApiError
from app.metrics import Metrics
from app.push import sse
from app.routes import cors
from app.routes.http import reply
from app.routes.whole import JSON_HEADERS, SERVER, VARY
from app.settings import Settings
from app.values import Network

log = structlog.get_logger(__name__)

# Requests are counted, not logged; without a logger aiohttp tells of none.
_NOBODY = logging.getLogger("rushes.nobody")

# What aiohttp puts into each answer that names none: else it tells its version, and Python's.
web_response.SERVER_SOFTWARE = SERVER  # type: ignore[attr-defined]

_CROWDED = ApiError(503, "too_many_connections", "Too many connections are open; try again shortly.", retry_after=5)
_CROWD = ApiError(429, "too_many_connections", "Your address has too many connections open.", retry_after=5)
# Seconds for a client to read why it is closed, and how many may be doing so.
_LINGER = 1.0
_ENDING_MAX = 100

# A request for a stream, as far as it has come; nothing else of it is read.
_STREAM = re.compile(rb"GET /events(?:[/?][^ ]*)? HTTP/1")
_ORIGIN = re.compile(rb"\r\nOrigin:[ \t]*([^\r\n]*?)[ \t]*\r\n", re.IGNORECASE)

# Seconds that an open request has at least at the end.
_LAST = 0.2

_SLOW = ApiError(408, "timeout", "The headers did not come in time.")
_UNEXPECTED = ApiError(417, "expectation_failed", "Nothing but `Expect: 100-continue` is understood.")


class Runner(web.AppRunner):
    """Serves an application by its settings; the arguments are those of aiohttp.web.AppRunner."""

    def __init__(self, app: web.Application, **kwargs: Any) -> None:
        settings = app[SETTINGS]
        longest = settings.max_header_bytes
        kwargs |= {"keepalive_timeout": settings.keep_alive, "max_line_size": longest, "max_field_size": longest}
        counting = _counting(app[METRICS])
        # Bodies are refused compressed, and read as they were sent.
        super().__init__(app, access_log=_NOBODY, access_log_class=counting, auto_decompress=False, **kwargs)
        self._sweeping: asyncio.Task[None] | None = None

    async def _make_server(self) -> web.Server:
        settings = self.app[SETTINGS]
        server = await super()._make_server()
        server.__class__ = _Server
        ours = cast("_Server", server)
        ours.settings = settings
        ours.most = settings.max_http_connections
        ours.most_of_one, ours.of_each, ours.trusted = (
            settings.max_http_connections_per_address,
            {},
            settings.trusted_proxies,
        )
        ours.dead_after = settings.stream_dead_after
        ours.ending = {}
        ours.request_factory = _noting(ours.request_factory)
        ours.request_handler = _answering(ours.request_handler)
        self._sweeping = asyncio.create_task(_sweep(ours, settings.header_timeout, settings.response_stall))
        return ours

    async def cleanup(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeping
        if self._server is not None:
            # Streams end first, and what they take of it requests no longer have.
            cast("_Server", self._server).until = time.monotonic() + self._shutdown_timeout
        await super().cleanup()


def _counting(metrics: Metrics) -> type[AbstractAccessLogger]:
    """Tells `metrics` of each answer once it was sent, or could not be; and logs none."""

    class Counting(AbstractAccessLogger):
        def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
            found = getattr(request, "_match_info", None)  # there is none of what cannot be read
            route = None if found is None else found.route.resource
            # How long a stream stays open that its handler writes to is up to its client.
            seconds = None if type(response) is sse.Tail else time
            metrics.answered(route, request.method, response.status, seconds)

    return Counting


class _Server(web.Server):
    """`most` connections are served, `most_of_one` of them from one address; `of_each` counts these. Those in `ending`
    were told to go, each since when, and do not count for `most`.

    Once it shuts down, requests have until `until`.
    """

    settings: Settings
    most: int
    most_of_one: int
    of_each: dict[str, int]
    trusted: tuple[Network, ...]
    dead_after: float
    until: float
    ending: "dict[_Connection, float]"

    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)

    async def shutdown(self, _timeout: float | None = None) -> None:
        # aiohttp waits twice so long: for each handler, and then for its task, which it cancels only after that.
        await super().shutdown(max(self.until - time.monotonic(), _LAST) / 2)


class _Connection(RequestHandler):
    """`since` is when the client was first expected to send a request, None while it is not: in a request, or idle.

    One that is turned away is told so in the form that fits what it asks for, so its request is awaited, for a moment.
    """

    __slots__ = ("_address", "_begun", "_heard", "_progress", "_refusal", "since")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.since: float | None = time.monotonic()
        self._heard = False
        self._progress: tuple[float, object] | None = None
        self._refusal: ApiError | None = None
        self._begun = b""
        server = self._server
        sockets.bound(transport, server.dead_after)
        self._address = self._count(transport)
        if self._address is not None and server.of_each[self._address] > server.most_of_one:
            self._turn_away(_CROWD)
        elif len(server.connections) - len(server.ending) > server.most:
            self._turn_away(_CROWDED)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._manager is not None:
            self._server.ending.pop(self, None)
            self._uncount()
        super().connection_lost(exc)

    def _count(self, transport: asyncio.BaseTransport) -> str | None:
        """The name under which it counts; None where many clients have one address: this machine's, and a proxy's."""
        peer = transport.get_extra_info("peername")
        if not isinstance(peer, tuple) or is_exempt(peer[0], self._server.trusted):
            return None
        address, counts = counted_as(peer[0]), self._server.of_each
        counts[address] = counts.get(address, 0) + 1
        return address

    def _uncount(self) -> None:
        if self._address is None:
            return
        counts = self._server.of_each
        counts[self._address] -= 1
        if not counts[self._address]:
            del counts[self._address]
        self._address = None

    def stalls(self, now: float, longest: float) -> bool:
        """Whether the client has taken nothing of an answer for too long. Asked again and again, it finds out."""
        waiting = 0 if self.transport is None else self.transport.get_write_buffer_size()
        if not waiting:
            self._progress = None
            return False
        writer = self._current_request.writer if self._current_request is not None else None
        mark = (id(writer), getattr(writer, "output_size", 0) - waiting)
        if self._progress is None or self._progress[1] != mark:
            self._progress = (now, mark)
            return False
        return now - self._progress[0] > longest

    def data_received(self, data: bytes) -> None:
        if self in self._server.ending:
            if self._refusal is not None:
                self._begun += data
                if b"\r\n\r\n" in self._begun or len(self._begun) > self.max_field_size:
                    self.tell()
            return
        self._heard = True
        if self.since is None and self._current_request is None:
            self.since = time.monotonic()
        super().data_received(data)

    @property
    def _server(self) -> _Server:
        return cast("_Server", self._manager)

    def expire(self) -> None:
        """The client took too long for its request: who has begun it is told."""
        self.end(_SLOW if self._heard else None)

    def _turn_away(self, error: ApiError) -> None:
        ending = self._server.ending
        if len(ending) >= _ENDING_MAX:
            self.end(error)
            return
        self._refusal = error
        self.since = None
        ending[self] = time.monotonic()

    def tell(self) -> bool:
        """Why it is turned away, unless it was told already."""
        error, self._refusal = self._refusal, None
        if error is None or self.transport is None:
            return False
        self._server.ending[self] = time.monotonic()
        self.transport.write(_refused(error, self._begun, self._server.settings))
        self.transport.write_eof()
        self._begun = b""
        return True

    def end(self, error: ApiError | None) -> None:
        """Closes the connection; with an error to tell, only our side of it for now, and what comes is dropped.

        What a client sends into a closed socket comes back as a reset, which takes the answer away before it is read.
        """
        transport, ending = self.transport, self._server.ending
        if transport is None:
            return
        if error is not None:
            transport.write(_raw(error))
        if error is None or len(ending) >= _ENDING_MAX:
            transport.close()
            return
        self.since = None
        ending[self] = time.monotonic()
        transport.write_eof()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if not isinstance(exc, HttpProcessingError) or request.writer.output_size:
            return super().handle_error(request, status, exc, message)
        log.info("request_unreadable", reason=type(exc).__name__)
        error = _told(exc, self.max_field_size)
        response = reply(error.body, error.status)
        response.force_close()
        return response


def _told(error: HttpProcessingError, longest: int) -> ApiError:
    if isinstance(error, LineTooLong):
        return ApiError(431, "headers_too_large", f"The address, or a header, is longer than {longest:,} bytes.")
    return ApiError(400, "bad_request", f"This is not a request of HTTP/1.1 ({type(error).__name__}).")


def _noting(make: Any) -> Any:
    """A request has come whole: nothing is expected for now."""

    def begun(message: Any, payload: Any, protocol: _Connection, *rest: Any) -> web.Request:
        protocol.since = None
        request: web.Request = make(message, payload, protocol, *rest)
        return request

    return begun


def _answering(handle: Any) -> Any:
    """What a request expects is looked at before any middleware."""

    async def answered(request: web.BaseRequest) -> web.StreamResponse:
        try:
            response: web.StreamResponse = await handle(request)
        except web.HTTPExpectationFailed:
            return reply(_UNEXPECTED.body, _UNEXPECTED.status)
        return response

    return lambda request: (answered if "Expect" in request.headers else handle)(request)


async def _sweep(server: _Server, longest: float, stalled: float) -> None:
    """One task for all connections. Runs until cancelled."""
    while True:
        await asyncio.sleep(min(1.0, longest / 2, stalled / 2))
        at = time.monotonic()
        for connection in list(server.connections):
            if not isinstance(connection, _Connection):
                continue
            if connection.since is not None and connection.since < at - longest:
                connection.expire()
            elif connection.stalls(at, stalled) and connection.transport is not None:
                connection.transport.abort()
        for connection, since in list(server.ending.items()):
            if since < at - _LINGER and connection.transport is not None and not connection.tell():
                connection.transport.abort()  # closing would wait for one that never reads


def _refused(error: ApiError, begun: bytes, settings: Settings) -> bytes:
    """An EventSource would give up for good on an error."""
    if not _STREAM.match(begun):
        return _raw(error)
    origin = _ORIGIN.search(begun)
    headers = {"Vary": VARY} | cors.allowed_of(origin[1].decode("latin-1") if origin else None, settings)
    answer = sse.later(str(error.body["code"]), headers)
    return _written(200, dict(answer.headers), cast("bytes", answer.body))


def _raw(error: ApiError) -> bytes:
    """An answer to what is no request yet."""
    body = orjson.dumps(error.body)
    headers = JSON_HEADERS | ({} if error.retry_after is None else {"Retry-After": str(error.retry_after)})
    return _written(error.status, headers, body)


def _written(status: int, headers: dict[str, str], body: bytes) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        f"{lines}Server: {SERVER}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
