"""Reads what the server answers to a packet of statements, as text.

aiomysql reads a packet at a time, and describes and converts each column: about a millisecond of CPU for the
ten short answers of one of the writer's transactions, more than all else in it. This takes what has arrived
in one piece, and leaves values as the server wrote them. It knows the protocol of MySQL 4.1 and later without
CLIENT_DEPRECATE_EOF, which is what PyMySQL and aiomysql negotiate.
"""

import asyncio
import os
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from pymysql.constants.CR import CR_SERVER_LOST
from pymysql.err import InternalError, OperationalError, raise_mysql_exception

TextRow = tuple[str | None, ...]

_OK, _NULL, _EOF, _ERR = 0x00, 0xFB, 0xFE, 0xFF
_EOF_MAX = 9
_MORE_RESULTS = 0x0008
_WHOLE_PACKET = 0xFFFFFF
_PACKET_HEAD = 4  # bytes: a length in three, then a sequence number
_READ_MAX = 65_536


def _integer(buffer: bytes | bytearray, at: int) -> tuple[int, int]:
    """A length-encoded integer, and where what follows it starts."""
    first = buffer[at]
    if first < _NULL:
        return first, at + 1
    size = 2 if first == 0xFC else 3 if first == 0xFD else 8  # noqa: PLR2004 - the protocol's marks
    return int.from_bytes(buffer[at + 1 : at + 1 + size], "little"), at + 1 + size


def _row(buffer: bytes | bytearray, at: int, end: int) -> TextRow:
    """What is no text, as a binary column of the site's may hold, is shown with U+FFFD."""
    values: list[str | None] = []
    while at < end:
        size = buffer[at]
        if size < _NULL:
            at += 1
        elif size == _NULL:
            values.append(None)
            at += 1
            continue
        else:
            size, at = _integer(buffer, at)
        values.append(buffer[at : at + size].decode(errors="replace"))
        at += size
    return tuple(values)


def as_sent(buffer: bytearray, at: int, end: int) -> bytes:
    """A row that is not read yet."""
    return bytes(buffer[at:end])


def row_of(sent: bytes) -> TextRow:
    """The values of a row that was left `as_sent`."""
    return _row(sent, 0, len(sent))


def values_of(sent: bytes) -> list[bytes]:
    """The values of such a row as bytes, where none is NULL."""
    values = []
    at, end = 0, len(sent)
    while at < end:
        size = sent[at]
        if size < _NULL:
            at += 1
        else:
            size, at = _integer(sent, at)
        values.append(sent[at : at + size])
        at += size
    return values


def first_value(sent: bytes) -> str:
    """The first value of such a row, which is not NULL."""
    size, at = _integer(sent, 0)
    return sent[at : at + size].decode()


class ResultSets:
    """Takes bytes as they come; `results` has the rows of each statement once `feed` says that all are there.

    A statement that has no rows gives one: its LAST_INSERT_ID, as text. `row` makes a row of what lies in the buffer
    between two places.
    """

    def __init__(self, row: Callable[[bytearray, int, int], Any] = _row) -> None:
        self.results: list[list[Any]] = []
        self._row = row
        self._buffer = bytearray()
        self._columns_left = 0
        self._described = False
        self._rows: list[Any] | None = None

    def feed(self, data: bytes) -> bool:
        """Whether the last answer is complete. Raises pymysql's error when a statement failed."""
        buffer = self._buffer
        buffer += data
        at, end = 0, len(buffer)
        while end - at >= _PACKET_HEAD:
            size = buffer[at] | buffer[at + 1] << 8 | buffer[at + 2] << 16
            if end - at - _PACKET_HEAD < size:
                break
            if size == _WHOLE_PACKET:
                size = _join(buffer, at)
                if not size:
                    break
                end = len(buffer)
            start = at + _PACKET_HEAD
            at = start + size
            if self._packet(buffer, start, at):
                return True
        del buffer[:at]
        return False

    def _packet(self, buffer: bytearray, start: int, end: int) -> bool:
        kind = buffer[start]
        if kind == _ERR:
            raise_mysql_exception(bytes(buffer[start:end]))
        if self._columns_left:
            self._columns_left -= 1
        elif self._rows is None:
            return self._first(buffer, start, kind)
        elif kind == _EOF and end - start < _EOF_MAX:
            if not self._described:
                self._described = True
                return False
            self.results.append(self._rows)
            self._rows = None
            return not (buffer[start + 3] | buffer[start + 4] << 8) & _MORE_RESULTS
        else:
            self._rows.append(self._row(buffer, start, end))
        return False

    def _first(self, buffer: bytearray, start: int, kind: int) -> bool:
        """The first packet of an answer: OK, or how many columns its rows have."""
        if kind != _OK:
            if kind == _NULL:
                raise InternalError(0, "the server asks for a local file")
            self._columns_left = kind
            self._described = False
            self._rows = []
            return False
        _affected, at = _integer(buffer, start + 1)
        insert_id, at = _integer(buffer, at)
        self.results.append([(str(insert_id),)])
        return not (buffer[at] | buffer[at + 1] << 8) & _MORE_RESULTS


def _join(buffer: bytearray, at: int) -> int:
    """Makes one packet of the parts that one of 16 MiB or more comes in: its size, 0 while not all are there."""
    heads = []
    size = _WHOLE_PACKET
    end = at
    while size == _WHOLE_PACKET:
        if len(buffer) - end < _PACKET_HEAD:
            return 0
        heads.append(end)
        size = int.from_bytes(buffer[end : end + 3], "little")
        end += _PACKET_HEAD + size
    if len(buffer) < end:
        return 0
    for head in reversed(heads[1:]):
        del buffer[head : head + _PACKET_HEAD]
    return end - at - _PACKET_HEAD * len(heads)


class Reading(asyncio.Protocol):
    """A connection's protocol while it is entered; `done` gives the results once the last answer is complete.

    The server sends each answer by itself. A task that reads them as they come is woken for each; this waits
    for the last. And a task that is woken has its turn after all that wait already: `then` is called at once with the
    results, and the bytes that it returns are sent; if there are any, `done` gives the results of those.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        then: Callable[[list[list[TextRow]]], bytes] | None,
        row: Callable[[bytearray, int, int], Any] | None = None,
    ) -> None:
        self._transport = transport
        self._then = then
        self._usual = transport.get_protocol()
        self._row = row or _row
        self._answers = ResultSets(self._row)
        # Under TLS what arrives is not yet what was said.
        self._socket = None if transport.get_extra_info("sslcontext") else transport.get_extra_info("socket")
        self.done: asyncio.Future[list[list[TextRow]]] = asyncio.get_running_loop().create_future()

    def __enter__(self) -> Self:
        self._transport.set_protocol(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if not self._transport.is_closing():
            self._transport.set_protocol(self._usual)

    def look(self) -> None:
        """Takes what has arrived already.

        The loop reads again only when all that had arrived before has had its turn: under load, dozens of requests,
        while the database, its answer given, has nothing to do.
        """
        if self._socket is None or self.done.done() or self._transport.is_closing():
            return
        try:
            data = os.read(self._socket.fileno(), _READ_MAX)
        except OSError:  # nothing yet; or lost, which the transport tells
            return
        if data:
            self.data_received(data)

    def data_received(self, data: bytes) -> None:
        if self.done.done():
            return
        try:
            if self._answers.feed(data):
                self._complete(self._answers.results)
        except Exception as error:  # noqa: BLE001 - whoever waits for the answer gets it
            self.done.set_exception(error)

    def _complete(self, results: list[list[TextRow]]) -> None:
        then, self._then = self._then, None
        packet = then(results) if then else b""
        if packet:
            self._answers = ResultSets(self._row)
            self._transport.write(packet)
        else:
            self.done.set_result(results)

    def eof_received(self) -> bool | None:
        self._lost()
        return self._usual.eof_received()  # type: ignore[attr-defined, no-any-return]

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost()
        self._usual.connection_lost(exc)

    def pause_writing(self) -> None:
        self._usual.pause_writing()

    def resume_writing(self) -> None:
        self._usual.resume_writing()

    def _lost(self) -> None:
        if not self.done.done():
            self.done.set_exception(OperationalError(CR_SERVER_LOST, "the server closed the connection"))
