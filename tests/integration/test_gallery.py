"""The gallery's lists: failed jobs, pages, states, organizations, search; what a client keeps; pages that poll."""

import random
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from app.appkeys import ESTIMATES
from app.db.gallery import Gallery, Wanted
from app.db.pool import Pool
from app.domain.estimate import Kind
from tests.client import Client, running
from tests.databases import Sql
from tests.sign_in import SECRET, SENDERS, bearer
from tests.tables import add
from tests.webhooks import completion, video, webhook


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    made = Pool(database_url, 1, 10.0)
    yield made
    made.close()


async def page(server: Client, headers: dict[str, str] | None = None, **query: Any) -> dict[str, Any]:
    status, body = await server.read("/api/videos/user", params=query, headers=headers or {})
    assert status == 200, body
    return body


def ids(jobs: list[dict[str, Any]]) -> list[str]:
    return [job["id"] for job in jobs]


def fill(
    sql: Sql, count: int, *, name: str = "j", author: str = "dev", status: str = "COMPLETED", **columns: Any
) -> None:
    """Jobs name00001 and on, the higher the newer."""
    names = ", ".join(["id", "authorId", "status", "createdAt", "updatedAt", "prompt", *columns])
    sql(
        f"INSERT INTO video_generations ({names}) SELECT CONCAT(%s, LPAD(seq, 5, '0')), %s, %s,"
        f" UTC_TIMESTAMP(3) - INTERVAL (80000 - seq) SECOND, UTC_TIMESTAMP(3), CONCAT('prompt ', seq)"
        f"{', %s' * len(columns)} FROM seq_1_to_{count}",
        name, author, status, *columns.values(),
    )  # fmt: skip


# -- Failed jobs


async def test_failed_jobs_are_listed_newest_first_until_they_are_dismissed(server: Client, sql: Sql) -> None:
    for number in range(3):
        await server.register(f"j{number}")
        await server.send(webhook(f"j{number}", "failed") | {"error": "503 UNAVAILABLE"})
        ago = "UPDATE video_generations SET createdAt = createdAt - INTERVAL %s SECOND WHERE id = %s"
        sql(ago, 9 - number, f"j{number}")
        sql("UPDATE rushes_jobs SET created_at = NULL")
    body = await page(server)
    assert ids(body["failed"]) == ["j2", "j1", "j0"]
    assert body["failed"][0]["failure"]["kind"] == "transient"
    assert body["failed"][0]["failure"]["advice"]
    async with server.session.post(f"{server.url}/api/videos/j1/dismiss") as answer:
        assert answer.status == 200
    assert ids((await page(server))["failed"]) == ["j2", "j0"]
    assert ids((await page(server, state="failed"))["generations"]) == ["j2", "j0"]


async def test_fifty_failed_jobs_are_listed_none_that_is_old_nor_anybody_elses(database_url: str, sql: Sql) -> None:
    async with running(database_url, retention_days=30) as server:
        fill(sql, 51, status="FAILED")
        fill(sql, 3, name="other", author="Dev", status="FAILED")
        body = await page(server)
        assert (len(body["failed"]), body["failed_more"]) == (50, True)
        assert ids(body["failed"])[0] == "j00051"
        older = "createdAt = createdAt - INTERVAL 30 DAY, updatedAt = createdAt"
        sql(f"UPDATE video_generations SET {older} WHERE id > 'j00010'")
        body = await page(server)
        assert (ids(body["failed"])[0], len(body["failed"]), "failed_more" in body) == ("j00010", 10, False)


# -- Pages


async def test_pages_are_counted_where_that_is_wanted(server: Client, sql: Sql) -> None:
    fill(sql, 25)
    pages = [await page(server, page=number, limit=10) for number in (1, 2, 3, 4)]
    assert [len(each["generations"]) for each in pages] == [10, 10, 5, 0]
    assert {each["total"] for each in pages} == {25}
    assert {each["next_cursor"] for each in pages} == {None}
    assert ids(pages[2]["generations"])[-1] == "j00001"
    assert "total" not in await page(server)


@pytest.mark.parametrize(
    "query",
    [{"page": 1, "cursor": "x"}, {"page": 0}, {"page": 1001}, {"scope": "all"}, {"state": "x"},
     {"q": "x" * 101}],
)  # fmt: skip
async def test_list_that_cannot_be_meant_is_refused(server: Client, query: dict[str, Any]) -> None:
    status, body = await server.read("/api/videos/user", params=query)
    assert (status, body["code"]) == (400, "invalid_request")


@pytest.mark.parametrize("seed", range(3))
async def test_pages_stay_right_while_videos_arrive_and_go(server: Client, sql: Sql, seed: int) -> None:
    """Whoever turns the pages sees each job once that was there all the time, in order, and none twice."""
    chance = random.Random(seed)
    fill(sql, 60)
    kept = {f"j{number:05}" for number in range(1, 61)}
    seen, cursor = [], None
    while True:
        body = await page(server, limit=7, **({} if cursor is None else {"cursor": cursor}))
        seen += ids(body["generations"])
        cursor = body["next_cursor"]
        if cursor is None:
            break
        add(sql, f"new{len(seen)}", chance.choice(["2099-01-01", "2001-01-01"]), authorId="dev", status="COMPLETED")
        gone = f"j{chance.randint(1, 60):05}"
        sql("DELETE FROM video_generations WHERE id = %s", gone)
        kept.discard(gone)
    assert len(seen) == len(set(seen))
    assert kept <= set(seen)
    old = [job_id for job_id in seen if job_id.startswith("j")]
    assert old == sorted(old, reverse=True)


# -- States, organizations, prompts


async def test_lists_are_of_one_state(server: Client, sql: Sql) -> None:
    for status in ("COMPLETED", "FAILED", "PENDING", "GENERATING"):
        fill(sql, 2, name=status.lower(), status=status)
    assert ids((await page(server, state="failed"))["generations"]) == ["failed00002", "failed00001"]
    active = await page(server, state="active", page=1)
    assert sorted(ids(active["generations"])) == ["generating00001", "generating00002", "pending00001", "pending00002"]
    assert (active["total"], active["active"], active["failed"]) == (4, [], [])
    assert ids((await page(server))["generations"]) == ["completed00002", "completed00001"]


async def test_organizations_videos_are_for_its_members(database_url: str, sql: Sql) -> None:
    fill(sql, 2, name="ours", author="ada", organizationId="org")
    fill(sql, 1, name="spelled", author="ada", organizationId="ORG")
    fill(sql, 1, name="alone", author="bob")
    async with running(database_url, auth_jwt_secret=SECRET, webhook_secret=SENDERS) as server:
        member = await page(server, bearer("bob", org_id="org"), scope="organization", page=1)
        assert (ids(member["generations"]), member["total"]) == (["ours00002", "ours00001"], 2)
        assert ids((await page(server, bearer("bob", org_id="org")))["generations"]) == ["alone00001"]
        for stranger in (bearer("bob", org_id="other"), bearer("bob")):
            assert (await page(server, stranger, scope="organization"))["generations"] == []


@pytest.mark.parametrize(
    ("says", "found"),
    [("SUNSET", ["j3", "j1"]), ("été", ["j2"]), ("100%", ["j4"]), ("_", []), ("!", ["j5"]), ("%", ["j4"]), ("'\\", [])],
)
async def test_prompts_are_searched_for_what_they_say(server: Client, sql: Sql, says: str, found: list[str]) -> None:
    prompts = ["A sunset", "L'été", "Sunset again", "100% pure", "Wow!"]
    for number, prompt in enumerate(prompts, start=1):
        add(sql, f"j{number}", f"2025-10-23 13:00:0{number}", authorId="dev", status="COMPLETED", prompt=prompt)
    body = await page(server, q=says, page=1)
    assert (ids(body["generations"]), body["searched"], body["total"]) == (found, 5, len(found))


async def test_search_looks_at_the_newest_5000_and_no_further(pool: Pool, sql: Sql) -> None:
    fill(sql, 5_010)
    gallery = Gallery(pool, 4_000_000, 30)
    found = await gallery.page(Wanted("dev", 100, says="prompt 5"))
    assert found.searched == 5000
    assert (await gallery.page(Wanted("dev", 100, says="prompt 10"))).jobs[-1].id > "j00010"
    first = await gallery.page(Wanted("dev", 100, says="prompt"))
    second = await gallery.page(Wanted("dev", 100, first.next_cursor, says="prompt"))
    assert second.jobs[0].id == "j04910"


# -- Costs


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted("dev", 12), Wanted("dev", 12, state="failed"), Wanted("dev", 12, state="active"),
        Wanted("dev", 12, organizations=("org",)), Wanted("dev", 12, organizations=("org",), state="active"),
        Wanted("dev", 12, page=2),
    ],
)  # fmt: skip
async def test_list_costs_the_same_however_many_jobs_others_have(pool: Pool, sql: Sql, wanted: Wanted) -> None:
    gallery = Gallery(pool, 4_000_000, 30)
    for status in ("COMPLETED", "FAILED", "PENDING"):
        fill(sql, 100, name=f"mine{status}", status=status, organizationId="org")
    cost = []
    for author in ("a", "b"):
        fill(sql, 5000, name=author, author=author, organizationId=f"of {author}")
        fill(sql, 5000, name=f"failed{author}", author=author, status="FAILED", organizationId=f"of {author}")
        sql("ANALYZE TABLE video_generations")
        before = await rows_read(pool)
        await gallery.page(wanted)
        cost.append(await rows_read(pool) - before)
    assert cost[1] <= cost[0] + 50
    assert cost[1] < 4000


async def rows_read(pool: Pool) -> int:
    return sum(int(value) for _, value in await pool.rows("SHOW GLOBAL STATUS LIKE 'Handler_read%'"))


# -- What a client keeps


async def tagged(
    server: Client, tag: str | None = None, headers: dict[str, str] | None = None, **query: Any
) -> tuple[int, str, bytes]:
    headers = (headers or {}) | ({} if tag is None else {"If-None-Match": tag})
    async with server.session.get(f"{server.url}/api/videos/user", headers=headers, params=query) as answer:
        return answer.status, answer.headers["ETag"], await answer.read()


async def test_page_that_is_as_the_client_has_it_is_not_sent_again(server: Client, sql: Sql) -> None:
    await server.register("j1")
    await server.send(completion("j1", video("k1")))
    status, tag, body = await tagged(server)
    assert (status, bool(body)) == (200, True)
    await server.register("somebody-elses", user_id="u2")  # the log moves on
    assert await tagged(server, tag) == (304, tag, b"")
    assert (await tagged(server, f'W/"x", {tag}'))[0] == 304
    assert (await tagged(server, '"other"'))[0] == 200


@pytest.mark.parametrize("query", [{}, {"state": "active"}])
async def test_page_of_jobs_that_go_on_is_not_sent_again_for_the_time_that_is_left(
    server: Client, sql: Sql, query: dict[str, Any]
) -> None:
    for _ in range(10):
        server.app[ESTIMATES].observe(Kind("veo-2.0-generate-001", 8, 1), [100.0] * 5)
    await server.register("j1")
    await server.send(webhook("j1", "generating"))
    _, tag, body = await tagged(server, **query)
    sql("UPDATE rushes_jobs SET since = COALESCE(since, updated_at) - INTERVAL 30 SECOND")
    _, other, later = await tagged(server, **query)
    assert left(body) > left(later) > 0
    assert tag == other
    await server.send(webhook("j1", "downloading"))
    assert (await tagged(server, tag, **query))[0] == 200


def left(body: bytes) -> int:
    page = orjson.loads(body)
    (job,) = page["active"] or page["generations"]
    seconds: int = job["eta_seconds"]
    return seconds


@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO video_generations (id, prompt, authorId, status, updatedAt) VALUES ('n', 'p', 'dev', 5, NOW())",
        "UPDATE video_generations SET prompt = 'q'",
        "UPDATE video_files SET filename = 'b.mp4'",
        "DELETE FROM video_files",
        "DELETE FROM video_generations",
        "UPDATE video_generations SET status = 'FAILED'",
    ],
)
async def test_whatever_another_program_does_shows_at_once(server: Client, sql: Sql, change: str) -> None:
    await server.register("j1")
    await server.send(completion("j1", video("k1")))
    _, tag, _ = await tagged(server)
    assert (await tagged(server, tag))[0] == 304
    sql(change)
    assert (await tagged(server, tag))[0] == 200


async def test_tag_is_for_one_caller_one_language_and_one_question(database_url: str, sql: Sql) -> None:
    fill(sql, 2, author="ada")
    async with running(database_url, auth_jwt_secret=SECRET, webhook_secret=SENDERS) as server:
        asked: list[tuple[dict[str, str], dict[str, Any]]] = [
            (bearer("ada"), {}), (bearer("bob"), {}), (bearer("eve"), {}), (bearer("ada"), {"limit": 1}),
            (bearer("ada") | {"Accept-Language": "en"}, {}),
        ]  # fmt: skip
        tags = [(await tagged(server, headers=headers, **query))[1] for headers, query in asked]
    assert len(set(tags)) == len(asked)


# -- One job


async def test_job_has_its_timeline_and_nothing_of_an_earlier_job_of_its_id(server: Client, sql: Sql) -> None:
    await server.register("j1", user_id="somebody-else")
    sql("DELETE FROM video_generations")
    await server.register("j1")
    await server.send(webhook("j1", "generating", at="2025-10-23T14:00:00Z"))
    await server.send(completion("j1", video("k1")))
    _, job = await server.read("/api/videos/j1")
    assert [(step["event"], step["progress"]) for step in job["events"]] == [
        ("progress", 0), ("progress", 50), ("completed", 100),
    ]  # fmt: skip
    assert job["events"][1]["occurred_at"] == "2025-10-23T14:00:00.000Z"
    assert job["events"][-1]["id"] == job["last_event_id"]
    for data in ("[]", "{}", '{"occurred_at": 1e99}', '{"occurred_at": {}, "message": [1]}'):
        sql("UPDATE rushes_events SET data = %s WHERE id = 3", data)
        assert len((await server.read("/api/videos/j1"))[1]["events"]) == 2


# -- Pages that poll

FORM = {
    "job_id", "status", "message", "progress", "videos", "generation_metadata", "error", "created_at", "updated_at",
    "completed_at",
}  # fmt: skip


async def test_page_that_polls_is_answered_as_the_backend_answered(server: Client) -> None:
    await server.register("j1")
    await server.send(webhook("j1", "generating"))
    status, job = await server.read("/api/videos/j1/status")
    assert (status, set(job)) == (200, FORM)
    assert (job["job_id"], job["status"], job["progress"], job["videos"]) == ("j1", "generating", 50, [])
    assert (job["generation_metadata"], job["completed_at"]) == (None, None)
    status, refused = await server.read("/api/videos/j1/result")
    assert (status, refused["code"]) == (409, "not_finished")
    await server.send(completion("j1", video("k1")))
    for path in ("status", "result"):
        _, job = await server.read(f"/api/videos/j1/{path}")
        assert (set(job), job["status"], job["progress"]) == (FORM, "completed", 100)
        assert job["generation_metadata"]["model_name"] == "veo-3"
        assert job["videos"][0]["file_url"] == video("k1")["file_url"]


async def test_page_that_polls_hears_of_a_failure_and_of_nothing_that_is_not_its_users(database_url: str) -> None:
    async with running(database_url, auth_jwt_secret=SECRET, webhook_secret=SENDERS) as server:
        headers = {"X-Webhook-Secret": SENDERS}
        order = {"job_id": "j1", "user_id": "ada", "prompt": "p"}
        async with server.session.post(f"{server.url}/api/videos", json=order, headers=headers) as answer:
            assert answer.status == 201
        await server.send(webhook("j1", "failed") | {"error": "Boom (request id: abcdef123)"}, headers)
        _, job = await server.read("/api/videos/j1/result", headers=bearer("ada"))
        assert (job["status"], job["error"]) == ("failed", "Boom (request id: …)")
        for path in ("status", "result"):
            assert (await server.read(f"/api/videos/j1/{path}", headers=bearer("bob")))[0] == 404
            assert (await server.read(f"/api/videos/j1/{path}"))[0] == 401


@pytest.mark.parametrize("metadata", ["NULL", "'[1]'", "'\"text\"'"])
async def test_metadata_of_other_programs_are_told_as_they_are(server: Client, sql: Sql, metadata: str) -> None:
    await server.register("j1")
    await server.send(completion("j1", video("k1")))
    sql(f"UPDATE video_files SET metadata = {metadata}")
    assert (await server.read("/api/videos/j1/status"))[0] == 200
