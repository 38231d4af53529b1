"""Connections to MySQL or MariaDB, and the only place that knows aiomysql.

aiomysql is untyped, its pool can hang when a waiter meets a closed connection, and a query costs a round
trip each. So: a semaphore of our own in front of the pool, a time-out round everything, and `run`, which
sends several statements in one packet.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from math import ceil
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import aiomysql
from pymysql.constants import COMMAND, CR, ER
from pymysql.err import Error, InterfaceError, InternalError, OperationalError

from app.db.answers import Reading, TextRow

Row = tuple[Any, ...]
Statement = str | bytes

# Strict, so that a value that does not fit is an error instead of another value.
# One second: a row held by another program must not stall every webhook.
# MariaDB ends a transaction that says nothing more: its machine may have vanished, and its locks would stay for hours.
_SESSION = """
SET SESSION time_zone = '+00:00', innodb_lock_wait_timeout = 1, /*M!100300 idle_transaction_timeout = {seconds}, */
  sql_mode = 'STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION';
SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED
"""

_PACKET_MAX = 0xFFFFFF

_RETRYABLE = {ER.CHECKREAD, ER.LOCK_WAIT_TIMEOUT, ER.LOCK_DEADLOCK}  # InnoDB asks for another try
_AWAY = {
    ER.CON_COUNT_ERROR,
    ER.SERVER_SHUTDOWN,
    ER.ABORTING_CONNECTION,
    ER.NET_READ_ERROR,
    ER.NET_READ_INTERRUPTED,
    ER.NET_ERROR_ON_WRITE,
    ER.NET_WRITE_INTERRUPTED,
    ER.NEW_ABORTING_CONNECTION,
    ER.TOO_MANY_USER_CONNECTIONS,
    ER.OPTION_PREVENTS_STATEMENT,
    1792,  # CANT_EXECUTE_IN_READ_ONLY_TRANSACTION
    1836,  # READ_ONLY_MODE
    1927,  # CONNECTION_KILLED
    CR.CR_CONNECTION_ERROR,
    CR.CR_CONN_HOST_ERROR,
    CR.CR_SERVER_GONE_ERROR,
    CR.CR_SERVER_LOST,
    CR.CR_COMMANDS_OUT_OF_SYNC,
    4031,  # CLIENT_INTERACTION_TIMEOUT
}

# What no waiting mends: user, password, host, database, encryption. Everything else at the door may pass: a server that
# starts, recovers or has too many guests, a name that is not known yet.
_REFUSED = {
    ER.DBACCESS_DENIED_ERROR,
    ER.ACCESS_DENIED_ERROR,
    ER.BAD_DB_ERROR,
    ER.HOST_NOT_PRIVILEGED,
    ER.NOT_SUPPORTED_AUTH_MODE,
    1698,  # ACCESS_DENIED_NO_PASSWORD_ERROR
    1862,  # MUST_CHANGE_PASSWORD_LOGIN
    CR.CR_AUTH_PLUGIN_CANNOT_LOAD,
    3118,  # ACCOUNT_HAS_BEEN_LOCKED, to MySQL
    3159,  # SECURE_TRANSPORT_REQUIRED
    4151,  # ACCOUNT_HAS_BEEN_LOCKED, to MariaDB
}


class DatabaseAwayError(Exception):
    """The database is out of reach, or cannot be written to."""


class UnreachableError(DatabaseAwayError):
    """No session can be had: the database does not answer, or lets nobody in."""


class RefusedError(UnreachableError):
    """The database answers, and what is in DATABASE_URL will never do: user, password, database, encryption."""


class RetryableError(Exception):
    """The transaction was undone by the database, which asks for another try (deadlock, lock wait)."""


def parameters(url: str) -> dict[str, Any]:
    """A mysql:// URL as connection arguments. Raises ValueError with a sentence that holds no password."""
    parts = urlsplit(url)
    database = unquote(parts.path.lstrip("/"))
    if parts.scheme not in ("mysql", "mariadb") or not database:
        raise ValueError("DATABASE_URL must look like mysql://user:password@host:port/database.")
    try:
        port = parts.port or 3306
    except ValueError:
        raise ValueError("DATABASE_URL has a port that is not a number.") from None
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    found: dict[str, Any] = {
        "host": parts.hostname or "localhost",
        "port": port,
        "user": unquote(parts.username or "root"),
        "password": unquote(parts.password or ""),
        "db": database,
    }
    if query.get("unix_socket"):
        found["unix_socket"] = query["unix_socket"]
    if query.get("ssl", "").lower() in ("true", "1", "required"):
        import ssl

        found["ssl"] = ssl.create_default_context()
    return found


class Connection:
    """One session. Broken or abandoned in the middle of an answer, it is closed, never reused.

    `patience` is how many seconds an answer may take.
    """

    def __init__(self, raw: Any, patience: float) -> None:
        self._raw = raw
        self.patience = patience
        self._reading: Reading | None = None

    async def run(self, *statements: Statement) -> list[tuple[Row, ...]]:
        """Sends the statements in one packet; the rows of each, in order, with values as Python's types.

        The server stops at the first that fails, which is raised: DatabaseAwayError, RetryableError,
        or pymysql's own error for what is wrong with the statement or its values.
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
        try:
            self._refuse_if_closed()
            transport = self._raw._writer.transport  # noqa: SLF001
            with Reading(transport, then and (lambda results: _command(then(results)))) as reading:
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
        if isinstance(error, (OperationalError, InterfaceError)):
            _raise_if_cancelled()
            code = error.args[0] if error.args else 0
            if code in _RETRYABLE:
                raise RetryableError(str(error)) from error
            if isinstance(error, InterfaceError) or code in _AWAY:
                self.close()
                raise DatabaseAwayError(str(error)) from error
        elif isinstance(error, (OSError, TimeoutError, asyncio.IncompleteReadError, RuntimeError)):
            # uvloop raises RuntimeError for a socket that is closed.
            self.close()
            raise DatabaseAwayError(f"no answer from the database ({type(error).__name__})") from error
        elif not isinstance(error, Error) or isinstance(error, InternalError):
            self.close()

    async def rows(self, statement: Statement) -> tuple[Row, ...]:
        return (await self.run(statement))[0]

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
    parts = [content[at : at + _PACKET_MAX] for at in range(0, len(content) + 1, _PACKET_MAX)]
    return b"".join(b"%b%c%b" % (len(part).to_bytes(3, "little"), n & 255, part) for n, part in enumerate(parts))


def _packet(statements: Sequence[Statement]) -> bytes:
    return b";\n".join([s if isinstance(s, bytes) else s.encode() for s in statements])


async def connect(url: str, wait: float, *, patience: float | None = None) -> Connection:
    """A new session of its own, outside any pool, had within `patience` seconds, or `wait`. Raises UnreachableError.

    An answer may take `wait` seconds, and so may a transaction of this session say nothing.
    """
    try:
        async with asyncio.timeout(wait if patience is None else patience):
            # No time-out of aiomysql's own: its wait_for, on Python 3.11, can lose a task's cancellation.
            raw = await aiomysql.connect(**parameters(url), charset="utf8mb4", autocommit=True, connect_timeout=None)
    except (OSError, TimeoutError, OperationalError, InterfaceError) as error:
        _raise_if_cancelled()
        raise not_connected(error) from error
    connection = Connection(raw, wait if patience is None else patience)
    try:
        await connection.run(*_SESSION.format(seconds=ceil(wait)).split(";"))
    except BaseException as error:
        connection.close()
        if isinstance(error, DatabaseAwayError):
            raise UnreachableError(str(error)) from error
        raise
    connection.patience = wait
    return connection


def not_connected(error: Exception) -> UnreachableError:
    """What a failed try to connect means, in a sentence without a password."""
    code, why = (error.args[0], error.args[-1]) if error.args else (0, type(error).__name__)
    kind = RefusedError if code in _REFUSED else UnreachableError
    return kind(f"cannot connect to the database: {why}")


class Pool:
    """At most `size` sessions, made when needed; none while it is barred."""

    def __init__(self, url: str, size: int, wait: float) -> None:
        self._url = url
        self._wait = wait
        self._gate = asyncio.Semaphore(size)
        self._idle: list[Connection] = []
        self._barred = False

    def bar(self) -> None:
        """Whoever asks gets DatabaseAwayError until `unbar`."""
        self._barred = True

    def unbar(self) -> None:
        self._barred = False

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A session, autocommitting. Raises DatabaseAwayError, also when none is free in time."""
        if self._barred:
            raise DatabaseAwayError("the database was not there yet since the start")
        try:
            async with asyncio.timeout(self._wait):
                await self._gate.acquire()
        except TimeoutError:
            raise DatabaseAwayError("every database connection is busy") from None
        try:
            connection = self._take() or await connect(self._url, self._wait)
            try:
                yield connection
            except DatabaseAwayError:
                self.close()  # what broke this session has most likely broken the idle ones
                raise
            except BaseException:
                connection.close()
                raise
            if connection.closed:
                connection.close()
            else:
                self._idle.append(connection)
        finally:
            self._gate.release()

    def _take(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
            connection.close()
        return None

    async def rows(self, statement: Statement) -> tuple[Row, ...]:
        """One statement's rows."""
        return (await self.run(statement))[0]

    async def run(self, *statements: Statement) -> list[tuple[Row, ...]]:
        async with self.connection() as connection:
            return await connection.run(*statements)

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()
