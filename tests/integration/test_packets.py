"""What the database takes at once, and what a webhook makes of memory: both are counted in bytes."""

import asyncio
import gc
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from app.appkeys import SPOOL
from app.db.connection import connect
from app.db.writer.batch import Batch
from app.db.writer.inbox import statement_bytes
from app.db.writer.queue import Queue
from app.domain.delivery import Delivery
from app.domain.estimate import Estimates
from tests.client import running
from tests.databases import Sql
from tests.gate import Gate
from tests.waiting import until
from tests.webhooks import completion, video, webhook
from tests.writing import delivery

MIB = 1024 * 1024


@pytest.fixture
def small_packets(sql: Sql) -> Iterator[None]:
    sql(f"SET GLOBAL max_allowed_packet = {MIB}")
    yield
    sql(f"SET GLOBAL max_allowed_packet = {64 * MIB}")


def of_quotes(job_id: str, size: int, **fields: Any) -> bytes:
    """Quoted, it is twice as long."""
    return orjson.dumps(webhook(job_id, "generating") | {"note": "'" * size} | fields)


async def test_session_knows_how_much_the_server_takes(database_url: str, small_packets: None) -> None:
    connection = await connect(database_url, 5.0)
    assert MIB - 1024 < connection.packet_max < MIB
    connection.close()


async def test_body_beyond_the_packet_is_applied_and_recorded_without_its_payload_and_says_so(
    database_url: str, sql: Sql, small_packets: None
) -> None:
    async with running(database_url) as server:
        await server.register("j1")
        code, body = await server.send(of_quotes("j1", 880_000))
        assert (code, body["progress"]) == (200, 50)
        _, whole = await server.read(f"/api/admin/webhooks/{body['webhook_id']}")
        assert (whole["outcome"], whole["error_code"], whole["payload"]) == ("applied", "payload_omitted", "")
        assert "max_allowed_packet" in whole["error"]
        code, body = await server.send(of_quotes("j1", 300_000))
        _, whole = await server.read(f"/api/admin/webhooks/{body['webhook_id']}")
        assert (code, whole["error_code"], len(whole["payload"]["note"])) == (200, None, 300_000)


async def test_six_bodies_beyond_the_packet_do_not_block_the_spool(
    database_url: str, sql: Sql, small_packets: None
) -> None:
    gate = Gate(database_url)
    await gate.open()
    async with running(gate.url, answer_budget=0.5) as server:
        names = [f"j{n}" for n in range(6)]
        for name in (*names, "small"):
            await server.register(name)
        await gate.shut()
        bodies = [of_quotes(name, 880_000) for name in names]
        answers = [(await server.send(body))[0] for body in (*bodies, webhook("small", "generating"))]
        assert answers == [202] * 7
        await gate.open()
        await until(lambda: server.app[SPOOL].pending == 0)
        assert sql("SELECT DISTINCT progress FROM video_generations") == ((50,),)
    await gate.shut()


@pytest.mark.parametrize("body", [of_quotes("nobody", 880_000), of_quotes("j1", 880_000, status="no such status")])
async def test_body_beyond_the_packet_that_must_be_kept_stays_on_disk(
    database_url: str, sql: Sql, small_packets: None, body: bytes
) -> None:
    """A parked one or a dead letter is for later: without its payload it would be lost."""
    async with running(database_url, answer_budget=0.3, spool_tries=1) as server:
        code, _ = await server.send(body)
        assert code in (202, 400)
        await until(lambda: server.app[SPOOL].set_aside)
        _, listed = await server.read("/api/admin/webhooks?outcome=dead")
        (found,) = listed["webhooks"]
        assert found["error_code"] == "set_aside"
        _, whole = await server.read(f"/api/admin/webhooks/{found['id']}")
        assert (whole["payload"], whole["replay"]["code"]) == ("", "set_aside")
        sql(f"SET GLOBAL max_allowed_packet = {64 * MIB}")
        async with server.session.post(f"{server.url}/api/admin/webhooks/{found['id']}/replay") as answer:
            assert (await answer.json())["outcome"] == "queued"
        await until(lambda: not server.app[SPOOL].set_aside and server.app[SPOOL].pending == 0)
        _, whole = await server.read(f"/api/admin/webhooks/{found['id']}")
        assert whole["error_code"] in ("unknown_job", "invalid_payload")
        assert len(whole["payload"]["note"]) == 880_000


async def test_batch_of_many_files_goes_in_parts_that_the_server_takes(
    database_url: str, sql: Sql, small_packets: None
) -> None:
    async with running(database_url) as server:
        names = [f"j{n}" for n in range(40)]
        for name in names:
            await server.register(name)
        files = {name: [video(f"{name}/{n}", file_url="https://x/" + "'" * 300) for n in range(50)] for name in names}
        answers = await asyncio.gather(*(server.send(completion(name, *files[name])) for name in names))
        assert {code for code, _ in answers} == {200}
        assert sql("SELECT COUNT(*) FROM video_files") == ((2000,),)


def with_metadata(job_id: str, text: str, files: int) -> Delivery:
    body = completion(job_id, *(video(f"{job_id}/{n}") for n in range(files)))
    body["data"]["metadata"]["note"] = text
    return delivery(body)


async def test_metadata_of_a_hundred_files_are_sent_once_and_stored_with_each(database_url: str, sql: Sql) -> None:
    sql("INSERT INTO video_generations (id, prompt, authorId, updatedAt) VALUES ('j1', 'p', 'u1', NOW(3))")
    sent = with_metadata("j1", "'" * 30_000 + "\\\U0001f600é", 100)
    connection = await connect(database_url, 5.0)
    batch = Batch([sent], "fr", Estimates())
    size = 0
    written = connection._raw._writer.transport.write

    class Counting:
        def __getattr__(self, name: str) -> Any:
            return getattr(transport, name)

        def write(self, data: bytes) -> None:
            nonlocal size
            size += len(data)
            written(data)

    transport = connection._raw._writer.transport
    connection._raw._writer._transport = Counting()
    await batch.commit(connection)
    connection.close()
    assert size < 6 * len(sent.body)
    assert size <= statement_bytes(sent) * 2
    assert sql("SELECT COUNT(DISTINCT metadata), COUNT(*), MAX(LENGTH(metadata)) > 30000 FROM video_files") == (
        (1, 100, 1),
    )
    ((stored,),) = sql("SELECT metadata FROM video_files LIMIT 1")
    assert orjson.loads(stored)["note"] == "'" * 30_000 + "\\\U0001f600é"


async def test_completions_of_quotes_take_little_memory_and_do_not_hold_the_loop(database_url: str, sql: Sql) -> None:
    """2 MB of them made 1.4 GB, and nothing else was done for 9 s."""
    names = [f"j{n}" for n in range(40)]
    async with running(database_url, answer_budget=60) as server:
        sql(
            "INSERT INTO video_generations (id, prompt, authorId, updatedAt) VALUES "
            + ",".join(f"('{name}', 'p', 'dev', NOW(3))" for name in names)
        )
        bodies = [with_metadata(name, "'" * 20_000, 100).body for name in names]
        longest, ended = 0.0, False

        async def watch() -> None:
            nonlocal longest
            while not ended:
                began = time.monotonic()
                await asyncio.sleep(0.005)
                longest = max(longest, time.monotonic() - began)

        watching = asyncio.create_task(watch())
        gc.collect()
        tracemalloc.start()
        answers = await asyncio.gather(*(server.send(body) for body in bodies))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        ended = True
        await watching
        assert {code for code, _ in answers} == {200}
        assert peak < 20 * sum(map(len, bodies))
        assert longest < 1.5  # traced, everything takes several times as long


async def test_batches_are_bounded_by_the_bytes_of_their_statements() -> None:
    queue = Queue(500, 4 * MIB, 1.0)
    plain = [delivery(webhook(f"j{n}", "generating")) for n in range(10)]
    quotes = [Delivery(f"q{n}", f"q{n}", 0, b"{}", b"'" * 700_000) for n in range(10)]
    headers = [Delivery(f"h{n}", f"h{n}", 0, b"'" * 700_000, b"{}") for n in range(10)]
    files = [with_metadata(f"m{n}", "x" * 30_000, 100) for n in range(3)]
    for deliveries, expected in ((plain, 10), (quotes, 2), (headers, 2), (files, 1)):
        queue.put(deliveries)
        assert len(await queue.take()) == expected
        while len(queue):
            await queue.take()
