"""Makes the jobs that the benchmarks' webhooks are about.

Alone: `DATABASE_URL=… python -m bench.seed --jobs 2000` makes those of both statuses.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import get_args

import aiomysql

from app.db.url import parameters
from bench import payload

AUTHOR = "dev"
CHUNK = 5000


@asynccontextmanager
async def connected(database_url: str) -> AsyncIterator[aiomysql.Cursor]:
    """Yield a cursor of an autocommitting connection in UTC."""
    connection = await aiomysql.connect(
        **parameters(database_url),
        charset="utf8mb4",
        autocommit=True,
        init_command="SET time_zone = '+00:00'",
    )
    try:
        async with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


async def seed_jobs(database_url: str, prefix: str, jobs: int) -> None:
    """Make the jobs `prefix`00001 … `jobs`, pending and of user `dev`; those already there stay."""
    async with connected(database_url) as cursor:
        for first in range(1, jobs + 1, CHUNK):
            ids = [payload.job_id(prefix, number) for number in range(first, min(first + CHUNK, jobs + 1))]
            row = f"(%s, 'Un coucher de soleil', '{AUTHOR}', NOW(3))"
            await cursor.execute(
                "INSERT IGNORE INTO video_generations (id, prompt, authorId, updatedAt) VALUES "
                + ", ".join([row] * len(ids)),
                ids,
            )


def main() -> int:
    """Seed the jobs of both statuses as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.seed", description="Makes jobs in DATABASE_URL.")
    parser.add_argument("--jobs", type=int, default=2000)
    args = parser.parse_args()
    if "DATABASE_URL" not in os.environ:
        print("Set DATABASE_URL to the database that gets the jobs.", file=sys.stderr)
        return 2
    for status in get_args(payload.Status):
        asyncio.run(seed_jobs(os.environ["DATABASE_URL"], payload.default_prefix(status), args.jobs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
