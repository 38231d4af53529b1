"""Tables of a site that hold fewer characters than ours: what a column cannot hold is not there, and no outage."""

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.db.charsets import held
from app.db.pool import Pool
from app.db.sql import bind
from app.upkeep.deleted import DeletedJobs
from tests.client import Client, running
from tests.databases import Sql
from tests.sign_in import SECRET, SENDERS, bearer
from tests.tables import add
from tests.webhooks import completion, video, webhook

SIGNED = {"auth_jwt_secret": SECRET, "webhook_secret": SENDERS}
SENDER = {"X-Webhook-Secret": SENDERS}

# The collations are none's default.
CHARSETS = {"utf8mb3": "utf8mb3_unicode_ci", "latin1": "latin1_general_ci", "cp1251": "cp1251_general_cs"}
HELD = {"utf8mb3": "日", "latin1": "é", "cp1251": "ж"}


@pytest.fixture(params=CHARSETS)
def charset(request: pytest.FixtureRequest, sql: Sql) -> str:
    """That of all of the site's ids and keys."""
    name: str = request.param
    column = f"VARCHAR(191) CHARACTER SET {name} COLLATE {CHARSETS[name]}"
    sql("ALTER TABLE video_files DROP FOREIGN KEY video_files_generationId_fkey")
    for table, names in (
        ("video_generations", ("id", "authorId")),
        ("video_files", ("id", "generationId", "s3Key")),
    ):
        sql(f"ALTER TABLE {table} " + ", ".join(f"MODIFY {each} {column} NOT NULL" for each in names))
    sql(f"ALTER TABLE video_generations MODIFY organizationId {column} NULL")
    return name


@pytest.fixture
async def site(database_url: str, charset: str) -> AsyncIterator[Client]:
    async with running(database_url, **SIGNED) as server:
        async with server.session.post(
            f"{server.url}/api/videos", json={"job_id": "j1", "prompt": "the sea", "user_id": "author"}, headers=SENDER
        ) as answer:
            assert answer.status == 201
        yield server


def author() -> dict[str, str]:
    return bearer("author", org_id="org")


async def status_of(server: Client, path: str, who: dict[str, str] | None = None, **query: Any) -> int:
    status, _ = await server.read(path, headers=who or author(), params=query)
    return status


async def test_job_or_file_of_an_id_that_no_column_holds_is_not_there(site: Client) -> None:
    for path in ("/api/videos/😀", "/api/videos/😀/status", "/api/videos/j1/files/😀/download"):
        assert await status_of(site, path) == 404
    assert await status_of(site, "/api/videos/j1", files_after="😀") == 400
    for act in ("cancel", "dismiss", "restore", "retry"):
        async with site.session.post(f"{site.url}/api/videos/😀/{act}", headers=author()) as answer:
            assert answer.status == 404


async def test_webhook_for_a_job_that_no_column_holds_is_parked_and_delays_no_other(site: Client) -> None:
    jobs = ["j1", "😀", "j1", "😁", "j1"]
    said = await asyncio.gather(*(site.send(webhook(job, "downloading"), SENDER) for job in jobs))
    assert [status for status, _ in said] == [200, 404, 200, 404, 200]


async def test_key_that_no_column_holds_is_refused(site: Client) -> None:
    assert (await site.send(completion("j1", video("😀")), SENDER))[0] == 422
    assert (await site.send(completion("j1", video("k1"), at="2031-01-01T00:00:00Z"), SENDER))[0] == 200


async def test_user_or_organization_that_no_column_holds_has_no_jobs(site: Client) -> None:
    odd = bearer("😀", org_id="😀")
    for query in ({}, {"state": "active"}, {"scope": "organization"}, {"q": "sea"}, {"page": 1}):
        status, body = await site.read("/api/videos/user", headers=odd, params=query)
        assert (status, body["generations"]) == (200, [])
    async with site.session.get(f"{site.url}/events", headers=odd) as answer:
        assert b"later" not in await answer.content.read(40)


async def test_cursor_of_an_id_that_no_column_holds_is_a_page_of_nothing_more(site: Client) -> None:
    cursor = base64.urlsafe_b64encode('["2099-01-01 00:00:00","😀"]'.encode()).decode()
    assert await status_of(site, "/api/videos/user", cursor=cursor) == 200


async def test_what_a_column_does_hold_is_found(site: Client, sql: Sql, charset: str) -> None:
    odd = HELD[charset]
    add(sql, odd, authorId=odd, organizationId=odd, status="COMPLETED")
    who = bearer(odd, org_id=odd)
    assert await status_of(site, f"/api/videos/{odd}", who) == 200
    for query in ({}, {"scope": "organization"}, {"q": "p"}):
        _, body = await site.read("/api/videos/user", headers=who, params=query)
        assert [job["id"] for job in body["generations"]] == [odd]
    # What takes its place in the column's character set is nobody's.
    add(sql, "?", authorId="?", status="COMPLETED")
    assert await status_of(site, "/api/videos/😀", bearer("?")) == 404


@pytest.mark.parametrize("value", ["😀", None])
async def test_index_serves_whatever_the_column_holds(
    database_url: str, sql: Sql, charset: str, value: str | None
) -> None:
    sql(
        "INSERT INTO video_generations (id, prompt, authorId, updatedAt)"
        " SELECT CONCAT('j', seq), 'p', CONCAT(%s, seq), NOW() FROM seq_1_to_2000",
        HELD[charset],
    )
    sql("ANALYZE TABLE video_generations")
    pool = Pool(database_url, 1, 10.0)
    await pool.rows("SELECT 1")
    author = held("video_generations.authorId", value or f"{HELD[charset]}7")
    await pool.rows("FLUSH STATUS")
    rows = await pool.rows(bind("SELECT id FROM video_generations WHERE authorId = %s", author))
    read = sum(int(count) for _, count in await pool.rows("SHOW SESSION STATUS LIKE 'Handler_read%'"))
    pool.close()
    assert len(rows) == (value is None)
    assert read < 10


@pytest.mark.parametrize("odd", ["😀", "é", "日本", "ж"])
async def test_sub_that_no_column_of_users_holds_is_nobody_and_keeps_nobody_out(
    database_url: str, sql: Sql, odd: str
) -> None:
    for charset in ("ascii", "latin1", "utf8mb3"):
        sql("DROP TABLE IF EXISTS users")
        sql(
            "CREATE TABLE users (id VARCHAR(191) NOT NULL, clerkId VARCHAR(191)"
            f" CHARACTER SET {charset} NOT NULL, UNIQUE KEY (clerkId)) ENGINE=InnoDB"
        )
        sql("INSERT INTO users VALUES ('author', 'ada')")
        async with running(database_url, auth_user_lookup="users.clerkId:id", **SIGNED) as server:
            answers = await asyncio.gather(
                *(status_of(server, "/api/videos/user", bearer(sub)) for sub in (odd, "ada", f"{odd}2"))
            )
        assert answers == [401, 200, 401]


async def test_deleted_job_whose_id_is_of_the_columns_characters_is_removed(
    database_url: str, sql: Sql, charset: str
) -> None:
    odd = HELD[charset]
    add(sql, odd, status="COMPLETED")
    sql(
        "INSERT INTO rushes_jobs (job_id, status, has_files, at, stage, tie, updated_at, deleted_at)"
        " VALUES (%s, 'completed', 0, 1, 9, '', NOW(3), '2020-01-01')",
        odd,
    )
    pool = Pool(database_url, 1, 10.0)
    await DeletedJobs(pool, None).purge(1_700_000_000_000_000)
    pool.close()
    assert sql("SELECT COUNT(*) FROM video_generations")[0] == (0,)
