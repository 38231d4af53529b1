"""The writer: one per process, it commits whatever has arrived in one transaction (group commit).

Handlers wait for their own delivery only. The busier the server, the larger the batch, the cheaper each
webhook; alone, a webhook is a batch of one and waits for nothing.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterable

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
from app.db.people import Reference
from app.db.spool.spool import Spool
from app.db.writer.batch import MAX_FILES, Batch
from app.db.writer.outage import Outage
from app.db.writer.queue import Queue, Waiting
from app.domain.delivery import Delivery, Outcome
from app.domain.estimate import Estimates
from app.domain.event import LogEvent

log = structlog.get_logger(__name__)

# Batches that look for what is known already, after one that came upon such: what is sent twice comes in swarms.
_LOOKS = 200

# Seconds that a try gets however late it is.
_WAIT_MIN = 0.5

# So many that fail one after the other, and none that passes: it is the database that has something.
_MANY = 8


class Writer:
    """Applies deliveries. `on_commit` gets each transaction's events right after its commit, `recorded` the outcomes of
    its deliveries.

    `budget` is how long a delivery may wait for its answer, in seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        language: str,
        estimates: Estimates,
        on_commit: Callable[[list[LogEvent]], None],
        batch_max: int,
        batch_max_bytes: int,
        budget: float,
        wait: float,
        pending_max: int = 10_000,
        spool: Spool | None = None,
        create_unknown: bool = False,
        users: Reference | None = None,
        max_files: int = MAX_FILES,
        spool_tries: int = 5,
        recorded: Callable[[Iterable[str]], None] = lambda _outcomes: None,
    ) -> None:
        self._url = url
        self._language = language
        self._estimates = estimates
        self._on_commit = on_commit
        self._recorded = recorded
        self._wait = wait
        self._pending_max = pending_max
        self._create_unknown = create_unknown
        self._users = users
        self._max_files = max_files
        self._queue = Queue(batch_max, batch_max_bytes, budget)
        self._outage = Outage(url, self._queue, spool, wait=wait, spool_tries=spool_tries, passed=lambda: self._passed)
        self._connection: Connection | None = None
        self._columns = Columns()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._passed = 0
        self._failed_solo = 0
        self._checks = 0

    def start(self, *, away: bool = False) -> None:
        """`away`: everything is queued on disk until `drain`."""
        self._outage.away = away
        self._task = asyncio.create_task(self._run(), name="writer")
        self._outage.watch()
        if not away:
            self.drain()

    def drain(self) -> None:
        """The database is there: from now on what is on disk is applied too, then and whenever it comes back."""
        self._outage.drain()

    async def stop(self) -> None:
        """Commits what waits, or leaves it on disk, then ends."""
        self._stopping = True
        await self._outage.stop_draining()
        self._queue.close()
        if self._task is not None:
            await self._task
        await self._outage.stop_watching()
        if self._connection is not None:
            self._connection.close()

    async def submit(self, delivery: Delivery) -> Outcome:
        """Returns once the delivery is durable: committed, or `queued` on local disk while the database is away.

        Raises DatabaseAwayError or BusyError: it is neither.
        """
        if self._stopping or len(self._queue) >= self._pending_max:
            raise BusyError
        (answer,) = self._queue.put([delivery])
        self._send_on()
        return await answer

    def _send_on(self) -> None:
        """If the database has answered what the batch under way has read, that one is decided and sent here and now.

        The loop reads sockets once a turn, and under load dozens of handlers have theirs first, each of which comes by
        here: until then the batch's jobs would stay locked, and the database have nothing to do. So a handler may do
        another webhook's work, and a few milliseconds of it; never meet its errors, which the writer's task gets.
        """
        if self._connection is not None:
            self._connection.look()

    async def _run(self) -> None:
        while True:
            batch = await self._queue.take()
            if not batch:
                return
            try:
                await self._write(batch)
            except Exception as error:
                log.exception("writer_failed", deliveries=len(batch))
                for w in batch:
                    w.fail(error)
            if self._nothing_passes:
                # All together, and not each at a time of its own.
                await asyncio.sleep(_pause(self._failed_solo - _MANY))

    async def _write(self, waiting: list[Waiting]) -> None:
        """Commits a batch, whatever it takes within the answers' budget; settles every future, or puts it off."""
        if self._outage.away:
            waiting, over = self._outage.part(waiting)
            await self._outage.put_off(over, DatabaseAwayError("the database is out of reach"))
        unknown: Batch | None = None
        lost: BaseException | None = None
        tries = 0
        while waiting:
            batch = unknown or self._batch([w.delivery for w in waiting])
            try:
                connection = await self._connected(waiting)
                if batch is not unknown:
                    await batch.commit(connection)
                elif not await batch.was_committed(connection):
                    unknown = None
                    raise NotCommittedError(f"it was not committed: {lost}")
            except UnknownOutcomeError as error:
                log.warning("commit_outcome_unknown", deliveries=len(waiting), error=str(error.__cause__))
                unknown, lost = batch, error.__cause__
            except Exception as error:  # noqa: BLE001 - whatever it was, each sender is to get an answer
                waiting = await self._go_on(waiting, batch, error, tries, again=batch is unknown)
                tries += 1
            else:
                self._outage.away = False
                self._failed_solo = 0
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
                    await (self._halve(waiting, error) if len(waiting) > 1 else self._fail_solo(waiting[0], error))
                    return []
            # A race that is lost again is one within the batch: two new jobs that are the same to the collation.
            elif not race or (tries and len(waiting) > 1):
                await (self._halve(waiting, error) if len(waiting) > 1 else self._refuse_solo(waiting[0], error))
                return []
            self._checks = max(self._checks, _LOOKS * race)
        if isinstance(error, UnreachableError):
            self._outage.away = True
        waiting, over = self._outage.part(waiting)
        await self._outage.put_off(over, error)
        if waiting:
            await asyncio.sleep(_pause(tries))
        return waiting

    @property
    def _nothing_passes(self) -> bool:
        return self._failed_solo > _MANY

    async def _halve(self, waiting: list[Waiting], error: Exception) -> None:
        """One must not fail the others: halves find it, and solo it fails by itself."""
        middle = len(waiting) // 2
        halves = [waiting[:middle], waiting[middle:]]
        if self._nothing_passes and isinstance(error, PassingError):
            # So it is not for one of these: one way down is enough to see whether that has changed.
            random.shuffle(halves)
            await self._try_later(halves.pop(), BusyError("nothing passes at the moment"))
        for half in halves:
            # Who has waited for as long as he may goes to the disk untried: it need not be his that takes so long.
            in_time, late = self._outage.part(half)
            await self._outage.put_off(late, BusyError(f"it was late because of another: {error}"))
            await self._write(in_time)

    async def _fail_solo(self, solo: Waiting, error: PassingError) -> None:
        """What the database does not take now waits, so that the others pass."""
        delivery = solo.delivery
        too_large = isinstance(error, PacketTooLargeError)
        if too_large and not delivery.payload_omitted:
            delivery.payload_omitted = True
            await self._write([solo])
            return
        self._failed_solo += 1
        delivery.payload_omitted = False
        if too_large and self._connection is not None:
            self._connection.close()  # the next session asks anew how much the server takes
        log.warning("webhook_not_written", webhook_id=delivery.id, error=str(error))
        await self._try_later([solo], error)

    async def _refuse_solo(self, solo: Waiting, error: Exception) -> None:
        """What the database will never take, or our own code stumbles over, becomes a dead letter."""
        delivery = solo.delivery
        if delivery.failure is None and await self._fits_now(error):
            await self._write([solo])
            return
        log.warning("webhook_refused", webhook_id=delivery.id, error=str(error))
        if delivery.failure is not None:
            # Not even that can be recorded (a full disk, a right taken away): it is for later, from its beginning.
            if delivery.update is not None:
                delivery.failure = None
            await self._outage.put_off([solo], error)
            return
        conflict = isinstance(error, DuplicateKeyError)
        reason = str(error) if isinstance(error, ValuesRefusedError) else f"{type(error).__name__}: {error}"
        delivery.failure = ("key_conflict" if conflict else "apply_failed", reason)
        await self._write([solo])

    async def _try_later(self, waiting: list[Waiting], error: PassingError) -> None:
        """Those that may still wait are tried again after a while. What is on disk is for the drainer to try."""
        kept, over = self._outage.part(waiting)
        later = [w for w in kept if not w.spooled]
        await self._outage.put_off([*over, *(w for w in kept if w.spooled)], error)
        if later:
            self._queue.put_back(later, 0.0 if self._nothing_passes else _pause(later[0].tries), error)

    def _batch(self, deliveries: list[Delivery]) -> Batch:
        checks_duplicates = self._checks > 0
        self._checks -= checks_duplicates
        return Batch(
            deliveries,
            self._language,
            self._estimates,
            create_unknown=self._create_unknown,
            users=self._users,
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
        settled = [(w, batch.outcomes[w.delivery.id]) for w in waiting if w.delivery.id not in held]
        self._recorded(outcome.kind for _, outcome in settled)
        for w, outcome in settled:
            w.settle(outcome)
        if held:
            error = HeldError("the job is held by another program")
            later, over = self._outage.part([w for w in waiting if w.delivery.id in held])
            await self._outage.put_off(over, error)
            if later:
                self._queue.put_back(later, _pause(later[0].tries), error)


def _pause(tries: int) -> float:
    """Seconds: from 5 ms to half a second, spread so that two writers part."""
    return backoff(tries + 1, 0.005, 0.5, jitter=0.5)


def _is_of_batch(error: PassingError, tries: int) -> bool:
    """Whether it may be for what is in the batch. What passes by itself is tried once more with all of it before."""
    return error.may_be_own and (tries > 0 or isinstance(error, (NotCommittedError, PacketTooLargeError)))


def _is_race(error: Exception, *, looked: bool) -> bool:
    """Whether the same webhook, job or file was recorded, unknown to this try: the next one looks and sees it.

    A file's key that is refused although it was looked for is one of two that are the same to the collation.
    """
    keys = ("rushes_webhooks_dedup", "PRIMARY") if looked else ("rushes_webhooks_dedup", "PRIMARY", "_s3Key_key")
    return isinstance(error, DuplicateKeyError) and error.is_of(*keys)
