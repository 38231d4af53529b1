"""How long the list of received webhooks and its count take, beside a peer that asks the database as one does at first.

Both have the same table and are asked in turns, so that whatever else the machine does is done to both.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median, quantiles
from typing import Any

import aiohttp

from app import times
from app.db import migrate
from bench import servers
from bench.seed import connected

WEBHOOKS = 100_000
ASKED = 60
_STEP = 25_920_000  # microseconds between two: a month of them

# Of 20 one is parked, one dead and one discarded, each with an error of its own; of 1,000 one has failed.
_FILL = """
INSERT INTO rushes_webhooks (id, job_id, status, version, outcome, attempts, duration_ms, error_code, error,
  received_at, headers, payload)
SELECT CONCAT(LOWER(LPAD(HEX({first} + seq * {step}), 14, '0')), LPAD(HEX(seq), 18, '0')), CONCAT('j', seq DIV 10),
  IF(seq % 1000 = 7, 'failed', 'generating'), 'v3', COALESCE(ELT(seq % 20, 'parked', 'dead', 'discarded'), 'applied'),
  1, 3, IF(seq % 20 IN (1, 2, 3), 'apply_failed', NULL),
  IF(seq % 20 IN (1, 2, 3), CONCAT('Refused: number ', seq, '.'), NULL),
  FROM_UNIXTIME(({first} + seq * {step}) / 1000000), '{{}}', REPEAT('x', 400)
FROM seq_1_to_{count}
"""


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    query: str
    found: int


CASES = (
    Case("all", "", WEBHOOKS),
    Case("dead ones", "outcome=dead", WEBHOOKS // 20),
    Case("one in a thousand", "status=failed", WEBHOOKS // 1000),
    Case("of one job", "job_id=j17", 10),
    Case("error text, found often", "q=NUMBER", WEBHOOKS * 3 // 20),
    Case("error text, not found", "q=nothing", 0),
)


@dataclass(frozen=True, slots=True)
class Listed:
    """What one server took for one case, in seconds; `fault` is a sentence where its answer was wrong."""

    server: str
    case: str
    what: str
    waits: list[float]
    fault: str | None

    @property
    def p50(self) -> float:
        return median(self.waits)

    @property
    def p95(self) -> float:
        return quantiles(self.waits, n=20)[18]

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"p50": self.p50, "p95": self.p95}


async def listed(tell: Callable[[str], None]) -> list[Listed]:
    """Makes the table, and asks both; `tell` hears how far."""
    async with servers.fresh_database() as (folder, url):
        migrate.apply(url)
        tell(f"{WEBHOOKS:,} webhooks")
        async with connected(url) as cursor:
            first = times.now() - (WEBHOOKS + 1) * _STEP
            await cursor.execute(_FILL.format(first=first, step=_STEP, count=WEBHOOKS))
            await cursor.execute("ANALYZE TABLE rushes_webhooks")
        async with (
            servers.rushes(folder, url, settings={"RETENTION_DAYS": "365"}) as ours,  # nothing here is to be purged
            servers.table(folder, url) as peer,
            aiohttp.ClientSession() as session,
        ):
            return [
                run
                for case in CASES
                for what in ("list", "count")
                for run in await _compare(session, (peer, ours), case, what, tell)
            ]


async def _compare(
    session: aiohttp.ClientSession,
    both: tuple[servers.Server, servers.Server],
    case: Case,
    what: str,
    tell: Callable[[str], None],
) -> list[Listed]:
    waits: dict[str, list[float]] = {server.name: [] for server in both}
    faults: dict[str, str | None] = dict.fromkeys(waits)
    path = f"/api/admin/webhooks{'/count' if what == 'count' else ''}?{case.query}"
    for number in range(ASKED + 1):
        tell(f"{case.name}, {what}: {number} of {ASKED}")
        for server in both:
            began = time.monotonic()
            async with session.get(server.url + path) as answer:
                body = await answer.json()
            waits[server.name].append(time.monotonic() - began)
            found = body.get("count") if what == "count" else len(body.get("webhooks", ()))
            wanted = case.found if what == "count" else min(case.found, 50)
            if found != wanted and not body.get("more"):
                faults[server.name] = f"{found} instead of {wanted} were told"
    # The first one warms up.
    return [Listed(server.name, case.name, what, waits[server.name][1:], faults[server.name]) for server in both]
