"""Spools, and processes that are killed and leave theirs behind."""

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app import ids
from app.db.spool.spool import Spool
from app.domain import payload
from app.domain.delivery import Delivery
from tests.webhooks import webhook

MUCH = 1 << 30
ROOT = Path(__file__).parents[1]
# Puts deliveries into spools of its own, says their ids, and waits for its death.
CHILD = """
import asyncio, json, sys
from pathlib import Path
from app.db.spool.spool import Spool
from tests.spools import MUCH, delivery

async def main(folder, spools, rows, size):
    said = []
    for n in range(spools):
        spool = Spool(Path(folder), MUCH)
        await spool.open()
        for _ in range(rows):
            d = delivery(f"job_{n}", 1_700_000_000_000_000 + len(said), padding=size)
            await spool.put([d])
            said.append(d.id)
        keep.append(spool)
    print(json.dumps(said), flush=True)
    await asyncio.sleep(60)

keep = []
asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
"""


def delivery(job_id: str, at: int | None = None, *, padding: int = 0) -> Delivery:
    body = json.dumps(webhook(job_id, "generating") | {"padding": "x" * padding}).encode()
    update = payload.parse(body)
    received_at = 1_700_000_000_000_000 if at is None else at
    key = payload.dedup_key(None, update, body)
    return Delivery(ids.webhook_id(received_at), key, received_at, b"{}", body, update.version, update)


@contextmanager
def process(
    folder: Path, *, spools: int = 1, rows: int = 3, size: int = 0
) -> Iterator[tuple[Callable[[], None], list[str]]]:
    """A process with its own spools; what kills it, and the ids that it put. It is dead at the end."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder), str(spools), str(rows), str(size)], stdout=subprocess.PIPE, cwd=ROOT
    )

    def kill() -> None:
        child.send_signal(signal.SIGKILL)
        child.wait()

    with child:
        try:
            assert child.stdout is not None
            yield kill, json.loads(child.stdout.readline())
        finally:
            kill()


def killed(folder: Path, **kwargs: Any) -> list[str]:
    """The ids that a process put before it was killed."""
    with process(folder, **kwargs) as (_kill, put):
        return put


async def everything(spool: Spool) -> list[str]:
    return [d.id for d in await spool.oldest(1_000_000, MUCH)]


def files(folder: Path, suffix: str) -> list[Path]:
    return sorted(folder.glob(f"*{suffix}"))


@contextmanager
def broken_disk() -> Iterator[None]:
    """Every write to a file fails with EFBIG: an I/O error to SQLite."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
