"""Readiness: the server takes webhooks from its first moment, and the rest begins once the database can be used.

After a power cut the database may need longer than we do. So it is waited for, beside the server, as long as it takes.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from app.db import migrate
from app.db.errors import (
    NotMigratedError,
    NotWritableError,
    PassingError,
    RefusedError,
    RetryableError,
    TableGoneError,
    UnfitError,
)
from app.db.health import Health, examine
from app.db.pool import Pool

log = structlog.get_logger(__name__)

AWAY = "out of reach"

_EVERY = 0.5
# A database that says nothing for so long is away: the start waits for the first look, and senders for the start.
_SILENCE = 2.0


class Readiness:
    """Bars `pool` until the database answers, lets us in, has our tables and would let us write to them.

    `opened` is set from then on; until then `why` says what is missing, in words that anybody may read, and `logged` in
    those of the log. `health` tells whether it stays so.
    """

    def __init__(self, url: str, pool: Pool, *, wait: float, may_migrate: bool) -> None:
        self.opened = asyncio.Event()
        self.why: str | None = AWAY
        self.logged: str | None = None
        self.health = Health(url, min(wait, _SILENCE))
        self._url = url
        self._pool = pool
        self._wait = min(wait, _SILENCE)
        self._may_migrate = may_migrate
        self._tried: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        pool.bar()

    async def start(self, begin: Callable[[], Awaitable[None]]) -> None:
        """Tries at once, then beside the server until it works: then `begin` is called and the pool is open.

        Returns after the first try. Raises RefusedError or NotMigratedError when the database is there and waiting
        would not help: whoever started us is still looking.
        """
        self._tried = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(begin), name="readiness")
        try:
            await self._tried
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Ends the waiting, if it goes on."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, begin: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await self._open(begin)
                break
            except Exception as error:
                self.why = why(error)
                if not self._settle(error) and str(error) != self.logged:
                    log.warning("database_not_usable", error=str(error), exc_info=not isinstance(error, PassingError))
                    self.logged = str(error)
            await asyncio.sleep(_EVERY)
        self._settle(None)
        if self.logged is not None:
            log.info("database_usable")

    def _settle(self, error: Exception | None) -> bool:
        """Ends the start, which may still be waiting; whether it was given the error."""
        if self._tried is None or self._tried.done():
            return False
        if isinstance(error, (RefusedError, NotMigratedError)):
            self._tried.set_exception(error)
            return True
        self._tried.set_result(None)
        return False

    async def _open(self, begin: Callable[[], Awaitable[None]]) -> None:
        try:
            await self._migrated()
            await self._fit()
        except RetryableError as error:
            if error.lacks_right:
                raise RefusedError(f"the database refuses us: {error.sentence}") from error
            raise
        await begin()
        self._pool.unbar()
        self.why = None
        self.opened.set()

    async def _fit(self) -> None:
        """One that only cannot be written to for now is opened: it can be read, and webhooks are queued."""
        try:
            await examine(self._url, self._wait)
        except NotWritableError as error:
            log.warning("database_cannot_be_written_to", error=str(error))

    async def _migrated(self) -> None:
        """Development brings its database up to date by itself; in production that is a step of the deployment."""
        lacking = await migrate.pending(self._url, self._wait)
        if not lacking:
            return
        if not self._may_migrate:
            raise NotMigratedError(f"the database lacks {len(lacking)} migrations; run `rushes migrate` first.")
        report = await asyncio.to_thread(migrate.apply, self._url)
        log.info("migrated", applied=len(report.applied))


def why(error: Exception) -> str:
    """What is the matter with the database, in words that anybody may read."""
    match error:
        case UnfitError() | TableGoneError():
            return str(error)
        case NotMigratedError():
            return "not migrated: run `rushes migrate`"
        case NotWritableError():
            return "cannot be written to"
        case RefusedError():
            return "refuses this server: its log says why"
    return AWAY
