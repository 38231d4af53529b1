"""Where rushes spends its time under load: `python -m bench.profile --status completed --connections 64`, or
`python -m bench.profile --gallery --connections 16`.

With py-spy on PATH (it is no dependency) its samples of the running server are written to
`bench/results/profile.svg`; without it, or with `--deterministic`, rushes runs under cProfile, which costs
about half of the rate and makes small functions look dearer than they are.
"""

import argparse
import asyncio
import pstats
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import get_args

import aiohttp

from app.db.local import LocalDatabaseError
from bench import library, payload, servers
from bench.gallery import ROWS, SECRET, Reader
from bench.ingest import JOBS
from bench.load import Load, LoadError, send
from bench.seed import seed_jobs

RESULTS = Path(__file__).with_name("results")


# Puts the server under load once it is ready to be, for so many seconds, and tells what came of it.
Work = Callable[[servers.Server, int], Awaitable[str]]


def posting(load: Load) -> Work:
    """Webhooks, to jobs that are made before."""

    async def work(server: servers.Server, seconds: int) -> str:
        assert server.database_url is not None
        await seed_jobs(server.database_url, load.prefix, load.jobs)
        outcome = await send(server.url, replace(load, seconds=seconds))
        return f"{outcome.rate:,.0f} webhooks/s, {outcome.refused} refused, {outcome.broken} broken"

    return work


def reading(connections: int) -> Work:
    """A gallery of 100."""

    async def work(server: servers.Server, seconds: int) -> str:
        assert server.database_url is not None
        if not await library.newest(server.database_url):
            await library.fill(server.database_url, ROWS[0])
        async with aiohttp.ClientSession() as session:
            answers, fault = await Reader(server, session).measure("at rest", connections, seconds)
        return f"{answers.rate:,.0f} galleries/s, {fault or 'all whole'}"

    return work


async def profile(work: Work, seconds: int, *, deterministic: bool) -> None:
    """Run rushes under load and say where its time went."""
    RESULTS.mkdir(exist_ok=True)
    sampler = None if deterministic else shutil.which("py-spy")
    stats = RESULTS / "profile.pstats"
    python = () if sampler else ("-m", "cProfile", "-o", str(stats))
    async with (
        servers.fresh_database() as (folder, database_url),
        servers.rushes(folder, database_url, python, {"AUTH_JWT_SECRET": SECRET}) as server,
    ):
        await work(server, 1)
        async with _sampled(sampler, server.pid, seconds):
            outcome = await work(server, seconds)
    print(f"{outcome}; profiled")
    if sampler:
        print("bench/results/profile.svg")
    else:
        pstats.Stats(str(stats)).sort_stats("tottime").print_stats(45)


@asynccontextmanager
async def _sampled(sampler: str | None, pid: int, seconds: int) -> AsyncIterator[None]:
    """Sample the process for the length of the load."""
    if sampler is None:
        yield
        return
    process = await asyncio.create_subprocess_exec(
        *(sampler, "record", "--pid", str(pid), "--duration", str(seconds), "--rate", "500"),
        *("--output", str(RESULTS / "profile.svg")),
    )
    yield
    await process.wait()


def main() -> int:
    """Profile one load as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description="Profiles rushes under load.")
    parser.add_argument("--status", choices=get_args(payload.Status), default="generating")
    parser.add_argument("--gallery", action="store_true", help="read a gallery of 100 in place of posting webhooks")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--deterministic", action="store_true", help="cProfile even if py-spy is there")
    args = parser.parse_args()
    prefix = payload.default_prefix(args.status)
    load = Load(args.status, args.connections, args.seconds, JOBS, prefix)
    work = reading(args.connections) if args.gallery else posting(load)
    try:
        asyncio.run(profile(work, args.seconds, deterministic=args.deterministic))
    except (LoadError, LocalDatabaseError, servers.ServerError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
