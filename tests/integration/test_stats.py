"""Statistics as admins read them."""

import asyncio
import math
import random
from typing import Any

import pytest

from app import ids, times
from app.appkeys import POOL
from app.domain.rollup import Rollup
from app.domain.sketch import Sketch
from app.domain.spans import quarter_of
from tests.client import Client, moved, running
from tests.counting import bin_of
from tests.databases import Sql
from tests.sign_in import SECRET, bearer
from tests.tables import UNASKED, add
from tests.waiting import until
from tests.webhooks import completion, video, webhook

PATH = "/api/admin/stats"
OUTCOMES = ("applied", "duplicate", "stale", "parked", "dead", "discarded")


def put(sql: Sql, at: str, **counts: Any) -> None:
    """What was counted in a quarter of an hour."""
    made = rollup(**counts)
    packed = made.counts, made.job_times.pack(), made.webhook_times.pack()
    sql("INSERT INTO rushes_rollups VALUES (%s, %s, %s, %s)", quarter_of(times.microseconds_of(at)), *packed)


def rollup(
    webhooks: dict[str, int] | None = None,
    finished: int = 0,
    failed: dict[str, int] | None = None,
    job: tuple[float, ...] = (),
    webhook: tuple[float, ...] = (),
) -> Rollup:
    """`job` are seconds, `webhook` milliseconds."""
    made = Rollup(finished=finished)
    made.webhooks.update(webhooks or {})
    made.failed.update(failed or {})
    made.job_times = sketch([round(seconds * 1e6) for seconds in job])
    made.webhook_times = sketch([round(ms * 1e3) for ms in webhook])
    return made


def sketch(values: list[int]) -> Sketch:
    made = Sketch()
    for value in values:
        made.add(Sketch.of({bin_of(value): 1}, value))
    return made


async def read(server: Client, query: str = "", status: int = 200) -> dict[str, Any]:
    code, body = await server.read(f"{PATH}?{query}")
    assert code == status, body
    return body


async def test_last_24_hours_by_hour_are_told_without_a_question(server: Client) -> None:
    found = await read(server)
    assert (found["bucket"], found["timezone"], len(found["buckets"])) == ("hour", "UTC", 24)
    last = times.read(found["buckets"][-1]["start"])
    assert last is not None
    assert 0 <= times.now() - last < 3_600_000_000 + 60_000_000
    assert found["to"] == times.rfc3339(last + 3_600_000_000)
    assert found["from"] == found["buckets"][0]["start"]
    empty = {
        "webhooks": dict.fromkeys(OUTCOMES, 0),
        "finished": 0,
        "failed": 0,
        "failed_by_kind": {},
        "success_rate": None,
        "job_seconds": {"mean": None, "p50": None, "p95": None, "n": 0},
        "webhook_ms": {"mean": None, "p50": None, "p95": None, "n": 0},
    }
    assert found["totals"] == empty
    assert all({**bucket, "start": ""} == {**empty, "start": ""} for bucket in found["buckets"])


async def test_what_happens_is_told_within_seconds(server: Client, sql: Sql) -> None:
    for name in ("good", "bad", "slow", "ended"):
        await server.register(name)
    sql("UPDATE video_generations SET createdAt = createdAt - INTERVAL 100 SECOND WHERE id = 'good'")
    await moved(server, "good", "generating")
    generated_at = times.rfc3339(times.now())
    done = completion("good", video("good/1"))
    done["data"]["generated_at"] = generated_at
    assert (await server.send(done))[0] == 200
    assert (await server.send(done))[0] == 200
    await server.send(webhook("bad", "failed") | {"error": "429 RESOURCE_EXHAUSTED"})
    await server.send(webhook("nobody", "generating"))
    await server.send(b"{}")
    async with server.post("/api/videos/ended/cancel") as answer:
        assert answer.status == 200

    async with asyncio.timeout(15):
        while (found := (await read(server))["totals"])["webhooks"]["dead"] == 0 or found["failed"] == 0:
            await asyncio.sleep(0.05)
    assert found["webhooks"] == {
        "applied": 3, "duplicate": 1, "stale": 0, "parked": 1, "dead": 1, "discarded": 0,
    }  # fmt: skip
    assert (found["finished"], found["failed"], found["failed_by_kind"]) == (1, 1, {"quota": 1})
    assert found["success_rate"] == 0.5
    assert found["job_seconds"]["n"] == 1
    assert found["job_seconds"]["mean"] == pytest.approx(100, abs=10)
    assert found["job_seconds"]["p95"] == pytest.approx(found["job_seconds"]["mean"], rel=0.02)
    assert found["webhook_ms"]["n"] == 6
    now = (await read(server))["now"]
    assert now["jobs_by_state"] == {
        "PENDING": 1, "PROCESSING": 0, "GENERATING": 0, "DOWNLOADING": 0, "COMPLETED": 1, "FAILED": 2,
    }  # fmt: skip
    assert (now["dead"], now["parked"], now["set_aside"], now["spooled"]) == (1, 1, 0, 0)
    # A dead letter that is discarded counts as that, where it was received.
    ((dead,),) = sql("SELECT id FROM rushes_webhooks WHERE outcome = 'dead'")
    async with server.post(f"/api/admin/webhooks/{dead}/discard") as answer:
        assert answer.status == 200
    async with asyncio.timeout(15):
        while (await read(server))["totals"]["webhooks"]["discarded"] == 0:
            await asyncio.sleep(0.05)


async def test_figures_of_a_bucket_are_those_of_its_values_within_2_percent(server: Client, sql: Sql) -> None:
    chance = random.Random(1)
    seconds = [chance.lognormvariate(4, 1) for _ in range(2000)]
    for n, at in enumerate(("10:00", "10:15", "10:30", "10:45")):
        put(sql, f"2026-11-20 {at}", finished=500, job=tuple(seconds[n::4]), webhook=(1.5, 2.5))
    found = await read(server, "from=2026-11-20T10:00:00Z&to=2026-11-20T12:00:00Z")
    (first, second), total = found["buckets"], found["totals"]
    told = first["job_seconds"]
    seconds.sort()
    assert told["n"] == first["finished"] == 2000
    assert told["mean"] == pytest.approx(sum(seconds) / 2000)
    assert told["p50"] == pytest.approx(seconds[math.floor(0.5 * 1999)], rel=0.02)
    assert told["p95"] == pytest.approx(seconds[math.floor(0.95 * 1999)], rel=0.02)
    assert first["webhook_ms"] == {
        "mean": 2,
        "p50": pytest.approx(1.5, rel=0.02),
        "p95": pytest.approx(2.5, rel=0.02),
        "n": 8,
    }
    assert (second["finished"], second["job_seconds"]["n"]) == (0, 0)
    assert {**first, "start": 0} == {**total, "start": 0}


async def test_buckets_are_dense_and_each_thing_is_in_one_of_them(server: Client, sql: Sql) -> None:
    put(sql, "2026-11-20 09:45", webhooks={"applied": 1})
    put(sql, "2026-11-20 10:00", webhooks={"applied": 2}, failed={"quota": 1, "safety": 2}, finished=1)
    put(sql, "2026-11-20 12:45", webhooks={"dead": 3}, finished=2)
    put(sql, "2026-11-20 13:00", webhooks={"applied": 4})
    found = await read(server, "from=2026-11-20T10:20:00Z&to=2026-11-20T13:00:00Z")
    assert [bucket["start"][11:16] for bucket in found["buckets"]] == ["10:00", "11:00", "12:00"]
    assert [sum(bucket["webhooks"].values()) for bucket in found["buckets"]] == [2, 0, 3]
    assert (found["from"], found["to"]) == ("2026-11-20T10:00:00.000Z", "2026-11-20T13:00:00.000Z")
    total = found["totals"]
    assert total["webhooks"] == dict.fromkeys(OUTCOMES, 0) | {"applied": 2, "dead": 3}
    assert (total["finished"], total["failed"], total["failed_by_kind"]) == (3, 3, {"quota": 1, "safety": 2})
    assert [bucket["success_rate"] for bucket in found["buckets"]] == [0.25, None, 1.0]


async def test_days_are_those_of_the_zone_and_as_long_as_there(server: Client, sql: Sql) -> None:
    """23 hours in spring, 25 in autumn."""
    put(sql, "2026-03-28 22:45", finished=1)
    put(sql, "2026-03-28 23:00", finished=10)
    put(sql, "2026-03-29 21:45", finished=100)
    put(sql, "2026-03-29 22:00", finished=1000)
    found = await read(server, "from=2026-03-28&to=2026-03-31&bucket=day&timezone=Europe/Paris")
    assert [(b["start"], b["finished"]) for b in found["buckets"]] == [
        ("2026-03-27T23:00:00.000Z", 1),
        ("2026-03-28T23:00:00.000Z", 110),
        ("2026-03-29T22:00:00.000Z", 1000),
    ]
    assert found["to"] == "2026-03-30T22:00:00.000Z"
    found = await read(server, "from=2026-10-25&to=2026-10-26&bucket=hour&timezone=Europe/Paris")
    assert len(found["buckets"]) == 25
    found = await read(server, "from=2026-10-25&to=2026-10-26&bucket=day&timezone=Europe/Paris")
    assert (found["from"], found["to"]) == ("2026-10-24T22:00:00.000Z", "2026-10-25T23:00:00.000Z")


@pytest.mark.parametrize(
    ("zone", "expected"),
    [("UTC", [15, 0]), ("Asia/Kolkata", [3, 12, 0]), ("Asia/Kathmandu", [1, 14, 0])],
)
async def test_hours_of_zones_that_are_off_by_half_or_a_quarter_of_an_hour(
    server: Client, sql: Sql, zone: str, expected: list[int]
) -> None:
    for n, minute in enumerate(("00", "15", "30", "45")):
        put(sql, f"2026-11-20 10:{minute}", finished=2**n)
    found = await read(server, f"from=2026-11-20T10:00:00Z&to=2026-11-20T11:31:00Z&timezone={zone}")
    assert [bucket["finished"] for bucket in found["buckets"]] == expected


@pytest.mark.parametrize(
    "query",
    [
        "timezone=Mars/Olympus", "timezone=../../etc/passwd", "timezone=America", "timezone=posixrules/../UTC",
        "timezone=%00", "timezone=leapseconds", "timezone=zone.tab", "bucket=week", "from=yesterday", "to=2026-13-01",
        "from=2026-11-20T10:00:00Z&to=2026-11-20T10:00:00Z", "from=2026-11-21&to=2026-11-20",
        "from=0001-01-01", "to=9999-12-31", "from=1e400", "from=3000-01-01",
    ],
)  # fmt: skip
async def test_what_is_no_window_or_no_zone_is_refused(server: Client, query: str) -> None:
    body = await read(server, query, 400)
    assert body["code"] == "invalid_request"


async def test_more_than_10000_buckets_are_refused(server: Client) -> None:
    body = await read(server, "from=2025-01-01T00:00:00Z&to=2026-02-21T16:00:01Z", 400)
    assert body["code"] == "too_many_buckets"
    found = await read(server, "from=2025-01-01T00:00:00Z&to=2026-02-21T16:00:00Z")
    assert len(found["buckets"]) == 10_000
    assert (await read(server, "from=1971-01-01&to=9998-12-31", 400))["code"] == "too_many_buckets"


async def test_only_admins_read_them(database_url: str) -> None:
    async with running(database_url, auth_jwt_secret=SECRET, webhook_secret="geheim") as server:
        for headers, code in (({}, 401), (bearer("u1", 60), 403), (bearer("u1", 60, role="admin"), 200)):
            async with server.get(PATH, headers=headers) as answer:
                assert answer.status == code


async def test_what_there_is_now_is_told(database_url: str, sql: Sql) -> None:
    async with running(database_url, stall_after=600, **UNASKED) as server:
        add(sql, "old", times.sql(times.now() - 3600 * 1_000_000))
        add(sql, "odd", "2025-10-23 13:00:00", status="COMPLETED")
        await server.register("fresh")
        async with (
            server.events() as one,
            server.events("/events/fresh") as other,
            server.session.ws_connect(f"{server.url}/ws"),
        ):
            await one.next(), await other.next()
            now = (await read(server))["now"]
        assert now["connections"] == {"sse": 2, "websocket": 1}
        assert now["stalled"] == 1
        assert now["oldest_unfinished_seconds"] == pytest.approx(3600, abs=30)
        assert now["jobs_by_state"]["PENDING"] == 2
        (process,) = now["processes"]
        assert (process["id"], process["lag"]) == (ids.PROCESS, 0)
        started = times.read(process["started_at"])
        assert started is not None
        assert 0 <= times.now() - started < 60_000_000


_OTHER = """
INSERT INTO rushes_processes VALUES (%s, '9.9', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) - INTERVAL %s SECOND, 7, 3, 2, 5)
"""


async def test_other_processes_are_told_as_long_as_they_say_that_they_are_there(database_url: str, sql: Sql) -> None:
    async with running(database_url) as server:
        await until(lambda: sql("SELECT COUNT(*) FROM rushes_processes") == ((1,),))
        sql(_OTHER, "there", 10)
        sql(_OTHER, "gone", 30)
        sql(_OTHER, "long gone", 4000)
        now = (await read(server))["now"]
        assert [(process["id"], process["lag"]) for process in now["processes"]] == [(ids.PROCESS, 0), ("there", 7)]
        assert (now["connections"], now["spooled"]) == ({"sse": 3, "websocket": 2}, 5)
    # One that ends says so.
    assert sql("SELECT COUNT(*) FROM rushes_processes WHERE id = %s", ids.PROCESS) == ((0,),)


@pytest.mark.parametrize(("share", "longest"), [(0, 30.0), (1_000_000, 0.0)])
async def test_count_over_a_large_table_is_not_waited_for_and_told_no_longer_than_the_bound(
    server: Client, sql: Sql, monkeypatch: pytest.MonkeyPatch, share: int, longest: float
) -> None:
    monkeypatch.setattr("app.db.standing._QUICK", -1.0)
    monkeypatch.setattr("app.db.standing._SHARE", share)
    monkeypatch.setattr("app.db.standing._AGE_MAX", longest)
    assert (await read(server))["now"]["jobs_by_state"]["PENDING"] == 0
    add(sql, "j1", status="PENDING")
    assert (await read(server))["now"]["jobs_by_state"]["PENDING"] == 0
    async with asyncio.timeout(10):
        while (await read(server))["now"]["jobs_by_state"]["PENDING"] == 0:
            await asyncio.sleep(0.01)


async def test_database_that_is_away_is_told(server: Client) -> None:
    server.app[POOL].bar()
    assert (await read(server, "", 503))["code"] == "unavailable"
