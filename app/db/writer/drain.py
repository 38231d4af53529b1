"""The drainer: applies what the spool holds as soon as the database takes it, while new webhooks keep coming.

What cannot be written keeps nobody waiting behind it. A webhook that fails is left alone for a while, longer each time,
and the others go on; one that failed so often that it will never be written is set aside (`set_aside.py`). A failure
while others passed is the webhook's own. Where many fail it may be the database's: then it counts a tenth. Where none
passes it counts half, and not at all when many fail.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

import structlog

from app.backoff import backoff
from app.db.connection import Connection, connect
from app.db.errors import BusyError, DatabaseError, HeldError, PassingError
from app.db.spool.spool import Spool
from app.db.writer import set_aside
from app.db.writer.inbox import SETTLED
from app.db.writer.queue import Queue
from app.domain.delivery import Delivery

log = structlog.get_logger(__name__)

# Seconds: between two rounds, between two looks at what was set aside, and how long one that fails is left alone.
_EVERY = 0.5
_LOOK_ASIDE = 1.0
_REST_MIN, _REST_MAX = 0.5, 4.0

# Of those aside, as many as the smallest max_allowed_packet of use takes.
_ASKED_AT_ONCE = 200

# So many that fail: it may be the database that has something.
_MANY = 20
# What a failure counts where so many fail while others pass, as where a table of two is broken.
_ONE_OF_MANY = 0.1


@dataclass(slots=True)
class _Failing:
    """How often a webhook failed, and how much of that was its own; until when it is left alone; how many others had
    passed when it failed last, and whether any had since the time before."""

    times: int = 0
    own: float = 0.0
    not_before: float = 0.0
    passed: int = 0
    others_pass: bool = True

    def rests(self, at: float, passed: int) -> bool:
        """Not when others pass again where none did."""
        return self.not_before > at and (self.others_pass or passed == self.passed)


class Drainer:
    """From the spool to the writer's queue; `reachable` tells whether that is worth it, `passed` counts what the writer
    has committed. A webhook is set aside after `tries_max` failures of its own."""

    def __init__(
        self,
        url: str,
        queue: Queue,
        spool: Spool,
        *,
        wait: float,
        tries_max: int,
        passed: Callable[[], int],
        reachable: Callable[[], Awaitable[bool]],
    ) -> None:
        self._url = url
        self._queue = queue
        self._spool = spool
        self._wait = wait
        self._tries_max = tries_max
        self._passed = passed
        self._reachable = reachable
        self._limit = queue.batch_max
        self._failing: dict[str, _Failing] = {}
        self._session: Connection | None = None
        self._looked_aside = 0.0

    async def run(self) -> None:
        """Runs until cancelled."""
        try:
            while True:
                await asyncio.sleep(_EVERY)
                try:
                    await self._round()
                except Exception as error:  # noqa: BLE001 - whatever it was, what is on disk must get to the database
                    log.warning("drain_failed", error=str(error))
        finally:
            if self._session is not None:
                self._session.close()

    async def _round(self) -> None:
        await self._spool.adopt()
        if not await self._reachable():
            return
        if self._spool.set_aside and time.monotonic() - self._looked_aside > _LOOK_ASIDE:
            try:
                await self._look_aside()
            except DatabaseError as error:  # the others are not to wait for that
                log.warning("set_aside_not_looked_at", error=str(error))
            self._looked_aside = time.monotonic()
        held: set[str] = set()
        while self._spool.pending and await self._some(held) and await self._reachable():
            pass

    async def _some(self, held: set[str]) -> bool:
        """Tries the oldest; whether to go on. `held` gets those whose job somebody else holds."""
        at = time.monotonic()
        resting = {name for name, failing in self._failing.items() if failing.rests(at, self._passed())}
        deliveries = await self._spool.oldest(self._limit, self._queue.batch_max_bytes, but=held | resting)
        if not deliveries:
            return False
        for delivery in deliveries:
            delivery.redelivered = True
        answers = self._queue.put(deliveries, spooled=True)
        for answer in answers:
            answer.add_done_callback(asyncio.Future.exception)  # at the end, nobody may be left here to see it
        await asyncio.wait(answers)
        errors = {d.id: answer.exception() for d, answer in zip(deliveries, answers, strict=True)}
        done = [webhook_id for webhook_id, error in errors.items() if error is None]
        await self._remove(done)
        log.info("spool_drained", applied=len(done), left=self._spool.pending)
        kept = {webhook_id for webhook_id, error in errors.items() if isinstance(error, HeldError)}
        held |= kept
        # A batch that fails as a whole, as on a database that says nothing to it, may fail for one of them.
        self._limit = min(self._queue.batch_max, self._limit * 2) if done else max(1, len(deliveries) // 2)
        rest = [d for d in deliveries if errors[d.id] is not None and d.id not in kept]
        for delivery in rest:
            await self._note(delivery, errors[delivery.id], alone=len(deliveries) == 1)
        return bool(done or kept)

    async def _note(self, delivery: Delivery, error: BaseException | None, *, alone: bool) -> None:
        """Leaves one that failed alone for a while, or sets it aside."""
        if isinstance(error, BusyError):
            return  # it was not tried
        own = isinstance(error, PassingError) and error.may_be_own
        if not own and not alone:
            return
        passed = self._passed()
        failing = self._failing.setdefault(delivery.id, _Failing(passed=passed))
        failing.others_pass = passed > failing.passed
        failing.passed = passed
        failing.times += 1
        failing.not_before = time.monotonic() + backoff(failing.times, _REST_MIN, _REST_MAX)
        few = len(self._failing) <= _MANY
        if failing.others_pass:
            failing.own += 1 if few else _ONE_OF_MANY
        elif own and few:
            failing.own += 0.5
        if failing.own >= self._tries_max and await self._set_aside(delivery, failing.times, error):
            del self._failing[delivery.id]

    async def _remove(self, ids: Iterable[str]) -> None:
        gone = [*ids]
        await self._spool.remove(gone)
        for webhook_id in gone:
            self._failing.pop(webhook_id, None)

    async def _set_aside(self, delivery: Delivery, tries: int, error: BaseException | None) -> bool:
        """Whether it was: the database must take a row that says so, with the payload if it can be."""
        for with_payload in (True, False):
            try:
                outcome = await set_aside.record(
                    await self._connected(), delivery, str(error), tries, with_payload=with_payload
                )
                break
            except DatabaseError as refused:
                log.warning("webhook_not_set_aside", webhook_id=delivery.id, error=str(refused))
        else:
            return False
        if outcome in SETTLED:
            await self._remove([delivery.id])  # it was applied meanwhile
            return True
        if twins := await self._spool.put_aside(delivery.id):
            await set_aside.release(await self._connected(), twins)
        named = delivery.update or delivery.named
        job_id = named.job_id if named else None
        log.error("webhook_set_aside", webhook_id=delivery.id, job_id=job_id, tries=tries, error=str(error))
        return True

    async def _look_aside(self) -> None:
        """What was done to those that lie aside: those to be tried again are, those that are over are removed."""
        aside = sorted(self._spool.set_aside)
        for start in range(0, len(aside), _ASKED_AT_ONCE):
            changes = await set_aside.changes(await self._connected(), aside[start : start + _ASKED_AT_ONCE])
            if changes.over:
                await self._remove(changes.over)
            for webhook_id in changes.asked:
                self._failing.pop(webhook_id, None)
                await self._spool.put_back(webhook_id)
                log.info("webhook_tried_again", webhook_id=webhook_id)
            if changes.over or changes.asked:
                await set_aside.release(await self._connected(), [*changes.over, *changes.asked])

    async def _connected(self) -> Connection:
        if self._session is None or self._session.closed:
            if self._session is not None:
                self._session.close()
            self._session = await connect(self._url, self._wait)
        return self._session
