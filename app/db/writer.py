"""The writer: one per process, it commits whatever has arrived in one transaction (group commit).

Handlers wait for their own delivery only. The busier the server, the larger the batch, the cheaper each
webhook; alone, a webhook is a batch of one and waits for nothing.
"""

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from pymysql.constants import ER
from pymysql.err import Error, IntegrityError

from app.db.connection import Connection, connect
from app.db.errors import BusyError, DatabaseAwayError, HeldError, RetryableError, UnreachableError
from app.db.spool import Spool, SpoolError
from app.db.transaction import Batch, UnknownOutcomeError
from app.db.webhooks import Delivery, Outcome
from app.wire import LogEvent, Typical

log = structlog.get_logger(__name__)

# Batches that look for what is known already, after one that came upon such: what is sent twice comes in swarms.
_LOOKS = 200

# Seconds: between two looks for who has waited too long; what a try gets however late it is; and between two looks
# whether the database is back.
_WATCH = 0.2
_WAIT_MIN = 0.5
_PROBE = 0.5


_HELD = "the job is held by another program"


@dataclass(slots=True, eq=False)
class _Waiting:
    """`spooled`: it is on the local disk already, and stays there when this try fails."""

    delivery: Delivery
    answer: asyncio.Future[Outcome]
    deadline: float
    spooled: bool = False
    not_before: float = 0.0
    tries: int = 0


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
    ) -> None:
        self._spool = spool
        self._create_unknown = create_unknown
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
        self._queue: deque[_Waiting] = deque()
        self._locked: list[_Waiting] = []
        self._arrived = asyncio.Event()
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._looks = 0

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
            self._drainer = asyncio.create_task(self._drain(self._spool), name="drainer")

    async def stop(self) -> None:
        """Commits what waits, or leaves it on disk, then ends."""
        self._stopping = True
        if self._drainer is not None:
            self._drainer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._drainer
        self._arrived.set()
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
        if self._stopping or len(self._queue) + len(self._locked) >= self._pending_max:
            raise BusyError
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(delivery, answer, time.monotonic() + self._budget))
        self._arrived.set()
        if self._connection is not None:
            self._connection.look()
        return await answer

    async def _run(self) -> None:
        while True:
            batch = await self._take()
            if not batch:
                return
            try:
                await self._write(batch)
            except Exception as error:
                log.exception("writer_failed", deliveries=len(batch))
                self._fail(batch, error)

    async def _take(self) -> list[_Waiting]:
        """The next batch: what has arrived, or jobs that were held and may be free now. Empty at the end."""
        while True:
            due = self._due()
            if due:
                return due
            if self._queue:
                return self._next()
            if self._stopping and not self._locked:
                return []
            self._arrived.clear()
            wait = None
            if self._locked:
                wait = max(0.0, min(w.not_before for w in self._locked) - time.monotonic())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._arrived.wait()

    def _next(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size = 0
        while self._queue and len(batch) < self._batch_max:
            size += len(self._queue[0].delivery.body)
            if batch and size > self._batch_max_bytes:
                break
            batch.append(self._queue.popleft())
        return batch

    def _due(self) -> list[_Waiting]:
        if not self._locked:
            return []
        at = time.monotonic()
        due = [w for w in self._locked if w.not_before <= at][: self._batch_max]
        taken = set(map(id, due))
        self._locked = [w for w in self._locked if id(w) not in taken]
        return due

    async def _write(self, waiting: list[_Waiting]) -> None:
        """Commits a batch, whatever it takes within the answers' budget; settles every future."""
        if self._away:
            waiting = await self._put_off(waiting, DatabaseAwayError("the database is out of reach"))
        unknown: Batch | None = None
        tries = 0
        while waiting:
            batch = unknown or self._batch([w.delivery for w in waiting])
            try:
                connection = await self._connected(waiting)
                if batch is not unknown:
                    await batch.commit(connection)
                elif not await self._was_committed(batch, connection):
                    unknown = None
                    raise DatabaseAwayError("the connection was lost before the commit")
            except UnknownOutcomeError:
                log.warning("commit_outcome_unknown", deliveries=len(waiting))
                unknown = batch
            except Exception as error:  # noqa: BLE001 - whatever it was, each sender is to get an answer
                race = _is_race(error, looked=batch.looks)
                passes = race or isinstance(error, (RetryableError, DatabaseAwayError))
                # A race that is lost again is one within the batch: two new jobs that are the same to the collation.
                if not passes or (tries and race and len(waiting) > 1):
                    await self._refused(waiting, error)
                    return
                self._looks = max(self._looks, _LOOKS * race)
                told = error if isinstance(error, DatabaseAwayError) else BusyError(str(error))
                waiting = await self._put_off(waiting, told)
                if waiting:
                    await asyncio.sleep(_backoff(tries))
                tries += 1
            else:
                self._away = False
                await self._settle(waiting, batch)
                return

    def _batch(self, deliveries: list[Delivery]) -> Batch:
        looks = self._looks > 0
        self._looks -= looks
        return Batch(deliveries, self._language, self._typical, create_unknown=self._create_unknown, looks=looks)

    async def _connected(self, waiting: list[_Waiting]) -> Connection:
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

    async def _refused(self, waiting: list[_Waiting], error: Exception) -> None:
        """One update must not fail the others: halves find it, and alone it becomes a dead letter."""
        if len(waiting) > 1:
            middle = len(waiting) // 2
            await self._write(waiting[:middle])
            await self._write(waiting[middle:])
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
        conflict = isinstance(error, IntegrityError) and error.args[0] == ER.DUP_ENTRY
        reason = str(error.args[-1]) if isinstance(error, Error) else f"{type(error).__name__}: {error}"
        delivery.failure = ("key_conflict" if conflict else "apply_failed", reason)
        await self._write(waiting)

    async def _settle(self, waiting: list[_Waiting], batch: Batch) -> None:
        if batch.events:
            self._on_commit(batch.events)
        held = {d.id for d in batch.locked}
        # One time for all: two webhooks of a job must not change places.
        not_before = time.monotonic() + _backoff(waiting[0].tries) if held else 0.0
        for w in waiting:
            if w.delivery.id not in held:
                if not w.answer.done():
                    w.answer.set_result(batch.outcomes[w.delivery.id])
                continue
            if await self._put_off([w], HeldError(_HELD)):
                w.not_before = not_before
                w.tries += 1
                self._locked.append(w)

    async def _watch(self) -> None:
        """Lets nobody wait longer than he may behind a batch that the database does not answer."""
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(_WATCH, self._budget / 4)):
                    await self._ended.wait()
            at = time.monotonic()
            late = [w for w in self._queue if w.deadline <= at]
            held = [w for w in self._locked if w.deadline <= at]
            if late:
                self._queue = deque(w for w in self._queue if w.deadline > at)
            if held:
                self._locked = [w for w in self._locked if w.deadline > at]
            try:
                await self._put_off(late, BusyError("the database did not answer in time"))
                await self._put_off(held, HeldError(_HELD))
            except Exception as error:
                log.exception("watch_failed", deliveries=len(late) + len(held))
                self._fail(late + held, error)

    async def _put_off(self, waiting: list[_Waiting], error: Exception) -> list[_Waiting]:
        """Those that may still wait for the database. The others are queued on disk, or get the error.

        Nobody waits for a database that lets nobody in.
        """
        if isinstance(error, UnreachableError):
            self._away = True
        at = time.monotonic()
        over = [w for w in waiting if w.deadline <= at or (self._away and self._spool is not None)]
        await self._queue_on_disk([w for w in over if not w.spooled], error)
        self._fail([w for w in over if w.spooled], error)
        gone = set(map(id, over))
        return [w for w in waiting if id(w) not in gone]

    async def _queue_on_disk(self, waiting: list[_Waiting], error: Exception) -> None:
        if self._spool is None:
            self._fail(waiting, error)
            return
        if not waiting:
            return
        for w in waiting:
            w.delivery.again = True
        try:
            await self._spool.put([w.delivery for w in waiting])
        except SpoolError as broken:
            log.exception("spool_failed", deliveries=len(waiting))
            self._fail(waiting, BusyError(str(broken)))
            return
        for w in waiting:
            if not w.answer.done():
                w.answer.set_result(Outcome("queued", w.delivery.id))

    async def _drain(self, spool: Spool) -> None:
        """Applies what is on disk as soon as the database is back, in order, while new webhooks keep coming."""
        while True:
            await asyncio.sleep(_PROBE)
            try:
                await spool.adopt()
                held: set[str] = set()
                while await self._reachable() and spool.pending:
                    if not await self._drain_some(spool, held):
                        break
            except Exception as error:  # noqa: BLE001 - whatever it was, what is on disk must get to the database
                log.warning("drain_failed", error=str(error))

    async def _reachable(self) -> bool:
        if self._away:
            try:
                connection = await connect(self._url, self._wait)
            except DatabaseAwayError:
                return False
            connection.close()
            self._away = False
        return True

    async def _drain_some(self, spool: Spool, held: set[str]) -> bool:
        """Tries the oldest but those in `held`; whether to go on. `held` gets those whose job somebody else holds:
        they must not keep the others waiting behind them."""
        deliveries = await spool.oldest(self._batch_max, self._batch_max_bytes, but=held)
        deadline = time.monotonic() + self._budget
        answers = []
        for delivery in deliveries:
            delivery.again = True
            answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
            answers.append(answer)
            self._queue.append(_Waiting(delivery, answer, deadline, spooled=True))
        if not answers:
            return False
        self._arrived.set()
        await asyncio.wait(answers)
        errors = {d.id: answer.exception() for d, answer in zip(deliveries, answers, strict=True)}
        done = [webhook_id for webhook_id, error in errors.items() if error is None]
        await spool.remove(done)
        log.info("spool_drained", applied=len(done), left=spool.pending)
        kept = {webhook_id for webhook_id, error in errors.items() if isinstance(error, HeldError)}
        held |= kept
        return bool(done or kept)

    def _fail(self, waiting: list[_Waiting], error: Exception) -> None:
        for w in waiting:
            if not w.answer.done():
                w.answer.set_exception(error)


def _backoff(tries: int) -> float:
    """Seconds: 5 ms, doubled up to half a second, with jitter so that two writers part."""
    return float(min(0.005 * 2 ** min(tries, 10), 0.5) * random.uniform(0.5, 1.5))  # noqa: S311 - not a secret


def _is_race(error: Exception, *, looked: bool) -> bool:
    """Whether the same webhook, job or file was recorded, unknown to this try: the next one looks and sees it.

    A file's key that is refused although it was looked for is one of two that are the same to the collation.
    """
    keys = ("rushes_webhooks_dedup'", "PRIMARY'") if looked else ("rushes_webhooks_dedup'", "PRIMARY'", "_s3Key_key'")
    # The message ends in the key's name; before it stands the sender's text.
    return isinstance(error, IntegrityError) and error.args[0] == ER.DUP_ENTRY and str(error.args[-1]).endswith(keys)
