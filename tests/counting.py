"""Statistics counted anew by other means than ours: row by row, in Python."""

import asyncio
import json
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from app.domain.rollup import Rollup
from app.domain.sketch import ALPHA, NO_TIME, Sketch
from app.domain.spans import quarter_of
from app.times import microseconds
from tests.client import Client
from tests.databases import Rows, Sql

_WEBHOOKS = "SELECT id, received_at, outcome, duration_ms FROM rushes_webhooks"
_EVENTS = "SELECT id, job_id, event, data, created_at FROM rushes_events ORDER BY id"


def bin_of(us: int) -> int:
    """Of a sketch, that of so many microseconds."""
    return NO_TIME if us < 1 else math.ceil(math.log(us) / math.log((1 + ALPHA) / (1 - ALPHA)))


def stored(sql: Sql) -> dict[int, Rollup]:
    """What the rollups say."""
    rows = sql("SELECT quarter, counts, job_times, webhook_times FROM rushes_rollups")
    return {quarter: Rollup.unpack(counts.encode(), jobs, webhooks) for quarter, counts, jobs, webhooks in rows}


async def counted(server: Client, webhooks: int, ended: int) -> None:
    """Waits until the statistics have so many webhooks, and so many generations that ended: a round that counts a
    webhook may have read the log before its event was there."""
    async with asyncio.timeout(15):
        while True:
            _, found = await server.read("/api/admin/stats")
            totals = found["totals"]
            if (sum(totals["webhooks"].values()), totals["finished"] + totals["failed"]) == (webhooks, ended):
                return
            await asyncio.sleep(0.05)


@dataclass
class Counting:
    """All webhooks and events that there ever were, also those that are purged. `made_at` tells when each job was made,
    in microseconds."""

    made_at: dict[str, int] = field(default_factory=dict)
    webhooks: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    events: dict[int, tuple[Any, ...]] = field(default_factory=dict)

    def look(self, sql: Sql) -> None:
        """Takes in what there is now."""
        self.webhooks |= {row[0]: row for row in sql(_WEBHOOKS)}
        self.events |= {row[0]: row for row in sql(_EVENTS)}

    def quarters(self) -> dict[int, Rollup]:
        found: dict[int, Rollup] = {}
        times: dict[tuple[int, str], list[int]] = {}

        def of(quarter: int) -> Rollup:
            return found.setdefault(quarter, Rollup())

        for _, received_at, outcome, duration_ms in self.webhooks.values():
            quarter = quarter_of(microseconds(received_at))
            of(quarter).webhooks[outcome] += 1
            times.setdefault((quarter, "webhook_times"), []).append(round(duration_ms * 1000))
        for job_id, (event, kind, at) in self._ends().items():
            quarter = quarter_of(at)
            if event == "completed":
                of(quarter).finished += 1
                if job_id in self.made_at:
                    times.setdefault((quarter, "job_times"), []).append(at - self.made_at[job_id])
            elif kind != "cancelled":
                of(quarter).failed[kind] += 1
        for (quarter, name), values in times.items():
            setattr(of(quarter), name, Sketch.of(Counter(map(bin_of, values)), sum(values)))
        return {quarter: rollup for quarter, rollup in found.items() if not rollup.is_empty}

    def _ends(self) -> dict[str, tuple[str, str, int]]:
        ends: dict[str, tuple[str, str, int]] = {}
        for event_id in sorted(self.events):
            _, job_id, event, data, created_at = self.events[event_id]
            only_more_files = event == "completed" and ends.get(job_id, ("",))[0] == "completed"
            if event in ("completed", "failed") and not only_more_files:
                kind = (json.loads(data).get("failure") or {}).get("kind", "other")
                ends[job_id] = event, kind, microseconds(created_at)
        return ends


def differences(sql: Sql, counting: Counting) -> dict[int, tuple[Rollup | None, Rollup | None]]:
    """(what is stored, what there is) of each quarter where the two are not the same."""
    counting.look(sql)
    ours, theirs = stored(sql), counting.quarters()
    return {q: (ours.get(q), theirs.get(q)) for q in sorted(ours.keys() | theirs) if ours.get(q) != theirs.get(q)}


def told(sql: Sql) -> Rows:
    """All rollups as they are stored, byte for byte."""
    return sql("SELECT * FROM rushes_rollups ORDER BY quarter")
