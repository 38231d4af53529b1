"""An event as bytes, encoded once for each transport and written to every socket as it is."""

import struct
from enum import IntEnum

from app.wire import LogEvent

HEARTBEAT = b":\n\n"
RESET = b"event: reset\ndata: {}\n\n"
WS_RESET = b'{"id":null,"event":"reset","data":{}}'
WS_PING = b"\x89\x00"

_TEXT = 0x81
_CLOSE = 0x88


class Wire(IntEnum):
    """How a subscriber's socket takes bytes: HTTP/1.1 chunks, a plain HTTP/1.0 body, WebSocket frames."""

    CHUNKED = 0
    PLAIN = 1
    WEBSOCKET = 2


class Frames:
    """One event's bytes for each wire, made when the first subscriber on that wire needs them."""

    __slots__ = ("_made", "event")

    def __init__(self, event: LogEvent) -> None:
        self.event = event
        self._made: list[bytes | None] = [None, None, None]

    def on(self, wire: Wire) -> bytes:
        made = self._made[wire]
        if made is None:
            made = self._made[wire] = self._make(wire)
        return made

    def _make(self, wire: Wire) -> bytes:
        if wire is Wire.WEBSOCKET:
            return websocket_frame(websocket_text(self.event, self.event.id))
        text = sse_text(self.event, self.event.id)
        return chunk(text) if wire is Wire.CHUNKED else text


def sse_text(event: LogEvent, event_id: int | None) -> bytes:
    name = b"" if event_id is None else b"id: %d\n" % event_id
    return b"%sevent: %s\ndata: %s\n\n" % (name, event.event.encode(), event.data)


def sse_id(event_id: int) -> bytes:
    """Sets the browser's last event id, and dispatches nothing."""
    return b"id: %d\n\n" % event_id


def websocket_text(event: LogEvent, event_id: int | None) -> bytes:
    shown = b"null" if event_id is None else b"%d" % event_id
    return b'{"id":%s,"event":"%s","data":%s}' % (shown, event.event.encode(), event.data)


def websocket_id(event_id: int) -> bytes:
    return b'{"id":%d}' % event_id


def chunk(body: bytes) -> bytes:
    """A chunk of HTTP/1.1's chunked transfer coding (RFC 9112, 7.1)."""
    return b"%x\r\n%s\r\n" % (len(body), body)


def websocket_frame(payload: bytes, opcode: int = _TEXT) -> bytes:
    """A whole, unmasked frame, as servers send them (RFC 6455, 5.2)."""
    size = len(payload)
    if size < 126:  # noqa: PLR2004
        return struct.pack("!BB", opcode, size) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", opcode, 126, size) + payload
    return struct.pack("!BBQ", opcode, 127, size) + payload


def websocket_close(code: int, reason: str) -> bytes:
    return websocket_frame(struct.pack("!H", code) + reason.encode()[:120], _CLOSE)
