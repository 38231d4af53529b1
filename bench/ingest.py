"""How many webhooks a second are durable, and how long each sender waits, beside two peers in the same run.

Three servers, each a process of its own on the same loop and the same MariaDB, get the same load in turn:
`no-op` parses and answers, `bare` writes the same rows one transaction a webhook, and rushes. After every run
the server's own record must hold exactly what was sent.
"""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from bench import payload, record, servers
from bench.load import Load, Outcome, send
from bench.seed import seed_jobs

JOBS = 2000
CONNECTIONS = (1, 16, 64)
WARM_UP_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of webhook. `fresh`: each run has jobs of its own, and each job is completed once."""

    name: str
    status: payload.Status
    fresh: bool = False


CASES = (
    Case("generating", "generating"),
    Case("completed, again", "completed"),
    Case("completed, new", "completed", fresh=True),
)


@dataclass(frozen=True, slots=True)
class Options:
    """How long each run lasts, how often each is repeated, at how many connections and over tables of how many rows;
    as the benchmark itself has it where there are none. Statistics are asked for among so many webhooks."""

    seconds: int
    rounds: int
    connections: tuple[int, ...] = ()
    rows: tuple[int, ...] = ()
    webhooks: int = 500_000


@dataclass(frozen=True, slots=True)
class Run:
    """One server under one load. `fault` says why the figures are worth nothing, if so."""

    round: int
    server: str
    case: str
    connections: int
    outcome: Outcome
    fault: str | None

    def as_json(self) -> dict[str, Any]:
        """The run as plain values, with the rate worked out."""
        outcome = asdict(self.outcome) | {"start": self.outcome.start.isoformat(), "rate": self.outcome.rate}
        return asdict(self) | {"outcome": outcome}


async def ingest(options: Options, tell: Callable[[str], None]) -> list[Run]:
    """Measure every case at every number of connections on every server, in turn; `tell` hears how far."""
    runs: list[Run] = []
    async with AsyncExitStack() as stack:
        folder, database_url = await stack.enter_async_context(servers.fresh_database())
        peers = [
            await stack.enter_async_context(servers.noop(folder)),
            await stack.enter_async_context(servers.bare(folder, database_url)),
            await stack.enter_async_context(servers.rushes(folder, database_url)),
        ]
        for server in peers:
            await _prepare(server)
        for number in range(options.rounds):
            for case, connections in product(CASES, options.connections or CONNECTIONS):
                for server in _rotated(peers, number):
                    tell(f"round {number + 1}/{options.rounds}: {case.name}, {connections}, {server.name}")
                    if case.fresh and server.database_url is None:
                        continue  # it cannot tell a new job from an old one
                    load = await _load(server, case, connections, number=number, seconds=options.seconds, runs=runs)
                    before = await record.settled(server)
                    outcome = await send(server.url, load)
                    fault = await record.fault(server, load, outcome, before)
                    if case.fresh and outcome.sent > load.jobs:
                        fault = fault or f"{outcome.sent} webhooks for {load.jobs} jobs: not each a new one"
                    runs.append(Run(number, server.name, case.name, connections, outcome, fault))
    return runs


def _rotated(peers: list[servers.Server], by: int) -> list[servers.Server]:
    """The servers in another order each round, so that none is always the one after the heaviest."""
    by %= len(peers)
    return peers[by:] + peers[:by]


async def _prepare(server: servers.Server) -> None:
    """Make the jobs and let the server warm up."""
    for status in ("generating", "completed"):
        prefix = payload.default_prefix(status)
        if server.database_url:
            await seed_jobs(server.database_url, prefix, JOBS)
        await send(server.url, Load(status, 16, WARM_UP_SECONDS, JOBS, prefix))


async def _load(
    server: servers.Server, case: Case, connections: int, *, number: int, seconds: int, runs: list[Run]
) -> Load:
    """Return the case's load; one that is fresh has its jobs made first."""
    if not case.fresh:
        return Load(case.status, connections, seconds, JOBS, payload.default_prefix(case.status))
    assert server.database_url is not None
    # Twice as many as the server completed just before at this number of connections.
    known = [r.outcome.answers for r in runs if (r.server, r.connections) == (server.name, connections)]
    load = Load(case.status, connections, seconds, 2 * known[-1] + 1000, f"bench-{number}-{connections}-")
    await seed_jobs(server.database_url, load.prefix, load.jobs)
    return load
