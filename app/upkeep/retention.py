"""Retention: what is older than so many days is deleted, a little at a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import structlog

from app.auth.signature import TOLERANCE
from app.db import places
from app.db.dirty import first_id
from app.db.errors import RetryableError
from app.db.pool import Pool
from app.db.rollups import Rollups
from app.db.sql import bind
from app.db.writer.read_set import forget_keys, present
from app.domain.spans import quarter_of
from app.times import now, sql
from app.upkeep.deleted import DeletedJobs, Remove
from app.upkeep.leader import Leader

log = structlog.get_logger(__name__)

V = TypeVar("V")

_DAY_US = 24 * 3600 * 1_000_000

# How long it can be told how far a single event came; what all of them took stays.
_TRACES_US = 2 * _DAY_US

# How long a captured signed request can be sent again: its time may be as far ahead as behind.
_CAPTURED_US = 2 * TOLERANCE * 1_000_000

# Rows of the first statement: a row with a long body lies on many pages, and 500 of those take 100 ms and more.
_ROWS, _ROWS_MAX = 50, 5000
# Seconds that a statement may take. The writer waits for none of our rows, but it shares the disk with us.
_LONG, _SHORT = 0.02, 0.01
_PAUSE_MIN, _PAUSE_MAX = 0.005, 0.5
_TRIES = 5
_PAGE = 500
# Keys that a round of the server's looks at: those of a million jobs in a week. A key whose job is gone does no harm.
_KEYS_MAX = 5_000
_KEYS_PLACE = "retention.keys"

_DELETED = "SELECT ROW_COUNT()"

_ANY_OLD = """
SELECT EXISTS (SELECT 1 FROM rushes_webhooks WHERE id < %s),
  (SELECT created_at < %s FROM rushes_events ORDER BY id LIMIT 1)
"""

# Ids sort by receipt, so the old ones come first. A DELETE up to an old one touches none that is just being written.
_LAST_OLD_WEBHOOK = """
SELECT MAX(id) FROM (SELECT id, received_at FROM rushes_webhooks WHERE id > %s ORDER BY id LIMIT %s) w
WHERE received_at < %s
"""
_DELETE_WEBHOOKS = "DELETE FROM rushes_webhooks WHERE id > %s AND id <= %s AND received_at < %s"

_EVENTS = "SELECT MIN(id), MAX(id) FROM rushes_events"
_FIRST_YOUNG_EVENT = "SELECT MIN(id) FROM rushes_events WHERE id BETWEEN %s AND %s AND created_at >= %s"
_DELETE_EVENTS = "DELETE FROM rushes_events WHERE id BETWEEN %s AND %s"

_KEYS = "SELECT job_id FROM rushes_jobs WHERE job_id > %s ORDER BY job_id LIMIT %s"

_DELETE_REPLAYED = "DELETE FROM rushes_replayed WHERE replay_id < %s ORDER BY replay_id, webhook_id LIMIT %s"
_DELETE_REPLAYS = "DELETE FROM rushes_replays WHERE id < %s ORDER BY id LIMIT %s"
_DELETE_TRACES = "DELETE FROM rushes_traces WHERE handed_at < %s ORDER BY handed_at LIMIT %s"
_DELETE_AUDIT = "DELETE FROM rushes_audit WHERE at < %s ORDER BY at LIMIT %s"
_DELETE_REQUESTS = "DELETE FROM rushes_requests WHERE created_at < %s ORDER BY created_at LIMIT %s"


class Retention:
    """Deletes received webhooks, of any outcome, events, remembered requests and replays of many that are older than
    `days`, jobs that their users deleted before that, and the keys of jobs that are gone; and acts that are older than
    `audit_days`. What was not counted yet is counted first.

    `longest` is how many seconds the longest statement of the last purge took.
    """

    def __init__(
        self,
        pool: Pool,
        leader: Leader,
        *,
        days: float,
        audit_days: float = 365.0,
        every: float = 3600.0,
        remove: Remove | None = None,
    ) -> None:
        self._pool = pool
        self._deleted = DeletedJobs(pool, remove)
        self._rollups = Rollups(pool)
        self._leader = leader
        self._days = days
        self._audit_days = audit_days
        self._every = every
        self._rows = _ROWS
        self.longest = 0.0

    async def run(self) -> None:
        """Runs until cancelled, in the process that leads."""
        await self._leader.repeat("retention", self._purge_and_tell, self._every)

    async def purge(self) -> dict[str, int]:
        """Deletes all of it now; how many rows, by what they are. Raises DatabaseAwayError or RetryableError."""
        return await self._purge(self._purge_keys)

    async def purge_some(self) -> dict[str, int]:
        """The same, but of the keys of jobs it looks at the next page only."""
        return await self._purge(self._purge_next_keys)

    async def _purge(self, purge_keys: Callable[[], Awaitable[int]]) -> dict[str, int]:
        at = now() - int(self._days * _DAY_US)
        before = sql(at)
        self.longest = 0.0
        if any(any(row) for row in await self._pool.rows(bind(_ANY_OLD, first_id(quarter_of(at) + 1), before))):
            await self._again(partial(self._rollups.purge_until, at))
        return {
            "webhooks": await self._purge_webhooks(before),
            "events": await self._purge_events(before),
            "jobs": await purge_keys(),
            "deleted": await self._deleted.purge(now() - int(self._days * _DAY_US)),
            "requests": await self._purge_by_age(
                _DELETE_REQUESTS, sql(now() - max(int(self._days * _DAY_US), _CAPTURED_US))
            ),
            "replays": await self._purge_replays(f"{at:014x}"),
            "traces": await self._purge_by_age(_DELETE_TRACES, now() - min(int(self._days * _DAY_US), _TRACES_US)),
            "audit": await self._purge_by_age(_DELETE_AUDIT, sql(now() - int(self._audit_days * _DAY_US))),
        }

    async def _purge_and_tell(self) -> None:
        deleted = await self.purge_some()
        if any(deleted.values()):
            log.info("purged", **deleted, longest_ms=round(self.longest * 1000, 1))

    async def _purge_webhooks(self, before: str) -> int:
        self._rows = _ROWS
        total, last = 0, ""
        while True:
            ((until,),) = await self._pool.rows(bind(_LAST_OLD_WEBHOOK, last, self._rows, before))
            if until is None:
                return total
            total += await self._delete(bind(_DELETE_WEBHOOKS, last, until, before))
            last = until

    async def _purge_events(self, before: str) -> int:
        """A prefix of the log and no more, whatever the clock did: what is left has no gap.

        The newest stays, so that the log knows where it is even when all are old.
        """
        total, self._rows = 0, _ROWS
        while True:
            ((first, newest),) = await self._pool.rows(_EVENTS)
            if first is None or first == newest:
                return total
            last = min(first + self._rows, newest) - 1
            ((young,),) = await self._pool.rows(bind(_FIRST_YOUNG_EVENT, first, last, before))
            if young is not None:
                last = young - 1
            if last >= first:
                total += await self._delete(bind(_DELETE_EVENTS, first, last))
            if young is not None:
                return total

    async def _purge_keys(self) -> int:
        total, last = await self._look_at_keys("")
        while last:
            deleted, last = await self._look_at_keys(last)
            total += deleted
        return total

    async def _purge_next_keys(self) -> int:
        total, last = 0, await places.place(self._pool, _KEYS_PLACE) or ""
        for _ in range(_KEYS_MAX // _PAGE):
            deleted, last = await self._look_at_keys(last)
            total += deleted
            if not last:
                break
        await places.keep(self._pool, _KEYS_PLACE, last)
        return total

    async def _look_at_keys(self, last: str) -> tuple[int, str]:
        """(how many of the next page's keys are deleted, the last of that page; "" at the end)"""
        keys = [job_id for (job_id,) in await self._pool.rows(bind(_KEYS, last, _PAGE))]
        deleted = await self._again(partial(self._delete_keys, keys)) if keys else 0
        await asyncio.sleep(_PAUSE_MIN)
        return deleted, keys[-1] if len(keys) == _PAGE else ""

    async def _delete_keys(self, keys: list[str]) -> int:
        """Looks first without locks, then again with the keys locked: a job of that id may have come meanwhile,
        and whoever gives it a key waits for us, or is not waited for."""
        async with self._pool.connection() as connection:
            there = {job_id for (job_id,) in await connection.rows(present(keys))}
            # Compared here: to the site's collation other spellings are the same.
            gone = [key for key in keys if key not in there]
            if not gone:
                return 0
            began = time.monotonic()
            try:
                await connection.run("START TRANSACTION")
                deleted = await forget_keys(connection, gone)
                await connection.run("COMMIT")
            except RetryableError:
                await connection.run("ROLLBACK")
                raise
            self.longest = max(self.longest, time.monotonic() - began)
            return deleted

    async def _purge_replays(self, before: str) -> int:
        """First what became of their webhooks, then the replays. Their ids sort by time."""
        await self._purge_by_age(_DELETE_REPLAYED, before)
        return await self._purge_by_age(_DELETE_REPLAYS, before)

    async def _purge_by_age(self, statement: str, before: str | int) -> int:
        total, self._rows = 0, _ROWS
        while True:
            most = self._rows
            deleted = await self._delete(bind(statement, before, most))
            total += deleted
            if deleted < most:
                return total

    async def _delete(self, statement: bytes) -> int:
        """Runs one short DELETE, lets others go first, and takes more or fewer rows the next time."""

        async def run() -> int:
            began = time.monotonic()
            _, ((deleted,),) = await self._pool.run(statement, _DELETED)
            took = time.monotonic() - began
            self.longest = max(self.longest, took)
            self._rows = next_rows(self._rows, took)
            await asyncio.sleep(min(max(2 * took, _PAUSE_MIN), _PAUSE_MAX))
            return int(deleted)

        return await self._again(run)

    async def _again(self, step: Callable[[], Awaitable[V]]) -> V:
        """Deadlocks and held rows are tried again."""
        for tries in range(_TRIES):
            try:
                return await step()
            except RetryableError:
                if tries == _TRIES - 1:
                    raise
                await asyncio.sleep(0.1 * 2**tries)
        raise AssertionError


def next_rows(rows: int, took: float) -> int:
    """How many to delete next, when so many took so many seconds: half of them, or a few more. Pure."""
    if took > _LONG:
        return max(rows // 2, 1)
    return min(rows + max(rows // 4, 1), _ROWS_MAX) if took < _SHORT else rows
