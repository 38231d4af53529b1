"""Generations that have ended, one by one: exactly those that a figure counts."""

import asyncio
from typing import Any

import pytest

from app import times
from app.db.generations import _COUNT, _PAGE, Ended
from app.db.pool import Pool
from app.db.rollups import Rollups
from app.db.sql import Raw, bind
from app.domain.failure import KINDS
from app.domain.spans import QUARTER, quarter_of, start_of
from tests.client import Client, running
from tests.databases import Sql
from tests.sign_in import SECRET, bearer
from tests.webhooks import completion, video, webhook

GENERATIONS = "/api/admin/generations"
BEGIN = times.microseconds_of("2026-11-01 00:00:00")
KINDS_HERE = ("completed", "completed", "quota", "completed", "cancelled", "timeout", "completed", "other")


def fill(sql: Sql, count: int) -> None:
    """Ends of all kinds, 20 a quarter; of one in eleven it is not known how long it took."""
    kinds = ", ".join(f"'{kind}'" for kind in KINDS_HERE)
    sql(
        "INSERT INTO rushes_ends (job_id, event_id, quarter, ended, took)"
        f" SELECT CONCAT('j', seq), seq, {quarter_of(BEGIN)} + seq DIV 20, ELT(1 + seq % 8, {kinds}),"
        f" IF(seq % 8 IN (0, 1, 3, 6) AND seq % 11, seq * 1000000, NULL) FROM seq_1_to_{count}"
    )


def meant(n: int, how: str | None, *, timed: bool) -> bool:
    ended = KINDS_HERE[n % 8]
    counts = {None: ended != "cancelled", "failed": ended not in ("completed", "cancelled")}
    return counts.get(how, ended == how) and (not timed or (ended == "completed" and n % 11 != 0))


async def listed(server: Client, **query: str) -> list[dict[str, Any]]:
    """All pages; the first one's count is of all."""
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    counted = None
    while cursor is not None:
        code, body = await server.read(GENERATIONS, params=query | {"cursor": cursor, "limit": "30"})
        assert code == 200, body
        counted = body.get("count", counted)
        found += body["generations"]
        cursor = body["next_cursor"]
    assert counted == len(found)
    return found


@pytest.mark.parametrize("how", [None, "completed", "failed", "quota", "cancelled", "safety"])
@pytest.mark.parametrize("timed", [False, True])
async def test_pages_hold_each_that_is_meant_once_the_last_first(
    server: Client, sql: Sql, how: str | None, timed: bool
) -> None:
    fill(sql, 400)
    query = ({"ended": how} if how else {}) | ({"timed": "true"} if timed else {})
    expected = [n for n in range(400, 0, -1) if meant(n, how, timed=timed)]
    assert [row["job_id"] for row in await listed(server, **query)] == [f"j{n}" for n in expected]
    # Half open, and whole quarters.
    span = {"from": times.rfc3339(BEGIN + QUARTER), "to": times.rfc3339(BEGIN + 3 * QUARTER)}
    assert [row["job_id"] for row in await listed(server, **query, **span)] == [
        f"j{n}" for n in expected if 20 <= n < 60
    ]


async def test_every_figure_counts_what_is_listed_behind_it_whenever_its_webhook_came(server: Client, sql: Sql) -> None:
    for name in ("good", "bad", "gone", "late"):
        await server.register(name)
    # Received long before its end was committed.
    _, parked = await server.send(completion("waits", video("w")))
    assert parked["code"] == "unknown_job"
    sql("UPDATE rushes_webhooks SET received_at = received_at - INTERVAL 2 DAY")
    await server.send(completion("good", video("a")))
    await server.send(completion("good", video("b"), at="2030-01-01T00:00:00Z"))
    await server.send(webhook("bad", "failed") | {"error": "429 RESOURCE_EXHAUSTED"})
    await server.send(webhook("late", "failed") | {"error": "boom"})
    await server.send(completion("late", video("l"), at="2030-01-01T00:00:00Z"))
    async with server.post("/api/videos/gone/cancel") as answer:
        assert answer.status == 200
    await server.register("waits")

    async with asyncio.timeout(15):
        while True:
            _, body = await server.read("/api/admin/stats")
            if (body["totals"]["finished"], body["totals"]["failed"]) == (3, 1):
                break
            await asyncio.sleep(0.05)
    spans = [(figures, start, end) for figures, start, end in zip(
        body["buckets"], [b["start"] for b in body["buckets"]],
        [*[b["start"] for b in body["buckets"][1:]], body["to"]], strict=True)]  # fmt: skip
    for figures, start, end in [(body["totals"], body["from"], body["to"]), *spans]:
        behind = {"completed": figures["finished"], "failed": figures["failed"], **figures["failed_by_kind"]}
        for how, number in behind.items():
            assert len(await listed(server, ended=how, **{"from": start, "to": end})) == number
        assert len(await listed(server, **{"from": start, "to": end})) == figures["finished"] + figures["failed"]
        timed = await listed(server, ended="completed", timed="true", **{"from": start, "to": end})
        assert len(timed) == figures["job_seconds"]["n"]
    assert {row["job_id"]: row["ended"] for row in await listed(server)} == {
        "good": "completed", "waits": "completed", "late": "completed", "bad": "quota",
    }  # fmt: skip
    _, first = await server.read(GENERATIONS, params={"ended": "cancelled"})
    assert [row["job_id"] for row in first["generations"]] == ["gone"]
    assert body["kept_from"] is None


async def test_what_is_purged_has_figures_alone_and_the_statistics_tell_since_when(
    server: Client, pool: Pool, rollups: Rollups
) -> None:
    before = times.now() - 86_400_000_000
    await rollups.purge_until(before)
    _, body = await server.read("/api/admin/stats")
    assert body["kept_from"] == times.rfc3339(start_of(quarter_of(before) + 1))


async def test_lists_read_the_index_alone_in_its_order(sql: Sql) -> None:
    fill(sql, 2_000)
    sql("ANALYZE TABLE rushes_ends")
    for wanted in (Ended(0, 10**9), Ended(0, 10**9, "quota"), Ended(0, 10**9, "failed", timed=True)):
        conditions = Raw(wanted.conditions())
        for statement in (bind(_PAGE, conditions, 51), bind(_COUNT, conditions)):
            plan = sql(f"EXPLAIN FORMAT=TRADITIONAL {statement.decode()}")
            ((*_, extra),) = [row for row in plan if row[2] == "rushes_ends"]
            assert "Using index" in extra
            assert "filesort" not in extra


@pytest.mark.parametrize(
    "query",
    ["ended=nothing", "cursor=x", "cursor=1-99999999999999999999", "from=2026-11-02&to=2026-11-01", "timed=perhaps"],
)
async def test_question_that_cannot_be_is_told(server: Client, query: str) -> None:
    code, body = await server.read(f"{GENERATIONS}?{query}")
    assert (code, body["code"]) == (400, "invalid_request")


async def test_every_way_to_end_can_be_asked_for(server: Client) -> None:
    for how in ("completed", "failed", *KINDS):
        assert (await server.read(f"{GENERATIONS}?ended={how}"))[0] == 200


async def test_nobody_but_admins_and_viewers_is_told(database_url: str) -> None:
    async with running(database_url, auth_jwt_secret=SECRET, viewer_users="eve") as server:
        assert (await server.read(GENERATIONS))[0] == 401
        assert (await server.read(GENERATIONS, headers=bearer("u1")))[0] == 403
        assert (await server.read(GENERATIONS, headers=bearer("eve")))[0] == 200
