"""Subscriptions to Web Push: who may subscribe, with what, how many browsers a user has, and when one is forgotten."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from app import webpush
from app.upkeep import notify
from tests.client import Client, running
from tests.databases import Sql
from tests.processes import run, serving
from tests.push import KEY, SIGNS_IN, Browser, PushService, delete, subscribe
from tests.sign_in import bearer, token
from tests.waiting import until


async def test_browser_that_was_not_opened_for_a_month_is_forgotten(
    database_url: str, service: PushService, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "_TIDY_EVERY", 0.0)
    async with running(database_url, **SIGNS_IN, retention_days=30) as server:
        old, new = Browser(service), Browser(service)
        for browser in (old, new):
            await subscribe(server, browser, headers=bearer("ada"))
        sql("UPDATE rushes_push SET renewed_at = renewed_at - INTERVAL 31 DAY WHERE id = %s", old.id)
        sql("UPDATE rushes_push SET renewed_at = renewed_at - INTERVAL 29 DAY WHERE id = %s", new.id)
        await until(lambda: sql("SELECT id FROM rushes_push") == ((new.id,),))


async def test_user_has_so_many_browsers_and_the_one_that_was_renewed_longest_ago_goes(
    database_url: str, service: PushService, sql: Sql
) -> None:
    async with running(database_url, **SIGNS_IN, push_max_per_user=3) as server:
        first, *others = browsers = [Browser(service) for _ in range(4)]
        for browser in [*browsers[:3], first, browsers[3]]:
            await subscribe(server, browser, headers=bearer("ada"))
        await subscribe(server, theirs := Browser(service), headers=bearer("bob"))
        kept = sorted([first.id, *(other.id for other in others[1:]), theirs.id])
        assert sorted(row[0] for row in sql("SELECT id FROM rushes_push")) == kept


async def test_many_that_subscribe_at_once_are_all_taken(database_url: str, service: PushService, sql: Sql) -> None:
    async with running(database_url, **SIGNS_IN, push_max_per_user=5) as server:
        shared = Browser(service)
        browsers = [shared if n % 3 == 0 else Browser(service) for n in range(450)]
        each = [subscribe(server, browser, headers=bearer(f"u{n % 4}")) for n, browser in enumerate(browsers)]
        await asyncio.gather(*each)
        assert all(count <= 5 for (count,) in sql("SELECT COUNT(*) FROM rushes_push GROUP BY author_id"))


async def test_subscription_ends_with_its_user_and_nobody_ends_another_s(
    database_url: str, service: PushService, sql: Sql
) -> None:
    async with running(database_url, **SIGNS_IN) as server:
        one, two, theirs = (Browser(service) for _ in range(3))
        for user, browser in (("ada", one), ("ada", two), ("bob", theirs)):
            await subscribe(server, browser, headers=bearer(user))
        path = "/api/push/subscriptions"
        assert (await delete(server, f"{path}/%C3%A9%F0%9F%A6%8A", headers=bearer("ada")))[1]["removed"] == 0
        for user, what, removed in (
            ("ada", f"/{theirs.id}", 0),
            ("ada", f"/{one.id}", 1),
            ("ada", "", 1),
            ("bob", "", 1),
        ):
            assert await delete(server, path + what, headers=bearer(user)) == (
                200,
                {"success": True, "removed": removed},
            )
        assert sql("SELECT id FROM rushes_push") == ()


async def test_only_who_is_signed_in_from_a_page_of_this_site_subscribes(
    database_url: str, service: PushService, sql: Sql
) -> None:
    async with running(database_url, **SIGNS_IN) as server:
        body, path = Browser(service).subscription, "/api/push/subscriptions"
        foreign = {"Cookie": f"__session={token('ada')}", "Origin": "https://evil.example"}
        for headers, status in (({}, 401), (bearer("ada", seconds=-60), 401), (foreign, 403)):
            async with server.post(path, json=body, headers=headers) as answer:
                assert answer.status == status
            assert (await delete(server, path, headers=headers))[0] == status
            assert (await delete(server, f"{path}/x", headers=headers))[0] == status
        assert (await server.read("/api/push/key"))[0] == 401
        assert await server.read("/api/push/key", headers=bearer("ada")) == (
            200,
            {"public_key": webpush.public_key(KEY)},
        )
        assert sql("SELECT id FROM rushes_push") == ()


async def test_without_keys_nothing_is_subscribed_to(server: Client, service: PushService) -> None:
    assert await server.read("/api/push/key") == (200, {"public_key": None})
    async with server.post("/api/push/subscriptions", json=Browser(service).subscription) as answer:
        assert (answer.status, (await answer.json())["code"]) == (409, "push_off")


BAD_ENDPOINTS = [
    "http://push.example/x", "https://127.0.0.1/x", "https://[::1]/x", "https://10.0.0.1/x", "https://localhost/x",
    "https://push.example:8443/x", "https://me:hush@push.example/x", "https://2130706433/x", "https://intranet/x",
    "ftp://push.example/x", "https://", "//push.example/x", "https://push.example/é", "https://push.example/a b",
    "https://push.example/" + "x" * 2048, "javascript:alert(1)", "https://push.example:0/", "https://0x7f.0.0.1.:1/",
]  # fmt: skip


@pytest.mark.parametrize("endpoint", BAD_ENDPOINTS)
async def test_endpoint_that_is_no_push_service_in_the_internet_is_refused(
    database_url: str, service: PushService, endpoint: str
) -> None:
    async with running(database_url, **(SIGNS_IN | {"push_allow_loopback": False})) as server:
        body = Browser(service).subscription | {"endpoint": endpoint}
        async with server.post("/api/push/subscriptions", json=body, headers=bearer("ada")) as answer:
            said = await answer.json()
            assert (answer.status, said["code"]) == (400, "invalid_request")
            assert "https:// address" in said["error"]


@pytest.mark.parametrize("name", ["p256dh", "auth"])
@pytest.mark.parametrize("value", ["", "?", "AAAA", "B" + "A" * 86, "A" * 5000])
async def test_keys_that_encrypt_nothing_are_refused(
    database_url: str, service: PushService, name: str, value: str
) -> None:
    async with running(database_url, **SIGNS_IN) as server:
        body = Browser(service).subscription
        body["keys"][name] = value
        async with server.post("/api/push/subscriptions", json=body, headers=bearer("ada")) as answer:
            assert (answer.status, (await answer.json())["code"]) == (400, "invalid_request")


async def test_printed_key_starts_a_server_that_tells_browsers_what_to_subscribe_with(
    tmp_path: Path, database_url: str
) -> None:
    code, printed, _ = await run(tmp_path, "push-keys")
    assert code == 0
    name, _, value = printed.strip().partition("=")
    assert name == "VAPID_PRIVATE_KEY"
    (tmp_path / ".env").write_text(printed + "VAPID_SUBJECT=mailto:ops@rushes.example\n")
    async with serving(tmp_path, DATABASE_URL=database_url) as (_, url, _):
        async with aiohttp.ClientSession() as session, session.get(f"{url}/api/push/key") as answer:
            assert await answer.json() == {"public_key": webpush.public_key(value)}
