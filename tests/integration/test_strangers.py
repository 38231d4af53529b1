"""Development, where nobody proves who he is: only this machine itself may act. And pages of other sites, anywhere."""

import pytest
from aiohttp import WSServerHandshakeError

from app.refusals import refuse_unsafe
from app.routes.describe import operations
from app.settings import Settings, SettingsError
from tests.client import Client, running
from tests.databases import Sql
from tests.sign_in import SECRET, bearer, buy, token
from tests.webhooks import webhook

PROXIES = [
    {"X-Forwarded-For": "203.0.113.9"}, {"X-Forwarded-Proto": "https"}, {"X-Forwarded-Host": "rushes.example"},
    {"x-forwarded-anything": "1"}, {"Forwarded": "for=203.0.113.9"}, {"Via": "1.1 proxy"}, {"X-Real-IP": "203.0.113.9"},
    {"CF-Connecting-IP": "203.0.113.9"}, {"True-Client-IP": "203.0.113.9"}, {"X-Forwarded-For": ""},
    {"X-Scheme": "https"}, {"Client-IP": "203.0.113.9"}, {"Fly-Client-IP": "203.0.113.9"}, {"X-Vercel-Id": "cdg1::x"},
    {"X-Appengine-User-IP": "203.0.113.9"}, {"X-Nf-Client-Connection-Ip": "203.0.113.9"}, {"X-Varnish": "1"},
]  # fmt: skip
EVIL = {"Host": "evil.example:8080"}
OPEN = (
    "/healthz", "/readyz", "/openapi.json", "/api/webhooks/video-completion", "/", "/admin", "/docs",
    "/static/js/live.js",
)  # fmt: skip


async def ask(server: Client, method: str, path: str, headers: dict[str, str]) -> tuple[int, str | None]:
    json = {"job_id": "j1", "prompt": "the sea", "outcome": "dead"} if method == "POST" else None
    async with server.session.request(method, server.url + path, headers=headers, json=json) as answer:
        if answer.content_type != "application/json":
            return answer.status, None
        return answer.status, (await answer.json()).get("code")


@pytest.mark.parametrize("proxy", PROXIES, ids=lambda headers: next(iter(headers)))
async def test_nobody_is_dev_through_a_proxy(server: Client, proxy: dict[str, str]) -> None:
    assert (await server.send(webhook("j1", "generating"), proxy))[1]["code"] == "proxied_development"
    assert await ask(server, "GET", "/api/videos/user", proxy) == (403, "proxied_development")


async def test_no_route_that_acts_or_reads_as_dev_does_so_through_a_proxy(server: Client, sql: Sql) -> None:
    for operation in operations(server.app.router):
        method, path = operation.split()
        if method == "GET" and (path in OPEN or path.startswith("/ws")):
            continue
        # Its figures are nobody's, also where users sign in: it asks for a token of its own.
        expected = (401, "unauthorized") if path == "/metrics" else (403, "proxied_development")
        code = await ask(server, method, path.replace("{job_id}", "j1").replace("{id}", "0" * 32), PROXIES[0])
        assert code == expected, operation
    for path in ("/ws", "/ws/j1"):
        with pytest.raises(WSServerHandshakeError, match="403"):
            await server.session.ws_connect(server.url + path, headers=PROXIES[0])
    assert sql("SELECT COUNT(*) FROM video_generations") == sql("SELECT COUNT(*) FROM rushes_webhooks") == ((0,),)
    for path in OPEN:
        assert (await ask(server, "GET", path, PROXIES[0]))[0] == 200, path


async def test_refused_through_a_proxy_one_is_told_what_to_set(server: Client) -> None:
    _, body = await server.read("/api/videos/user", headers=PROXIES[0])
    assert "AUTH_JWT_SECRET" in body["error"]
    _, body = await server.send(webhook("j1", "generating"), PROXIES[0])
    assert "WEBHOOK_SECRET" in body["error"]


async def test_who_signs_in_or_knows_the_secret_may_come_through_a_proxy(database_url: str) -> None:
    async with running(database_url, webhook_secret="geheim", auth_jwt_secret=SECRET) as server:
        assert await ask(server, "GET", "/api/videos/user", PROXIES[0] | bearer()) == (200, None)
        assert (await server.send(webhook("j1", "generating"), PROXIES[0] | {"X-Webhook-Secret": "geheim"}))[0] == 404
        assert (await server.send(webhook("j1", "generating"), PROXIES[0]))[0] == 401
    async with running(database_url, webhook_secret="geheim") as server:
        assert (await server.send(webhook("j2", "generating"), PROXIES[0] | {"X-Webhook-Secret": "geheim"}))[0] == 404
        assert await ask(server, "GET", "/api/videos/user", PROXIES[0]) == (403, "proxied_development")
    async with running(database_url, auth_jwt_secret=SECRET) as server:
        assert await ask(server, "GET", "/api/videos/user", PROXIES[0] | bearer()) == (200, None)
        code, body = await server.send(webhook("j3", "generating"), PROXIES[0])
        assert (code, body["code"]) == (403, "proxied_development")


@pytest.mark.parametrize("settings", [{}, {"auth_jwt_secret": SECRET, "public_url": "https://evil.example:8080"}])
async def test_name_that_points_here_from_elsewhere_posts_no_webhook(
    database_url: str, sql: Sql, settings: dict[str, str]
) -> None:
    async with running(database_url, **settings) as server:
        code, body = await server.send(webhook("j1", "generating"), EVIL)
        assert (code, body["code"]) == (401, "unauthorized")
        assert sql("SELECT COUNT(*) FROM rushes_webhooks") == ((0,),)
        for host in ("localhost:8080", "[::1]:8080", "127.0.0.1", "LOCALHOST:"):
            assert (await server.send(webhook("j1", "generating"), {"Host": host}))[0] == 404
        for host in (
            "localhost:80@evil.com",
            "localhost:evil.com",
            "[localhost]",
            "::1",
            "[127.0.0.1",
            "localhost:8:0",
        ):
            assert (await server.send(webhook("j1", "generating"), {"Host": host}))[0] in (400, 401), host


async def test_neighbour_in_the_network_posts_no_webhook_under_this_machines_name(database_url: str) -> None:
    async with running(database_url, host="0.0.0.0", auth_jwt_secret=SECRET) as server:
        code, body = await server.send(webhook("j1", "generating"), {"Host": "localhost"})
        assert (code, body["code"]) == (401, "unauthorized")


async def test_page_of_another_site_posts_no_webhook(database_url: str) -> None:
    async with running(database_url, cors_origins="https://friend.example") as server:
        for headers, status in (
            ({"Origin": "https://evil.example"}, 403),
            ({"Origin": "null"}, 403),
            ({"Sec-Fetch-Site": "cross-site"}, 403),
            ({"Origin": "https://friend.example"}, 404),
            ({"Origin": server.url}, 404),
        ):
            code, body = await server.send(webhook("j1", "generating"), headers)
            assert (code, body["code"] == "origin_not_allowed") == (status, status == 403)


@pytest.mark.parametrize("path", ["/events", "/events/mine"])
async def test_page_of_another_site_opens_no_stream_with_what_the_browser_adds(database_url: str, path: str) -> None:
    settings = {"webhook_secret": "geheim", "auth_jwt_secret": SECRET, "cors_origins": "https://friend.example"}
    async with running(database_url, **settings) as server:
        headers = {"X-Webhook-Secret": "geheim"}
        order = {"job_id": "mine", "user_id": "u1", "prompt": "the sea"}
        async with server.session.post(f"{server.url}/api/videos", json=order, headers=headers) as answer:
            assert answer.status == 201
        cookie = {"Cookie": f"__session={token()}"}
        for headers, status in (
            ({}, 200),
            ({"Origin": server.url}, 200),
            ({"Origin": "https://friend.example"}, 200),
            ({"Sec-Fetch-Site": "same-origin"}, 200),
            ({"Sec-Fetch-Site": "none"}, 200),
            ({"Origin": "https://evil.example"}, 403),
            ({"Origin": "null"}, 403),
            ({"Sec-Fetch-Site": "cross-site"}, 403),
        ):
            async with server.session.get(server.url + path, headers=cookie | headers) as answer:
                assert answer.status == status, headers
                if status == 403:
                    assert (await answer.json())["code"] == "origin_not_allowed"
        evil = {"Origin": "https://evil.example"}
        ticket = (await buy(server, bearer()))["ticket"]
        for headers, query in ((bearer(), ""), (cookie, f"?ticket={ticket}")):
            async with server.session.get(server.url + path + query, headers=headers | evil) as answer:
                assert answer.status == 200


async def test_page_of_another_site_opens_no_stream_of_devs(server: Client) -> None:
    assert await ask(server, "GET", "/events", {"Origin": "https://evil.example"}) == (403, "origin_not_allowed")


@pytest.mark.parametrize("url", ["https://rushes.example", "http://192.168.1.4:8080", "http://localhost.example"])
def test_public_address_beyond_this_machine_needs_users_who_sign_in(url: str) -> None:
    with pytest.raises(SettingsError, match=r"PUBLIC_URL=.* AUTH_JWT_SECRET"):
        refuse_unsafe(Settings(_env_file=None, public_url=url))
    refuse_unsafe(Settings(_env_file=None, public_url=url, auth_jwt_secret=SECRET))
    for own in ("http://localhost:8081", "http://127.0.0.1", "http://[::1]:8080/videos"):
        refuse_unsafe(Settings(_env_file=None, public_url=own))
