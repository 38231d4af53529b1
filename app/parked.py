"""Parked webhooks: those for a job that nobody knew, applied by themselves when their job appears."""

import asyncio
import time
from collections.abc import Iterable
from functools import partial

import structlog

from app import times
from app.db.leader import Leader
from app.db.pool import DatabaseAwayError, Pool, RetryableError, Row
from app.db.sql import bind
from app.db.webhooks import Delivery, Outcome, to_try_again
from app.db.writer import BusyError, Writer

log = structlog.get_logger(__name__)

# The index is named because the primary key would do for ORDER BY, and pass over every webhook there is.
_PARKED = """
SELECT id, job_id FROM rushes_webhooks FORCE INDEX (rushes_webhooks_outcome) WHERE outcome = 'parked'
"""

_PRESENT = "SELECT id FROM video_generations WHERE id IN %s"

_OF_JOB = """
SELECT id, dedup_key, origin, version, headers, payload, received_at, job_id
FROM rushes_webhooks FORCE INDEX (rushes_webhooks_job)
WHERE job_id = %s AND outcome = 'parked' AND id > %s ORDER BY id LIMIT %s
"""

# Of a webhook that was applied since it was read: nobody sent the second one.
_FORGET = "DELETE FROM rushes_webhooks WHERE id = %s AND outcome = 'duplicate'"

_PAGE = 1000
# Webhooks of one job read at once: with their bodies these may be 50 MiB.
_AT_ONCE = 50
_JOBS_AT_ONCE = 16
# Seconds that a job is left alone which another program holds; meanwhile its webhooks may wait on disk.
_REST = 60.0


class Parked:
    """Applies parked webhooks, whoever inserts their job, in the process that leads.

    Every `every` seconds it looks for the jobs of the newest 1,000 parked webhooks, and of the next `per_round`
    of the others, oldest first and then from the start again. So with P parked webhooks each is looked for within
    `every` * P / `per_round` seconds: 4 s for 40,000 of them, 10 s for 100,000, the newest ones 2 s.
    """

    def __init__(
        self, pool: Pool, writer: Writer, leader: Leader, *, every: float = 2.0, per_round: int = 20_000
    ) -> None:
        self._pool = pool
        self._writer = writer
        self._leader = leader
        self._every = every
        self._per_round = per_round
        self._last_id = ""
        self._applying: dict[str, asyncio.Task[int]] = {}
        self._resting: dict[str, float] = {}

    async def run(self) -> None:
        """Runs until cancelled."""
        try:
            await self._leader.repeat("parked", self._round, self._every)
        finally:
            for task in self._applying.values():
                task.cancel()
            await asyncio.gather(*self._applying.values(), return_exceptions=True)

    async def apply_for(self, job_id: str) -> int:
        """Applies what is parked for a job that is there, in the order of receipt; how many were applied.

        Raises nothing: what the database does not take now is left to the rounds.
        """
        try:
            return await self._apply(job_id)
        except Exception as error:
            log.warning("parked_webhooks_wait", job_id=job_id, error=str(error), exc_info=not _passes(error))
            return 0

    async def _round(self) -> None:
        at = time.monotonic()
        self._resting = {job_id: until for job_id, until in self._resting.items() if until > at}
        rows = await self._read(bind(f"{_PARKED} ORDER BY id DESC LIMIT %s", _PAGE))
        await self._look(rows)
        if len(rows) < _PAGE:
            return  # that was all
        for _ in range(-(-self._per_round // _PAGE)):
            rows = await self._read(bind(f"{_PARKED} AND id > %s ORDER BY id LIMIT %s", self._last_id, _PAGE))
            await self._look(rows)
            if len(rows) < _PAGE:
                self._last_id = ""
                break
            self._last_id = str(rows[-1][0])

    async def _read(self, statement: bytes) -> list[tuple[str | None, ...]]:
        async with self._pool.connection() as connection:
            return (await connection.run_text(statement))[0]

    async def _look(self, rows: list[tuple[str | None, ...]]) -> None:
        """Starts to apply the webhooks of those jobs that are there now."""
        wanted = {row[1] for row in rows if row[1] is not None} - self._applying.keys() - self._resting.keys()
        if not wanted:
            return
        # Sorted, so that neighbours in the table are asked for together.
        present = {row[0] for row in await self._read(bind(_PRESENT, sorted(wanted)))}
        # Compared here: to the site's collation other spellings are the same.
        for job_id in sorted(wanted & present):
            if len(self._applying) >= _JOBS_AT_ONCE:
                await asyncio.wait(self._applying.values(), return_when=asyncio.FIRST_COMPLETED, timeout=self._every)
            if len(self._applying) >= _JOBS_AT_ONCE:
                return  # each of these jobs is held by somebody: the next round goes on
            task = self._applying[job_id] = asyncio.create_task(self._apply_in_round(job_id))
            task.add_done_callback(partial(self._applied, job_id))

    def _applied(self, job_id: str, _task: asyncio.Task[int]) -> None:
        self._applying.pop(job_id, None)

    async def _apply_in_round(self, job_id: str) -> int:
        """Does not hold up the round: a job that another program holds takes the writer's whole budget."""
        try:
            applied = await self._apply(job_id)
        except Exception as error:
            log.warning("parked_webhooks_wait", job_id=job_id, error=str(error), exc_info=not _passes(error))
            self._resting[job_id] = time.monotonic() + _REST
            return 0
        log.info("parked_webhooks_applied", job_id=job_id, applied=applied)
        return applied

    async def _apply(self, job_id: str) -> int:
        applied, last_id = 0, ""
        while True:
            rows = await self._pool.rows(bind(_OF_JOB, job_id, last_id, _AT_ONCE))
            # The index takes no notice of spaces at the end.
            deliveries = [delivery_of(row) for row in rows if row[-1] == job_id]
            # All at once: the writer takes them in this order, into one transaction.
            outcomes = await asyncio.gather(*(self._writer.submit(d) for d in deliveries), return_exceptions=True)
            await self._forget(
                d.id
                for d, o in zip(deliveries, outcomes, strict=True)
                if isinstance(o, Outcome) and o.kind == "duplicate"
            )
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome
                applied += outcome.kind == "applied"
            if any(isinstance(o, Outcome) and o.kind == "queued" for o in outcomes):
                raise BusyError("the webhooks wait on the local disk")
            if len(rows) < _AT_ONCE:
                return applied
            last_id = rows[-1][0]

    async def _forget(self, webhook_ids: Iterable[str]) -> None:
        for webhook_id in webhook_ids:
            await self._pool.run(bind(_FORGET, webhook_id))


def _passes(error: Exception) -> bool:
    return isinstance(error, (DatabaseAwayError, RetryableError, BusyError))


def delivery_of(row: Row) -> Delivery:
    """A stored webhook, (id, dedup_key, origin, version, headers, payload, received_at, …), to be tried again.

    The writer finds it by its key in its own row; the id is that of a duplicate, if it has been applied meanwhile.
    """
    _id, dedup_key, origin, version, headers, body, received_at = row[:7]
    return to_try_again(
        dedup_key=dedup_key,
        origin=origin,
        version=version,
        headers=headers,
        body=body,
        received_at=times.microseconds(received_at),
    )
