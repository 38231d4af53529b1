"""The server's clock is set forward and back by hours, under load: a real server, whose wall clock alone is false."""

import asyncio
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from tests.databases import Sql
from tests.processes import really_start, serving
from tests.streams import events
from tests.webhooks import completion, video, webhook

JOBS = 24
STATUSES = ("processing", "generating", "downloading", "failed")
STEPS = ("+5h", "-4h", "+9h", "-2h", "+0")

LIBRARIES = [
    path
    for place in ("/usr/lib", "/usr/lib64")
    for pattern in ("*/faketime/libfaketime.so.1", "faketime/libfaketime.so.1")
    for path in Path(place).glob(pattern)
]


class Clock:
    """The false clock of a server: an offset in a file, which it reads each time it looks at the clock."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "clock"
        self._path.write_text("+0")
        self.settings = {
            "LD_PRELOAD": LIBRARIES[0],
            "FAKETIME_TIMESTAMP_FILE": self._path,
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    async def step(self, offset: str, session: aiohttp.ClientSession, url: str) -> None:
        """Returns once the server says that it is so late."""
        new = self._path.with_suffix(".new")
        new.write_text(offset)
        new.rename(self._path)
        wanted = time.time() + 3600 * int(offset.rstrip("h"))
        async with asyncio.timeout(10):
            while True:
                async with session.get(f"{url}/api/webhooks/video-completion") as answer:
                    said = datetime.fromisoformat((await answer.json())["timestamp"]).timestamp()
                if abs(said - wanted) < 600:
                    return


class Load:
    """Jobs one after the other, each from its first status to its last, without a timestamp."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = f"{url}/api/webhooks/video-completion"
        self.answers: list[tuple[int, str]] = []

    async def run(self, name: str, stepped: asyncio.Event) -> None:
        """A job's last status is sent only after the clock was set: before it, others ran on the clock that was."""
        for status in STATUSES:
            if status == STATUSES[-1]:
                await stepped.wait()
            body = webhook(name, status) | {"timestamp": None}
            await self.post(body)

    async def post(self, body: dict[str, Any]) -> None:
        async with self._session.post(self._url, json=body) as answer:
            self.answers.append((answer.status, (await answer.json()).get("status", "")))


@pytest.mark.skipif(not LIBRARIES, reason="needs libfaketime: make test installs it on Linux")
async def test_clock_that_is_set_forward_and_back_by_hours_loses_nothing_and_turns_no_order_round(
    tmp_path: Path, database_url: str, sql: Sql
) -> None:

    names = [f"j{step}-{n}" for step in range(len(STEPS)) for n in range(JOBS)]
    for name in (*names, "watched", "done"):
        sql("INSERT INTO video_generations (id, prompt, authorId, updatedAt) VALUES (%s, 'p', 'dev', NOW(3))", name)
    clock = Clock(tmp_path)
    settings = {"DATABASE_URL": database_url, "STREAM_HEARTBEAT": "0.2"} | clock.settings
    async with serving(tmp_path, start=really_start, **settings) as (_, url, _), aiohttp.ClientSession() as session:
        load = Load(session, url)
        await load.post(completion("done", video("done/1")))
        async with events(session, f"{url}/events") as gallery, events(session, f"{url}/events/watched") as quiet:
            await quiet.next()
            seen = [(await gallery.next()).id for _ in range(len(names) + 1)][-1:]
            silence = asyncio.create_task(quiet.next(60))
            for number, offset in enumerate(STEPS):
                stepped, beats = asyncio.Event(), len(quiet.comments)
                running = [
                    asyncio.create_task(load.run(name, stepped)) for name in names if name.startswith(f"j{number}-")
                ]
                # In the middle of the load, and before any job of it can end.
                wanted = len(load.answers) + JOBS
                while len(load.answers) < wanted:
                    await asyncio.sleep(0.002)
                await clock.step(offset, session, url)
                stepped.set()
                await asyncio.gather(*running)
                async with asyncio.timeout(5):
                    while len(quiet.comments) == beats:
                        await asyncio.sleep(0.02)
            assert not silence.done()
            await load.post(webhook("watched", "generating"))
            # Stages that lasted while the clock was set are among the samples; what is said of them stays sensible.
            told = (await silence).data
            assert 0 <= (told["eta_seconds"] or 0) <= (told["eta_p90_seconds"] or 0) < 7 * 86400
            seen += [(await gallery.next()).id for _ in range(4 * len(names) + 1)]
    count = 4 * len(names) + 2
    # Each was taken at once, and none was thought older than the one before it.
    assert [answer for answer in load.answers if answer[0] != 200 or answer[1] == "stale"] == []
    assert len(load.answers) == count
    assert seen == list(range(1, count + 1))
    assert sql("SELECT COUNT(*) FROM video_generations WHERE status = 'FAILED'") == ((len(names),),)
    assert sql("SELECT outcome, COUNT(*) FROM rushes_webhooks GROUP BY outcome") == (("applied", count),)
    assert sql("SELECT COUNT(*), MIN(id), MAX(id) FROM rushes_events") == ((count, 1, count),)
    in_order = [orjson.loads(row[0])["job_id"] for row in sql("SELECT payload FROM rushes_webhooks ORDER BY id")]
    assert in_order.index("j4-0") > in_order.index("j0-0")
    assert sql("SELECT COUNT(*) FROM rushes_webhooks WHERE duration_ms < 0") == ((0,),)


def test_receipts_go_on_in_order_when_the_clock_is_set_back_and_follow_one_that_was_never_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from app import times

    monkeypatch.setattr(times, "_last_receipt", 0)
    hour, at = 3_600_000_000, 1_761_206_400_000_000
    clock = iter([at, at - 5 * hour, at - 5 * hour, at + 1, at + 3 * hour, at - 30 * hour])
    monkeypatch.setattr(times, "now", lambda: next(clock))
    assert [times.receipt() - at for _ in range(6)] == [0, 1, 2, 3, 3 * hour, -30 * hour]
