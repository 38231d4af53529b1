"""How long statistics of a month take: among very many received webhooks and generations, asked one after the other."""

import math
import os
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import aiohttp
import aiomysql

from app import times
from app.db import migrate
from app.db.pool import Pool
from app.db.rollup_check import RollupCheck
from bench import servers
from bench.seed import AUTHOR, connected

DAYS = 30
ASKED = 60
GENERATIONS = 5  # webhooks for each
_CHUNK = 100_000
_SPAN = DAYS * 24 * 3600 * 1_000_000


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    query: str


CASES = (
    Case("by hour, UTC", "bucket=hour&timezone=UTC"),
    Case("by hour, Asia/Kolkata", "bucket=hour&timezone=Asia/Kolkata"),
    Case("by day, Europe/Paris", "bucket=day&timezone=Europe/Paris"),
)

# Ids are as ids.webhook_id makes them, in the order of receipt. Bodies of a usual length lie beside them.
_WEBHOOKS = """
INSERT INTO rushes_webhooks (id, job_id, status, version, outcome, attempts, duration_ms, received_at, headers, payload)
SELECT CONCAT(LOWER(LPAD(HEX(at), 14, '0')), LPAD(HEX(seq), 18, '0')), CONCAT('g', 1 + seq DIV 5), 'generating', 'v1',
  COALESCE(ELT(1 + seq % 20, 'dead', 'stale', 'duplicate'), 'applied'), 1,
  EXP(1 + 1.5 * RAND(seq) + RAND(seq + 1)), FROM_UNIXTIME(at / 1000000), '{{}}', REPEAT('x', 250)
FROM (SELECT seq, {first} + CAST(FLOOR((seq - 1) * {step}) AS UNSIGNED) AS at FROM seq_{begin}_to_{end}) made
"""
_JOBS = """
INSERT INTO video_generations (id, prompt, authorId, status, createdAt, updatedAt, completedAt)
SELECT CONCAT('g', seq), 'Un coucher de soleil', '{author}', IF(seq % 10, 'COMPLETED', 'FAILED'),
  FROM_UNIXTIME(at / 1000000), FROM_UNIXTIME(at / 1000000 + took), FROM_UNIXTIME(at / 1000000 + took)
FROM (SELECT seq, {first} + CAST(FLOOR((seq - 1) * {step}) AS UNSIGNED) AS at, EXP(3 + 2 * RAND(seq)) AS took
  FROM seq_{begin}_to_{end}) made
"""
_EVENTS = """
INSERT INTO rushes_events (id, job_id, author_id, event, data, created_at)
SELECT seq, CONCAT('g', seq), '{author}', IF(seq % 10, 'completed', 'failed'),
  IF(seq % 10, '{{"status": "completed"}}', '{{"failure": {{"kind": "quota"}}}}'),
  FROM_UNIXTIME(({first} + CAST(FLOOR((seq - 1) * {step}) AS UNSIGNED)) / 1000000 + EXP(3 + 2 * RAND(seq)))
FROM seq_{begin}_to_{end}
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """One case, in seconds; `size` is the answer's, in bytes, and `busy` the server's own time for one."""

    case: str
    webhooks: int
    generations: int
    waits: list[float]
    size: int
    busy: float
    counted_in: float

    @property
    def p50(self) -> float:
        return median(self.waits)

    @property
    def p95(self) -> float:
        return quantiles(self.waits, n=20)[18]

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"p50": self.p50, "p95": self.p95}


async def ask(webhooks: int, tell: Callable[[str], None]) -> list[Asked]:
    """Makes a month of so many webhooks, counts it, and asks for it; `tell` hears how far."""
    generations = webhooks // GENERATIONS
    async with servers.fresh_database() as (folder, url):
        migrate.apply(url)
        first = times.now() - _SPAN
        async with connected(url) as cursor:
            await _fill(cursor, _WEBHOOKS, first, webhooks, lambda n: tell(f"{n:,} of {webhooks:,} webhooks"))
            for statement in (_JOBS, _EVENTS):
                await _fill(cursor, statement, first, generations, lambda n: tell(f"{n:,} of {generations:,} jobs"))
            await cursor.execute("UPDATE rushes_counter SET value = %s", (generations,))
        tell("counting")
        began = time.monotonic()
        with closing(Pool(url, 2, 600.0)) as pool:
            await RollupCheck(pool).rebuild()
        counted_in = time.monotonic() - began
        # Jobs here are old, and nobody is to be asked for them.
        async with servers.rushes(folder, url, settings={"RETENTION_DAYS": "365"}) as server:
            return [
                Asked(case.name, webhooks, generations, *await _ask(server, case, first, tell), counted_in)
                for case in CASES
            ]


async def _fill(cursor: aiomysql.Cursor, statement: str, first: int, rows: int, tell: Callable[[int], None]) -> None:
    for begin in range(1, rows + 1, _CHUNK):
        end = min(begin + _CHUNK - 1, rows)
        made = statement.format(first=first, step=_SPAN / rows, begin=begin, end=end, author=AUTHOR)
        await cursor.execute(made)
        tell(end)


async def _ask(
    server: servers.Server, case: Case, first: int, tell: Callable[[str], None]
) -> tuple[list[float], int, float]:
    hour = 3_600_000_000
    since = math.ceil(first / hour) * hour
    window = f"from={times.rfc3339(since)}&to={times.rfc3339(since + _SPAN)}"
    waits: list[float] = []
    used = 0.0
    async with aiohttp.ClientSession() as session:
        for number in range(ASKED + 1):
            tell(f"{case.name}: {number} of {ASKED}")
            began = time.monotonic()
            used = used or _used(server.pid)
            async with session.get(f"{server.url}/api/admin/stats?{window}&{case.query}") as answer:
                body = await answer.read()
                if answer.status != 200:
                    raise servers.ServerError(body.decode())
            waits.append(time.monotonic() - began)
    # The first one counts the jobs.
    return waits[1:], len(body), (_used(server.pid) - used) / len(waits)


def _used(pid: int) -> float:
    """Seconds for which a process was on a processor."""
    *_, user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
