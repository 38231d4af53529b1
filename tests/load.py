"""A server that can be killed, senders that go on, and the account at the end."""

import asyncio
import contextlib
import itertools
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pymysql
from pymysql.cursors import Cursor

from app.db import migrate
from app.db.url import parameters
from app.domain import payload
from app.times import rfc3339
from tests.processes import free_port, let_go, start, stderr
from tests.webhooks import completion, video, webhook

LONG = bool(os.environ.get("RUSHES_CHAOS"))
JOBS = 40
_MIDNIGHT = 1_761_177_600_000_000
SENDERS = 8


@dataclass
class Load:
    """Senders that do as the real backend does: what is not answered is logged and forgotten."""

    url: str
    acknowledged: dict[str, int] = field(default_factory=dict)
    refused: int = 0
    unanswered: int = 0
    stop: bool = False
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def run(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
            await asyncio.gather(*(self._send(session) for _ in range(SENDERS)))

    async def _send(self, session: aiohttp.ClientSession) -> None:
        while not self.stop:
            number = next(self._numbers)
            webhook_id, job_id = f"msg_{number}", f"job-{number % JOBS}"
            at = rfc3339(_MIDNIGHT + number * 1000)
            body = (
                completion(job_id, video(f"{job_id}/file"), at=at)
                if number % 7 == 0
                else webhook(job_id, "generating", at=at)
            )
            try:
                async with session.post(
                    f"{self.url}/api/webhooks/video-completion", json=body, headers={"webhook-id": webhook_id}
                ) as answer:
                    await answer.read()
                    if answer.status in (200, 202):
                        self.acknowledged[webhook_id] = answer.status
                    else:
                        self.refused += 1
            except (aiohttp.ClientError, TimeoutError):
                self.unanswered += 1
                await asyncio.sleep(0.01)

    async def until(self, count: int) -> None:
        """Until so many more were acknowledged."""
        wanted = len(self.acknowledged) + count
        async with asyncio.timeout(60):
            while len(self.acknowledged) < wanted:
                await asyncio.sleep(0.01)


class Killable:
    """`rushes serve` on a port of its own, started again after each kill."""

    _process: asyncio.subprocess.Process

    def __init__(self, folder: Path, database_url: str) -> None:
        self._folder = folder
        self._settings = {"DATABASE_URL": database_url, "PORT": free_port(), "LOG_LEVEL": "error"}
        self.url = f"http://127.0.0.1:{self._settings['PORT']}"

    async def start(self) -> None:
        self._process = await start(self._folder, "serve", **self._settings)
        async with aiohttp.ClientSession() as session, asyncio.timeout(30):
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"{self.url}/healthz") as answer:
                        if answer.status == 200:
                            return
                assert self._process.returncode is None, (await stderr(self._process).read()).decode()
                await asyncio.sleep(0.02)

    async def end(self, how: signal.Signals) -> None:
        self._process.send_signal(how)
        async with asyncio.timeout(20):
            await self._process.wait()
        let_go(self._process)


def connect(url: str) -> "pymysql.Connection[Cursor]":
    arguments = parameters(url)
    return pymysql.connect(unix_socket=arguments["unix_socket"], user="root", database=arguments["db"], autocommit=True)


def prepare(url: str) -> None:
    migrate.apply(url)
    with connect(url) as session, session.cursor() as cursor:
        for number in range(JOBS):
            cursor.execute(
                "INSERT INTO video_generations (id, prompt, authorId, updatedAt) VALUES (%s, 'p', 'dev', NOW(3))",
                (f"job-{number}",),
            )


def verify(url: str, load: Load) -> None:
    """Each acknowledged webhook has one row that was applied or stale; the log is dense and has one row each."""
    with connect(url) as session, session.cursor() as cursor:
        cursor.execute("SELECT dedup_key, outcome, COUNT(*) FROM rushes_webhooks GROUP BY dedup_key, outcome")
        found = {key: (outcome, count) for key, outcome, count in cursor.fetchall() if key is not None}
        lost = [
            webhook_id
            for webhook_id in load.acknowledged
            if found.get(payload.dedup_key(webhook_id, None, b""), ("", 0)) not in (("applied", 1), ("stale", 1))
        ]
        assert not lost, f"{len(lost)} of {len(load.acknowledged)} lost: {lost[:5]}"
        cursor.execute("SELECT COUNT(*), MIN(id), MAX(id) FROM rushes_events")
        ((count, first, last),) = cursor.fetchall()
        cursor.execute("SELECT COUNT(*) FROM rushes_webhooks WHERE outcome = 'applied'")
        ((applied,),) = cursor.fetchall()
        assert (count, first, last) == (applied, 1, count)
        cursor.execute("SELECT COUNT(*), COUNT(DISTINCT s3Key) FROM video_files")
        (counts,) = cursor.fetchall()
        assert len(set(counts)) == 1


def report(what: str, times: int, load: Load) -> None:
    queued = sum(status == 202 for status in load.acknowledged.values())
    sys.stderr.write(
        f"\n{what} {times} times: {len(load.acknowledged)} acknowledged ({queued} queued), {load.refused} refused, "
        f"{load.unanswered} unanswered, 0 lost\n"
    )
