"""The tail of received webhooks: every one, in the order of commits, without a gap, from every process."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from app import times
from app.appkeys import CHANGES, TAIL
from app.db.changed import note
from app.upkeep.leader import Leader
from tests.client import Client, running
from tests.databases import Sql
from tests.processes import serving
from tests.rows import add_received, store
from tests.sign_in import SECRET, bearer, buy
from tests.streams import Event, Source, later
from tests.waiting import until
from tests.webhooks import completion, video, webhook
from tests.writing import add_jobs

EVENTS = "/api/admin/events"
WEBHOOKS = "/api/admin/webhooks"
ADMIN = bearer("ada", 3600, role="admin")


@pytest.fixture
async def server(database_url: str) -> AsyncIterator[Client]:
    """One that leaves parked webhooks alone, since another process leads."""
    another = Leader(database_url)
    assert await another.leads()
    async with running(database_url, log_poll=0.02) as made:
        yield made
    another.close()


@asynccontextmanager
async def tail(server: Client, query: str = "", last_id: str | None = None) -> AsyncIterator[Source]:
    """From behind its first event."""
    async with server.events(f"{EVENTS}?{query}", last_id) as source:
        first = await source.next()
        assert first.event == "filter"
        yield source


async def news(source: Source) -> Event:
    """The next that says something: an id alone tells how far what is not meant has been gone over."""
    while (event := await source.next()).event is None:
        pass
    return event


async def act(server: Client, webhook_id: str, what: str) -> None:
    async with server.post(f"{WEBHOOKS}/{webhook_id}/{what}") as answer:
        assert answer.status == 200


def shown(event: Event) -> tuple[str | None, str, str]:
    return event.event, event.data["id"], event.data.get("outcome", "")


async def test_every_webhook_comes_as_the_list_has_it_whatever_became_of_it(server: Client) -> None:
    await server.register("j1")
    async with tail(server) as source:
        generating, done = webhook("j1", "generating"), completion("j1", video("k"), at="2030-01-01T00:00:00Z")
        sent = [generating, generating, done, webhook("j1", "pending", at="2020-01-01T00:00:00Z"),
                webhook("nobody", "pending"), b"{", b"\xff<script>\x00"]  # fmt: skip
        told = []
        for body in sent:
            _, answer = await server.send(body)
            event = await source.next()
            assert shown(event)[:2] == ("webhook", answer["webhook_id"])
            told.append(event)
        _, listed = await server.read(WEBHOOKS)
        assert [event.data for event in told] == listed["webhooks"][::-1]
        outcomes = [event.data["outcome"] for event in told]
        assert outcomes == ["applied", "duplicate", "applied", "stale", "parked", "dead", "dead"]
        numbers = [event.id for event in told]
        assert numbers == list(range(numbers[0] or 0, (numbers[0] or 0) + len(sent)))


async def test_row_that_changes_comes_again(server: Client, sql: Sql) -> None:
    add_jobs(sql, "j1")
    _, parked = await server.send(webhook("late", "generating"))
    (dead,) = store(sql, webhook("j1", "generating"))
    async with tail(server) as source:
        await act(server, dead, "discard")
        assert shown(await source.next()) == ("webhook", dead, "discarded")
        await act(server, dead, "replay")
        assert shown(await source.next()) == ("webhook", dead, "applied")
        await server.register("late")
        assert shown(await source.next()) == ("webhook", parked["webhook_id"], "applied")


async def test_what_a_deleted_job_missed_comes_again_when_it_is_restored(server: Client) -> None:
    await server.register("j1")
    await server.send(completion("j1", video("a")))
    async with server.delete("/api/videos/j1") as answer:
        assert answer.status == 200
    _, missed = await server.send(completion("j1", video("a"), video("b"), at="2030-01-01T00:00:00Z"))
    async with tail(server) as source:
        async with server.post("/api/videos/j1/restore") as answer:
            assert answer.status == 200
        told = [await news(source)]
        while told[-1].data["outcome"] != "applied":
            told.append(await news(source))
        assert {event.data["id"] for event in told} == {missed["webhook_id"]}


async def test_filter_lets_through_what_it_means_and_says_what_it_means_no_more(server: Client, sql: Sql) -> None:
    add_jobs(sql, "j1")
    dead, other = store(sql, webhook("j1", "generating"), webhook("j2", "generating"))
    async with server.events(f"{EVENTS}?outcome=dead&job_id=j1&q=FOR%20A&from=2026-01-01") as source:
        first = await source.next()
        assert (first.event, first.data["filter"]) == ("filter", {
            "outcome": "dead", "job_id": "j1", "status": None, "version": None, "origin": None, "q": "FOR A",
            "from": "2026-01-01T00:00:00.000Z", "to": None,
        })  # fmt: skip
        await server.send(webhook("j1", "pending"))
        await act(server, other, "discard")
        await act(server, dead, "discard")
        gone = [await news(source), await news(source)]
        assert [(event.event, event.data) for event in gone] == [("gone", {"id": other}), ("gone", {"id": dead})]
        sql("UPDATE rushes_webhooks SET outcome = 'dead' WHERE id = %s", dead)
        sql(note([dead])[0].decode())
        assert shown(await news(source)) == ("webhook", dead, "dead")


async def test_who_comes_back_gets_all_that_came_meanwhile_and_nothing_twice(server: Client) -> None:
    await server.register("j1")
    async with tail(server) as source:
        _, first = await server.send(webhook("j1", "pending"))
        assert shown(await source.next())[1] == first["webhook_id"]
        last_id = source.last_id
    sent = [(await server.send(webhook("j1", "generating")))[1]["webhook_id"] for _ in range(450)]
    async with tail(server, last_id=last_id) as source:
        assert [shown(event)[1] for event in await source.take(450)] == sent
        _, live = await server.send(webhook("j1", "downloading"))
        assert shown(await source.next())[1] == live["webhook_id"]
        last_id = source.last_id
    # In the middle of what one transaction has changed, by the query too.
    async with tail(server, f"last_event_id={last_id}") as source:
        _, live = await server.send(webhook("j1", "failed"))
        assert shown(await source.next())[1] == live["webhook_id"]


async def test_who_follows_little_need_not_go_over_the_rest_again(server: Client) -> None:
    async with tail(server, "job_id=nobody") as source:
        for n in range(3):
            await server.send(b"{%d" % n)
        head = await server.app[CHANGES].newest()
        while source.last_id != str(head):
            event = await source.next()
            assert (event.event, event.data) == (None, None)
            head = await server.app[CHANGES].newest()


@pytest.mark.parametrize(
    "last_id", ["9-00000000", "1-00000000", "x", "99999999999999999999-1", "0-1", "-1", "1", "²-1"]
)
async def test_id_that_cannot_be_gone_on_from_is_reset_and_goes_on_live(server: Client, last_id: str) -> None:
    await server.send(webhook("j1", "pending"))
    await server.app[CHANGES].number()
    async with server.events(EVENTS, last_id) as source:
        assert [(await source.next()).event for _ in range(2)] == ["reset", "filter"]
        _, sent = await server.send(webhook("j2", "pending"))
        assert shown(await source.next())[1] == sent["webhook_id"]


async def test_id_whose_followers_are_forgotten_is_reset_and_that_of_the_head_is_not(server: Client, sql: Sql) -> None:
    changes = server.app[CHANGES]
    async with tail(server) as source:
        beginning = source.last_id
    for n in range(10):
        await server.send(webhook(f"j{n}", "pending"))
    await changes.number()
    head = str(await changes.newest())
    await changes.forget(1)
    assert sql("SELECT COUNT(*) FROM rushes_changes") == ((1,),)
    async with server.events(EVENTS, beginning) as source:
        assert (await source.next()).event == "reset"
    async with server.events(EVENTS, head) as source:
        assert (await source.next()).event == "filter"


async def test_stream_whose_changes_are_taken_back_is_reset(server: Client, sql: Sql) -> None:
    async with tail(server) as source:
        await server.send(webhook("j1", "pending"))
        await source.next()
        sql("UPDATE rushes_places SET place = '0' WHERE name = 'changes'")
        sql("DELETE FROM rushes_changes")
        assert (await source.next()).event == "reset"
        _, sent = await server.send(webhook("j2", "pending"))
        assert shown(await source.next())[1] == sent["webhook_id"]


async def test_nobody_but_admins_and_their_tickets_may_follow(database_url: str) -> None:
    async with running(database_url, auth_jwt_secret=SECRET, auth_viewer_claim="role=viewer") as server:
        assert (await server.read(EVENTS))[0] == 401
        assert (await server.read(EVENTS, headers=bearer("u1")))[0] == 403
        bought = (await buy(server, ADMIN))["ticket"]
        async with server.events(f"{EVENTS}?ticket={bought}") as source:
            assert (await source.next()).event == "filter"
        async with server.events(EVENTS, headers=bearer("val", role="viewer")) as source:
            assert (await source.next()).event == "filter"
        async with server.events(EVENTS, headers=bearer("ada", 1.5, role="admin")) as source:
            await source.next()
            assert await source.rest() == []


async def test_streams_count_against_the_limits_of_all_streams(database_url: str) -> None:
    async with running(database_url, max_connections_per_user=2) as server:
        async with tail(server), server.events("/events"):
            assert await later(server.session, server.url + EVENTS) == "too_many_connections"
            assert await later(server.session, server.url + "/events") == "too_many_connections"
            _, found = await server.read("/api/admin/stats")
            assert found["now"]["connections"]["sse"] == 2
        await until(lambda: not server.app[TAIL]._followers)
        async with tail(server):
            pass


async def test_client_that_does_not_read_is_ended_with_a_reset_and_delays_nobody(database_url: str, sql: Sql) -> None:
    add_received(sql, 4_000, times.microseconds_of("2026-11-01 00:00:00"))
    sql("UPDATE rushes_webhooks SET error = REPEAT('x', 2000), error_code = 'x'")
    async with running(
        database_url, log_poll=0.02, stream_max_lag=0.5, stream_last_words=30, stream_heartbeat=3600
    ) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port, limit=64 * 1024)
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        writer.write(b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % EVENTS.encode())
        assert b"event: filter" in await reader.readuntil(b"filter\n")
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        for (webhook_id,) in sql("SELECT id FROM rushes_webhooks ORDER BY id"):
            sql(note([webhook_id])[0].decode())
        await until(lambda: sql("SELECT COUNT(*) FROM rushes_changes WHERE number IS NULL") == ((0,),), 30)
        async with tail(server) as source:
            await until(lambda: server.app[TAIL]._followers == 1, 30)
            _, sent = await server.send(webhook("j1", "pending"))
            assert shown(await source.next())[1] == sent["webhook_id"]
        reader._transport.resume_reading()  # type: ignore[attr-defined]
        rest = bytearray()
        while data := await reader.read(65536):
            rest += data
        assert b"event: reset" in rest[-200:]
        # What waited for it was bounded.
        assert len(rest) < 4_000 * 2_000 / 2
        writer.close()


async def test_streams_end_at_once_with_the_server(database_url: str) -> None:
    async with asyncio.timeout(5):
        async with running(database_url) as server:
            session = aiohttp.ClientSession()
            response = await session.get(server.url + EVENTS)
            assert b"filter" in await response.content.readuntil(b"\n\n")
        assert await response.content.read() == b""
        await session.close()


@pytest.mark.timeout(120)
async def test_two_processes_tell_all_in_one_order_also_across_a_restart(
    database_url: str, sql: Sql, tmp_path: Path
) -> None:
    add_jobs(sql, *(f"j{n}" for n in range(20)))
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    chance = random.Random(5)
    sent: set[str] = set()

    async def send(session: aiohttp.ClientSession, url: str) -> None:
        for _ in range(60):
            body = chance.choice(
                [webhook(f"j{chance.randrange(20)}", "generating"), webhook("nobody", "pending"), None]
            )
            data = {"json": body} if body else {"data": b"{", "headers": {"Content-Type": "application/json"}}
            async with session.post(f"{url}/api/webhooks/video-completion", **data) as answer:
                sent.add((await answer.json())["webhook_id"])

    async def follow(url: str, last_id: str | None, told: list[tuple[str, str]]) -> str:
        headers = {"Last-Event-ID": last_id} if last_id else {}
        async with session.get(url + EVENTS, headers=headers, timeout=aiohttp.ClientTimeout(None)) as response:
            source = Source(response, last_id)
            try:
                while (event := await source.next_or_end(60)) is not None:
                    if event.event == "webhook":
                        told.append((event.full_id or "", event.data["id"]))
            except (aiohttp.ClientError, asyncio.CancelledError):
                pass
            assert source.last_id is not None
            return source.last_id

    first: list[tuple[str, str]] = []
    second: list[tuple[str, str]] = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        async with serving(folders[0], DATABASE_URL=database_url) as (_, one, _):
            following = asyncio.create_task(follow(one, None, first))
            async with serving(folders[1], DATABASE_URL=database_url) as (process, two, _):
                interrupted = asyncio.create_task(follow(two, None, second))
                await asyncio.sleep(0.2)
                await asyncio.gather(*(send(session, url) for url in (one, two, one, two)))
                process.kill()
                last_id = await interrupted
            await asyncio.gather(*(send(session, one) for _ in range(2)))
            async with serving(folders[1], DATABASE_URL=database_url) as (_, two, _):
                interrupted = asyncio.create_task(follow(two, last_id, second))
                await asyncio.gather(*(send(session, url) for url in (one, two)))
                await until(lambda: {row for _, row in first} >= sent and {row for _, row in second} >= sent, 30)
                interrupted.cancel()
                following.cancel()
                await asyncio.gather(interrupted, following)
    assert len(sent) > 300
    numbers = [int(number.partition("-")[0]) for number, _ in second]
    assert numbers == sorted(set(numbers))
    assert {row for _, row in first} == {row for _, row in second} == sent
    order = dict(first)
    assert all(order[number] == row for number, row in second if number in order)
