"""A pool of sessions. A semaphore stands before it: aiomysql's own pool can hang when a waiter meets a closed one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.db.connection import Connection, Row, Statement, connect
from app.db.errors import DatabaseAwayError


class Pool:
    """At most `size` sessions, made when needed; none while it is barred.

    An answer may take `wait` seconds. Then whoever waits is told, and the server ends the statement by itself.
    """

    def __init__(self, url: str, size: int, wait: float) -> None:
        self._url = url
        self._wait = wait
        self._gate = asyncio.Semaphore(size)
        self._idle: list[Connection] = []
        self._barred = False
        self._closed = False

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
            connection = self._take() or await connect(self._url, self._wait, limited=True)
            try:
                yield connection
            except DatabaseAwayError:
                self._part_with_idle()  # what broke this session has most likely broken the idle ones
                raise
            except BaseException:
                connection.close()
                raise
            if connection.closed or self._closed:
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
        (rows,) = await self.run(statement)
        return rows

    async def run(self, *statements: Statement) -> list[tuple[Row, ...]]:
        async with self.connection() as connection:
            return await connection.run(*statements)

    def close(self) -> None:
        """Ends the sessions: those in use once they are given back, since a read may outlive whoever asked for it."""
        self._closed = True
        self._part_with_idle()

    def _part_with_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()
