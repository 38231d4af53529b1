"""The worst that one request may cost, for each that a stranger, a user and a sender can make.

Counted are bytes of memory and of the answer, rows read in the database, and the longest work that holds the loop, in
seconds of the processor. Server and client are one process here. With `-s` it tells the table that SECURITY.md has.
"""

import asyncio
import contextlib
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable
from io import BytesIO
from typing import Any

import pytest
from aiohttp import ClientResponse

from app.appkeys import RENDERED, TOLD
from tests.client import Client, running
from tests.databases import Sql
from tests.servers import is_mysql
from tests.sign_in import SECRET
from tests.waiting import quickest
from tests.worst_requests import CASES, MIB, SIGNING, SWITCHED, Case

# Seconds of work for which the loop may be held by any of them; it is a third of that here.
SLICE = 0.25


@contextlib.asynccontextmanager
async def watched() -> AsyncIterator[Callable[[], float]]:
    """Gives for how long the loop was held at most: in seconds of its own work, whatever else the machine does."""
    longest, began = 0.0, time.thread_time()

    async def watch() -> None:
        nonlocal longest, began
        while True:
            await asyncio.sleep(0.001)
            at = time.thread_time()
            longest, began = max(longest, at - began), at

    task = asyncio.create_task(watch())
    try:
        yield lambda: longest
    finally:
        task.cancel()


async def ask(server: Client, case: Case, body: bytes) -> int:
    """Bytes of the answer."""
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"} | case.headers()
    if case.status == SWITCHED:
        return await listen(server, case, headers)
    data = BytesIO(body) if body else None
    async with server.session.request(case.method, server.url + case.path, data=data, headers=headers) as answer:
        if case.upto is not None:
            return await follow(answer, case.upto)
        told = await answer.read()
        assert answer.status == case.status, told[:300]
        return len(told)


async def held_for(server: Client, case: Case) -> float:
    """Seconds for which the loop was held at most, where no earlier answer is of use."""
    for kept in (server.app[RENDERED], server.app[TOLD]):
        kept._entries.clear()
    async with watched() as longest:
        await ask(server, case, b"")
    return longest()


async def follow(answer: ClientResponse, upto: str) -> int:
    """Bytes of a stream to the end of its event of that id."""
    size, end, found = 0, b"", False
    async for data in answer.content.iter_any():
        size += len(data)
        found = found or f"id: {upto}".encode() in end + data
        end = data[-20:]
        if found and end.endswith(b"\n\n"):
            break
    assert found
    return size


async def listen(server: Client, case: Case, headers: dict[str, Any]) -> int:
    """The same over WebSocket."""
    size = 0
    async with server.session.ws_connect(server.url + case.path, headers=headers, max_msg_size=0) as socket:
        async for message in socket:
            size += len(message.data)
            if message.data.startswith(f'{{"id":"{case.upto}'):
                return size
    raise AssertionError(size)


async def quiet(sql: Sql) -> None:
    """Until what the server does by itself at the start is done.

    MySQL reads some hundred rows to tell its own counts: rows are counted on MariaDB alone.
    """
    if is_mysql():
        return
    async with asyncio.timeout(30):
        steady = 0
        while steady < 5:
            before = rows_read(sql)
            await asyncio.sleep(0.05)
            steady = steady + 1 if rows_read(sql) - before <= 2 * _ASKING else 0


# Rows that asking for the count costs.
_ASKING = 10


def rows_read(sql: Sql) -> int:
    return sum(int(count) for _, count in sql("SHOW GLOBAL STATUS LIKE 'Handler\\_read%%'"))


@pytest.fixture(params=CASES, ids=lambda case: f"{case.who}: {case.what}")
def case(request: pytest.FixtureRequest) -> Case:
    given: Case = request.param
    return given


@pytest.fixture
async def furnished(database_url: str, sql: Sql, case: Case) -> AsyncIterator[Client]:
    """A server with a user's thousand finished jobs, one more of 100 files, and 20,000 of others; and what is given."""
    job = "INSERT INTO video_generations (id, prompt, authorId, status, createdAt, updatedAt)"
    file = ("INSERT INTO video_files (id, filename, s3Key, fileSize, durationSeconds, aspectRatio, width, height,"
            " generationId)")  # fmt: skip
    sql(f"{job} SELECT CONCAT('j', seq), 'the sea', 'u1', 'COMPLETED', NOW(3) - INTERVAL seq SECOND, NOW(3)"
        " FROM seq_2_to_1000")  # fmt: skip
    sql(f"{file} SELECT CONCAT('f', seq), 'f', CONCAT('own/', seq), 1, 8, '16:9', 1, 1, CONCAT('j', seq)"
        " FROM seq_2_to_1000")  # fmt: skip
    sql(f"{job} SELECT CONCAT('o', seq), 'the sea', CONCAT('other', seq), 'COMPLETED', NOW(3), NOW(3)"
        " FROM seq_1_to_20000")  # fmt: skip
    sql(f"{job} VALUES ('many', 'p', 'u1', 'COMPLETED', NOW(3), NOW(3)), ('j1', 'p', 'u1', 'PENDING', NOW(3), NOW(3))")
    sql(f"{file} SELECT CONCAT('m', seq), 'f', CONCAT('many/', seq), 1, 8, '16:9', 1, 1, 'many' FROM seq_1_to_100")
    for statement in case.given:
        sql(statement)
    # Nothing looks into the database by itself meanwhile: rows are counted.
    upkeep = {
        "stall_after": 86_400,
        "give_up_after": 86_400,
        "parked_poll": 3600,
        "log_poll": 3600,
        "rollups_poll": 3600,
        "db_timeout": 60,
    }
    upkeep["ring_max_bytes"] = MIB  # what a stream resumes from is read from the log
    signed = {"webhook_secret": SIGNING, "auth_jwt_secret": SECRET, "generator_url": "http://127.0.0.1:9"}
    async with running(database_url, **upkeep, **signed, **case.settings) as server:
        for path in ("/readyz", "/openapi.json"):  # the description is made once
            async with server.session.get(server.url + path) as ready:
                assert ready.status == 200
        await quiet(sql)
        yield server


async def test_worst_request_costs_no_more_than_is_stated(furnished: Client, sql: Sql, case: Case) -> None:
    body = case.body()
    before = rows_read(sql)
    began = time.perf_counter()
    async with watched() as longest:
        size = await ask(furnished, case, body)
    took, rows = time.perf_counter() - began, max(rows_read(sql) - before - _ASKING, 0)
    again = case.body()
    tracemalloc.start()
    held = tracemalloc.get_traced_memory()[0]
    await ask(furnished, case, again)
    memory = tracemalloc.get_traced_memory()[1] - held
    tracemalloc.stop()
    sys.stderr.write(
        f"\n| {case.who} | {case.what} | {len(body):,} | {size:,} | {memory / MIB:.1f} MiB | {rows} |"
        f" {took * 1000:.0f} ms, {longest() * 1000:.0f} ms of the loop |\n"
    )
    assert size <= case.answer
    assert memory <= case.memory
    # On a busy machine more has come for one turn of the loop. What only reads is read anew, as if for the first time.
    assert longest() < SLICE or (
        case.method == "GET" and await quickest(lambda: held_for(furnished, case), SLICE) < SLICE
    )
    assert is_mysql() or rows <= case.rows + 5 * _ASKING
