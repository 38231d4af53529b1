"""Viewers: they see what admins see, and nothing that they ask for changes anything."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.routes.describe import operations
from tests.client import Client, running
from tests.databases import Rows, Sql
from tests.rows import store
from tests.sign_in import SECRET, bearer, buy
from tests.webhooks import webhook

# Made as the module is imported, and good for as long as all tests may take.
VIEWER = bearer("val", 86400, role="viewer")
NAMED = bearer("vic", 86400)
ADMIN = bearer("ada", 86400, role="admin")
TABLES = ("video_generations", "rushes_events", "rushes_webhooks", "rushes_jobs", "rushes_requests")
SETTINGS = {"auth_jwt_secret": SECRET, "auth_viewer_claim": "role=viewer", "viewer_users": ("vic",)}


@pytest.fixture
async def server(database_url: str) -> AsyncIterator[Client]:
    async with running(database_url, webhook_secret="geheim", simulated_step=3600, **SETTINGS) as made:
        yield made


def everything(sql: Sql) -> dict[str, Rows]:
    return {table: sql(f"SELECT * FROM {table} ORDER BY 1") for table in TABLES}


async def register(server: Client, job_id: str, author: str) -> None:
    order = {"job_id": job_id, "user_id": author, "prompt": "the sea"}
    async with server.post("/api/videos", json=order, headers=ADMIN) as answer:
        assert answer.status == 201, await answer.text()


@pytest.mark.parametrize("who", [VIEWER, NAMED])
async def test_viewer_sees_what_admins_see(server: Client, sql: Sql, who: dict[str, str]) -> None:
    await register(server, "j1", "u1")
    (webhook_id,) = store(sql, webhook("nowhere", "generating"))
    paths = ["/api/admin/webhooks", f"/api/admin/webhooks/{webhook_id}", "/api/admin/webhooks/count",
             "/api/admin/stats", "/api/videos/j1", "/api/videos/j1/status"]  # fmt: skip
    for path in paths:
        as_admin, as_viewer = [await server.read(path, headers=headers) for headers in (ADMIN, who)]
        assert as_viewer[0] == as_admin[0] == 200, path
        assert as_viewer[1].keys() == as_admin[1].keys()
    _, detail = await server.read(f"/api/admin/webhooks/{webhook_id}", headers=who)
    assert detail["payload"]["job_id"] == "nowhere"
    async with server.get("/api/admin/webhooks.csv", headers=who) as answer:
        assert answer.status == 200
    async with server.events("/events/j1", headers=who) as source:
        assert (await source.next()).data["job_id"] == "j1"
    ticket = (await buy(server, who))["ticket"]
    async with server.events(f"/events/j1?ticket={ticket}") as source:
        assert (await source.next()).data["job_id"] == "j1"


@pytest.mark.parametrize("who", [VIEWER, NAMED])
async def test_nothing_that_a_viewer_asks_for_changes_anything(server: Client, sql: Sql, who: dict[str, str]) -> None:
    await register(server, "j1", "u1")
    await register(server, "mine", "val")
    (webhook_id,) = store(sql, webhook("j1", "generating"))
    before = everything(sql)
    bodies: dict[str, Any] = {
        "POST /api/videos/generate": {"prompt": "p"},
        "POST /api/videos": {"prompt": "p"},
    }
    asked = 0
    for route in operations(server.app.router):
        method, path = route.split()
        # Whoever listens has tickets, and tells what his page has painted: that changes nothing that anybody asked for.
        if method == "GET" or path in ("/api/webhooks/video-completion", "/api/stream-tickets", "/api/shown"):
            continue
        for job_id in ("j1", "mine"):
            address = path.replace("{job_id}", job_id).replace("{id}", webhook_id)
            async with server.request(method, address, json=bodies.get(route, {}), headers=who) as answer:
                assert (answer.status, (await answer.json())["code"]) == (403, "viewer"), route
                asked += 1
    assert asked >= 20
    assert everything(sql) == before


async def test_who_is_an_admin_too_is_an_admin(database_url: str) -> None:
    async with running(database_url, admin_users=("vic",), **SETTINGS) as server:
        async with server.post("/api/videos", json={"prompt": "p"}, headers=NAMED) as answer:
            assert answer.status == 201


async def test_nobody_is_a_viewer_by_a_claim_that_is_not_named(database_url: str) -> None:
    async with running(database_url, auth_jwt_secret=SECRET) as server:
        assert (await server.read("/api/admin/webhooks", headers=VIEWER))[1]["code"] == "forbidden"


async def test_payloads_are_hidden_from_viewers_where_that_is_wanted(database_url: str, sql: Sql) -> None:
    sql("INSERT INTO video_generations (id, prompt, authorId, updatedAt) VALUES ('j1', 'p', 'u1', NOW(3))")
    (webhook_id,) = store(sql, webhook("j1", "failed") | {"error": "hush: 9f2c"})
    sql("""UPDATE rushes_webhooks SET headers = '{"x-from": "hush"}'""")
    path = f"/api/admin/webhooks/{webhook_id}"
    async with running(database_url, admin_hide_payloads=True, **SETTINGS) as server:
        async with server.get(path, headers=VIEWER) as answer:
            text = await answer.text()
            detail = await answer.json()
        assert "hush" not in text
        assert (detail["payload"], detail["payload_encoding"], detail["headers"]) == (None, "hidden", {})
        assert detail["replay"] == {"outcome": "applied", "code": None, "error": None}
        _, whole = await server.read(path, headers=ADMIN)
        assert (whole["payload"]["error"], whole["headers"]) == ("hush: 9f2c", {"x-from": "hush"})
