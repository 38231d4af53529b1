"""Parked webhooks: those for a job that nobody knew, applied by themselves when their job appears."""

import asyncio
import time
from functools import partial
from typing import NamedTuple

import structlog

from app.db.dead_letters import AT_ONCE, forget
from app.db.errors import BusyError, PassingError
from app.db.pool import Pool
from app.db.sql import Raw, bind, exact
from app.db.webhook_rows import LAST_ID, WHOLE, WholeWebhook
from app.db.writer.writer import Writer
from app.domain.delivery import Outcome
from app.upkeep.leader import Leader

log = structlog.get_logger(__name__)

# The index holds all that is asked for here; the primary key would do for ORDER BY, and pass over every webhook.
_END_OF_PAGE = """
SELECT id FROM rushes_webhooks FORCE INDEX (rushes_webhooks_outcome)
WHERE outcome = 'parked' AND id > %s ORDER BY id LIMIT 1 OFFSET %s
"""

# Put into the collation of the site's column, so that its primary key can be used.
_WITH_JOB = """
SELECT w.id, w.job_id, g.id FROM rushes_webhooks w FORCE INDEX (rushes_webhooks_outcome)
STRAIGHT_JOIN video_generations g ON g.id = CONVERT(w.job_id USING %s) COLLATE %s
WHERE w.outcome = 'parked' AND w.id > %s AND w.id <= %s ORDER BY w.id LIMIT %s
"""


class _WithJob(NamedTuple):
    """A row of _WITH_JOB: the webhook, the job that it names, and how the job spells that itself."""

    id: str
    job_id: str
    spelled: str


_COLLATION = """
SELECT CHARACTER_SET_NAME, COLLATION_NAME FROM information_schema.COLUMNS
WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'video_generations' AND COLUMN_NAME = 'id'
"""

_OF_JOB = f"""
{WHOLE} FORCE INDEX (rushes_webhooks_job)
WHERE job_id = %s AND CAST(job_id AS BINARY) = %s AND outcome = 'parked' AND id > %s ORDER BY id LIMIT %s
"""

# Rows that one statement looks through, in about 20 ms.
_PAGE = 10_000
# So many of those whose job is there are read at once.
_FOUND = 500
_JOBS_AT_ONCE = 16
# Seconds for which a job that another program holds is left alone; meanwhile its webhooks may wait on disk.
_REST = 60.0


class Parked:
    """Applies parked webhooks, whoever inserts their job, in the process that leads.

    After every `poll` seconds it looks for the jobs of the next `per_round` parked webhooks, oldest first and then from
    the start again. A round over 100,000 of them takes about 0.2 s.
    """

    def __init__(self, pool: Pool, writer: Writer, leader: Leader, *, poll: float, per_round: int) -> None:
        self._pool = pool
        self._writer = writer
        self._leader = leader
        self._poll = poll
        self._per_round = per_round
        self._last_id = ""
        self._collation: list[Raw] = []
        self._applying: dict[str, asyncio.Task[int]] = {}
        self._resting: dict[str, float] = {}

    async def run(self) -> None:
        """Runs until cancelled."""
        try:
            await self._leader.repeat("parked", self._round, self._poll)
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
            log.warning(
                "parked_webhooks_wait", job_id=job_id, error=str(error), exc_info=not isinstance(error, PassingError)
            )
            return 0

    async def _round(self) -> None:
        at = time.monotonic()
        self._resting = {job_id: until for job_id, until in self._resting.items() if until > at}
        for _ in range(-(-self._per_round // _PAGE)):
            end = [str(webhook_id) for (webhook_id,) in await self._read(bind(_END_OF_PAGE, self._last_id, _PAGE - 1))]
            until = next(iter(end), LAST_ID)
            while self._last_id < until:
                self._last_id = await self._look(self._last_id, until)
            if not end:
                self._last_id = ""
                return

    async def _read(self, statement: bytes) -> list[tuple[str | None, ...]]:
        async with self._pool.connection() as connection:
            (rows,) = await connection.run_text(statement)
            return rows

    async def _look(self, after: str, until: str) -> str:
        """Starts to apply the webhooks of those jobs that are there now; the id up to which it has looked."""
        if not self._collation:
            (names,) = await self._read(_COLLATION.encode())
            self._collation = [Raw(str(name).encode()) for name in names]
        rows = [
            _WithJob._make(row) for row in await self._read(bind(_WITH_JOB, *self._collation, after, until, _FOUND))
        ]
        # Compared here: to the site's collation other spellings are the same.
        present = {row.job_id for row in rows if row.job_id == row.spelled}
        for job_id in sorted(present - self._applying.keys() - self._resting.keys()):
            if len(self._applying) >= _JOBS_AT_ONCE:
                await asyncio.wait(self._applying.values(), return_when=asyncio.FIRST_COMPLETED, timeout=self._poll)
            if len(self._applying) >= _JOBS_AT_ONCE:
                return until  # each of these jobs is held by somebody: the next round goes on
            task = self._applying[job_id] = asyncio.create_task(self._apply_in_round(job_id))
            task.add_done_callback(partial(self._applied, job_id))
        return rows[-1].id if len(rows) == _FOUND else until

    def _applied(self, job_id: str, _task: asyncio.Task[int]) -> None:
        self._applying.pop(job_id, None)

    async def _apply_in_round(self, job_id: str) -> int:
        """Does not hold up the round: a job that another program holds takes the writer's whole budget."""
        try:
            applied = await self._apply(job_id)
        except Exception as error:
            log.warning(
                "parked_webhooks_wait", job_id=job_id, error=str(error), exc_info=not isinstance(error, PassingError)
            )
            self._resting[job_id] = time.monotonic() + _REST
            return 0
        log.info("parked_webhooks_applied", job_id=job_id, applied=applied)
        return applied

    async def _apply(self, job_id: str) -> int:
        applied, last_id = 0, ""
        while True:
            rows = await self._pool.rows(bind(_OF_JOB, job_id, exact(job_id), last_id, AT_ONCE))
            parked = [WholeWebhook.from_row(row) for row in rows]
            deliveries = [webhook.delivery() for webhook in parked]
            # All at once: the writer takes them in this order, into one transaction.
            outcomes = await asyncio.gather(*(self._writer.submit(d) for d in deliveries), return_exceptions=True)
            for delivery, outcome in zip(deliveries, outcomes, strict=True):
                if isinstance(outcome, Outcome) and outcome.kind == "duplicate":
                    await forget(self._pool, delivery.id)
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome
                applied += outcome.kind == "applied"
            if any(isinstance(o, Outcome) and o.kind == "queued" for o in outcomes):
                raise BusyError("the webhooks wait on the local disk")
            if len(parked) < AT_ONCE:
                return applied
            last_id = parked[-1].id
