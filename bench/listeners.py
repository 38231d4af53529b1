"""Thousands of clients in one process, as cheap as Python makes them: epoll, one buffer, and counting.

    python -m bench.listeners

Reads one JSON command a line, answers one JSON line each:

- `{"open": [path, …], "host", "port", "blocks": n}`: one stream each, over WebSocket if `"websocket"` says so; answers
  once each has had n blocks, of which the answer to a WebSocket's handshake is one: `{"seconds"}`. With
  `"receive_buffer": bytes` the kernel keeps no more than that for each. Until the next command nobody reads.
- `{"expect": n, "within": seconds}`: answers once n more blocks came in all, or not in time:
  `{"blocks", "first", "last", "gone"}`, with the times of time.monotonic() and how many streams ended; with
  `"times": true` also `"times"`, one for each block.
- `{"lose": seconds}`: answers once every stream was ended by the server, or not in time: `{"open"}`, how many are left.
- `{"return": n, "spread": seconds, "within": seconds}`: every lost stream comes back with its last id, some time within
  `spread` seconds; answers once each had n blocks: `{"seconds", "waits", "late"}`, with how long each waited for the
  last of them, in order, and how many never had it. Streams know their last ids when they were opened with `"track"`.
- `{"say_nothing": n}`: n connections, to where the last streams went, over which nothing is sent and nothing read.
- `{"close": true}`: closes all.
"""

import json
import random
import resource
import select
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from typing import Any

_BUFFER = bytearray(256 * 1024)
_CONNECTING_AT_ONCE = 200

# What there is one of in each block: SSE's empty line; the head of a WebSocket frame of 126 bytes or more.
_EMPTY_LINE, _FRAME = b"\n\n", b"\x81\x7e"

_UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: cnVzaGVzcnVzaGVzcnVzaA==\r\n"
)


class Stream:
    """One client: its connection, and what it has had."""

    __slots__ = ("blocks", "half", "last_id", "path", "since", "sock", "waited")

    def __init__(self, path: str) -> None:
        self.path = path
        self.sock: socket.socket | None = None
        self.blocks = 0
        self.since = self.waited = 0.0
        self.half = False
        self.last_id = b""


def _have_blocks(streams: list[Stream], count: int) -> bool:
    return all(stream.blocks >= count for stream in streams)


class Listeners:
    """All clients of this process."""

    def __init__(self) -> None:
        self.address = ("127.0.0.1", 0)
        self.streams: list[Stream] = []
        self.blocks = 0
        self.first = self.last = 0.0
        self.gone = 0
        self.due: list[tuple[float, int, Stream]] = []
        self.track = False
        self.websocket = False
        self.receive_buffer = 0
        self.times: list[float] | None = None
        self.silent: list[socket.socket] = []
        self._poll = select.epoll()
        self._by_fd: dict[int, Stream] = {}

    def connect(self, stream: Stream) -> None:
        sock = socket.socket()
        sock.setblocking(False)
        if self.receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        sock.connect_ex(self.address)
        stream.sock = sock
        stream.since = time.monotonic()
        self._by_fd[sock.fileno()] = stream
        self._poll.register(sock.fileno(), select.EPOLLOUT)

    def run(self, done: Callable[[], bool], within: float) -> bool:
        """Reads until `done`, or for so many seconds; whether it was done."""
        until = time.monotonic() + within
        while not done():
            now = time.monotonic()
            if now > until:
                return False
            while self.due and self.due[0][0] <= now:
                self.connect(heappop(self.due)[2])
            for fd, what in self._poll.poll(0.02 if self.due else 0.2, 1024):
                self._serve(self._by_fd[fd], fd, what)
        return True

    def _serve(self, stream: Stream, fd: int, what: int) -> None:
        assert stream.sock is not None
        try:
            if what & select.EPOLLOUT:
                stream.sock.sendall(self._request(stream))
                self._poll.modify(fd, select.EPOLLIN)
                return
            size = stream.sock.recv_into(_BUFFER)
        except BlockingIOError:
            return
        except OSError:
            size = 0
        if size:
            self._read(stream, size)
        else:
            self._end(stream, fd)

    def _request(self, stream: Stream) -> bytes:
        wants = _UPGRADE if self.websocket else b"Accept: text/event-stream\r\n"
        resumed = b"Last-Event-ID: %s\r\n" % stream.last_id if stream.last_id else b""
        return b"GET %s HTTP/1.1\r\nHost: localhost\r\n%s%s\r\n" % (stream.path.encode(), wants, resumed)

    def _read(self, stream: Stream, size: int) -> None:
        end = _FRAME if self.websocket else _EMPTY_LINE
        blocks = _BUFFER.count(end, 0, size)
        if stream.half and _BUFFER[0] == end[1]:
            blocks += 1
        stream.half = _BUFFER[size - 1] == end[0] and not _BUFFER.endswith(end, 0, size)
        if self.websocket and not stream.blocks:
            blocks += 1
        if self.track and (at := _BUFFER.rfind(b"id: ", 0, size)) >= 0:
            stream.last_id = bytes(_BUFFER[at + 4 : _BUFFER.index(b"\n", at)])
        if blocks:
            stream.blocks += blocks
            self.blocks += blocks
            self.last = time.monotonic()
            self.first = self.first or self.last
            if self.times is not None:
                self.times += [self.last] * blocks
            stream.waited = self.last - stream.since

    def _end(self, stream: Stream, fd: int) -> None:
        self._poll.unregister(fd)
        del self._by_fd[fd]
        if stream.sock is not None:
            stream.sock.close()
        stream.sock = None
        stream.half = False
        self.gone += 1

    def open(self, command: dict[str, Any]) -> dict[str, Any]:
        self.address = (command["host"], command["port"])
        new = [Stream(path) for path in command["open"]]
        began = time.monotonic()
        blocks = command["blocks"]
        self.track = command.get("track", False)
        self.websocket = command.get("websocket", False)
        self.receive_buffer = command.get("receive_buffer", 0)
        for start in range(0, len(new), _CONNECTING_AT_ONCE):
            some = new[start : start + _CONNECTING_AT_ONCE]
            for stream in some:
                self.connect(stream)
            if not self.run(partial(_have_blocks, some, blocks), 30):
                return {"error": f"only {sum(s.blocks >= blocks for s in new)} of {len(new)} streams opened"}
        self.streams += new
        return {"seconds": time.monotonic() - began}

    def expect(self, command: dict[str, Any]) -> dict[str, Any]:
        self.first = self.last = 0.0
        goal, self.blocks, self.gone = command["expect"], 0, 0
        self.times = [] if command.get("times") else None
        self.run(lambda: self.blocks >= goal, command["within"])
        answer = {"blocks": self.blocks, "first": self.first, "last": self.last, "gone": self.gone}
        return answer if self.times is None else answer | {"times": self.times}

    def lose(self, command: dict[str, Any]) -> dict[str, Any]:
        self.run(lambda: not self._by_fd, command["lose"])
        return {"open": len(self._by_fd)}

    def come_back(self, command: dict[str, Any]) -> dict[str, Any]:
        began, goal = time.monotonic(), command["return"]
        for stream in self.streams:
            stream.blocks = 0
            heappush(self.due, (began + random.random() * command["spread"], id(stream), stream))
        self.blocks = 0
        least = goal * len(self.streams)
        self.run(lambda: self.blocks >= least and all(s.blocks >= goal for s in self.streams), command["within"])
        waits = sorted(s.waited for s in self.streams if s.blocks >= goal)
        return {"seconds": time.monotonic() - began, "waits": waits, "late": len(self.streams) - len(waits)}

    def say_nothing(self, command: dict[str, Any]) -> dict[str, Any]:
        self.silent += [socket.create_connection(self.address) for _ in range(command["say_nothing"])]
        return {}

    def close(self, _: dict[str, Any]) -> dict[str, Any]:
        for fd in self._by_fd:
            self._poll.unregister(fd)
        for sock in [*self.silent, *(stream.sock for stream in self.streams)]:
            if sock is not None:
                sock.close()
        self.silent.clear()
        self._by_fd.clear()
        self.streams.clear()
        return {}


def main() -> None:
    """Serve the commands of standard input until it ends."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    listeners = Listeners()
    does = {"open": listeners.open, "expect": listeners.expect, "lose": listeners.lose, "return": listeners.come_back,
            "say_nothing": listeners.say_nothing, "close": listeners.close}  # fmt: skip
    for line in sys.stdin:
        command = json.loads(line)
        name = next(name for name in does if name in command)
        print(json.dumps(does[name](command)), flush=True)


if __name__ == "__main__":
    main()
