"""How many deliveries a second one process makes, and what an idle client costs it, beside Nchan and a server by
aiohttp-sse's book in the same run.

Each server has one core for itself; the clients, the database and the publisher share another. Rushes finds the events
in the log, as those of another process. The others get them by POST, over
connections kept open.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench import servers
from bench.seed import AUTHOR, connected, seed_jobs

FRAME = 350  # bytes of an event on the wire, about
_WITHIN = 120.0
SERVERS_CORE, OTHERS_CORE = 0, 1


@dataclass(frozen=True, slots=True)
class Case:
    """So many jobs, each with so many subscribers, each of whom gets so many events."""

    name: str
    jobs: int
    subscribers: int
    events: int
    websocket: bool = False

    @property
    def clients(self) -> int:
        return self.jobs * self.subscribers

    @property
    def deliveries(self) -> int:
        return self.clients * self.events


CASES = (
    Case("one job, 1,000 subscribers", 1, 1000, 200),
    Case("one job, 5,000 subscribers", 1, 5000, 50),
    Case("one job, 10,000 subscribers", 1, 10_000, 25),
    Case("5,000 jobs, one subscriber each", 5000, 1, 20),
    Case("one job, 10,000 over WebSocket", 1, 10_000, 25, websocket=True),
)


@dataclass(frozen=True, slots=True)
class FanOut:
    """One server in one case. `longest` is how long a small request had to wait meanwhile, in seconds; `memory` is
    bytes for each client; `lost` are deliveries that did not come."""

    round: int
    server: str
    case: str
    seconds: float
    cpu_seconds: float
    deliveries: int
    lost: int
    memory: float
    longest: float

    @property
    def rate(self) -> float:
        return self.deliveries / self.seconds

    @property
    def rate_per_cpu(self) -> float:
        return self.deliveries / self.cpu_seconds

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"rate": self.rate, "rate_per_cpu": self.rate_per_cpu}


class Listeners:
    """The process of the clients (see bench.listeners)."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def do(self, **command: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        answer = json.loads(await self._process.stdout.readline())
        if "error" in answer:
            raise servers.ServerError(answer["error"])
        return dict(answer)


@asynccontextmanager
async def listeners() -> AsyncIterator[Listeners]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.listeners"),
        cwd=servers.ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
        preexec_fn=lambda: os.sched_setaffinity(0, {OTHERS_CORE}),
    )
    try:
        yield Listeners(process)
    finally:
        process.kill()
        await process.wait()


class Rushes:
    """Rushes, fed through the log."""

    name = "rushes"
    first_blocks, websocket_blocks = 3, 2

    def __init__(self, server: servers.Server) -> None:
        assert server.database_url is not None
        self.url = server.url
        self.pid = server.pid
        self._database_url = server.database_url

    def path(self, job: int, *, websocket: bool = False) -> str:
        return f"/{'ws' if websocket else 'events'}/fan-{job:05d}"

    async def prepare(self, jobs: int) -> None:
        await seed_jobs(self._database_url, "fan-", jobs)

    async def publish(self, jobs: int, events: int) -> None:
        """Commits all of them at once."""
        async with connected(self._database_url) as cursor:
            await cursor.execute("START TRANSACTION")
            await cursor.execute("UPDATE rushes_counter SET value = LAST_INSERT_ID(value + %s)", jobs * events)
            await cursor.execute("SELECT LAST_INSERT_ID()")
            last = (await cursor.fetchone())[0] - jobs * events
            at = datetime.now(UTC).replace(tzinfo=None)
            rows = [
                (last + n * jobs + job, f"fan-{job:05d}", AUTHOR, "progress", _data(f"fan-{job:05d}", n), at)
                for n in range(events)
                for job in range(1, jobs + 1)
            ]
            for start in range(0, len(rows), 2000):
                await cursor.executemany(
                    "INSERT INTO rushes_events (id, job_id, author_id, event, data, created_at)"
                    " VALUES (%s, %s, %s, %s, %s, %s)",
                    rows[start : start + 2000],
                )
            await cursor.execute("COMMIT")


class Posted:
    """A peer that is told of each event by POST: Nchan, which is nginx with a module in C and one worker; or
    aiohttp-sse by the book, which knows no WebSocket."""

    first_blocks, websocket_blocks = 1, 1

    def __init__(self, name: str, url: str, pid: int) -> None:
        self.name = name
        self.url = url
        self.pid = pid

    def path(self, job: int, *, websocket: bool = False) -> str:  # noqa: ARG002 - one address for both
        return f"/sub/fan-{job:05d}"

    async def prepare(self, jobs: int) -> None:
        pass

    async def publish(self, jobs: int, events: int) -> None:
        address = urlsplit(self.url)
        each = [range(start, jobs + 1, 8) for start in range(1, min(jobs, 8) + 1)]
        for n in range(events):
            await asyncio.gather(*(self._post(address.port or 80, chosen, n) for chosen in each))

    async def _post(self, port: int, jobs: Sequence[int], n: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for job in jobs:
            body = _data(f"fan-{job:05d}", n)
            writer.write(
                f"POST /pub/fan-{job:05d} HTTP/1.1\r\nHost: localhost\r\nX-EventSource-Event: progress\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
            )
        answers = b""
        while answers.count(b"HTTP/1.1 20") < len(jobs):
            data = await reader.read(65536)
            if not data:
                raise servers.ServerError(f"{self.name} refused: {answers[-300:]!r}")
            answers += data
        writer.close()


def _data(job_id: str, n: int) -> str:
    """An event's data, of one length."""
    data = {
        "job_id": job_id, "status": "generating", "state": "PROCESSING", "progress": 50, "message": "",
        "occurred_at": "2025-10-23T14:02:00.000Z", "error": None, "eta_seconds": 1000 + n, "videos": [],
    }  # fmt: skip
    data["message"] = "x" * (FRAME - 70 - len(json.dumps(data)))
    return json.dumps(data)


async def fan_out(rounds: int, tell: Callable[[str], None], cases: Sequence[Case] = CASES) -> list[FanOut]:
    """Measure every case on each server, in turn; `tell` hears how far."""
    runs = []
    for number in range(rounds):
        for case in cases:
            peers = (nchan,) if case.websocket else (nchan, by_the_book)
            for start in (rushes, *peers) if number % 2 == 0 else (*peers, rushes):
                async with AsyncExitStack() as stack:
                    server = await stack.enter_async_context(start())
                    clients = await stack.enter_async_context(listeners())
                    tell(f"round {number + 1}/{rounds}: {case.name}, {server.name}")
                    runs.append(await _measure(number, case, server, clients))
    return runs


async def _measure(number: int, case: Case, server: Rushes | Posted, clients: Listeners) -> FanOut:
    await server.prepare(case.jobs)
    port = urlsplit(server.url).port
    paths = [
        server.path(job, websocket=case.websocket) for job in range(1, case.jobs + 1) for _ in range(case.subscribers)
    ]
    warm, paths = paths[:500], paths[500:]
    blocks = server.websocket_blocks if case.websocket else server.first_blocks
    where = {"host": "127.0.0.1", "port": port, "blocks": blocks, "websocket": case.websocket}
    await clients.do(open=warm, **where)
    before = _memory(server.pid)
    await clients.do(open=paths, **where)
    memory = (_memory(server.pid) - before) / len(paths)
    cpu = _cpu_seconds(server.pid)
    heard = asyncio.create_task(clients.do(expect=case.deliveries, within=_WITHIN))
    probing = asyncio.create_task(probe(server.url))
    await server.publish(case.jobs, case.events)
    came = await heard
    probing.cancel()
    longest = (await asyncio.gather(probing, return_exceptions=True))[0]
    return FanOut(
        number,
        server.name,
        case.name,
        came["last"] - came["first"],
        _cpu_seconds(server.pid) - cpu,
        came["blocks"],
        case.deliveries - came["blocks"],
        memory,
        longest if isinstance(longest, float) else float("nan"),
    )


async def probe(url: str) -> float:
    """The longest wait for a small answer, until cancelled."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
    longest = 0.0
    try:
        while True:
            began = time.monotonic()
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            if not await reader.read(65536):
                return float("nan")
            longest = max(longest, time.monotonic() - began)
            await asyncio.sleep(0.005)
    except asyncio.CancelledError:
        return longest
    finally:
        writer.close()


def _memory(pid: int) -> int:
    """Bytes that are this process's own."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return 1024 * int(rollup.partition("\nPss:")[2].split()[0])


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def rushes() -> AsyncIterator[Rushes]:
    """A server of its own database, with limits out of the way."""
    os.sched_setaffinity(0, {OTHERS_CORE})
    async with servers.fresh_database() as (folder, url):
        settings = {
            "MAX_CONNECTIONS": "100000", "MAX_CONNECTIONS_PER_USER": "100000", "STREAM_HEARTBEAT": "600",
            "WEBSOCKET_PING": "600", "LOG_POLL": "0.05",
        }  # fmt: skip
        async with servers.rushes(folder, url, settings=settings) as server:
            os.sched_setaffinity(server.pid, {SERVERS_CORE})
            yield Rushes(server)


@asynccontextmanager
async def nchan() -> AsyncIterator[Posted]:
    """nginx as our own process, in a folder of its own."""
    os.sched_setaffinity(0, {OTHERS_CORE})
    async with servers.nchan() as (url, pid):
        os.sched_setaffinity(pid, {SERVERS_CORE})
        yield Posted("Nchan", url, pid)


@asynccontextmanager
async def by_the_book() -> AsyncIterator[Posted]:
    os.sched_setaffinity(0, {OTHERS_CORE})
    async with servers.by_the_book() as server:
        os.sched_setaffinity(server.pid, {SERVERS_CORE})
        yield Posted(server.name, server.url, server.pid)
