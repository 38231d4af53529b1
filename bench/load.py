"""Puts a running server under load with wrk, over connections kept open: posts distinct webhooks, or reads.

Alone, against any server that has the jobs:

    python -m bench.load http://127.0.0.1:8080 --status generating --connections 16 --seconds 4 --jobs 2000

With `--seed`, the jobs are first made in `DATABASE_URL`.
"""

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

from bench import payload
from bench.seed import seed_jobs

SCRIPT = Path(__file__).with_name("webhooks.lua")
READING_SCRIPT = Path(__file__).with_name("gallery.lua")

# From one webhook's timestamp to the next one's: at less than 100,000 a second none is ahead of the clock, and
# those of the next load are later.
STEP = timedelta(microseconds=10)


class LoadError(Exception):
    """The load could not be made; the message says why."""


@dataclass(frozen=True, slots=True)
class Load:
    """What to send: webhooks of one status, in turn to the jobs `prefix`00001 … `jobs`."""

    status: payload.Status
    connections: int
    seconds: int
    jobs: int
    prefix: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came back. Times in seconds; the percentiles count every answer, also refusals.

    The timestamps of what was sent are `start` + n `STEP` for n from 1 to `sent`, which counts those in flight
    at the end too. `refused` are answers that are neither 2xx nor 3xx, `broken` connection errors and time-outs.
    """

    start: datetime
    sent: int
    answers: int
    refused: int
    broken: int
    seconds: float
    p50: float
    p99: float

    @property
    def accepted(self) -> int:
        return self.answers - self.refused

    @property
    def rate(self) -> float:
        """Accepted webhooks a second."""
        return self.accepted / self.seconds


@dataclass(frozen=True, slots=True)
class Answers:
    """What reading brought. Times in seconds, as in `Outcome`; `bytes` with those of the headers."""

    answers: int
    refused: int
    broken: int
    bytes: int
    seconds: float
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        """Answers a second, 2xx or 3xx."""
        return (self.answers - self.refused) / self.seconds


async def send(url: str, load: Load) -> Outcome:
    """Send `load` to the server at `url` (scheme and authority) and return what came back.

    One wrk thread, so that all connections share one sequence of webhooks. wrk's percentiles are
    corrected for coordinated omission: an answer slower than twice the mean counts for those that
    its connection could not ask for meanwhile. Raises LoadError.
    """
    if load.jobs < 4 * load.connections:
        raise LoadError(
            f"{load.jobs} jobs are too few for {load.connections} connections: updates of one job would meet"
        )
    start = datetime.now(UTC)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".json") as body:
        body.write(payload.template(load.status))
        body.flush()
        command = [f"--script={SCRIPT}", url, "--", body.name, load.prefix]
        command += [str(load.jobs), str(int(start.timestamp())), str(start.microsecond), str(STEP.microseconds)]
        command += [urlsplit(url).netloc, payload.PATH]
        return Outcome(start=start, **await _wrk(load.connections, load.seconds, command))


async def read(
    url: str, headers: Mapping[str, str], connections: int, seconds: int, tokens: Sequence[str] = ()
) -> Answers:
    """Ask for `url` again and again, signed in by each of the `tokens` in turn, and return what came back. Raises
    LoadError."""
    given = [f"--header={name}: {value}" for name, value in headers.items()]
    return Answers(**await _wrk(connections, seconds, [*given, f"--script={READING_SCRIPT}", url, "--", *tokens]))


async def _wrk(connections: int, seconds: int, arguments: list[str]) -> dict[str, Any]:
    """What the script's `done` prints at the end. Raises LoadError."""
    program = shutil.which("wrk")
    if program is None:
        raise LoadError("wrk is not installed: on Debian or Ubuntu, apt-get install wrk")
    process = await asyncio.create_subprocess_exec(
        *(program, "--threads=1", f"--connections={connections}", f"--duration={seconds}s", "--timeout=10s"),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        out = (await process.communicate())[0].decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    last = out.rstrip().rpartition("\n")[2]
    if process.returncode or not last.startswith("{"):
        raise LoadError(f"wrk failed: {out.strip()}")
    found: dict[str, Any] = json.loads(last)
    return found


def main() -> int:
    """Run one load as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.load", description="Posts webhooks to a running server.")
    parser.add_argument("url", help="scheme, host and port")
    parser.add_argument("--status", choices=get_args(payload.Status), default="generating")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--prefix", help="of the job ids; bench- for generating, bench-done- for completed")
    parser.add_argument("--seed", action="store_true", help="make the jobs in DATABASE_URL first")
    args = parser.parse_args()
    prefix = args.prefix or payload.default_prefix(args.status)
    load = Load(args.status, args.connections, args.seconds, args.jobs, prefix)
    try:
        outcome = asyncio.run(_seed_and_send(args.url, load, seed=args.seed))
    except LoadError as error:
        print(error, file=sys.stderr)
        return 2
    print(
        f"{load.status}, {load.connections} connections: {outcome.rate:,.0f} webhooks/s,"
        f" p50 {outcome.p50 * 1000:.2f} ms, p99 {outcome.p99 * 1000:.2f} ms"
        f" ({outcome.answers} answers, {outcome.refused} refused, {outcome.broken} broken)"
    )
    return 1 if outcome.refused or outcome.broken else 0


async def _seed_and_send(url: str, load: Load, *, seed: bool) -> Outcome:
    if seed:
        if "DATABASE_URL" not in os.environ:
            raise LoadError("--seed makes the jobs in DATABASE_URL: set it")
        await seed_jobs(os.environ["DATABASE_URL"], load.prefix, load.jobs)
    return await send(url, load)


if __name__ == "__main__":
    sys.exit(main())
