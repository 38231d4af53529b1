"""aiohttp's runner, with the one form of our errors for requests that cannot be read.

aiohttp answers those by itself, before any middleware, with what was sent, and logs it: a header may be a secret.
"""

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.web_protocol import RequestHandler

from app.errors import ApiError
from app.routes.http import reply

log = structlog.get_logger(__name__)


class Runner(web.AppRunner):
    """Serves an application; the arguments are those of aiohttp.web.AppRunner."""

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        server.__class__ = _Server
        return server


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(RequestHandler):
    __slots__ = ()

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
        error = _told(exc)
        response = reply(error.body, error.status)
        response.force_close()
        return response


def _told(error: HttpProcessingError) -> ApiError:
    if isinstance(error, LineTooLong):
        return ApiError(431, "headers_too_large", "The address, or a header, is longer than 8,190 bytes.")
    return ApiError(400, "bad_request", f"This is not a request of HTTP/1.1 ({type(error).__name__}).")
