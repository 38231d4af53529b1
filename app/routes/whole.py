"""A JSON answer in one write.

Most answers have the same headers, which aiohttp puts together anew for each: a fifth of all that the server does for a
webhook. Here they are put together once for each status. aiohttp answers as ever where anything is not as usual.
"""

from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from multidict import getversion

from app.times import now

SERVER = "rushes"

VARY = "Authorization, Cookie, Origin"
"""What an answer depends on beside its address: who asks, and from where. Its language is left out, since no cache may
keep it."""

JSON_HEADERS = {
    "Content-Type": "application/json; charset=utf-8",
    "Cache-Control": "private, no-store",
    "Vary": VARY,
    "X-Content-Type-Options": "nosniff",
}


class WholeAnswer(web.Response):
    """With `JSON_HEADERS`, of a status that has a body. Headers can be set and the status changed as on any answer;
    cookies, another body and an encoding of it cannot."""

    def __init__(self, body: bytes, status: int) -> None:
        super().__init__(body=body, status=status, headers=JSON_HEADERS)
        self._whole = body
        self._usual = getversion(self.headers)  # type: ignore[arg-type]  # any dictionary of the library has one
        self._straight_to: AbstractStreamWriter | None = None

    @property
    def prepared(self) -> bool:
        return self._straight_to is not None or super().prepared

    @property
    def keep_alive(self) -> bool | None:
        return True if self._straight_to is not None else super().keep_alive

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        if (
            getversion(self.headers) == self._usual  # type: ignore[arg-type]
            and request.keep_alive
            and request.version == (1, 1)
            and request.method != "HEAD"
            and super().keep_alive is None
        ):
            self._straight_to = request.writer
            return self._straight_to
        return await super().prepare(request)

    async def write_eof(self, data: bytes = b"") -> None:
        writer = self._straight_to
        if writer is None:
            await super().write_eof(data)
            return
        head = _head(self.status) % (len(self._whole), _date(now() // 1_000_000))
        await writer.write_eof(head + self._whole)


@lru_cache(maxsize=64)
def _head(status: int) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in JSON_HEADERS.items())
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{lines}Server: {SERVER}\r\n".encode() + (
        b"Content-Length: %d\r\nDate: %b\r\n\r\n"
    )


@lru_cache(maxsize=2)
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()
