"""What transactions say to the log, without the writer that makes them."""

from collections.abc import Iterable

from app import times
from app.db import log
from app.db.changed import packed
from app.db.connection import Connection
from app.domain.event import LogEvent


def appending(told: Iterable[str], events: int = 1) -> list[bytes]:
    """What a batch ends with that has changed these webhooks, but for its COMMIT."""
    rows = [LogEvent(0, "j1", "dev", None, "progress", b"{}") for _ in range(events)]
    return log.append(rows, times.now(), packed(told))


async def append(connection: Connection, told: Iterable[str], events: int = 1) -> None:
    await connection.run("START TRANSACTION", *appending(told, events), "COMMIT")
