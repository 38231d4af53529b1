"""Received webhooks as they are looked for: one filter, of which there are pages, a count, and a walk over all of it.

What a filter asks for stands in one index, in the order of receipt for each outcome; only the text of an error is in
the rows. So the ids are found first, and the rows of those alone are read. Errors are looked through for a while: who
looks for what is rare among very many gets a page that is short, and goes on from there.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

from app import times
from app.db.pool import Pool
from app.db.sql import Raw, bind, exact
from app.db.webhook_rows import LAST_ID, SUMMARY, Webhook
from app.domain import forms
from app.domain.rollup import OUTCOMES

# Entries of the index, of each outcome, that are gone over at once for what errors say: at first, and at most, for a
# page and for whoever goes over all.
_STRETCH, _STRETCH_MAX, _STRETCH_OF_WALK = 1_000, 8_000, 64_000
# Seconds after which no more is looked through for one page.
PAGE_SECONDS = 0.05
# Characters of an error that are looked through.
_LOOKED_INTO = 2_000
# Ids that a walk reads at once.
_WALK = 500
# Seconds after which a count of what errors say stops where it is.
COUNT_SECONDS = 2.0

_LOOK_UP = """
SELECT id, received_at, origin, job_id, status, version, outcome, attempts, duration_ms, error_code, error, %s
FROM rushes_webhooks WHERE id IN %s
"""
_IDS = "SELECT id FROM rushes_webhooks FORCE INDEX (%s) WHERE %s ORDER BY id %s LIMIT %s"
# In no order, so upwards: then the index alone tells which rows have an error.
_SAYING = "SELECT id FROM rushes_webhooks FORCE INDEX (%s) WHERE %s"
_FAR = "SELECT id, outcome FROM rushes_webhooks FORCE INDEX (%s) WHERE %s ORDER BY id %s LIMIT %s, 1"
_COUNT = "SELECT COUNT(*) FROM rushes_webhooks FORCE INDEX (%s) WHERE %s"

# The column's collation takes no notice of spaces at the end; it is there for the index.
_OF_JOB = "job_id = %s AND CAST(job_id AS BINARY) = %s"

# A search by weights, as the site's collations make them, would compare at every place of every error.
_SAYS = f"INSTR(LOWER(CONCAT_WS('\\n', error_code, LEFT(error, {_LOOKED_INTO}))), LOWER(%s)) > 0"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which webhooks are meant: of any outcome where none is named, received at `since` <= t < `until`, both in
    microseconds since 1970. `q` is what their errors say, whatever the case of its letters."""

    outcomes: tuple[forms.Outcome, ...] = ()
    job_id: str | None = None
    status: str | None = None
    version: str | None = None
    origin: str | None = None
    q: str | None = None
    since: int = 0
    until: int | None = None

    def form(self) -> forms.Filter:
        return {
            "outcome": self.outcomes[0] if len(self.outcomes) == 1 else None,
            "job_id": self.job_id,
            "status": self.status,
            "version": self.version,
            "origin": self.origin,
            "q": self.q,
            "from": times.rfc3339(self.since),
            "to": None if self.until is None else times.rfc3339(self.until),
        }

    @classmethod
    def of_form(cls, form: forms.Filter, outcomes: Sequence[forms.Outcome] = ()) -> Self:
        """The same again, of what `form` gave."""
        named = (form["outcome"],) if form["outcome"] else tuple(outcomes)
        return cls(
            named, form["job_id"], form["status"], form["version"], form["origin"], form["q"],
            times.microseconds_of(form["from"]), None if form["to"] is None else times.microseconds_of(form["to"]),
        )  # fmt: skip

    def statements(self, statement: str, low: str, high: str, *more: object) -> list[bytes]:
        """One for each outcome, of the ids low <= id < high among those that the filter means. `statement` takes the
        name of an index, the conditions, and `more`."""
        low = max(low, f"{self.since:014x}")
        high = high if self.until is None else min(high, f"{self.until:014x}")
        index = Raw(b"rushes_webhooks_outcome" if self.job_id is None else b"rushes_webhooks_job")
        alike = [
            bind(f"{column} = %s", value)
            for column, value in (("status", self.status), ("version", self.version), ("origin", self.origin))
            if value is not None
        ]
        if self.job_id is not None:
            alike.append(bind(_OF_JOB, self.job_id, exact(self.job_id)))
        if self.q is not None:
            # Whatever has an error has a code, which the index tells without a look at the row.
            alike += [b"error_code IS NOT NULL", bind(_SAYS, self.q)]
        return [
            bind(statement, index, Raw(b" AND ".join([bind(_BETWEEN, outcome, low, high), *alike])), *more)
            for outcome in self.all_outcomes
        ]

    def matches(self) -> bytes:
        """SQL of whether a row is one of these."""
        conditions = [bind("id >= %s", f"{self.since:014x}")]
        if self.until is not None:
            conditions.append(bind("id < %s", f"{self.until:014x}"))
        if self.outcomes:
            conditions.append(bind("outcome IN %s", list(self.outcomes)))
        for column, value in (("status", self.status), ("version", self.version), ("origin", self.origin)):
            if value is not None:
                conditions.append(bind(f"COALESCE({column} = %s, 0)", value))
        if self.job_id is not None:
            exactly = bind("CAST(job_id AS BINARY) = %s", exact(self.job_id))
            conditions.append(b"COALESCE(%b, 0)" % exactly)
        if self.q is not None:
            conditions.append(bind(_SAYS, self.q))
        return b" AND ".join(conditions)

    @property
    def all_outcomes(self) -> Sequence[forms.Outcome]:
        return self.outcomes or OUTCOMES


_BETWEEN = "outcome = %s AND id >= %s AND id < %s"


class _Ids:
    """The ids of a filter, of all outcomes in the order of receipt, or against it. All up to the id `edge` are known;
    where errors are looked through, it comes nearer by stretches.

    Each step is one statement for all outcomes, of one moment: a webhook whose outcome changes meanwhile is in it once.
    """

    def __init__(self, pool: Pool, wanted: Filter, edge: str | None, *, newest_first: bool, stretch_max: int) -> None:
        self._pool = pool
        self._wanted = wanted
        self._newest_first = newest_first
        self._order = Raw(b"DESC" if newest_first else b"ASC")
        self._stretch = _STRETCH
        self._stretch_max = stretch_max
        self._long = wanted.all_outcomes  # those that may reach beyond the next stretch
        self.edge = edge
        self.ended = False

    async def next(self, most: int) -> list[str]:
        """The next ones: at most so many, or, where errors are looked through, all of the next stretch."""
        # An id and more is after that id, and before the next.
        low, high = ("", self.edge or LAST_ID) if self._newest_first else (f"{self.edge or ''}0", LAST_ID)
        if self._wanted.q is not None:
            return await self._stretch_of(low, high)
        found = await self._read(self._wanted.statements(_IDS, low, high, self._order, most))
        if len(found) >= most:
            self.edge = found[most - 1]
        else:
            self.ended = True
        return found[:most]

    async def _stretch_of(self, low: str, high: str) -> list[str]:
        end = await self._end(low, high)
        if end is None:
            self.ended = True
        else:
            self.edge = end
            low, high = (end, high) if self._newest_first else (low, f"{end}0")
        return await self._read(self._wanted.statements(_SAYING, low, high))

    async def _end(self, low: str, high: str) -> str | None:
        """The id with which the next stretch ends; None where that is the last one."""
        if not self._long:
            return None
        broad = replace(self._wanted, outcomes=tuple(self._long), q=None)
        statements = broad.statements(_FAR, low, high, self._order, self._stretch)
        ends: dict[str, forms.Outcome] = dict(await self._pool.rows(_all_of(statements)))
        self._long = [*ends.values()]
        self._stretch = min(2 * self._stretch, self._stretch_max)
        return (max if self._newest_first else min)(ends, default=None)

    async def _read(self, statements: Sequence[bytes]) -> list[str]:
        rows = await self._pool.rows(_all_of(statements))
        return sorted((row_id for (row_id,) in rows), reverse=self._newest_first)


def _all_of(statements: Sequence[bytes]) -> bytes:
    return b" UNION ALL ".join(b"(%b)" % statement for statement in statements)


class WebhookList:
    """Every method raises PassingError. All that is read is bounded but a walk, which goes on as long as one wants."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(self, wanted: Filter, limit: int, before: str | None = None) -> tuple[list[Webhook], str | None]:
        """(at most `limit`, newest first and older than the id `before`; what to give as `before` for the next).

        Where errors are looked through, a page may be short, and the next one goes on.
        """
        ids = _Ids(self._pool, wanted, before, newest_first=True, stretch_max=_STRETCH_MAX)
        found: list[str] = []
        until = time.monotonic() + PAGE_SECONDS
        while not ids.ended:
            found += await ids.next(limit + 1)
            if len(found) > limit:
                return await self.rows(found[:limit]), found[limit - 1]
            if time.monotonic() > until:
                break
        return await self.rows(found), None if ids.ended else ids.edge

    async def rows(self, ids: Sequence[str]) -> list[Webhook]:
        """Those of them that are there, newest first."""
        if not ids:
            return []
        rows = await self._pool.rows(bind(f"{SUMMARY} WHERE id IN %s ORDER BY id DESC", list(ids)))
        return [*map(Webhook.from_row, rows)]

    async def look_up(self, wanted: Filter, ids: Sequence[str]) -> dict[str, tuple[Webhook, bool]]:
        """Those of them that are there, and whether the filter means them."""
        if not ids:
            return {}
        rows = await self._pool.rows(bind(_LOOK_UP, Raw(wanted.matches()), list(ids)))
        found = [(Webhook.from_row(tuple(row)), is_meant) for *row, is_meant in rows]
        return {webhook.id: (webhook, bool(is_meant)) for webhook, is_meant in found}

    async def count(self, wanted: Filter) -> tuple[int, bool]:
        """(how many there are, whether there are more that were not looked at)."""
        if wanted.q is None:
            counts = await self._pool.rows(_all_of(wanted.statements(_COUNT, "", LAST_ID)))
            return sum(int(number) for (number,) in counts), False
        number, began = 0, time.monotonic()
        async for ids in self.walk(wanted):
            number += len(ids)
            if time.monotonic() - began > COUNT_SECONDS:
                return number, True
        return number, False

    async def walk(
        self, wanted: Filter, after: str | None = None, *, newest_first: bool = True
    ) -> AsyncIterator[list[str]]:
        """The ids of all of them, some at a time, in the order of receipt or against it, from behind the id `after`. A
        list may be empty."""
        ids = _Ids(self._pool, wanted, after, newest_first=newest_first, stretch_max=_STRETCH_OF_WALK)
        while not ids.ended:
            found = await ids.next(_WALK)
            for place in range(0, max(1, len(found)), _WALK):
                yield found[place : place + _WALK]
                await asyncio.sleep(0)
