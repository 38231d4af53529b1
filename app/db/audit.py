"""The audit: what admins and commands did, written in the transaction that does it."""

from typing import NamedTuple, cast

import orjson

from app import times
from app.db.audited import said, write
from app.db.connection import Row
from app.db.pool import Pool
from app.db.sql import Raw, bind, exact
from app.db.webhook_rows import is_id
from app.domain import forms
from app.domain.audit import Act, Entry

_BECAME = "UPDATE rushes_audit SET became = %s WHERE id = %s"

_PAGE = """
SELECT id, at, who, means, act, webhook_id, job_id, replay_id, was, became FROM rushes_audit FORCE INDEX (%s)
WHERE %s ORDER BY id DESC LIMIT %s
"""

NEWEST = 2**63 - 1
"""Greater than every id."""


class AuditFilter(NamedTuple):
    """Which acts are meant: all that is named must be so. Times are in microseconds since 1970."""

    who: str | None = None
    act: Act | None = None
    webhook_id: str | None = None
    job_id: str | None = None
    since: int = 0
    until: int | None = None

    def form(self) -> forms.AuditFilter:
        return {
            "who": self.who,
            "act": self.act,
            "webhook_id": self.webhook_id,
            "job_id": self.job_id,
            "from": times.rfc3339(self.since),
            "to": None if self.until is None else times.rfc3339(self.until),
        }


class Audit:
    """Every method raises DatabaseError."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(
        self, wanted: AuditFilter, limit: int, before: int | None = None
    ) -> tuple[list[forms.Audited], int | None]:
        """(at most `limit`, the newest first, older than the id `before`; what to give as that for the next)."""
        rows = await self._pool.rows(_page(wanted, limit + 1, before))
        next_before = int(rows[limit - 1][0]) if len(rows) > limit else None
        return [*map(_shown, rows[:limit])], next_before

    async def begun(self, entry: Entry) -> int:
        """Writes down what takes more than one transaction, before it begins; gives what `ended` takes."""
        *_, ((row_id,),) = await self._pool.run(*write([entry], times.now()), "SELECT LAST_INSERT_ID()")
        return int(row_id)

    async def ended(self, row_id: int, became: object) -> None:
        await self._pool.run(bind(_BECAME, said(became), row_id))


def _page(wanted: AuditFilter, limit: int, before: int | None) -> bytes:
    index = "PRIMARY"
    conditions = [bind("id < %s", NEWEST if before is None else before)]
    # The one that leaves least comes last, and names the index.
    if wanted.since or wanted.until is not None:
        conditions.append(bind("at >= %s", times.sql6(wanted.since)))
    if wanted.until is not None:
        conditions.append(bind("at < %s", times.sql6(wanted.until)))
    if wanted.act is not None:
        conditions.append(bind("act = %s", wanted.act))
    if wanted.who is not None:
        index = "rushes_audit_who"
        conditions.append(bind("who = %s", exact(wanted.who)))
    if wanted.job_id is not None:
        index = "rushes_audit_job"
        conditions.append(bind("job_id = %s", exact(wanted.job_id)))
    if wanted.webhook_id is not None:
        index = "rushes_audit_webhook"
        # What is no id is compared with nothing: the column holds ASCII alone.
        conditions.append(bind("webhook_id = %s", wanted.webhook_id if is_id(wanted.webhook_id) else ""))
    return bind(_PAGE, Raw(index.encode()), Raw(b" AND ".join(conditions)), limit)


def _shown(row: Row) -> forms.Audited:
    row_id, at, who, means, act, webhook_id, job_id, replay_id, was, became = row
    shown = {
        "id": str(row_id),
        "at": times.rfc3339(times.microseconds(at)),
        "who": who.decode(errors="replace"),
        "by": means,
        "act": act,
        "webhook_id": webhook_id,
        "job_id": None if job_id is None else job_id.decode(errors="replace"),
        "replay_id": replay_id,
        "before": None if was is None else _read(was),
        "after": None if became is None else _read(became),
    }
    return cast("forms.Audited", shown)


def _read(text: str) -> object:
    """What was too long is cut off, and no JSON any more."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return {"text": text}
