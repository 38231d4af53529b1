"""What generations took, read from the log: the ground for estimates."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from app.db import log
from app.db.charsets import JOB, each_held
from app.db.errors import PassingError
from app.db.pool import Pool
from app.db.rows import kind_of
from app.db.sql import bind
from app.domain.estimate import Estimates, Step, sample_of
from app.domain.event import LogEvent, words
from app.times import read, stored

# Seconds between two reads, however many generations end: as many times as long as a read takes, within bounds, since
# a read that only waited for a busy machine or for the pool is no reason to know nothing for a minute.
_PAUSE_MIN, _PAUSE_MAX = 1.0, 5.0
_SHARE = 100

# Jobs that are read at once, and steps of each: more say no more.
_JOBS_MAX = 50
_STEPS_MAX = 40

# The newest events are looked through at the start, for the newest that completed jobs.
_LOOKED_THROUGH = 2000
_AT_START = 200

_COMPLETED = "SELECT job_id FROM rushes_events WHERE id > %s AND event = 'completed' ORDER BY id DESC LIMIT %s"

_JOBS = "SELECT id, model, durationSeconds, numberOfVideos, createdAt FROM video_generations WHERE id IN %s"

# Data that is no JSON is another program's: to read it as such would be an error of the statement.
_STEPS = """
(SELECT job_id, event, IF(JSON_VALID(data), JSON_UNQUOTE(JSON_EXTRACT(data, '$.status')), NULL),
  IF(JSON_VALID(data), JSON_UNQUOTE(JSON_EXTRACT(data, '$.occurred_at')), NULL), created_at
FROM rushes_events WHERE job_id = %s ORDER BY id LIMIT %s)
"""


class _JobRow(NamedTuple):
    """A row of _JOBS. Other programs' may hold anything."""

    id: str
    model: Any
    seconds: Any
    number: Any
    created_at: Any


class _StepRow(NamedTuple):
    """A row of _STEPS."""

    job_id: str
    event: str
    status: Any
    occurred_at: Any
    created_at: Any


class Samples:
    """Brings to the estimates what jobs took that were completed, whichever process completed them."""

    def __init__(self, pool: Pool, estimates: Estimates) -> None:
        self._pool = pool
        self._estimates = estimates
        self._completed: dict[str, None] = {}
        self._wake = asyncio.Event()

    def note(self, event: LogEvent) -> None:
        """An event of the log, as it is handed on. Of many that complete jobs the newest count."""
        if event.event == "completed":
            self._completed.pop(event.job_id, None)
            self._completed[event.job_id] = None
            if len(self._completed) > _JOBS_MAX:
                del self._completed[next(iter(self._completed))]
            self._wake.set()

    async def begin(self) -> None:
        """Takes in the newest of the log. Raises DatabaseAwayError."""
        head = log.head_of(await self._pool.rows(log.HEAD))
        rows = await self._pool.rows(bind(_COMPLETED, max(0, head.number - _LOOKED_THROUGH), _AT_START))
        newest = list(dict.fromkeys(job_id for (job_id,) in rows))
        for end in range(len(newest), 0, -_JOBS_MAX):
            await self._take_in(newest[max(0, end - _JOBS_MAX) : end][::-1])

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            completed, self._completed = [*self._completed], {}
            began = time.monotonic()
            with suppress(PassingError):  # those that come later do as well
                await self._take_in(completed)
            await asyncio.sleep(min(max(_PAUSE_MIN, _SHARE * (time.monotonic() - began)), _PAUSE_MAX))

    async def _take_in(self, job_ids: Sequence[str]) -> None:
        """Of each job its newest success, the oldest job first."""
        steps = b" UNION ALL ".join(bind(_STEPS, job_id, _STEPS_MAX) for job_id in job_ids)
        jobs, found = await self._pool.run(bind(_JOBS, each_held(JOB, job_ids)), steps)
        at = {row.id: row for row in map(_JobRow._make, jobs)}
        taken: dict[str, list[Step]] = {job_id: [] for job_id in job_ids}
        for job_id, step in map(_step, map(_StepRow._make, found)):
            taken[job_id].append(step)
        for job_id, steps_taken in taken.items():
            row = at.get(job_id)
            sample = None if row is None else sample_of(stored(row.created_at) or 0, steps_taken)
            if row is not None and sample is not None:
                self._estimates.observe(kind_of(row.model, row.seconds, row.number), sample)


def _step(row: _StepRow) -> tuple[str, Step]:
    committed_at = stored(row.created_at) or 0
    try:
        at = read(row.occurred_at) or committed_at
    except ValueError:
        at = committed_at
    return row.job_id, Step(words(row.status), row.event == "completed", at, committed_at)
