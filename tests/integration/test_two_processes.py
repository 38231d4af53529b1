"""Two server processes on one database, and a sender that gives each webhook to both at the same moment."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp

from tests.databases import Sql
from tests.processes import serving
from tests.webhooks import webhook

WEBHOOKS = 1000
AT_ONCE = 40


async def test_1000_webhooks_each_sent_to_two_processes_at_once_are_applied_once_each(
    tmp_path: Path, database_url: str, sql: Sql
) -> None:
    sql(
        "INSERT INTO video_generations (id, prompt, authorId, updatedAt)"
        f" SELECT CONCAT('j', seq), 'p', 'dev', NOW(3) FROM seq_1_to_{WEBHOOKS}"
    )
    numbers = iter(range(1, WEBHOOKS + 1))
    pairs: Counter[tuple[str, ...]] = Counter()

    async def send(session: aiohttp.ClientSession, urls: list[str]) -> None:
        for number in numbers:
            body = webhook(f"j{number}", "generating")
            # Both are on their way before either is answered.
            answers = await asyncio.gather(*(post(session, url, body) for url in urls))
            pairs[tuple(sorted(answers))] += 1

    async with (
        serving(tmp_path, DATABASE_URL=database_url) as (_, one, _),
        serving(tmp_path, DATABASE_URL=database_url) as (_, two, _),
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        await asyncio.gather(*(send(session, [one, two]) for _ in range(AT_ONCE)))
    assert pairs == {("duplicate", "generating"): WEBHOOKS}
    assert sql("SELECT outcome, COUNT(*), COUNT(DISTINCT job_id) FROM rushes_webhooks GROUP BY outcome") == (
        ("applied", WEBHOOKS, WEBHOOKS),
        ("duplicate", WEBHOOKS, WEBHOOKS),
    )
    assert sql("SELECT COUNT(*), COUNT(DISTINCT job_id), MIN(id), MAX(id) FROM rushes_events") == (
        (WEBHOOKS, WEBHOOKS, 1, WEBHOOKS),
    )
    assert sql("SELECT COUNT(*) FROM video_generations WHERE progress = 50") == ((WEBHOOKS,),)


async def post(session: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> str:
    async with session.post(f"{url}/api/webhooks/video-completion", json=body) as answer:
        assert answer.status == 200, await answer.text()
        return str((await answer.json())["status"])
