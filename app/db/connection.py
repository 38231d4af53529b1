"""One session with MySQL or MariaDB, and the only place that knows aiomysql.

aiomysql is untyped, and a query costs a round trip each. So: a time-out round everything, and `run`, which sends
several statements in one packet.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from math import ceil
from typing import Any

import aiomysql
from pymysql.constants import CLIENT, COMMAND, CR
from pymysql.err import Error, InterfaceError, OperationalError

from app.db import charsets, session
from app.db.errors import (
    NO_TLS,
    DatabaseAwayError,
    RetryableError,
    UnfitError,
    UnreachableError,
    ValuesRefusedError,
    judged,
    not_connected,
)
from app.db.resultsets import Reading, TextRow, as_sent
from app.db.url import parameters

Row = tuple[Any, ...]
Statement = str | bytes

_PACKET_MAX = 0xFFFFFF
_HEAD = 64  # bytes, what a packet has beside its statements, and some more


class Connection:
    """One session. Broken or abandoned in the middle of an answer, it is closed, never reused.

    `patience` is how many seconds an answer may take; `packet_max` how many bytes of statements the server takes at
    once; `server` which one it is, and `since` when the session was there, by time.monotonic().
    """

    def __init__(self, raw: Any, patience: float) -> None:
        self._raw = raw
        self.patience = patience
        self.packet_max = _PACKET_MAX
        self.server = session.server(())
        self.since = time.monotonic()
        self._reading: Reading | None = None

    async def run(self, *statements: Statement) -> list[tuple[Row, ...]]:
        """Sends the statements in one packet; the rows of each, in order, with values as Python's types.

        The server stops at the first that fails, which is raised: DatabaseAwayError, RetryableError or
        ValuesRefusedError.
        """
        try:
            self._refuse_if_closed()
            async with asyncio.timeout(self.patience):
                await self._raw.query(_packet(statements))
                result = self._raw._result  # noqa: SLF001 - aiomysql's cursors do the same
                results = [result.rows or ()]
                while result.has_next:
                    await self._raw.next_result()
                    result = self._raw._result  # noqa: SLF001
                    results.append(result.rows or ())
                return results
        except BaseException as error:
            self._tell_apart(error)
            raise

    async def run_text(
        self, *statements: Statement, then: Callable[[list[list[TextRow]]], Sequence[Statement]] | None = None
    ) -> list[list[TextRow]]:
        """As `run`, in a third of the time: values are text. A statement without rows gives its LAST_INSERT_ID.

        `then` makes of the results what is to be sent next, and is called as soon as they are there; the results are
        then those of that, unless it is nothing. It must not raise.
        """
        return await self._run_reading(statements, then, None)

    async def run_unread(self, *statements: Statement) -> list[list[bytes]]:
        """As `run_text`, with each row as it was sent, for `resultsets.row_of`."""
        return await self._run_reading(statements, None, as_sent)

    async def _run_reading(
        self,
        statements: Sequence[Statement],
        then: Callable[[list[list[TextRow]]], Sequence[Statement]] | None,
        row: Callable[[bytearray, int, int], Any] | None,
    ) -> list[list[Any]]:
        try:
            self._refuse_if_closed()
            transport = self._raw._writer.transport  # noqa: SLF001
            with Reading(transport, then and (lambda results: _command(then(results))), row) as reading:
                self._reading = reading
                async with asyncio.timeout(self.patience):
                    transport.write(_command(statements))
                    return await reading.done
        except BaseException as error:
            self._tell_apart(error)
            raise
        finally:
            self._reading = None

    def look(self) -> None:
        """Takes what `run_text` waits for, if it has arrived, without waiting for the loop's turn to read."""
        if self._reading is not None:
            self._reading.look()

    def _refuse_if_closed(self) -> None:
        if self.closed:
            raise InterfaceError("the session has ended")

    def _tell_apart(self, error: BaseException) -> None:
        """Raises what `run` promises for an error, if that is not the error itself.

        Closes a session that is not at the end of an answer.
        """
        if isinstance(error, Error):
            _raise_if_cancelled()
            found = judged(error)
            lost_a_race = isinstance(found, RetryableError) and found.is_contention
            if not lost_a_race and not isinstance(found, ValuesRefusedError):
                # The next session may do better: with other rights, on another server, without what stands in its way.
                self.close()
            raise found from error
        self.close()
        if isinstance(error, (OSError, TimeoutError, asyncio.IncompleteReadError, RuntimeError)):
            # uvloop raises RuntimeError for a socket that is closed.
            raise DatabaseAwayError(f"no answer from the database ({type(error).__name__})") from error

    async def rows(self, statement: Statement) -> tuple[Row, ...]:
        (rows,) = await self.run(statement)
        return rows

    @property
    def closed(self) -> bool:
        """Whether we closed it, or it was ended, reset or told of its end while it was idle."""
        raw = self._raw
        if raw.closed:
            return True
        reader = raw._reader  # noqa: SLF001 - as aiomysql's own pool does
        # Nobody has asked anything: what is there to read is why the server ended it.
        said = reader.eof_received or reader.exception() or reader._buffer  # noqa: SLF001
        return bool(said or raw._writer.transport.is_closing())  # noqa: SLF001

    def close(self) -> None:
        self._raw.close()


def _raise_if_cancelled() -> None:
    """aiomysql tells a task's cancellation as a lost connection, and the task would live on."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _command(statements: Sequence[Statement]) -> bytes:
    """A query as the protocol has it: packets of up to 16 MiB, numbered, of which the last is shorter. b"" of none."""
    if not statements:
        return b""
    content = b"%c%b" % (COMMAND.COM_QUERY, _packet(statements))
    if len(content) < _PACKET_MAX:
        return b"%b\0%b" % (len(content).to_bytes(3, "little"), content)
    parts = [content[at : at + _PACKET_MAX] for at in range(0, len(content) + 1, _PACKET_MAX)]
    return b"".join(b"%b%c%b" % (len(part).to_bytes(3, "little"), n & 255, part) for n, part in enumerate(parts))


def _packet(statements: Sequence[Statement]) -> bytes:
    return b";\n".join([s if isinstance(s, bytes) else s.encode() for s in statements])


class _Raw(aiomysql.Connection):  # type: ignore[misc]
    async def _request_authentication(self) -> None:
        """aiomysql would go on in the clear, and whoever sits between can take TLS out of the server's offer."""
        if self._ssl_context and not self.server_capabilities & CLIENT.SSL:
            raise OperationalError(CR.CR_SSL_CONNECTION_ERROR, NO_TLS)
        await super()._request_authentication()


async def connect(url: str, wait: float, *, patience: float | None = None, limited: bool = False) -> Connection:
    """A new session of its own, outside any pool, had within `patience` seconds, or `wait`. Raises UnreachableError.

    An answer may take `wait` seconds, and so may a transaction of this session say nothing. Of one
    that is `limited` the server itself ends what takes longer, of MySQL's what reads: nobody waits for it any more.
    """
    arguments = parameters(url)
    try:
        async with asyncio.timeout(wait if patience is None else patience):
            # No time-out of aiomysql's own: its wait_for, on Python 3.11, can lose a task's cancellation. Autocommit
            # and all else is stated below, not left to what the two sides thought of each other at the door.
            raw = _Raw(**arguments, charset="utf8mb4", autocommit=None, connect_timeout=None)
            await raw._connect()  # noqa: SLF001 - as aiomysql.connect does with its own class
    except Exception as error:  # what answers may be anything, and both clients stumble over it in many ways
        _raise_if_cancelled()
        raise not_connected(error, arguments) from error
    connection = Connection(raw, wait if patience is None else patience)
    try:
        await _state(connection, arguments["db"], ceil(wait), wait if limited else 0.0)
    except BaseException as error:
        connection.close()
        if isinstance(error, UnreachableError) or not isinstance(error, DatabaseAwayError):
            raise
        raise UnreachableError(str(error)) from error
    connection.patience = wait
    return connection


async def _state(connection: Connection, database: str, idle: int, limit: float) -> None:
    """Makes the session ours. Raises UnfitError when it cannot be had as it must be."""
    try:
        *_, rows, columns = await connection.run(*session.opening(database, idle, limit), charsets.question())
    except (RetryableError, ValuesRefusedError) as error:
        raise session.unfit(error, "a setting of a session") from error
    connection.packet_max = session.packet_max(rows) - _HEAD
    connection.server = session.server(rows)
    charsets.learn(columns)
    if session.refuse_otherwise(rows, limit):
        try:
            await connection.run(session.LOG_ROWS)
        except (RetryableError, ValuesRefusedError) as error:
            raise UnfitError(session.NOT_LOGGED) from error
