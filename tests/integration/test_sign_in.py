"""Signing in: every carrier, every route, and streams that end with their token."""

import asyncio
import hmac
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import WSMsgType, WSServerHandshakeError
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.utils import base64url_encode

from tests.client import Client, running
from tests.processes import run
from tests.sign_in import SECRET, SENDERS, Issuer, bearer, buy, by_jwks, gallery, token

WEBHOOK = {"X-Webhook-Secret": SENDERS}


@pytest.fixture
async def signed(database_url: str) -> AsyncIterator[Client]:
    settings = {"app_env": "production", "webhook_secret": SENDERS, "auth_jwt_secret": SECRET, "stream_heartbeat": 0.2}
    async with running(database_url, **settings) as server:
        for job_id, order in (("mine", {"user_id": "u1"}), ("ours", {"user_id": "u2", "organization_id": "o1"})):
            body = {"job_id": job_id, "prompt": "the sea"} | order
            async with server.session.post(f"{server.url}/api/videos", json=body, headers=WEBHOOK) as answer:
                assert answer.status == 201, await answer.text()
        yield server


async def seen(server: Client, job_id: str, headers: dict[str, str]) -> int:
    return (await server.read(f"/api/videos/{job_id}", headers=headers))[0]


async def test_author_organisation_and_admin_see_a_job_and_nobody_else_knows_of_it(signed: Client) -> None:
    assert await seen(signed, "mine", bearer()) == 200
    assert await seen(signed, "ours", bearer(org_id="o1")) == 200
    assert await seen(signed, "ours", bearer("boss", role="admin")) == 200
    for headers in (bearer(), bearer(org_id="o2"), bearer("U2")):
        assert await signed.read("/api/videos/ours", headers=headers) == await signed.read(
            "/api/videos/nothing", headers=headers
        )
        hidden = await signed.read("/events/ours", headers=headers)
        assert hidden == await signed.read("/events/nothing", headers=headers)
        assert hidden[0] == 404


async def test_job_that_a_user_registers_is_his_organisations_and_one_for_another_user_is_not(signed: Client) -> None:
    async def registered(headers: dict[str, str], **fields: Any) -> str:
        url = f"{signed.url}/api/videos"
        async with signed.session.post(url, json={"prompt": "the sea"} | fields, headers=headers) as answer:
            assert answer.status == 201, await answer.text()
            return str((await answer.json())["job_id"])

    member, admin = bearer("u2", org_id="o1"), bearer("boss", org_id="o1", role="admin")
    colleague = bearer("u3", org_id="o1")
    assert await seen(signed, await registered(member), colleague) == 200
    assert await seen(signed, await registered(member, user_id="u2"), colleague) == 200
    assert await seen(signed, await registered(admin), colleague) == 200
    assert await seen(signed, await registered(admin, user_id="u9"), colleague) == 404
    assert await seen(signed, await registered(admin, organization_id="o2"), colleague) == 404


@pytest.mark.parametrize("path", ["/api/videos/user", "/api/videos/mine", "/events", "/events/mine"])
async def test_nobody_gets_in_without_a_good_token_in_the_right_place(signed: Client, path: str) -> None:
    good = token()
    for headers in (
        {},
        {"Authorization": "Bearer rubbish"},
        {"Authorization": f"Basic {good}"},
        {"Authorization": f"Bearer {token(seconds=-1)}"},
        {"Authorization": "Bearer rubbish", "Cookie": f"__session={good}"},
        {"Cookie": "__session=rubbish"},
    ):
        code, body = await signed.read(path, headers=headers)
        assert (code, body["code"]) == (401, "unauthorized")
    for query in (f"?token={good}", f"?access_token={good}", f"?ticket={good}"):
        assert (await signed.read(path + query))[0] == 401


async def test_users_who_are_no_admins_are_kept_out_of_the_admin_routes(signed: Client) -> None:
    assert (await signed.read("/api/admin/webhooks"))[0] == 401
    assert (await signed.read("/api/admin/webhooks", headers=bearer()))[0] == 403
    assert (await signed.read("/api/admin/webhooks", headers=bearer(role="admin")))[0] == 200


async def test_cookie_signs_in_but_no_page_elsewhere_may_change_anything_with_it(signed: Client) -> None:
    cookie = {"Cookie": f"__session={token()}"}
    assert await seen(signed, "mine", cookie) == 200

    async def buys(**headers: str) -> int:
        async with signed.session.post(f"{signed.url}/api/stream-tickets", headers=cookie | headers) as answer:
            return answer.status

    assert await buys(Origin=signed.url) == 200
    assert await buys(**{"Sec-Fetch-Site": "same-origin"}) == 200
    assert await buys(**{"Sec-Fetch-Site": "none"}) == 200
    assert await buys() == 200  # no browser: those name the origin of every POST to another site
    assert await buys(**{"Sec-Fetch-Site": "cross-site"}) == 403
    assert await buys(**{"Sec-Fetch-Site": "same-site"}) == 403
    assert await buys(Origin="https://evil.example") == 403
    assert await buys(Origin="null") == 403
    assert await buys(Origin="https://evil.example", **bearer()) == 200


@pytest.mark.parametrize(
    ("public_url", "host"), [("rushes.example", "h"), ("https://rushes.example", ""), ("https://rushes.example", "h")]
)
async def test_page_without_an_origin_of_its_own_is_nowhere_at_home(
    database_url: str, public_url: str, host: str
) -> None:
    settings = {"webhook_secret": SENDERS, "auth_jwt_secret": SECRET, "public_url": public_url}
    async with running(database_url, **settings) as server:
        for origin in ("null", "", "http://["):
            headers = {"Cookie": f"__session={token()}", "Origin": origin, "Host": host}
            async with server.session.post(f"{server.url}/api/stream-tickets", headers=headers) as answer:
                assert (answer.status, (await answer.json())["code"]) == (403, "origin_not_allowed")


@pytest.mark.parametrize(
    ("settings", "headers", "origin", "status"),
    [
        ({"public_url": "https://Rushes.example:443/videos"}, {}, "https://rushes.example", 200),
        ({"public_url": "https://rushes.example"}, {"Host": "rushes.example"}, "http://rushes.example", 403),
        ({"trusted_proxies": "127.0.0.1"}, {"X-Forwarded-Proto": "https", "Host": "h"}, "https://h", 200),
        ({"trusted_proxies": "127.0.0.1"}, {"X-Forwarded-Proto": "https", "Host": "h"}, "http://h", 403),
        ({"trusted_proxies": "10.0.0.0/8"}, {"X-Forwarded-Proto": "http", "Host": "h"}, "https://h", 200),
        ({}, {"Host": "Rushes.example"}, "https://rushes.example", 200),
        ({"cors_origins": "https://x.example, https://App.example:443/"}, {}, "https://app.example", 200),
        ({"cors_origins": "https://x.example, https://App.example:443/"}, {}, "http://app.example", 403),
    ],
)
async def test_pages_own_origin_is_judged_with_its_scheme_where_that_is_known(
    database_url: str, settings: dict[str, str], headers: dict[str, str], origin: str, status: int
) -> None:
    async with running(database_url, webhook_secret=SENDERS, auth_jwt_secret=SECRET, **settings) as server:
        headers = {"Cookie": f"__session={token()}", "Origin": origin} | headers
        async with server.session.post(f"{server.url}/api/stream-tickets", headers=headers) as answer:
            assert answer.status == status


async def test_password_that_a_proxy_asks_for_is_not_taken_for_a_token(signed: Client) -> None:
    basic = {"Authorization": "Basic dTpw"}
    ticket = (await buy(signed, bearer()))["ticket"]
    assert await seen(signed, "mine", basic | {"Cookie": f"__session={token()}"}) == 200
    assert await seen(signed, "mine", basic) == 401
    async with signed.session.get(f"{signed.url}/events?ticket={ticket}", headers=basic) as stream:
        assert stream.status == 200


async def test_public_address_makes_nobody_dev(database_url: str) -> None:
    async with running(database_url, public_url="http://rushes.example/videos") as server:
        for host, code in (("rushes.example", 401), ("evil.example", 401), ("localhost:8080", 200)):
            assert (await server.read("/api/videos/user", headers={"Host": host}))[0] == code


async def test_page_elsewhere_may_change_nothing_in_development_either(server: Client) -> None:
    url = f"{server.url}/api/admin/replays"
    for origin, status in (("https://evil.example", 403), (server.url, 202)):
        headers = {"Origin": origin}
        async with server.session.post(url, json={"outcome": "dead"}, headers=headers) as answer:
            assert answer.status == status


async def test_ticket_opens_streams_again_and_again_on_every_process_and_nothing_else(
    signed: Client, database_url: str
) -> None:
    ticket = (await buy(signed, bearer()))["ticket"]
    query = f"?ticket={ticket}"
    assert (await signed.read("/api/videos/mine" + query))[0] == 401
    assert (await signed.read("/api/videos/mine", headers={"Authorization": f"Bearer {ticket}"}))[0] == 401
    async with running(database_url, app_env="production", webhook_secret=SENDERS, auth_jwt_secret=SECRET) as other:
        for server in (signed, other, signed):
            async with server.session.get(f"{server.url}/events/mine{query}") as stream:
                assert stream.status == 200
            async with server.session.ws_connect(f"{server.url}/ws{query}") as socket:
                assert (await socket.receive_json())["id"] is not None


async def test_streams_end_when_the_token_does(signed: Client) -> None:
    headers = bearer(seconds=1.5)
    ticket = (await buy(signed, bearer(seconds=1.5)))["ticket"]
    async with (
        signed.session.get(f"{signed.url}/events/mine", headers=headers) as by_token,
        signed.session.get(f"{signed.url}/events?ticket={ticket}") as by_ticket,
        signed.session.ws_connect(f"{signed.url}/ws/mine", headers=headers) as socket,
        asyncio.timeout(5),
    ):
        assert (by_token.status, by_ticket.status) == (200, 200)
        await by_token.content.read()
        await by_ticket.content.read()
        while (message := await socket.receive()).type is WSMsgType.TEXT:
            pass
        assert (message.type, message.data) == (WSMsgType.CLOSE, 4401)
    assert (await signed.read("/events/mine", headers=headers))[0] == 401


async def test_websocket_says_who_is_not_signed_in_and_what_is_not_there(signed: Client) -> None:
    for path, headers, code in (("/ws", {}, 4401), ("/ws/ours", bearer(), 4404), ("/ws/nothing", bearer(), 4404)):
        async with signed.session.ws_connect(signed.url + path, headers=headers) as socket:
            assert (await socket.receive()).data == code
    with pytest.raises(WSServerHandshakeError, match="403"):
        await signed.session.ws_connect(f"{signed.url}/ws", headers=bearer() | {"Origin": "https://evil.example"})


async def test_issuers_claim_makes_admins_only_where_it_is_named(database_url: str, issuer: Issuer) -> None:
    issuer.add("a")
    claims: dict[str, Any] = {"role": "admin", "metadata": {"role": "admin"}}
    for settings, status in (
        ({}, 403),
        ({"auth_admin_claim": "role=boss"}, 403),
        ({"auth_admin_claim": "metadata.role=admin"}, 200),
        ({"admin_users": "u1"}, 200),
    ):
        async with by_jwks(database_url, issuer, **settings) as server:
            assert (await server.read("/api/admin/webhooks", headers=issuer.token("a", **claims)))[0] == status


async def test_tokens_for_other_parties_are_refused_where_parties_are_named(database_url: str, issuer: Issuer) -> None:
    issuer.add("a")
    parties = "https://app.example, https://admin.example"
    async with by_jwks(database_url, issuer, auth_authorized_parties=parties) as server:
        told: tuple[tuple[dict[str, Any], int], ...] = (
            ({"azp": "https://app.example"}, 200),
            ({"azp": "https://admin.example"}, 200),
            ({"azp": "https://evil.example"}, 401),
            ({}, 401),
        )
        for claims, status in told:
            assert await gallery(server, issuer.token("a", **claims)) == status


async def test_of_several_cookies_of_one_name_any_that_verifies_counts(signed: Client) -> None:
    good, old = token(), token(seconds=-1)
    for cookies, status in (
        (f"__session={old}; __session={good}", 200),
        (f"__session={good}; __session={old}", 200),
        (f'a=b; __session={old}; c=d; __session="{good}"; __session=', 200),
        (f"__session=rubbish; __session={old}", 401),
        (f"__sessions={good}; session={good}; __SESSION={good}", 401),
        ("; ".join(f"__session=x{n}" for n in range(4)) + f"; __session={good}", 200),
        ("; ".join(f"__session=x{n}" for n in range(200)) + f"; __session={good}", 401),
    ):
        assert await seen(signed, "mine", {"Cookie": cookies}) == status
    two = f"__session={token('u2')}; __session={good}"
    assert await seen(signed, "mine", {"Cookie": two}) == 404, "the first that verifies is whose request it is"


async def test_token_signed_with_the_public_key_as_a_secret_is_refused(database_url: str, issuer: Issuer) -> None:
    issuer.add("a")
    public = issuer.keys["a"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head, claims = {"alg": "HS256", "typ": "JWT", "kid": "a"}, {"sub": "u1", "exp": int(time.time()) + 60}
    signed = b".".join(base64url_encode(orjson.dumps(part)) for part in (head, claims))
    forged = (signed + b"." + base64url_encode(hmac.digest(public, signed, "sha256"))).decode()
    async with by_jwks(database_url, issuer) as server:
        assert await gallery(server, {"Authorization": f"Bearer {forged}"}) == 401


async def test_token_made_on_the_command_line_signs_in(signed: Client, tmp_path: Path) -> None:
    code, out, err = await run(tmp_path, "token", "--user", "u2", "--ttl", "60", AUTH_JWT_SECRET=SECRET)
    assert (code, err) == (0, "")
    headers = {"Authorization": f"Bearer {out.strip()}"}
    assert [await seen(signed, job_id, headers) for job_id in ("ours", "mine")] == [200, 404]
    assert (await signed.read("/api/admin/webhooks", headers=headers))[0] == 403
    _, out, _ = await run(tmp_path, "token", "--user", "boss", "--admin", AUTH_JWT_SECRET=SECRET)
    assert (await signed.read("/api/admin/webhooks", headers={"Authorization": f"Bearer {out.strip()}"}))[0] == 200
    code, out, err = await run(tmp_path, "token", "--user", "u2")
    assert (code, out) == (1, "")
    assert "AUTH_JWT_SECRET is not set" in err


async def test_token_made_on_the_command_line_has_what_the_settings_ask_for(database_url: str, tmp_path: Path) -> None:
    asked = {"AUTH_JWT_SECRET": SECRET, "AUTH_AUTHORIZED_PARTIES": "https://a.example,https://b.example",
             "AUTH_ADMIN_CLAIM": "metadata.role=boss", "AUTH_JWT_ISSUER": "us"}  # fmt: skip
    _, out, _ = await run(tmp_path, "token", "--user", "boss", "--admin", **asked)
    settings = {name.lower(): value for name, value in asked.items()}
    async with running(database_url, **settings) as server:
        headers = {"Authorization": f"Bearer {out.strip()}"}
        assert (await server.read("/api/admin/webhooks", headers=headers))[0] == 200
    for arguments in (("--user", "bob "), ("--user", "bob", "--org", " o"), ("--user", "")):
        code, out, err = await run(tmp_path, "token", *arguments, **asked)
        assert (code, out, err.count("\n")) == (1, "", 1)
