"""Users of a site whose tokens name other ids than its tables."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

from app.appkeys import PEOPLE
from app.db import people as module
from app.db.errors import UnfitError
from app.db.people import People, Reference
from app.db.pool import Pool
from app.refusals import refuse_unsafe
from app.settings import Settings, SettingsError
from tests.backend import Backend
from tests.client import Client, OwnServer, running
from tests.databases import Sql
from tests.sign_in import SECRET, SENDERS, Issuer, bearer, buy
from tests.site import LOOK_UPS, clerks, furnish
from tests.webhooks import completion, video, webhook

HEADERS = {"X-Webhook-Secret": SENDERS}


class Site(Client):
    """The server beside such a site, whose users' tokens `as_` makes."""

    issuer: Issuer

    def as_(self, sub: str, version: int = 2, organization: str | None = None) -> dict[str, str]:
        return self.issuer.token("k1", sub=sub, **clerks(version, organization))


@pytest.fixture
async def site(database_url: str, sql: Sql, issuer: Issuer) -> AsyncIterator[Site]:
    furnish(sql)
    issuer.add("k1")
    settings = {"auth_jwks_url": issuer.url, "auth_jwt_issuer": "https://clerk.example", "webhook_secret": SENDERS}
    own = OwnServer(database_url, auth_lookup_max_age=0.3, unknown_job="create", **settings, **LOOK_UPS)
    async with Site(own) as server:
        server.issuer = issuer
        yield server


async def register(
    server: Client, job_id: str, user_id: str, organization_id: str | None = None, status: int = 201
) -> None:
    order = {"job_id": job_id, "prompt": "p", "user_id": user_id, "organization_id": organization_id}
    async with server.session.post(f"{server.url}/api/videos", json=order, headers=HEADERS) as answer:
        assert answer.status == status, await answer.text()


async def seen(server: Client, headers: dict[str, str], **query: Any) -> list[str]:
    status, body = await server.read("/api/videos/user", headers=headers, params=query)
    assert status == 200, body
    return [job["id"] for job in body["generations"]]


@pytest.mark.parametrize("version", [1, 2])
async def test_user_of_the_site_sees_his_gallery_and_hears_of_his_jobs(site: Site, version: int) -> None:
    ada = site.as_("user_Ada", version)
    await register(site, "j1", "user_Ada")
    async with site.events("/events", headers=ada) as source:
        assert (await source.next()).data["job_id"] == "j1"
        await site.send(completion("j1", video("k1")), HEADERS)
        assert (await source.next()).event == "completed"
    assert await seen(site, ada) == ["j1"]
    assert await seen(site, site.as_("user_Bob", version)) == []
    assert (await site.read("/api/videos/j1", headers=ada))[1]["own"] is True


async def test_owner_is_named_by_a_sender_as_the_token_or_as_the_table_has_him(site: Site, sql: Sql) -> None:
    await register(site, "j1", "user_Ada")
    await register(site, "j2", "user-1")
    await register(site, "j3", "nobody", status=422)
    assert sql("SELECT DISTINCT authorId FROM video_generations") == (("user-1",),)


async def test_job_that_a_webhook_makes_is_its_owners_as_the_table_has_him(site: Site, sql: Sql) -> None:
    for job_id, owner in (("j1", "user_Ada"), ("j2", "user-1")):
        await site.send(completion(job_id, video(job_id)) | {"data": made(job_id, owner)}, HEADERS)
    assert sql("SELECT id, authorId FROM video_generations ORDER BY id") == (("j1", "user-1"), ("j2", "user-1"))
    assert sorted(await seen(site, site.as_("user_Ada"))) == ["j1", "j2"]


def made(job_id: str, owner: str) -> dict[str, Any]:
    data: dict[str, Any] = completion(job_id, video(job_id))["data"]
    return data | {"user_id": owner}


async def test_table_of_members_alone_says_whose_jobs_a_user_sees(site: Site) -> None:
    await register(site, "j1", "user_Ada", "org-1")
    await site.send(completion("j1", video("k1")), HEADERS)
    bob, boss = site.as_("user_Bob", 2, "org-9"), site.as_("user_Boss")
    assert (await site.read("/api/videos/j1", headers=bob))[0] == 200
    assert await seen(site, bob, scope="organization") == ["j1"]
    assert (await site.read("/api/videos/j1", headers=boss))[0] == 200  # an admin
    await register(site, "j2", "user_Bob", "org-2")
    ada = site.as_("user_Ada", 1, "org-2")  # the token says so, the table does not
    assert (await site.read("/api/videos/j2", headers=ada))[0] == 404


async def test_new_job_is_in_the_users_only_organization_or_in_the_one_that_he_names(site: Site, sql: Sql) -> None:
    async def order(sub: str, **fields: Any) -> tuple[int, dict[str, Any]]:
        url = f"{site.url}/api/videos"
        async with site.session.post(url, json={"prompt": "p"} | fields, headers=site.as_(sub)) as answer:
            return answer.status, await answer.json()

    assert (await order("user_Ada"))[0] == (await order("user_Bob"))[0] == 201
    assert (await order("user_Bob", organization_id="org-2", user_id="user_Bob"))[0] == 201
    assert (await order("user_Ada", organization_id="org-2"))[0] == 403
    assert sql("SELECT authorId, organizationId FROM video_generations ORDER BY 1, 2") == (
        ("user-1", "org-1"), ("user-2", None), ("user-2", "org-2"),
    )  # fmt: skip


async def test_user_whom_the_site_does_not_know_is_told_so_and_is_known_soon_after_he_signed_up(
    site: Site, sql: Sql
) -> None:
    eve = site.as_("user_Eve")
    for path in ("/api/videos/user", "/events"):
        async with site.session.get(site.url + path, headers=eve) as answer:
            assert (answer.status, (await answer.json())["code"]) == (401, "unknown_user")
    async with site.session.ws_connect(f"{site.url}/ws", headers=eve) as socket:
        assert (await socket.receive()).data == 4401
    sql("INSERT INTO users VALUES ('user-4', 'user_Eve', 'USER')")
    async with asyncio.timeout(5):
        while (await site.read("/api/videos/user", headers=eve))[0] == 401:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("spelled", ["user_ada", "USER_ADA", "user_Ada ", "user_Ádá"])
async def test_other_spellings_of_a_user_are_nobody(site: Site, spelled: str) -> None:
    status, body = await site.read("/api/videos/user", headers=site.as_(spelled))
    assert (status, body["code"]) in ((401, "unknown_user"), (401, "unauthorized"))


@pytest.mark.parametrize("path", ["/events/j1", "/ws/j1"])
async def test_stream_of_who_is_a_member_no_more_ends(site: Site, sql: Sql, path: str) -> None:
    await register(site, "j1", "user_Ada", "org-1")
    bob, ada = site.as_("user_Bob"), site.as_("user_Ada")
    async with site.events("/events/j1", headers=ada) as authors:
        await authors.next()
        if path.startswith("/ws"):
            async with site.session.ws_connect(site.url + path, headers=bob) as socket:
                await socket.receive()
                sql("DELETE FROM organization_members WHERE userId = 'user-2'")
                assert (await socket.receive(timeout=10)).data == 4404
        else:
            async with site.events(path, headers=bob) as source:
                await source.next()
                sql("DELETE FROM organization_members WHERE userId = 'user-2'")
                assert await source.rest() == []
        await site.send(webhook("j1", "generating"), HEADERS)
        assert (await authors.next()).data["status"] == "generating"


async def test_stream_of_who_is_a_user_or_an_admin_no_more_ends(site: Site, sql: Sql) -> None:
    await register(site, "j1", "user_Ada")
    boss = site.as_("user_Boss")
    async with site.events("/events/j1", headers=boss) as watched, site.events("/events", headers=boss) as own:
        await watched.next()
        await own.next()
        sql("UPDATE users SET role = 'USER' WHERE id = 'user-3'")
        assert await watched.rest() == []
        sql("DELETE FROM users WHERE id = 'user-3'")
        assert await own.rest() == []


async def test_ticket_is_looked_up_when_it_is_used(site: Site, sql: Sql) -> None:
    await register(site, "j1", "user_Ada", "org-1")
    bought = await buy(site, site.as_("user_Bob"))
    sql("DELETE FROM organization_members WHERE userId = 'user-2'")
    await asyncio.sleep(0.4)  # what was found counts so long
    async with site.session.get(f"{site.url}/events/j1", params={"ticket": bought["ticket"]}) as answer:
        assert answer.status == 404


async def test_backend_gets_the_authors_id(database_url: str, sql: Sql, issuer: Issuer, backend: Backend) -> None:
    furnish(sql)
    issuer.add("k1")
    settings = {"auth_jwks_url": issuer.url, "webhook_secret": SENDERS, "generator_url": backend.url}
    async with running(database_url, **settings, **LOOK_UPS) as server:
        headers = issuer.token("k1", sub="user_Ada", **clerks(2))
        async with server.session.post(
            f"{server.url}/api/videos/generate", json={"prompt": "p"}, headers=headers
        ) as answer:
            assert answer.status == 202
    assert backend.started[0]["user_id"] == "user-1"


async def test_while_the_database_is_away_nobody_is_guessed_at(site: Site, sql: Sql) -> None:
    people = site.app[PEOPLE]
    site.app[PEOPLE]._pool.bar()
    status, body = await site.read("/api/videos/user", headers=site.as_("user_Ada"))
    assert (status, body["code"]) == (503, "unavailable")
    people._pool.unbar()


@pytest.mark.parametrize(
    ("reference", "lacking"),
    [
        ("people.clerkId:id", "the table people"), ("users.clerk:id", "the column clerk of the table users"),
        ("users.clerkId:uid", "the column uid of the table users"),
    ],
)  # fmt: skip
async def test_start_is_refused_where_the_schema_lacks_what_is_looked_up(
    database_url: str, sql: Sql, reference: str, lacking: str
) -> None:
    furnish(sql)
    with pytest.raises(UnfitError, match=lacking):
        async with running(database_url, auth_jwt_secret="x" * 40, auth_user_lookup=reference):
            pass


@pytest.mark.parametrize(
    "settings",
    [
        {"auth_user_lookup": "users"}, {"auth_user_lookup": "users.clerkId"}, {"auth_user_lookup": "users.a:b; DROP"},
        {"auth_user_lookup": "`users`.a:b"}, {"auth_org_lookup": "a.b=c"}, {"auth_admin_lookup": "users.role:ADMIN"},
        {"auth_admin_lookup": "users.role='x'"},
    ],
)  # fmt: skip
def test_look_up_is_of_names_alone(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="it must look like"):
        Settings(_env_file=None, **settings)


@pytest.mark.parametrize(
    "settings",
    [{"auth_admin_lookup": "users.role=ADMIN"}, {"auth_admin_lookup": "a.b=c", "auth_user_lookup": "users.x:id"}],
)
def test_admins_are_looked_up_in_the_row_of_the_user(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="AUTH_ADMIN_LOOKUP"):
        refuse_unsafe(Settings(_env_file=None, auth_jwt_secret="x" * 40, **settings))


async def test_many_who_ask_at_once_are_read_together_and_remembered_in_bounded_number(
    database_url: str, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    furnish(sql)
    monkeypatch.setattr(module, "_REMEMBERED", 50)
    pool = Pool(database_url, 2, 10)
    asked = People(pool, users=Reference("users", "clerkId", "id"))
    found = await asyncio.gather(*(asked.find(f"user_{number}") for number in range(300)), asked.find("user_Ada"))
    assert found[-1] is not None
    assert (found[-1].author_id, found[0]) == ("user-1", None)
    assert len(asked._known) == 50
    pool.close()


# -- Tables in which nobody is found, or more than one


SIGNED = {"auth_jwt_secret": SECRET, "webhook_secret": SENDERS}
ADMINS = {"auth_user_lookup": "users.clerkId:id", "auth_admin_lookup": "users.role=ADMIN"}


def has_users(sql: Sql, *rows: str, kind: str = "VARCHAR(191)", id_kind: str = "VARCHAR(191)") -> None:
    """`users` without a unique clerkId. The rows are SQL: id, clerkId, role."""
    sql(f"CREATE TABLE users (id {id_kind} NULL, clerkId {kind}, role VARCHAR(9), KEY (role)) ENGINE=InnoDB")
    for row in rows:
        sql(f"INSERT INTO users VALUES ({row})")


@pytest.mark.parametrize(
    "rows",
    [
        ["'a-old', 'ada', 'ADMIN'", "'b-new', 'ada', 'USER'"],
        ["'b-new', 'ada', 'USER'", "'a-old', 'ada', 'ADMIN'"],
        ["'a', 'ada', 'ADMIN'", "'a', 'ada', 'USER'"],
    ],
)
async def test_user_of_two_rows_that_differ_is_nobody(
    database_url: str, sql: Sql, rows: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    has_users(sql, *rows, "'c', 'bob', 'USER'")
    told = LogCapture()
    log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[told], wrapper_class=structlog.BoundLogger)
    monkeypatch.setattr(module, "log", log)
    async with running(database_url, **ADMINS, **SIGNED) as server:
        status, body = await server.read("/api/videos/user", headers=bearer("ada"))
        assert (status, body["code"]) == (401, "unknown_user")
        assert await seen(server, bearer("bob")) == []
    assert [(line["event"], line["user"]) for line in told.entries] == [("user_ambiguous", "ada")]


async def test_right_of_a_row_that_is_no_users_makes_nobody_an_admin(database_url: str, sql: Sql) -> None:
    has_users(sql, "NULL, 'ada', 'ADMIN'", "'a', 'ada', 'USER'")
    async with running(database_url, **ADMINS, **SIGNED) as server:
        assert await seen(server, bearer("ada")) == []
        assert (await server.read("/api/admin/webhooks", headers=bearer("ada")))[0] == 403


async def test_owner_of_two_rows_that_a_webhook_names_is_not_guessed(database_url: str, sql: Sql) -> None:
    has_users(sql, "'a-old', 'ada', 'USER'", "'b-new', 'ada', 'USER'", "'c', 'bob', 'USER'", "'c', 'bob', 'USER'")
    async with running(database_url, unknown_job="create", **ADMINS, **SIGNED) as server:
        for job_id, user_id in (("j1", "ada"), ("j2", "bob")):
            assert (await server.send(completion(job_id, video(job_id)) | {"data": made(job_id, user_id)}, HEADERS))[
                0
            ] == 200
    assert sql("SELECT authorId FROM video_generations ORDER BY id") == (("ada",), ("c",))


@pytest.mark.parametrize("kind", ["VARBINARY(191)", "BINARY(16)", "BLOB", "JSON", "DATETIME"])
@pytest.mark.parametrize("column", ["clerkId", "id"])
async def test_column_in_which_nobody_is_found_is_told_at_the_start(
    database_url: str, sql: Sql, column: str, kind: str
) -> None:
    has_users(sql, **{"kind" if column == "clerkId" else "id_kind": kind})
    pool = Pool(database_url, 1, 10)
    try:
        with pytest.raises(UnfitError, match=f"the column {column} of the table users.*is of the type"):
            await People(pool, users=Reference("users", "clerkId", "id")).check(pool)
    finally:
        pool.close()


@pytest.mark.parametrize("kind", ["BIGINT", "VARCHAR(191) CHARACTER SET ascii", "LONGTEXT", "CHAR(20)"])
async def test_columns_of_texts_and_numbers_are_looked_up(database_url: str, sql: Sql, kind: str) -> None:
    has_users(sql, "7, '42', 'USER'", kind=kind, id_kind="INT")
    async with running(database_url, **ADMINS, **SIGNED) as server:
        assert await seen(server, bearer("42")) == []
