"""The database goes away and comes back: what was accepted waits on disk, and nothing has to be restarted."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pymysql
import pytest

from app.appkeys import SPOOL, WRITER
from app.db.errors import DatabaseAwayError
from app.db.url import parameters
from tests.client import Client, running
from tests.databases import Sql
from tests.gate import Gate
from tests.streams import events
from tests.waiting import drained, quickest, until
from tests.webhooks import webhook


@pytest.fixture
async def gate(database_url: str) -> AsyncIterator[Gate]:
    made = Gate(database_url)
    await made.open()
    yield made
    await made.shut()


@contextlib.asynccontextmanager
async def serving(gate: Gate, tmp_path: Path, **settings: Any) -> AsyncIterator[Client]:
    async with running(gate.url, data_dir=tmp_path, **settings) as server:
        yield server


async def test_webhooks_are_queued_while_the_database_is_away_and_applied_when_it_is_back(
    gate: Gate, sql: Sql, tmp_path: Path
) -> None:
    async with serving(gate, tmp_path) as server:
        await server.register("j1")
        await gate.shut()
        for status in ("processing", "generating"):
            code, body = await server.send(webhook("j1", status))
            assert (code, body["success"], body["status"], body["job_id"]) == (202, True, "queued", "j1")
            assert "webhook_id" not in body
        assert sql("SELECT progress FROM video_generations") == ((0,),)
        await gate.open()
        code, _ = await server.send(webhook("j1", "downloading"))
        assert code in (200, 202)
        await drained(server)
    assert sql("SELECT progress FROM video_generations") == ((75,),)
    assert sql("SELECT COUNT(*), SUM(attempts) FROM rushes_webhooks") == ((3, 3),)


async def test_webhook_queued_and_sent_again_is_applied_once(gate: Gate, sql: Sql, tmp_path: Path) -> None:
    async with serving(gate, tmp_path) as server:
        await server.register("j1")
        await gate.shut()
        sent = webhook("j1", "generating")
        assert [(await server.send(sent))[0] for _ in range(3)] == [202] * 3
        await gate.open()
        await drained(server)
        assert (await server.send(sent))[1]["status"] == "duplicate"
    assert sql("SELECT COUNT(*) FROM rushes_events") == ((2,),)


async def test_invalid_webhook_is_refused_also_while_the_database_is_away_and_kept(
    gate: Gate, sql: Sql, tmp_path: Path
) -> None:
    async with serving(gate, tmp_path) as server:
        await gate.shut()
        code, body = await server.send({"job_id": "j1"})
        assert (code, body["code"]) == (400, "invalid_payload")
        await gate.open()
        await drained(server)
    assert sql("SELECT outcome, error_code FROM rushes_webhooks") == (("dead", "invalid_payload"),)


async def test_health_says_degraded_and_reads_say_when_to_come_back(gate: Gate, tmp_path: Path) -> None:
    async with serving(gate, tmp_path) as server:
        await gate.shut()
        for path in ("/api/webhooks/video-completion", "/readyz"):
            async with server.session.get(server.url + path) as answer:
                assert (answer.status, (await answer.json())["status"]) == (503, "degraded")
                assert int(answer.headers["Retry-After"]) > 0
        assert (await server.read("/healthz"))[0] == 200
        async with server.session.get(f"{server.url}/api/videos/user") as answer:
            assert (answer.status, (await answer.json())["code"]) == (503, "unavailable")
            assert int(answer.headers["Retry-After"]) > 0
        await gate.open()
        for path in ("/api/webhooks/video-completion", "/readyz"):
            async with server.session.get(server.url + path) as answer:
                assert answer.status == 200
                assert "Retry-After" not in answer.headers


@pytest.mark.parametrize("end", [Gate.reset, Gate.dismiss])
async def test_sessions_that_ended_while_they_were_idle_are_not_used_again(
    gate: Gate, sql: Sql, tmp_path: Path, end: Callable[[Gate], None]
) -> None:
    async with serving(gate, tmp_path) as server, asyncio.timeout(5):
        await server.register("j1")
        assert (await server.send(webhook("j1", "processing")))[0] == 200
        session = server.app[WRITER]._connection
        assert session is not None
        end(gate)
        while not session.closed:  # the news are on their way
            await asyncio.sleep(0.01)
        assert (await server.send(webhook("j1", "generating")))[0] == 200
        code, job = await server.read("/api/videos/j1")
        assert (code, job["progress"]) == (200, 50)
        with pytest.raises(DatabaseAwayError):
            await session.run_text("SELECT 1")


async def test_health_is_told_at_once_also_of_a_database_that_hangs(database_url: str) -> None:
    arguments = parameters(database_url)
    session = pymysql.connect(unix_socket=arguments["unix_socket"], user="root", database=arguments["db"])
    async with running(database_url, health_timeout=0.2) as server, asyncio.timeout(5):
        session.cursor().execute("LOCK TABLES rushes_counter WRITE")
        for path in ("/api/webhooks/video-completion", "/readyz"):
            code, body = await server.read(path)
            assert (code, body["status"]) == (503, "degraded")
        session.close()


async def test_open_streams_stay_open_and_go_on(gate: Gate, tmp_path: Path) -> None:
    async with serving(gate, tmp_path) as server:
        await server.register("j1")
        async with events(server.session, f"{server.url}/events/j1") as source:
            assert (await source.next()).id == 1
            await gate.shut()
            await server.send(webhook("j1", "generating"))
            await gate.open()
            event = await source.next()
            assert (event.id, event.data["progress"]) == (2, 50)


async def test_full_spool_is_told_with_a_time_to_come_back(gate: Gate, sql: Sql, tmp_path: Path) -> None:
    async with serving(gate, tmp_path, spool_max_bytes=64 * 1024) as server:
        await server.register("j1")
        await gate.shut()
        url, accepted = server.url + "/api/webhooks/video-completion", 0
        for _ in range(200):
            body = webhook("j1", "generating") | {"filler": "x" * 2000}
            async with server.session.post(url, json=body) as answer:
                if answer.status == 503:
                    assert answer.headers["Retry-After"]
                    break
                assert answer.status == 202
                accepted += 1
        assert 5 < accepted < 64
        await gate.open()
        await drained(server)
    assert sql("SELECT COUNT(*) FROM rushes_webhooks") == ((accepted,),)


async def test_webhooks_are_taken_again_after_an_outage_in_which_nothing_could_be_queued(
    gate: Gate, sql: Sql, tmp_path: Path
) -> None:
    async with serving(gate, tmp_path, spool_max_bytes=1) as server:
        await server.register("j1")
        await gate.shut()
        assert (await server.send(webhook("j1", "generating")))[0] == 503
        await gate.open()
        async with asyncio.timeout(10):
            while (await server.send(webhook("j1", "generating")))[0] != 200:
                await asyncio.sleep(0.02)


async def test_what_was_queued_is_applied_by_the_next_server(gate: Gate, sql: Sql, tmp_path: Path) -> None:
    async with serving(gate, tmp_path) as server:
        await server.register("j1")
        await gate.shut()
        assert (await server.send(webhook("j1", "generating")))[0] == 202
    await gate.open()
    async with serving(gate, tmp_path) as server:
        async with asyncio.timeout(10):
            while sql("SELECT progress FROM video_generations") != ((50,),):
                await asyncio.sleep(0.02)


async def test_job_held_by_another_program_for_too_long_is_queued_and_applied_later(
    database_url: str, sql: Sql, tmp_path: Path
) -> None:
    arguments = parameters(database_url)
    async with running(database_url, data_dir=tmp_path, answer_budget=0.3) as server:
        await server.register("j1")
        with pymysql.connect(unix_socket=arguments["unix_socket"], user="root", database=arguments["db"]) as session:
            session.cursor().execute("SELECT id FROM video_generations FOR UPDATE")
            code, body = await server.send(webhook("j1", "generating"))
            assert (code, body["status"]) == (202, "queued")
            # The database is there, and nobody is to look for what is wrong with it.
            told = "It could not be written to the database yet; it is safe on local disk and will be applied."
            assert body["message"] == told
        await drained(server)
    assert sql("SELECT progress FROM video_generations") == ((50,),)


async def test_webhooks_of_a_job_that_stays_held_do_not_keep_others_in_the_queue(
    database_url: str, sql: Sql, tmp_path: Path
) -> None:
    arguments = parameters(database_url)
    settings = {"data_dir": tmp_path, "answer_budget": 0.3, "batch_max": 1}
    async with running(database_url, **settings) as server:
        await server.register("held")
        await server.register("free")
        with pymysql.connect(unix_socket=arguments["unix_socket"], user="root", database=arguments["db"]) as session:
            session.cursor().execute("SELECT id FROM video_generations FOR UPDATE")
            for job in ("held", "free"):
                assert (await server.send(webhook(job, "generating")))[0] == 202
            session.rollback()
            session.cursor().execute("SELECT id FROM video_generations WHERE id = 'held' FOR UPDATE")
            async with asyncio.timeout(10):
                while server.app[SPOOL].pending > 1:
                    await asyncio.sleep(0.02)
            assert sql("SELECT id, progress FROM video_generations ORDER BY id") == (("free", 50), ("held", 0))
        await drained(server)
    assert sql("SELECT progress FROM video_generations") == ((50,), (50,))


async def test_nobody_waits_longer_than_he_may_behind_a_batch_that_the_database_does_not_answer(
    database_url: str, sql: Sql, tmp_path: Path
) -> None:
    budget = 2.0
    async with running(database_url, data_dir=tmp_path, answer_budget=budget) as server:
        await server.register("j1")
        # The second half is what a try gets that begins late. What the machine does besides can only add to it.
        took = await quickest(lambda: longest_behind_a_lock(database_url, server, budget), 1.9 * budget)
        assert took < 1.9 * budget
        # One that waited is stale where a later one of its job was committed before it.
        arrived = "SELECT COUNT(*) % 5, MIN(outcome IN ('applied', 'stale')) FROM rushes_webhooks"
        await until(lambda: sql(arrived) == ((0, 1),))


async def longest_behind_a_lock(database_url: str, server: Client, budget: float) -> float:
    """Seconds that one of five senders waited who came one after the other."""
    arguments = parameters(database_url)
    session = pymysql.connect(unix_socket=arguments["unix_socket"], user="root", database=arguments["db"])
    session.cursor().execute("LOCK TABLES video_generations WRITE")
    loop = asyncio.get_running_loop()

    async def post(after: float) -> float:
        await asyncio.sleep(after * budget)
        began = loop.time()
        assert (await server.send(webhook("j1", "generating")))[0] == 202
        return loop.time() - began

    took = max(await asyncio.gather(*(post(after) for after in (0, 0.1, 0.5, 1.05, 1.3))))
    session.close()
    await drained(server)
    return took


async def test_server_that_is_stopped_while_it_starts_stops(database_url: str) -> None:
    for turn in range(60):
        async with running(database_url):
            await asyncio.sleep(0.0007 * (turn % 12))
