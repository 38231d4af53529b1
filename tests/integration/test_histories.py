"""Ids carry digits of their event: a client whose events were lost, and their numbers given again, is told so."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from app.db.log import Log
from app.db.pool import Pool
from app.domain.event import EventId
from tests.client import Client, moved, running
from tests.databases import Sql, selects
from tests.streams import events, number_of
from tests.webhooks import webhook

Read = Callable[[], Awaitable[tuple[str | None, Any, str | None]]]  # an event's name, data and id


@asynccontextmanager
async def over_sse(server: Client, path: str, last_id: str) -> AsyncIterator[Read]:
    async with events(server.session, f"{server.url}/events{path}", last_id) as source:

        async def read() -> tuple[str | None, Any, str | None]:
            event = await source.next()
            return event.event, event.data, event.full_id

        yield read


@asynccontextmanager
async def over_websocket(server: Client, path: str, last_id: str) -> AsyncIterator[Read]:
    async with server.session.ws_connect(f"{server.url}/ws{path}?last_event_id={last_id}") as socket:

        async def read() -> tuple[str | None, Any, str | None]:
            message = await socket.receive_json(timeout=10)
            return message.get("event"), message.get("data"), message["id"]

        yield read


async def ids_of(server: Client, path: str = "/events") -> list[str]:
    """Of all events since the beginning."""
    _, gallery = await server.read("/api/videos/user")
    head = number_of(gallery["last_event_id"])
    async with events(server.session, f"{server.url}{path}", 0) as source:
        return [str(event.full_id) for event in await source.take(head)]


def take_back(sql: Sql, last: int) -> None:
    """As a restored copy, or a replica that lagged, has it: earlier versions keep no digits."""
    sql("DELETE FROM rushes_events WHERE id > %s", last)
    sql("UPDATE rushes_counter SET value = %s, digits = NULL, digits_of = NULL", last)


async def write(server: Client, name: str, count: int) -> None:
    for number in range(count):
        assert (await server.send(webhook("j1", "failed") | {"error": f"{name} {number}"}))[0] == 200


@pytest.mark.parametrize("ring_size", [1, 1000])
@pytest.mark.parametrize("connect", [over_sse, over_websocket])
@pytest.mark.parametrize("path", ["", "/j1"])
async def test_client_of_a_history_that_was_lost_gets_a_reset_and_the_present_state(
    database_url: str,
    sql: Sql,
    ring_size: int,
    connect: Callable[[Client, str, str], AbstractAsyncContextManager[Read]],
    path: str,
) -> None:
    async with running(database_url) as server:
        await server.register("j1")
        await server.register("j2")
        await write(server, "lost", 7)
        lost = await ids_of(server)
        assert [number_of(one) for one in lost] == list(range(1, 10))
    take_back(sql, 6)
    async with running(database_url, ring_size=ring_size) as server:
        await write(server, "anew", 5)
        _, gallery = await server.read("/api/videos/user")
        head = gallery["last_event_id"]
        for last_id in lost[6:]:
            async with connect(server, path, last_id) as read:
                assert await read() == ("reset", {}, None)
                _, state, at = await read()
                assert (state["job_id"], at) == ("j1" if path else "j2", head)
        async with connect(server, path, lost[5]) as read:
            assert [number_of(str((await read())[2])) for _ in range(5)] == [7, 8, 9, 10, 11]
        async with connect(server, path, "9") as read:  # as earlier versions gave it
            assert [number_of(str((await read())[2])) for _ in range(2)] == [10, 11]


async def test_head_is_known_when_all_events_are_purged(database_url: str, sql: Sql) -> None:
    async with running(database_url) as server:
        await server.register("j1")
        await moved(server, "j1", "processing", "generating")
        ids = await ids_of(server)
    sql("DELETE FROM rushes_events")
    async with running(database_url) as server:
        assert (await server.read("/api/videos/j1"))[1]["last_event_id"] == ids[2]
        for last_id, expected in ((ids[2], "progress"), ("3-00000000", "reset"), (ids[1], "reset"), ("0-0", "reset")):
            async with events(server.session, f"{server.url}/events/j1", last_id) as source:
                await moved(server, "j1", "downloading" if expected == "progress" else "failed")
                assert (await source.next()).event == expected


async def test_events_of_earlier_versions_have_digits_too(database_url: str, sql: Sql) -> None:
    """They know no digits, neither in the log nor at the counter, and may write beside this one for a while."""
    async with running(database_url, log_poll=0.01) as server:
        await server.register("j1")
        before = await ids_of(server)
        sql(
            "INSERT INTO rushes_events (id, job_id, author_id, organization_id, event, data, created_at)"
            " SELECT 2, job_id, author_id, NULL, 'progress', '{\"job_id\":\"j1\"}', NOW(3)"
            " FROM rushes_events WHERE id = 1"
        )
        sql("UPDATE rushes_counter SET value = 2")
        async with events(server.session, f"{server.url}/events", before[0]) as source:
            second = await source.next()
        assert (second.id, second.data) == (2, {"job_id": "j1"})
        _, gallery = await server.read("/api/videos/user")
        assert gallery["last_event_id"] == second.full_id
    async with running(database_url) as server:
        assert await ids_of(server) == [*before, second.full_id]


async def test_log_that_is_empty_has_the_id_before_all(server: Client) -> None:
    _, gallery = await server.read("/api/videos/user")
    assert gallery["last_event_id"] == "0-0"
    async with over_websocket(server, "", "0-0") as read:
        await server.register("j1")
        assert number_of(str((await read())[2])) == 1


@pytest.mark.parametrize("text", ["j1", "J1 ", "é\n😀", "a-\\'\"%"])
async def test_database_and_we_make_the_same_digits_of_any_text(database_url: str, text: str) -> None:
    async with running(database_url) as server:
        await server.register(text, user_id=text, organization_id=text)
        await server.send(webhook(text, "failed") | {"error": text * 100})
    pool = Pool(database_url, 1, 5.0)
    log = Log(pool)
    for event in (await log.after(0, 10)).events:
        assert (await log.look_up(event.id)).digits == event.digits
    assert await log.head() == EventId(2, event.digits)
    pool.close()


async def test_crowd_with_ids_that_memory_has_forgotten_is_judged_by_a_few_reads(database_url: str, sql: Sql) -> None:
    async with running(database_url) as server:
        await server.register("j1")
        for start in range(0, 200, 50):
            await asyncio.gather(
                *(server.send(webhook("j1", "failed") | {"error": str(n)}) for n in range(start, start + 50))
            )
        ids = await ids_of(server)
    async with running(database_url, ring_size=1, max_connections_per_user=500) as server, asyncio.TaskGroup() as group:

        async def come_back(last_id: str) -> None:
            async with events(server.session, f"{server.url}/events", last_id) as source:
                assert (await source.next()).id == number_of(last_id) + 1

        before, began = selects(sql), time.monotonic()
        for last_id in ids[:-1]:
            group.create_task(come_back(last_id))
    # Snapshot, digits and what came since are read for many at once; one by one it were more than a thousand. A started
    # server's sessions ask what they rest on, and the statistics count what there is: those are among them.
    assert selects(sql) - before < min(6 * (time.monotonic() - began) / 0.01 + 160, 1000)
