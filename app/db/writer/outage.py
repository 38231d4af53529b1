"""What happens while the database is away, or does not answer in time: webhooks wait on the local disk.

Nobody waits for the database longer than he may (the queue's budget), and nobody at all for one that lets nobody in.
Whose wait is over is put off: to the disk, which his sender is told, or, where there is no disk or it fails, to another
time of the sender's. What is on disk comes back through the drainer, which hands it in like any other delivery.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable

import structlog

from app.db.connection import connect
from app.db.errors import BusyError, DatabaseAwayError
from app.db.spool.spool import Spool, SpoolError
from app.db.writer.drain import Drainer
from app.db.writer.queue import Queue, Waiting
from app.domain.delivery import Outcome

log = structlog.get_logger(__name__)

# Seconds, at most, between two looks for who has waited too long.
_WATCH = 0.2


class Outage:
    """Of the database behind `url`, as one writer meets it.

    `away`: it lets nobody in. The writer says so when it is refused, and takes it back with each commit; the drainer
    looks when it is over. `passed` counts what the writer has committed, and after `spool_tries` failures of its own a
    webhook is set aside.
    """

    def __init__(
        self, url: str, queue: Queue, spool: Spool | None, *, wait: float, spool_tries: int, passed: Callable[[], int]
    ) -> None:
        self.away = False
        self._url = url
        self._queue = queue
        self._spool = spool
        self._wait = wait
        self._spool_tries = spool_tries
        self._passed = passed
        self._drainer: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()

    def watch(self) -> None:
        """From now on nobody waits in the queue for longer than he may."""
        self._watching = asyncio.create_task(self._watch(), name="watch")

    def drain(self) -> None:
        """The database is there: from now on what is on disk is applied too, then and whenever it comes back."""
        self.away = False
        if self._spool is not None:
            drainer = Drainer(
                self._url,
                self._queue,
                self._spool,
                wait=self._wait,
                tries_max=self._spool_tries,
                passed=self._passed,
                reachable=self._reachable,
            )
            self._drainer = asyncio.create_task(drainer.run(), name="drainer")

    async def stop_draining(self) -> None:
        if self._drainer is not None:
            self._drainer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._drainer

    async def stop_watching(self) -> None:
        self._ended.set()
        if self._watching is not None:
            await self._watching

    def part(self, waiting: list[Waiting]) -> tuple[list[Waiting], list[Waiting]]:
        """(who may still wait for the database, whose wait is over)."""
        if self.away and self._spool is not None:
            return [], waiting
        at = time.monotonic()
        return [w for w in waiting if w.deadline > at], [w for w in waiting if w.deadline <= at]

    async def put_off(self, waiting: list[Waiting], error: Exception) -> None:
        """Ends their wait: those that are not on disk yet are put there.

        Whoever cannot be gets DatabaseAwayError or BusyError, and so does whoever tries one again that the database
        has: he is to be written down with it. What is on disk already stays there, and the drainer gets the error as it
        is.
        """
        why = error if isinstance(error, (DatabaseAwayError, BusyError)) else BusyError(str(error))
        for w in waiting:
            if w.spooled:
                w.fail(error)
            elif w.delivery.act is not None:
                w.fail(why)
        new = [w for w in waiting if not w.spooled and w.delivery.act is None]
        if new:
            await self._put_on_disk(new, why)

    async def _put_on_disk(self, waiting: list[Waiting], error: Exception) -> None:
        if self._spool is None:
            for w in waiting:
                w.fail(error)
            return
        for w in waiting:
            w.delivery.redelivered = True
        try:
            await self._spool.put([w.delivery for w in waiting])
        except SpoolError as broken:
            log.exception("spool_failed", deliveries=len(waiting))
            for w in waiting:
                w.fail(BusyError(str(broken)))
            return
        for w in waiting:
            w.settle(Outcome("queued", w.delivery.id))

    async def _watch(self) -> None:
        """The writer's task may be held up by a batch that the database does not answer."""
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(_WATCH, self._queue.budget / 4)):
                    await self._ended.wait()
            late = self._queue.take_overdue()
            silent = BusyError("the database did not answer in time")
            try:
                for why in {w.why for w in late}:
                    await self.put_off([w for w in late if w.why is why], why or silent)
            except Exception as error:
                log.exception("watch_failed", deliveries=len(late))
                for w in late:
                    w.fail(error)

    async def _reachable(self) -> bool:
        if self.away:
            try:
                connection = await connect(self._url, self._wait)
            except DatabaseAwayError:
                return False
            connection.close()
            self.away = False
        return True
