"""Thousands of clients lose their server at once, and come back to the one started in its place with their last ids.

The server has one core; the clients and the database share the other. Meanwhile each job had news, so a client is back
when it has had that.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import quantiles
from typing import Any
from urllib.parse import urlsplit

from bench import servers
from bench.fanout import OTHERS_CORE, SERVERS_CORE, Listeners, Rushes, listeners, probe
from bench.seed import connected

CLIENTS = 10_000
_WITHIN = 60.0


@dataclass(frozen=True, slots=True)
class Case:
    """Who comes back when: so many jobs share the clients, who come back within `spread` seconds."""

    name: str
    jobs: int
    spread: float


CASES = (
    Case("5,000 jobs, within 10 s", 5000, 10.0),
    Case("5,000 jobs, at once", 5000, 0.0),
    Case("one job, at once", 1, 0.0),
)


@dataclass(frozen=True, slots=True)
class Storm:
    """One storm. Times are in seconds: until all were back, each client's own wait, a small request's longest wait;
    `statements` is what the database was sent meanwhile, `lost` who did not get what came while it was away."""

    round: int
    case: str
    clients: int
    seconds: float
    p50: float
    p99: float
    longest: float
    statements: int
    lost: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


async def storms(rounds: int, tell: Callable[[str], None], cases: Sequence[Case] = CASES) -> list[Storm]:
    """Measure every case; `tell` hears how far."""
    runs = []
    for number in range(rounds):
        for case in cases:
            tell(f"round {number + 1}/{rounds}: {case.name}")
            os.sched_setaffinity(0, {OTHERS_CORE})
            async with servers.fresh_database() as (folder, url), listeners() as clients:
                settings = {"MAX_CONNECTIONS": "100000", "MAX_CONNECTIONS_PER_USER": "100000"}
                async with servers.rushes(folder, url, settings=settings) as server:
                    await _open(case, Rushes(server), clients)
                    server.kill()
                    await clients.do(lose=30)
                settings["PORT"] = str(urlsplit(server.url).port)
                await Rushes(server).publish(case.jobs, 1)
                async with servers.rushes(folder, url, settings=settings) as server:
                    os.sched_setaffinity(server.pid, {SERVERS_CORE})
                    runs.append(await _return(number, case, server, clients))
    return runs


async def _open(case: Case, server: Rushes, clients: Listeners) -> None:
    await server.prepare(case.jobs)
    paths = [server.path(1 + place % case.jobs) for place in range(CLIENTS)]
    port = urlsplit(server.url).port
    await clients.do(open=paths, host="127.0.0.1", port=port, blocks=server.first_blocks, track=True)


async def _return(number: int, case: Case, server: servers.Server, clients: Listeners) -> Storm:
    assert server.database_url is not None
    probing = asyncio.create_task(probe(server.url))
    before = await _statements(server.database_url)
    came = await clients.do(**{"return": 3}, spread=case.spread, within=_WITHIN)
    statements = await _statements(server.database_url) - before
    probing.cancel()
    longest = (await asyncio.gather(probing, return_exceptions=True))[0]
    cuts = quantiles(came["waits"], n=100)
    return Storm(number, case.name, CLIENTS, came["seconds"], cuts[49], cuts[98],
                 longest if isinstance(longest, float) else float("nan"), statements, came["late"])  # fmt: skip


async def _statements(database_url: str) -> int:
    async with connected(database_url) as cursor:
        await cursor.execute("SHOW GLOBAL STATUS LIKE 'Questions'")
        return int((await cursor.fetchone())[1])
