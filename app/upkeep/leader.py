"""One process at a time: a lock in the database, for work that needs to be done by one process only.

Two that lead for a moment, after a connection was lost, do no harm: what they do is made for it.
"""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable

import structlog

from app.backoff import backoff, jittered
from app.db.connection import Connection, connect
from app.db.errors import PassingError
from app.db.sql import bind
from app.db.url import parameters

log = structlog.get_logger(__name__)

# Seconds: how long the end of a process may go unnoticed by the others, and how long a retry may take.
_LOOK = 2.0
_RETRY_MIN, _RETRY_MAX = 5.0, 60.0
_JITTER = 0.1

_NAME_MAX = 64

# A leader whose machine has vanished says nothing more: then its session, and with it the lock, ends by itself.
_SESSION = "SET SESSION wait_timeout = 60"

# The database counts how often the holder asks for its lock, so we ask only while it is not ours.
_TAKE = "SELECT IF(IS_USED_LOCK(%s) = CONNECTION_ID(), 1, GET_LOCK(%s, 0))"


class Leader:
    """Leads as long as a session of its own holds the lock, which the server frees when that session ends."""

    def __init__(self, url: str, *, wait: float = 10.0) -> None:
        self._url = url
        self._wait = wait
        self._name = _lock_name(parameters(url)["db"])
        self._connection: Connection | None = None
        self._asking = asyncio.Lock()

    async def leads(self) -> bool:
        """Whether this process leads now; it does from now on when nobody did. False while the database is away."""
        async with self._asking:
            try:
                if self._connection is None or self._connection.closed:
                    self.close()
                    self._connection = await connect(self._url, self._wait)
                    await self._connection.run(_SESSION)
                ((taken,),) = await self._connection.rows(bind(_TAKE, self._name, self._name))
            except PassingError:
                self.close()
                return False
            return bool(taken)

    async def repeat(self, what: str, step: Callable[[], Awaitable[None]], every: float) -> None:
        """Runs `step` every so many seconds, in the process that leads, until cancelled.

        What it raises is logged once, and waited out with longer and longer pauses.
        """
        due, failures = 0.0, 0
        while True:
            pause = every
            try:
                if await self.leads() and time.monotonic() >= due:
                    await step()
                    due = time.monotonic() + jittered(every, _JITTER)
                    failures = 0
            except Exception as error:
                if not failures:
                    known = isinstance(error, PassingError)
                    log.warning("background_work_failed", what=what, error=str(error), exc_info=not known)
                failures += 1
                longest = min(max(every, _RETRY_MIN), _RETRY_MAX)
                pause = backoff(failures, min(every, 1.0), longest, jitter=_JITTER)
                due = time.monotonic() + pause
            await asyncio.sleep(min(pause, _LOOK))

    def close(self) -> None:
        """Leads no more."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _lock_name(database: str) -> str:
    """Locks are the server's, not the database's; their names are short, and case-insensitive."""
    digest = hashlib.blake2b(database.encode(), digest_size=8).hexdigest()
    return f"rushes {digest} {database}"[:_NAME_MAX]
