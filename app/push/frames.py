"""Events as bytes. A live one is encoded once for each wire, and written to every socket as it is."""

import struct
from enum import IntEnum

from app.domain.event import LogEvent

_TEXT = 0x81
_CLOSE = 0x88
_PING = 0x89
_PONG = 0x8A


class Framing(IntEnum):
    """How a subscriber's socket takes bytes: HTTP/1.1 chunks, a plain HTTP/1.0 body, WebSocket frames."""

    CHUNKED = 0
    PLAIN = 1
    WEBSOCKET = 2


class Frames:
    """One event's bytes for each wire, made when the first subscriber there needs them. `data` is what goes out."""

    __slots__ = ("data", "event", "made")

    def __init__(self, event: LogEvent, data: bytes) -> None:
        self.event = event
        self.data = data
        self.made = [b"", b"", b""]

    def on(self, wire: Framing) -> bytes:
        if not self.made[wire]:
            self.made[wire] = event_frame(wire, self.event.event, self.data, self.event.id_text)
        return self.made[wire]


def event_frame(wire: Framing, name: str, data: bytes, event_id: str | None) -> bytes:
    """`event_id` is an EventId's text. Without one, it does not move the client's last event id."""
    if wire is Framing.WEBSOCKET:
        shown = b"null" if event_id is None else b'"%s"' % event_id.encode()
        return websocket_frame(b'{"id":%s,"event":"%s","data":%s}' % (shown, name.encode(), data))
    if event_id is None:
        return _body(wire, b"event: %s\ndata: %s\n\n" % (name.encode(), data))
    return _body(wire, b"id: %s\nevent: %s\ndata: %s\n\n" % (event_id.encode(), name.encode(), data))


def id_frame(wire: Framing, event_id: str) -> bytes:
    """Sets the client's last event id, and dispatches nothing."""
    if wire is Framing.WEBSOCKET:
        return websocket_frame(b'{"id":"%s"}' % event_id.encode())
    return _body(wire, b"id: %s\n\n" % event_id.encode())


def reset_frame(wire: Framing) -> bytes:
    """What was sent no longer holds; the present state follows."""
    if wire is Framing.WEBSOCKET:
        return websocket_frame(b'{"id":null,"event":"reset","data":{}}')
    return _body(wire, b"event: reset\ndata: {}\n\n")


def heartbeat_frame(wire: Framing) -> bytes:
    """A comment, or a ping."""
    return websocket_frame(b"", _PING) if wire is Framing.WEBSOCKET else _body(wire, b":\n\n")


def _body(wire: Framing, text: bytes) -> bytes:
    """A piece of an answer's body, on HTTP/1.1 in the chunked transfer coding (RFC 9112, 7.1)."""
    return b"%x\r\n%s\r\n" % (len(text), text) if wire is Framing.CHUNKED else text


LAST_CHUNK = b"0\r\n\r\n"


def websocket_frame(payload: bytes, opcode: int = _TEXT) -> bytes:
    """A whole, unmasked frame, as servers send them (RFC 6455, 5.2)."""
    size = len(payload)
    if size < 126:  # noqa: PLR2004
        return struct.pack("!BB", opcode, size) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", opcode, 126, size) + payload
    return struct.pack("!BBQ", opcode, 127, size) + payload


def pong_frame(payload: bytes) -> bytes:
    """The answer to a client's ping."""
    return websocket_frame(payload, _PONG)


def close_frame(code: int, reason: str) -> bytes:
    """The last frame that a WebSocket client gets."""
    return websocket_frame(struct.pack("!H", code) + reason.encode()[:120], _CLOSE)
