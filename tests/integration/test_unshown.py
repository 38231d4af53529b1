"""Rows of the log that cannot be shown, or go while they are read: told with a reset, and harmless to all else."""

import asyncio
import random
from typing import Any

import pytest

from app.appkeys import FOLLOWER, LOG, STREAMS
from app.db.log import Log
from app.db.pool import Pool
from app.domain.event import EVENT_MAX, Part
from tests.client import moved, running
from tests.databases import Sql
from tests.streams import events, number_of
from tests.webhooks import webhook

LARGE = "CONCAT('{\"a\":\"', REPEAT('x', 16777205), '\"}')"
UNSHOWN = [
    ("progress", LARGE),
    ("progress", f"CONCAT('{{\"a\":\"', REPEAT('x', {EVENT_MAX}), '\"}}')"),
    ("progress", "'no JSON'"),
    ("progress", "''"),
    ("progress", "'[]'"),
    ("progress", "'{\"a\":\n1}'"),
    ("x\ndata: y", "'{}'"),
]
STORAGE: dict[str, Any] = {
    "s3_bucket": "videos", "aws_region": "eu-west-3", "aws_access_key_id": "A", "aws_secret_access_key": "s",
}  # fmt: skip
# What only an event with files can be, and is none.
UNSIGNED = [
    '{"x":[{"s3_key":"k"}]}',
    '{"videos":[{"s3_key":"k"}]}',
    '{"videos":[{"s3_key":"k","file_url":1}]}',
    '{"videos":"s","x":{"s3_key":1}}',
    '{"videos":null,"x":{"s3_key":1}}',
    '{"videos":[],"x":{"s3_key":[' + "1e15," * 30_000 + "1]}}",  # written out it is larger than an event may be
]


def write(sql: Sql, event: str, data: str) -> None:
    """As another program does."""
    sql("UPDATE rushes_counter SET value = value + 1")
    sql(
        "INSERT INTO rushes_events (id, job_id, author_id, organization_id, event, data, created_at)"
        " SELECT value, 'j1', 'dev', NULL, %s, " + data.replace("%", "%%") + ", NOW(3) FROM rushes_counter",
        event,
    )


@pytest.mark.parametrize(
    ("event", "data", "settings"),
    [*((*row, {}) for row in UNSHOWN), *(("progress", f"'{data}'", STORAGE) for data in UNSIGNED)],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
async def test_row_that_cannot_be_shown_is_told_to_those_it_concerns_and_stops_nobody(
    database_url: str, sql: Sql, event: str, data: str, settings: dict[str, Any]
) -> None:
    async with running(database_url, log_poll=0.02, **settings) as server:
        await server.register("j1")
        await server.register("j2")
        async with (
            events(server.session, f"{server.url}/events/j1") as job,
            events(server.session, f"{server.url}/events") as user,
            events(server.session, f"{server.url}/events/j2") as other,
        ):
            await job.next()
            await user.take(2)
            await other.next()
            write(sql, event, data)
            assert [e.event for e in await job.take(2)] == ["reset", "progress"]
            assert [e.event for e in await user.take(3)] == ["reset", "progress", "progress"]
            await moved(server, "j1", "generating")
            await moved(server, "j2", "generating")
            assert [(e.id, e.data["progress"]) for e in (await job.next(), await other.next())] == [(4, 50), (5, 50)]
    # Nor does it stop the next start, nor a client that comes back.
    for ring_size in (1, 1000):
        async with running(database_url, ring_size=ring_size, **settings) as server:
            assert server.app[FOLLOWER].last_id == 5
            async with events(server.session, f"{server.url}/events/j1", 1) as source:
                assert [e.event for e in await source.take(2)] == ["reset", "progress"]
            async with events(server.session, f"{server.url}/events/j2", 1) as source:
                assert [e.id for e in await source.take(2)] == [2, 5]
            async with server.session.ws_connect(f"{server.url}/ws?last_event_id=1") as socket:
                first, second = await socket.receive_json(), await socket.receive_json()
                assert (second if first["id"] else first)["event"] == "reset"


@pytest.mark.parametrize("data", [LARGE, "'{}'"])
async def test_id_of_a_row_that_cannot_be_shown_is_known_again(database_url: str, sql: Sql, data: str) -> None:
    async with running(database_url) as server:
        await server.register("j1")
        write(sql, "progress", data)
    async with running(database_url, ring_size=1) as server:
        last_event_id = (await server.read("/api/videos/j1"))[1]["last_event_id"]
        async with events(server.session, f"{server.url}/events/j1", last_event_id) as source:
            await moved(server, "j1", "generating")
            assert (await source.next()).id == 3


async def test_purge_during_a_replay_ends_in_a_reset_and_not_in_a_gap(
    database_url: str, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(database_url, ring_size=1) as server:
        await server.register("j1")
        await asyncio.gather(*(server.send(webhook("j1", "failed") | {"error": str(n)}) for n in range(500)))
        head = number_of((await server.read("/api/videos/j1"))[1]["last_event_id"])  # some were stale
        read, parts = server.app[LOG].after, 0

        async def overtaken(*args: Any, **kwargs: Any) -> Part:
            nonlocal parts
            part = await read(*args, **kwargs)
            parts += 1
            if parts == 1:
                sql("DELETE FROM rushes_events WHERE id < %s", head - 5)
            return part

        monkeypatch.setattr(server.app[LOG], "after", overtaken)
        assert server.app[STREAMS]._reader is server.app[LOG]
        async with events(server.session, f"{server.url}/events/j1", 1) as source:
            assert [e.id for e in await source.take(200)] == list(range(2, 202))
            assert [(e.id, e.event) for e in await source.take(2)] == [(None, "reset"), (head, "failed")]


def fill(sql: Sql, sizes: list[int]) -> None:
    for number, size in enumerate(sizes, start=1):
        sql(
            "INSERT INTO rushes_events VALUES (%s, 'j1', 'dev', NULL, 'progress', CONCAT('{\"a\":\"', REPEAT('x', %s),"
            " '\"}'), NOW(3), NULL)",
            number,
            size,
        )
    sql("UPDATE rushes_counter SET value = %s", len(sizes))


async def test_log_is_read_by_bytes_and_nothing_is_left_out(database_url: str, sql: Sql) -> None:
    chooser = random.Random(1)
    sizes = [chooser.choice([10, 1000, EVENT_MAX - 100, EVENT_MAX + 100]) for _ in range(60)]
    fill(sql, sizes)
    pool = Pool(database_url, 1, 10.0)
    log, last_id, seen, more = Log(pool), 0, [], True
    while more:
        found, more, floor = await log.after(last_id, 20)
        assert (floor, len(found) <= 20) == (0, True)
        assert sum(len(event.data) for event in found) <= 768 * 1024
        assert [event.is_readable for event in found] == [sizes[event.id - 1] < EVENT_MAX for event in found]
        seen += [event.id for event in found]
        last_id = seen[-1]
    assert seen == list(range(1, 61))
    assert await log.beginning(60, 10, 1 << 30) == 50
    begins = await log.beginning(60, 1000, 4 * EVENT_MAX)
    counted = [min(size + 8, EVENT_MAX) for size in sizes]
    assert sum(counted[begins:]) < 4 * EVENT_MAX <= sum(counted[begins - 1 :])
    pool.close()


async def test_start_reads_no_more_than_memory_keeps(database_url: str, sql: Sql) -> None:
    fill(sql, [EVENT_MAX - 1000] * 40)
    async with running(database_url, ring_max_bytes=1024 * 1024) as server:
        ring = server.app[FOLLOWER]._ring
        assert server.app[FOLLOWER].last_id == 40
        assert 512 * 1024 < ring.bytes <= 1024 * 1024
