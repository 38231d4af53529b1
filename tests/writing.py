"""A writer without a server around it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import orjson
import pymysql
from pymysql.cursors import Cursor

from app import ids, times
from app.db.url import parameters
from app.db.writer.writer import Writer
from app.domain import payload
from app.domain.delivery import Delivery, Outcome
from app.domain.estimate import Estimates
from app.domain.event import LogEvent
from tests.databases import Sql


class Harness:
    """A writer, and the events that it handed on."""

    def __init__(self, url: str, **options: Any) -> None:
        self.events: list[LogEvent] = []
        self.batches: list[int] = []
        options = {"batch_max": 500, "batch_max_bytes": 4 * 1024 * 1024, "budget": 10.0, "wait": 10.0} | options
        self.writer = Writer(url, language="fr", estimates=Estimates(), on_commit=self._committed, **options)

    def _committed(self, events: list[LogEvent]) -> None:
        self.batches.append(len(events))
        self.events += events

    async def submit(self, *bodies: dict[str, Any], webhook_id: str | None = None) -> list[Outcome]:
        """All at once, so that they meet in one batch."""
        return list(await asyncio.gather(*(self.writer.submit(delivery(b, webhook_id)) for b in bodies)))


def delivery(document: dict[str, Any], webhook_id: str | None = None) -> Delivery:
    body, at = orjson.dumps(document), times.now()
    update = payload.parse(body)
    key = payload.dedup_key(webhook_id, update, body)
    return Delivery(ids.webhook_id(at), key, at, b"{}", body, version=update.version, update=update)


@contextlib.asynccontextmanager
async def writing(url: str, **options: Any) -> AsyncIterator[Harness]:
    harness = Harness(url, **options)
    harness.writer.start()
    try:
        yield harness
    finally:
        await harness.writer.stop()


def add_jobs(sql: Sql, *names: str) -> None:
    """As another program does: the server is not told."""
    rows = ", ".join(["(%s, 'p', 'u1', NOW(3))"] * len(names))
    sql(f"INSERT INTO video_generations (id, prompt, authorId, updatedAt) VALUES {rows}", *names)


def log_ids(sql: Sql) -> list[int]:
    return [row[0] for row in sql("SELECT id FROM rushes_events ORDER BY id")]


def kinds(outcomes: Iterable[Outcome]) -> list[str]:
    return [outcome.kind for outcome in outcomes]


@contextlib.contextmanager
def holding(database_url: str, job_id: str) -> "Iterator[pymysql.Connection[Cursor]]":
    """Another program's transaction that has the job's row."""
    arguments = parameters(database_url)
    session = pymysql.connect(unix_socket=arguments["unix_socket"], user="root", database=arguments["db"])
    session.cursor().execute("SELECT id FROM video_generations WHERE id = %s FOR UPDATE", (job_id,))
    yield session
    session.close()
