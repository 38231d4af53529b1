"""A site with everybody who acts on it, and a clock that a test sets: for what must hold whatever happens."""

import asyncio
import random
import secrets
import time
from contextlib import suppress
from typing import Any

from app import ids, times
from app.db.acts import Acts, RefusedActError
from app.db.dead_letters import ReceivedWebhooks
from app.db.pool import Pool
from app.db.rollups import Rollups
from app.domain.delivery import Delivery
from app.domain.spans import QUARTER
from app.upkeep.leader import Leader
from app.upkeep.parked import Parked
from app.upkeep.retention import Retention
from tests.counting import Counting
from tests.databases import Sql
from tests.rows import TESTER
from tests.webhooks import completion, video, webhook
from tests.writing import Harness, delivery

HOUR = 3_600_000_000
DAY = 24 * HOUR


class Clock:
    """The program's own, which a test sets."""

    def __init__(self) -> None:
        self.ahead = 0

    def time_ns(self) -> int:
        return time.time_ns() + self.ahead * 1000


def late(document: dict[str, Any], ago: int) -> Delivery:
    """A webhook that was received so many microseconds ago, and waited on disk."""
    made = delivery(document)
    made.received_at = times.now() - ago
    made.id = ids.webhook_id(made.received_at)
    return made


def learn_jobs(sql: Sql, counting: Counting) -> None:
    for name, made_at in sql("SELECT id, createdAt FROM video_generations"):
        counting.made_at[name] = times.microseconds(made_at)


class World:
    """A site, its backend, its users and its operator, who do anything at any time."""

    def __init__(self, seed: int, pool: Pool, harness: Harness, sql: Sql, clock: Clock, leader: Leader) -> None:
        self.chance = random.Random(seed)
        self.pool, self.harness, self.sql, self.clock = pool, harness, sql, clock
        self.rollups = Rollups(pool)
        self.counting = Counting()
        self.sent: list[dict[str, Any]] = []
        self.jobs: list[str] = []
        self.made = 0
        self.parked = Parked(pool, harness.writer, leader, poll=1, per_round=100)
        self.received = ReceivedWebhooks(pool, "fr")
        self.retention = Retention(pool, leader, days=2)

    async def step(self) -> None:
        kinds = [
            *(self.make_job, self.send, self.send, self.send, self.send_again, self.send_nonsense, self.discard),
            *(self.replay, self.cancel, self.delete, self.restart, self.count, self.count, self.time_passes),
        ]
        await self.chance.choice(kinds)()

    async def make_job(self) -> None:
        name = f"job-{self.made}"
        self.made += 1
        at = times.now() // 1000 * 1000
        self.sql(
            "INSERT INTO video_generations (id, prompt, authorId, createdAt, updatedAt) VALUES (%s, 'p', 'u1', %s, %s)",
            name, times.sql(at), times.sql(at),
        )  # fmt: skip
        self.counting.made_at[name] = at
        self.jobs.append(name)
        await self.parked.apply_for(name)

    async def send(self) -> None:
        documents = []
        for _ in range(self.chance.randint(1, 6)):
            name = self.chance.choice([*self.jobs, f"job-{self.made + self.chance.randint(0, 2)}"])
            at = times.rfc3339(times.now() - self.chance.randint(0, 600) * 1_000_000)
            word = self.chance.choice(["generating", "downloading", "failed", "completed"])
            if word == "completed":
                documents.append(completion(name, video(f"{name}/{self.chance.randint(1, 3)}"), at=at))
            else:
                documents.append(webhook(name, word, at=at) | {"error": self.chance.choice(["HTTP 503", "x"])})
        self.sent += documents
        await self.submit(documents)

    async def submit(self, documents: list[dict[str, Any]]) -> None:
        ago = self.chance.choice([0, 0, 0, QUARTER, 5 * HOUR])
        await asyncio.gather(*(self.harness.writer.submit(late(document, ago)) for document in documents))

    async def send_again(self) -> None:
        await self.submit(self.chance.choices(self.sent, k=min(3, len(self.sent))) if self.sent else [])

    async def send_nonsense(self) -> None:
        at, key = times.now(), secrets.token_hex(16)
        body = b"{%d}" % self.chance.randint(0, 99)
        await self.harness.writer.submit(
            Delivery.from_body(body, id=ids.webhook_id(at), received_at=at, headers=b"{}", dedup_key=key)
        )

    async def discard(self) -> None:
        rows = self.sql("SELECT id FROM rushes_webhooks WHERE outcome IN ('dead', 'parked') ORDER BY id LIMIT 20")
        await self.received.discard([self.chance.choice(rows)[0]] if rows else [], TESTER)

    async def replay(self) -> None:
        for row in self.sql("SELECT id FROM rushes_webhooks ORDER BY RAND() LIMIT 2"):
            found = await self.received.get(row[0])
            assert found is not None
            await self.received.replay(found, self.harness.writer, TESTER)

    async def cancel(self) -> None:
        with suppress(RefusedActError):
            if self.jobs:
                await Acts(self.pool, "fr").cancel(self.chance.choice(self.jobs))

    async def delete(self) -> None:
        """How long a job took that is gone nobody can tell any more: its end is known by then."""
        while await self.rollups.follow():
            pass
        if self.jobs and self.chance.random() < 0.3:
            name = self.jobs.pop(self.chance.randrange(len(self.jobs)))
            self.sql("DELETE FROM video_generations WHERE id = %s", name)
            if self.sql("SELECT 1 FROM rushes_ends WHERE job_id = %s AND took IS NULL", name) or not self.sql(
                "SELECT 1 FROM rushes_ends WHERE job_id = %s", name
            ):
                self.counting.made_at.pop(name)

    async def restart(self) -> None:
        """Whoever counts is ended at any moment."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.chance.random() * 0.01):
                await self.rollups.settle()

    async def count(self) -> None:
        await self.chance.choice([self.rollups.follow, self.rollups.recount, self.rollups.walk])()

    async def time_passes(self) -> None:
        self.clock.ahead += self.chance.choice([QUARTER // 2, QUARTER, HOUR, 9 * HOUR])
        if self.chance.random() < 0.2:
            self.counting.look(self.sql)
            await self.retention.purge()
