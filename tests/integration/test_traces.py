"""Events traced from their commit to a screen: what is written down, what browsers may tell of it, and who reads it."""

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import structlog
from structlog.testing import LogCapture

from app import ids, lifecycle, times
from app.appkeys import HUB
from app.db.pool import Pool
from app.db.traces import TracedEvents
from app.domain.spans import quarter_of
from app.domain.trace import Handed
from app.push import traces
from app.upkeep.leader import Leader
from app.upkeep.retention import Retention
from tests.acts import SIGNED, USERS, made, tell
from tests.client import Client, running
from tests.databases import Sql
from tests.processes import serving
from tests.sign_in import bearer, buy
from tests.streams import Source
from tests.webhooks import webhook
from tests.world import Clock

ADMIN, AUTHOR = USERS["admin"], USERS["author"]
VIEWER = bearer("val", 86400, role="viewer")


@pytest.fixture
async def site(database_url: str) -> AsyncIterator[Client]:
    async with running(database_url, auth_viewer_claim="role=viewer", **SIGNED) as server:
        yield server


async def emptied(server: Client) -> None:
    """Waits until no stream is open."""
    async with asyncio.timeout(10):
        while len(server.app[HUB]):
            await asyncio.sleep(0.01)


async def report(server: Client, body: dict[str, Any], who: dict[str, str] | None = AUTHOR) -> tuple[int, Any]:
    whole = {"process": ids.PROCESS, "opened": 60_000, "trip": 4, "seen": []} | body
    async with server.post("/api/shown", json=whole, headers=who) as answer:
        return answer.status, await answer.json()


async def taken(server: Client, body: dict[str, Any], who: dict[str, str] | None = AUTHOR) -> int:
    status, said = await report(server, body, who)
    assert status == 200, said
    return int(said["taken"])


async def heard(source: Source, server: Client, status: str = "generating", job: str = "j1") -> str:
    """The id of the event of this webhook."""
    assert await tell(server, webhook(job, status)) == [status]
    while True:
        event = await source.next()
        if event.full_id and event.data and event.data["status"] == status:
            return event.full_id


async def trace(server: Client, event_id: str, who: dict[str, str] = ADMIN) -> tuple[int, Any]:
    return await server.read(f"/api/admin/traces/{event_id}", headers=who)


async def test_event_is_traced_from_its_commit_to_the_sockets_and_to_the_screen(site: Client) -> None:
    await made(site, "j1")
    async with site.events("/events", headers=AUTHOR) as one, site.events("/events/j1", headers=AUTHOR) as other:
        await one.next()
        await other.next()
        event_id = await heard(one, site)
        assert await taken(site, {"seen": [{"id": event_id, "age": 0}]}) == 1
        await lifecycle.write_traces(site.app)
        await lifecycle.write_traces(site.app)
    _, seen = await trace(site, event_id)
    assert (seen["sockets"], seen["shown"]) == (2, 1)
    times = [seen[name] for name in ("committed_at", "handed_at", "shown_at")]
    assert times == sorted(times)
    assert seen == (await trace(site, event_id, VIEWER))[1]
    _, stats = await site.read("/api/admin/stats", headers=ADMIN)
    assert stats["totals"]["shown_ms"]["n"] == 1
    assert stats["totals"]["handed_ms"]["n"] >= 2
    assert "handed_ms" not in stats["buckets"][-1]
    assert stats["buckets"][-1]["shown_ms"] == stats["totals"]["shown_ms"]
    assert "shown_ms" not in stats["buckets"][0]


async def test_percentiles_are_those_of_what_browsers_tell(site: Client) -> None:
    await made(site, "j1")
    async with site.events("/events", headers=AUTHOR) as source:
        await source.next()
        for place, status in enumerate(["processing", "generating", "downloading", "failed"]):
            event_id = await heard(source, site, status)
            await asyncio.sleep(0.3)  # so that it can have been painted some time ago
            assert await taken(site, {"seen": [{"id": event_id, "age": 50 if place else 250}], "trip": 0}) == 1
    await lifecycle.write_traces(site.app)
    await lifecycle.write_traces(site.app)
    _, stats = await site.read("/api/admin/stats", headers=ADMIN)
    shown = stats["totals"]["shown_ms"]
    assert shown["n"] == 4
    assert 240 < shown["p50"] <= shown["p95"]
    assert shown["mean"] > 190


async def test_stream_asks_for_it_in_its_first_comment_few_of_a_user_and_few_of_all(site: Client) -> None:
    sources = []
    async with asyncio.timeout(20):
        for number in range(30):
            who = bearer(f"u{number % 8}", 3600)
            context = site.events("/events", headers=who)
            sources.append((context, await context.__aenter__()))
            await sources[-1][1].next()
    asked = [source.comments[0] == f": rushes shown {ids.PROCESS}" for _, source in sources]
    assert {source.comments[0] for _, source in sources} == {f": rushes shown {ids.PROCESS}", ": rushes"}
    assert sum(asked) == 20
    assert max(sum(asked[number::8]) for number in range(8)) <= 3
    for context, _ in sources:
        await context.__aexit__(None, None, None)


async def test_clients_that_never_tell_are_not_counted_for_long_among_those_that_are_asked(
    site: Client, clock: Clock
) -> None:
    async with contextlib.AsyncExitStack() as stack:

        async def is_asked(user: str) -> bool:
            source = await stack.enter_async_context(site.events("/events", headers=bearer(user, 86400)))
            await source.next()
            return source.comments[0] != ": rushes"

        assert [await is_asked(f"u{number // 3}") for number in range(20)] == [True] * 20
        clock.ahead = 9 * 60 * 1_000_000
        assert not await is_asked("late")
        assert await taken(site, {}, bearer("u0", 86400)) == 0
        clock.ahead = 11 * 60 * 1_000_000
        assert not await is_asked("u0")
        assert [await is_asked(f"v{number // 3}") for number in range(18)] == [True] * 17 + [False]


async def test_streams_whose_clients_left_before_they_began_keep_nobody_from_being_asked(site: Client) -> None:
    address = urlsplit(site.url)
    authorization = AUTHOR["Authorization"]
    for _ in range(40):
        with socket.create_connection((str(address.hostname), address.port or 0)) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.sendall(f"GET /events HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n\r\n".encode())
            await asyncio.sleep(0)
    await emptied(site)
    async with site.events("/events", headers=AUTHOR) as source:
        await source.next()
        assert source.comments[0] == f": rushes shown {ids.PROCESS}"


@pytest.mark.parametrize(
    "hostile",
    [
        {"seen": [{"id": "1", "age": 0}]}, {"seen": [{"id": "1-zzzzzzzz", "age": 0}]},
        {"seen": [{"id": "1-00000000", "age": -1}]}, {"seen": [{"id": "1-00000000", "age": 60_001}]},
        {"seen": [{"id": "1-00000000", "age": 0}] * 21}, {"trip": -1}, {"trip": 10_001}, {"opened": -1},
        {"process": "' OR 1=1; --"}, {"process": "0" * 11}, {"seen": None},
    ],
)  # fmt: skip
async def test_report_that_cannot_be_is_refused(site: Client, hostile: dict[str, Any]) -> None:
    status, said = await report(site, hostile)
    assert (status, said["code"]) == (400, "invalid_request")


async def test_report_may_have_4_kib_and_no_more(site: Client) -> None:
    status, said = await report(site, {"pad": "x" * 5000})
    assert (status, said["code"]) == (413, "too_large")


async def test_strangers_and_those_who_were_sent_nothing_tell_nothing(site: Client) -> None:
    await made(site, "j1")
    async with site.events("/events", headers=AUTHOR) as source:
        await source.next()
        event_id = await heard(source, site)
    seen = {"seen": [{"id": event_id, "age": 0}]}
    status, said = await report(site, seen, {})
    assert (status, said["code"]) == (401, "unauthorized")
    assert await taken(site, seen, USERS["stranger"]) == 0
    assert await taken(site, seen, USERS["member"]) == 1
    assert await taken(site, seen, AUTHOR) == 1
    assert await taken(site, seen, AUTHOR) == 0
    number, _, digits = event_id.partition("-")
    assert await taken(site, {"seen": [{"id": f"{int(number) + 1000}-{digits}", "age": 0}]}) == 0
    assert await taken(site, {"seen": [{"id": f"{number}-00000000", "age": 0}]}) == 0


@pytest.mark.parametrize("impossible", [{"age": 5000}, {"age": 0, "opened": 0}, {"age": 0, "process": "0123456789ab"}])
async def test_what_was_painted_before_it_was_sent_or_sent_before_the_stream_was_there_does_not_count(
    site: Client, impossible: dict[str, Any]
) -> None:
    await made(site, "j1")
    async with site.events("/events", headers=AUTHOR) as source:
        await source.next()
        event_id = await heard(source, site)
        await asyncio.sleep(0.1)
        rest = {name: value for name, value in impossible.items() if name != "age"}
        assert await taken(site, {"seen": [{"id": event_id, "age": impossible["age"]}]} | rest) == 1
    for _ in range(3):
        await lifecycle.write_traces(site.app)
    _, found = await trace(site, event_id)
    assert (found["shown"], found["shown_at"]) == (0, None)
    _, stats = await site.read("/api/admin/stats", headers=ADMIN)
    assert "shown_ms" not in stats["totals"]


async def test_user_who_tells_too_often_is_told_so(site: Client) -> None:
    found = [await report(site, {}) for _ in range(31)]
    assert [status for status, _ in found] == [200] * 30 + [429]
    assert found[-1][1]["code"] == "too_many_reports"


async def test_ticket_is_as_good_for_a_report_as_for_the_stream(site: Client) -> None:
    await made(site, "j1")
    ticket = (await buy(site, AUTHOR))["ticket"]
    async with site.events(f"/events?ticket={ticket}") as source:
        await source.next()
        event_id = await heard(source, site)
    body = {"process": ids.PROCESS, "opened": 60_000, "trip": 4, "seen": [{"id": event_id, "age": 0}]}
    async with site.post(f"/api/shown?ticket={ticket}", json=body) as answer:
        assert await answer.json() == {"success": True, "taken": 1}


async def test_viewers_tell_what_they_see_too(site: Client) -> None:
    assert await taken(site, {}, VIEWER) == 0


async def test_without_it_nothing_is_asked_noted_or_taken(database_url: str, sql: Sql) -> None:
    async with running(database_url, trace_per_second=0, **SIGNED) as server:
        await made(server, "j1")
        async with server.events("/events", headers=AUTHOR) as source:
            await source.next()
            assert source.comments == [": rushes"]
            event_id = await heard(source, server)
        status, said = await report(server, {})
        assert (status, said["code"]) == (409, "not_traced")
        await lifecycle.write_traces(server.app)
        assert (await trace(server, event_id))[0] == 404
    assert sql("SELECT COUNT(*) FROM rushes_traces") == ((0,),)


async def test_only_admins_and_viewers_read_traces(site: Client) -> None:
    status, said = await trace(site, "1-00000000", AUTHOR)
    assert (status, said["code"]) == (403, "forbidden")
    for event_id, code in {"1-00000000": "not_traced", "nothing": "not_found", "1": "not_found"}.items():
        status, said = await trace(site, event_id)
        assert (status, said["code"]) == (404, code)


async def test_traces_go_after_two_days_and_what_they_took_stays(sql: Sql, database_url: str, pool: Pool) -> None:
    with contextlib.closing(Leader(database_url)) as leader:
        assert await leader.leads()  # so that the server does not purge by itself
        async with running(database_url, **SIGNED) as server:
            await made(server, "j1", "generating")
            await lifecycle.write_traces(server.app)
        assert sql("SELECT COUNT(*) FROM rushes_traces") == ((2,),)
        sql("UPDATE rushes_traces SET handed_at = handed_at - 49 * 3600 * 1000000 LIMIT 1")
        assert (await Retention(pool, leader, days=30).purge())["traces"] == 1
    assert sql("SELECT COUNT(*) FROM rushes_shown") == ((1,),)


async def test_what_is_told_to_one_process_of_what_another_has_sent_counts(
    tmp_path: Path, database_url: str, sql: Sql
) -> None:
    async with running(database_url) as server, serving(tmp_path, DATABASE_URL=database_url) as (_, other, _):
        await server.register("j1")
        async with server.session.get(f"{other}/events") as response:
            source = Source(response)
            await source.next()
            asked = re.fullmatch(r": rushes shown ([0-9a-f]{12})", source.comments[0])
            assert asked is not None
            assert (await server.send(webhook("j1", "generating")))[0] == 200
            event_id = None
            while event_id is None:
                event = await source.next()
                event_id = event.full_id if event.data and event.data["status"] == "generating" else None
            async with asyncio.timeout(10):
                while await taken(server, {"process": asked[1], "seen": [{"id": event_id, "age": 0}]}, None) == 0:
                    await asyncio.sleep(0.05)
            async with asyncio.timeout(30):
                while (way := (await trace(server, event_id, {}))[1]).get("shown") != 1:
                    await asyncio.sleep(0.5)
                    await lifecycle.write_traces(server.app)
        assert (way["sockets"], way["shown"]) == (1, 1)
        assert sql("SELECT COUNT(*) FROM rushes_traces WHERE committed_at IS NOT NULL AND shown = 0")[0][0] >= 1


async def test_processes_that_write_down_at_once_lose_nothing(pool: Pool, sql: Sql) -> None:
    traced, now = TracedEvents(pool), times.now()

    async def process(first: int) -> None:
        for event_id in range(first, first + 40):
            assert await traced.save([Handed(event_id, "00000000", now, now, now, 1)], []) == []

    await asyncio.gather(*(process(1000 * number) for number in range(1, 5)))
    assert sql("SELECT COUNT(*) FROM rushes_traces") == ((160,),)


async def test_what_nobody_thought_of_is_logged_and_ends_no_loop_for_good(
    database_url: str, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = LogCapture()
    log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[lines], wrapper_class=structlog.BoundLogger)
    monkeypatch.setattr(lifecycle, "log", log)
    monkeypatch.setattr(traces, "EVERY", 1.0)
    quarter = quarter_of(times.now())
    for place in (quarter, quarter + 1):
        sql("INSERT INTO rushes_shown (quarter, handed_times, shown_times) VALUES (%s, 'no sketch', '')", place)
    async with running(database_url, **SIGNED) as server, asyncio.timeout(30):
        await made(server, "j1", "pending")
        while not lines.entries:
            await asyncio.sleep(0.05)
        assert (lines.entries[0]["event"], lines.entries[0]["what"]) == ("background_work_failed", "_trace")
        sql("UPDATE rushes_shown SET handed_times = ''")
        for status in ("processing", "generating"):
            assert await tell(server, webhook("j1", status)) == [status]
        while not sql("SELECT 1 FROM rushes_shown WHERE handed_times <> ''"):
            await asyncio.sleep(0.05)
