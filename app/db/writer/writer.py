"""The writer: one per process, it commits whatever has arrived in one transaction (group commit).

Handlers wait for their own delivery only. The busier the server, the larger the batch, the cheaper each
webhook; alone, a webhook is a batch of one and waits for nothing.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable

import structlog

from app.backoff import backoff
from app.db.columns import Columns
from app.db.connection import Connection, connect
from app.db.errors import (
    BusyError,
    DatabaseAwayError,
    DuplicateKeyError,
    HeldError,
    NotCommittedError,
    PacketTooLargeError,
    PassingError,
    UnknownOutcomeError,
    UnreachableError,
    ValuesRefusedError,
)
from app.db.spool.spool import Spool, SpoolError
from app.db.writer.batch import MAX_FILES, Batch
from app.db.writer.drain import Drainer
from app.db.writer.queue import Queue, Waiting
from app.domain.delivery import Delivery, Outcome
from app.domain.event import LogEvent, Typical

log = structlog.get_logger(__name__)

# Batches that look for what is known already, after one that came upon such: what is sent twice comes in swarms.
_LOOKS = 200

# Seconds: between two looks for who has waited too long; and what a try gets however late it is.
_WATCH = 0.2
_WAIT_MIN = 0.5


# So many that fail one after the other, and none that passes: it is the database that has something.
_MANY = 8

_HELD = "the job is held by another program"


class Writer:
    """Applies deliveries. `on_commit` gets each transaction's events right after its commit.

    `budget` is how long a delivery may wait for its answer, in seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        language: str,
        typical: Typical,
        on_commit: Callable[[list[LogEvent]], None],
        batch_max: int,
        batch_max_bytes: int,
        budget: float,
        wait: float,
        pending_max: int = 10_000,
        spool: Spool | None = None,
        create_unknown: bool = False,
        max_files: int = MAX_FILES,
        spool_tries: int = 5,
    ) -> None:
        self._spool = spool
        self._spool_tries = spool_tries
        self._passed = 0
        self._failed_alone = 0
        self._create_unknown = create_unknown
        self._max_files = max_files
        self._away = False
        self._drainer: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self._url = url
        self._language = language
        self._typical = typical
        self._on_commit = on_commit
        self._batch_max = batch_max
        self._batch_max_bytes = batch_max_bytes
        self._pending_max = pending_max
        self._budget = budget
        self._wait = wait
        self._queue = Queue(batch_max, batch_max_bytes)
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._checks = 0
        self._columns = Columns()

    def start(self, *, away: bool = False) -> None:
        """`away`: everything is queued on disk until `drain`."""
        self._away = away
        self._task = asyncio.create_task(self._run(), name="writer")
        self._watching = asyncio.create_task(self._watch(), name="watch")
        if not away:
            self.drain()

    def drain(self) -> None:
        """The database is there: from now on what is on disk is applied too, then and whenever it comes back."""
        self._away = False
        if self._spool is not None:
            drainer = Drainer(
                self._spool,
                self._url,
                submit=self._submit_spooled,
                reachable=self._reachable,
                passed=lambda: self._passed,
                wait=self._wait,
                batch_max=self._batch_max,
                batch_max_bytes=self._batch_max_bytes,
                tries_max=self._spool_tries,
            )
            self._drainer = asyncio.create_task(drainer.run(), name="drainer")

    async def stop(self) -> None:
        """Commits what waits, or leaves it on disk, then ends."""
        self._stopping = True
        if self._drainer is not None:
            self._drainer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._drainer
        self._queue.close()
        if self._task is not None:
            await self._task
        self._ended.set()
        if self._watching is not None:
            await self._watching
        if self._connection is not None:
            self._connection.close()

    async def submit(self, delivery: Delivery) -> Outcome:
        """Returns once the delivery is durable: committed, or `queued` on local disk while the database is away.

        Raises DatabaseAwayError or BusyError: it is neither.
        """
        if self._stopping or len(self._queue) >= self._pending_max:
            raise BusyError
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._queue.add([Waiting(delivery, answer, time.monotonic() + self._budget)])
        if self._connection is not None:
            self._connection.look()
        return await answer

    async def _run(self) -> None:
        while True:
            batch = await self._queue.take()
            if not batch:
                return
            try:
                await self._write(batch)
            except Exception as error:
                log.exception("writer_failed", deliveries=len(batch))
                self._fail(batch, error)
            if self._nothing_passes:
                # All together, and not each at a time of its own.
                await asyncio.sleep(_pause(self._failed_alone - _MANY))

    async def _write(self, waiting: list[Waiting]) -> None:
        """Commits a batch, whatever it takes within the answers' budget; settles every future, or puts it off."""
        if self._away:
            waiting = await self._put_off(waiting, DatabaseAwayError("the database is out of reach"))
        unknown: Batch | None = None
        lost: BaseException | None = None
        tries = 0
        while waiting:
            batch = unknown or self._batch([w.delivery for w in waiting])
            try:
                connection = await self._connected(waiting)
                if batch is not unknown:
                    await batch.commit(connection)
                elif not await self._was_committed(batch, connection):
                    unknown = None
                    raise NotCommittedError(f"it was not committed: {lost}")
            except UnknownOutcomeError as error:
                log.warning("commit_outcome_unknown", deliveries=len(waiting), error=str(error.__cause__))
                unknown, lost = batch, error.__cause__
            except Exception as error:  # noqa: BLE001 - whatever it was, each sender is to get an answer
                waiting = await self._go_on(waiting, batch, error, tries, again=batch is unknown)
                tries += 1
            else:
                self._away = False
                self._failed_alone = 0
                await self._settle(waiting, batch)
                return

    async def _go_on(
        self, waiting: list[Waiting], batch: Batch, error: Exception, tries: int, *, again: bool
    ) -> list[Waiting]:
        """Who is to be tried again at once, as a batch; after a pause. Of all others is taken care.

        `again`: as this batch in any case, since it may have been committed.
        """
        if not again:
            race = _is_race(error, looked=batch.checks_duplicates)
            if isinstance(error, PassingError):
                if _is_of_batch(error, tries):
                    await self._isolate(waiting, error)
                    return []
            # A race that is lost again is one within the batch: two new jobs that are the same to the collation.
            elif not race or (tries and len(waiting) > 1):
                await self._refused(waiting, error)
                return []
            self._checks = max(self._checks, _LOOKS * race)
        waiting = await self._put_off(waiting, error)
        if waiting:
            await asyncio.sleep(_pause(tries))
        return waiting

    @property
    def _nothing_passes(self) -> bool:
        return self._failed_alone > _MANY

    async def _isolate(self, waiting: list[Waiting], error: PassingError) -> None:
        """Halves find what the database does not take now, and alone it waits, so that the others pass."""
        if len(waiting) > 1:
            middle = len(waiting) // 2
            halves = [waiting[:middle], waiting[middle:]]
            if self._nothing_passes:
                # So it is not for one of these: one way down is enough to see whether that has changed.
                random.shuffle(halves)
                await self._later_if_possible(halves.pop(), BusyError("nothing passes at the moment"))
            await self._write_in_time(halves, error)
            return
        delivery = waiting[0].delivery
        if isinstance(error, PacketTooLargeError) and not delivery.payload_omitted:
            delivery.payload_omitted = True
            await self._write(waiting)
            return
        self._failed_alone += 1
        delivery.payload_omitted = False
        if isinstance(error, PacketTooLargeError) and self._connection is not None:
            self._connection.close()  # the next session asks anew how much the server takes
        log.warning("webhook_not_written", webhook_id=delivery.id, error=str(error))
        await self._later_if_possible(waiting, error)

    async def _write_in_time(self, halves: list[list[Waiting]], error: Exception) -> None:
        """Who has waited for as long as he may goes to the disk untried: it need not be his that takes so long."""
        for half in halves:
            await self._write(await self._put_off(half, BusyError(f"it was late because of another: {error}")))

    async def _later_if_possible(self, waiting: list[Waiting], error: PassingError) -> None:
        """Those that may still wait are tried again after a while. What is on disk is for the drainer to try."""
        self._fail([w for w in waiting if w.spooled], error)
        kept = await self._put_off([w for w in waiting if not w.spooled], error)
        not_before = time.monotonic() + _pause(kept[0].tries) if kept and not self._nothing_passes else 0.0
        for w in kept:
            w.not_before, w.why = not_before, error
            w.tries += 1
        self._queue.add_later(kept)

    def _batch(self, deliveries: list[Delivery]) -> Batch:
        checks_duplicates = self._checks > 0
        self._checks -= checks_duplicates
        return Batch(
            deliveries,
            self._language,
            self._typical,
            create_unknown=self._create_unknown,
            checks_duplicates=checks_duplicates,
            max_files=self._max_files,
            columns=self._columns,
        )

    async def _connected(self, waiting: list[Waiting]) -> Connection:
        """The session, which waits for nothing longer than the first of these may."""
        wait = min(self._wait, max(min(w.deadline for w in waiting) - time.monotonic(), _WAIT_MIN))
        if self._connection is None or self._connection.closed:
            if self._connection is not None:
                self._connection.close()
            self._connection = await connect(self._url, self._wait, patience=wait)
        self._connection.patience = wait
        return self._connection

    async def _was_committed(self, batch: Batch, connection: Connection) -> bool:
        committed = await batch.was_committed(connection)
        batch.events.clear()  # their ids are not known here: the follower reads them from the log
        return committed

    async def _refused(self, waiting: list[Waiting], error: Exception) -> None:
        """One update must not fail the others: halves find it, and alone it becomes a dead letter."""
        if len(waiting) > 1:
            middle = len(waiting) // 2
            await self._write_in_time([waiting[:middle], waiting[middle:]], error)
            return
        if waiting[0].delivery.failure is None and await self._fits_now(error):
            await self._write(waiting)
            return
        delivery = waiting[0].delivery
        log.warning("webhook_refused", webhook_id=delivery.id, error=str(error))
        if delivery.failure is not None:
            # Not even that can be recorded (a full disk, a right taken away): it is for later, from its beginning.
            if delivery.update is not None:
                delivery.failure = None
            await self._queue_on_disk([w for w in waiting if not w.spooled], BusyError(str(error)))
            self._fail([w for w in waiting if w.spooled], error)
            return
        conflict = isinstance(error, DuplicateKeyError)
        reason = str(error) if isinstance(error, ValuesRefusedError) else f"{type(error).__name__}: {error}"
        delivery.failure = ("key_conflict" if conflict else "apply_failed", reason)
        await self._write(waiting)

    async def _fits_now(self, error: Exception) -> bool:
        """Whether a column refused what only describes, and may take it as we know the column now."""
        try:
            return self._connection is not None and await self._columns.learn(self._connection, error)
        except PassingError:
            return True  # the next try tells what is to be done about that

    async def _settle(self, waiting: list[Waiting], batch: Batch) -> None:
        if batch.events:
            self._on_commit(batch.events)
        held = {d.id for d in batch.held}
        self._passed += len(waiting) - len(held)
        later = [w for w in waiting if w.delivery.id in held]
        for w in waiting:
            if w.delivery.id not in held and not w.answer.done():
                w.answer.set_result(batch.outcomes[w.delivery.id])
        # Together: two webhooks of a job must not change places.
        kept = await self._put_off(later, HeldError(_HELD))
        not_before = time.monotonic() + _pause(later[0].tries) if later else 0.0
        for w in kept:
            w.not_before, w.why = not_before, HeldError(_HELD)
            w.tries += 1
        self._queue.add_later(kept)

    async def _watch(self) -> None:
        """Lets nobody wait longer than he may behind a batch that the database does not answer."""
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(_WATCH, self._budget / 4)):
                    await self._ended.wait()
            late = self._queue.take_overdue(time.monotonic())
            silent = BusyError("the database did not answer in time")
            try:
                for why in {w.why for w in late}:
                    await self._put_off([w for w in late if w.why is why], why or silent)
            except Exception as error:
                log.exception("watch_failed", deliveries=len(late))
                self._fail(late, error)

    async def _put_off(self, waiting: list[Waiting], error: Exception) -> list[Waiting]:
        """Those that may still wait for the database. The others are queued on disk, or get the error.

        Who waits for an answer gets DatabaseAwayError or BusyError; the drainer gets the error as it is.

        Nobody waits for a database that lets nobody in.
        """
        if isinstance(error, UnreachableError):
            self._away = True
        at = time.monotonic()
        over = [w for w in waiting if w.deadline <= at or (self._away and self._spool is not None)]
        why = error if isinstance(error, (DatabaseAwayError, BusyError)) else BusyError(str(error))
        await self._queue_on_disk([w for w in over if not w.spooled], why)
        self._fail([w for w in over if w.spooled], error)
        gone = set(map(id, over))
        return [w for w in waiting if id(w) not in gone]

    async def _queue_on_disk(self, waiting: list[Waiting], error: Exception) -> None:
        if self._spool is None:
            self._fail(waiting, error)
            return
        if not waiting:
            return
        for w in waiting:
            w.delivery.redelivered = True
        try:
            await self._spool.put([w.delivery for w in waiting])
        except SpoolError as broken:
            log.exception("spool_failed", deliveries=len(waiting))
            self._fail(waiting, BusyError(str(broken)))
            return
        for w in waiting:
            if not w.answer.done():
                w.answer.set_result(Outcome("queued", w.delivery.id))

    async def _reachable(self) -> bool:
        if self._away:
            try:
                connection = await connect(self._url, self._wait)
            except DatabaseAwayError:
                return False
            connection.close()
            self._away = False
        return True

    def _submit_spooled(self, deliveries: list[Delivery]) -> list[asyncio.Future[Outcome]]:
        loop = asyncio.get_running_loop()
        deadline = time.monotonic() + self._budget
        waiting = [Waiting(delivery, loop.create_future(), deadline, spooled=True) for delivery in deliveries]
        for w in waiting:
            w.answer.add_done_callback(asyncio.Future.exception)  # the drainer may have left at the end
        self._queue.add(waiting)
        return [w.answer for w in waiting]

    def _fail(self, waiting: list[Waiting], error: Exception) -> None:
        for w in waiting:
            if not w.answer.done():
                w.answer.set_exception(error)


def _pause(tries: int) -> float:
    """Seconds: from 5 ms to half a second, spread so that two writers part."""
    return backoff(tries + 1, 0.005, 0.5, jitter=0.5)


def _is_of_batch(error: PassingError, tries: int) -> bool:
    """Whether it may be for what is in the batch. What may pass by itself is tried once more with all of it before."""
    return error.may_be_own and (tries > 0 or isinstance(error, (NotCommittedError, PacketTooLargeError)))


def _is_race(error: Exception, *, looked: bool) -> bool:
    """Whether the same webhook, job or file was recorded, unknown to this try: the next one looks and sees it.

    A file's key that is refused although it was looked for is one of two that are the same to the collation.
    """
    keys = ("rushes_webhooks_dedup", "PRIMARY") if looked else ("rushes_webhooks_dedup", "PRIMARY", "_s3Key_key")
    return isinstance(error, DuplicateKeyError) and error.is_of(*keys)
