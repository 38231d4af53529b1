"""The same streams over WebSocket. What clients send is checked, answered where the protocol says so, and not kept."""

import asyncio
import struct
import time

from aiohttp import web

from app.push.frames import Framing, close_frame, heartbeat_frame, pong_frame
from app.push.subscriber import Closing, Limits, MaySee, Subscriber

_MAX_MESSAGE = 4096  # bytes; clients have nothing to say but pongs

_CODES = {
    Closing.FINISHED: 1000,
    Closing.SHUTDOWN: 1001,
    Closing.NOT_WEBSOCKET: 1002,
    Closing.TOO_MANY: 1008,
    Closing.TOO_LONG: 1009,
    Closing.EXPIRED: 4401,
    Closing.MISSING: 4404,
    Closing.SLOW: 4408,
}

_FAULTS = (Closing.NOT_WEBSOCKET, Closing.TOO_LONG, Closing.TOO_MANY)

_CONTINUATION, _TEXT, _BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_CONTROL = 0x8
_CONTROL_MAX = 125


class NotWebSocketError(Exception):
    """The client does not keep to the protocol."""


class MessageTooLongError(Exception):
    """A message is longer than anything that a client may have to say."""


class ClientFrames:
    """Takes a client's bytes apart, in whatever pieces they come (RFC 6455, 5). Messages are passed over unread."""

    __slots__ = ("_in_message", "_message", "_partial", "_to_skip")

    def __init__(self) -> None:
        self._partial = b""
        self._to_skip = 0
        self._in_message = False
        self._message = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The frames that these bytes begin or, for control frames, complete: opcode and a control frame's payload.

        Raises NotWebSocketError, MessageTooLongError.
        """
        if self._partial:
            data, self._partial = self._partial + data, b""
        found: list[tuple[int, bytes]] = []
        at = 0
        while True:
            skipped = min(self._to_skip, len(data) - at)
            self._to_skip -= skipped
            at += skipped
            head = _head(data, at)
            if head is None:
                break
            opcode, fin, start, size = head
            if opcode & _CONTROL:
                if not fin or size > _CONTROL_MAX:
                    raise NotWebSocketError
                end = start + 4 + size
                if len(data) < end:
                    break
                found.append((opcode, _unmasked(data[start + 4 : end], data[start : start + 4])))
                at = end
            else:
                self._begin(opcode, size, fin=fin)
                found.append((opcode, b""))
                self._to_skip = 4 + size
                at = start
        self._partial = data[at:]
        return found

    def _begin(self, opcode: int, size: int, *, fin: bool) -> None:
        if (opcode == _CONTINUATION) != self._in_message:
            raise NotWebSocketError
        self._message = size + (self._message if self._in_message else 0)
        self._in_message = not fin
        if self._message > _MAX_MESSAGE:
            raise MessageTooLongError


def _head(data: bytes, at: int) -> tuple[int, bool, int, int] | None:
    """(opcode, whether final, where its mask begins, the payload's size), or None when it has not come whole."""
    if len(data) < at + 2:
        return None
    first, second = data[at], data[at + 1]
    opcode, size = first & 0x0F, second & 0x7F
    if first & 0x70 or not second & 0x80 or opcode not in (_CONTINUATION, _TEXT, _BINARY, CLOSE, PING, PONG):
        raise NotWebSocketError
    start = at + 2
    if size >= 126:  # noqa: PLR2004 - a longer size follows
        form, length = ("!H", 2) if size == 126 else ("!Q", 8)  # noqa: PLR2004
        if len(data) < start + length:
            return None
        size = struct.unpack_from(form, data, start)[0]
        start += length
    return opcode, bool(first & 0x80), start, size


def _unmasked(payload: bytes, mask: bytes) -> bytes:
    return bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))


class WebSocketSubscriber(Subscriber):
    """One open WebSocket."""

    __slots__ = ("_frames", "_messages", "_pinged_at", "_second", "_unanswered_since")

    def __init__(
        self,
        limits: Limits,
        transport: asyncio.Transport,
        user_id: str,
        job_id: str | None,
        may_see: MaySee,
        expires_at: float | None = None,
    ) -> None:
        super().__init__(limits, transport, Framing.WEBSOCKET, user_id, job_id, may_see, expires_at)
        self._frames = ClientFrames()
        self._pinged_at = self.touched_at
        self._unanswered_since: float | None = None
        self._second = self._messages = 0

    def keep_alive(self, now: float) -> None:
        """Pings, however much there is to tell: only an answer shows that somebody is there. Without any for as
        long as from one ping to the next the client is dropped; not because we stood still for that long."""
        if self._unanswered_since is not None and now - self._unanswered_since > self.limits.ping:
            self.close(Closing.SLOW)
        elif now - self._pinged_at >= self.limits.ping:
            self.write(heartbeat_frame(self.wire))
            self._pinged_at = now
            if self._unanswered_since is None:
                self._unanswered_since = now

    def data_received(self, data: bytes) -> None:
        try:
            found = self._frames.feed(data)
        except NotWebSocketError:
            self.close(Closing.NOT_WEBSOCKET)
        except MessageTooLongError:
            self.close(Closing.TOO_LONG)
        else:
            self._hear(found)

    def _hear(self, found: list[tuple[int, bytes]]) -> None:
        now = time.monotonic()
        if int(now) != self._second:
            self._second, self._messages = int(now), 0
        self._messages += len(found)
        for opcode, payload in found:
            if opcode == CLOSE:
                self._part()
                return
            if opcode == PONG:
                self._unanswered_since = None
            elif opcode == PING and self.why is None:
                self.write(pong_frame(payload))
        if self._messages > self.limits.max_messages:
            self.close(Closing.TOO_MANY)

    def _part(self) -> None:
        """The client has said its last word; ours goes before it is answered by the end of the connection."""
        if self.why is None:
            self.close(Closing.FINISHED)
        self.transport.close()

    def _say_goodbye(self, why: Closing) -> None:
        # Without a fault the socket stays open for the client's own last word, which must not meet a closed one.
        code = _CODES.get(why)
        if code is None:
            self.transport.abort()
            return
        self.write(close_frame(code, why))
        if why in _FAULTS:
            self.transport.close()


def handshake() -> web.WebSocketResponse:
    """Answers the upgrade. No compression: it would cost a context, and a copy of each frame, for every client."""
    return web.WebSocketResponse(autoping=False, autoclose=False, compress=False, max_msg_size=_MAX_MESSAGE)
