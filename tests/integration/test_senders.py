"""Who may post: secrets, signatures, and those who have neither."""

import asyncio
import gzip
import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pytest_aiohttp.plugin import AiohttpServer

from app.deliver import NotDeliveredError, deliver
from app.refusals import refuse_unsafe
from app.settings import Settings, SettingsError, load
from tests.client import Client, running
from tests.databases import Sql
from tests.matching import found
from tests.processes import run
from tests.streams import events
from tests.webhooks import WHSEC, completion, signed, video, webhook

OLD, NEW = "old-secret", "new-secret"
CANNOT = {"error": "Unauthorized: Invalid webhook secret", "code": "unauthorized"}


@pytest.fixture
async def guarded(database_url: str) -> AsyncIterator[Client]:
    async with running(database_url, webhook_secret=f"{OLD}, {NEW},{WHSEC}") as server:
        await server.register("j1")
        yield server


@pytest.mark.parametrize("secret", [OLD, NEW, WHSEC])
async def test_any_of_the_secrets_lets_a_sender_in(guarded: Client, secret: str) -> None:
    assert (await guarded.send(webhook("j1", "generating"), {"X-Webhook-Secret": secret}))[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Webhook-Secret": ""},
        {"X-Webhook-Secret": "wrong"},
        {"X-Webhook-Secret": f"{OLD},{NEW}"},
        {"Authorization": OLD},
        {"webhook-id": "x", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"},
        {"webhook-signature": "\udcff\udcfe"},
    ],
)
async def test_who_knows_no_secret_is_refused_and_leaves_nothing(
    guarded: Client, sql: Sql, headers: dict[str, str]
) -> None:
    assert await guarded.send(webhook("j1", "generating"), headers) == (401, CANNOT)
    assert await guarded.send(b"not even json", headers) == (401, CANNOT)
    assert sql("SELECT COUNT(*) FROM rushes_webhooks") == ((0,),)


async def test_signature_over_the_raw_body_lets_a_sender_in(guarded: Client) -> None:
    body = orjson.dumps(webhook("j1", "generating"), option=orjson.OPT_INDENT_2)
    assert (await guarded.send(body, signed(body)))[0] == 200
    changed = body.replace(b"generating", b"processing")
    assert await guarded.send(changed, signed(body)) == (401, CANNOT)
    assert await guarded.send(body, signed(body, ago=301)) == (401, CANNOT)
    assert await guarded.send(body, signed(body, ago=-310)) == (401, CANNOT)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"webhook-signature": "v1,AAAA"},
        {"webhook-id": "x", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"},
        {"webhook-id": "x", "webhook-timestamp": "{now}", "webhook-signature": "v2,AAAA"},
        {"X-Webhook-Secret": "wrong"},
    ],
)
async def test_who_cannot_be_right_whatever_follows_is_refused_before_the_body_comes(
    guarded: Client, headers: dict[str, str]
) -> None:
    address = urlsplit(guarded.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    lines = [
        "POST /api/webhooks/video-completion HTTP/1.1", "Host: h", "Content-Type: application/json",
        "Content-Length: 1000000", *(f"{name}: {value}" for name, value in headers.items()),
    ]  # fmt: skip
    writer.write("".join(f"{line}\r\n" for line in [*lines, ""]).replace("{now}", str(int(time.time()))).encode())
    async with asyncio.timeout(5):
        assert (await reader.readline()).startswith(b"HTTP/1.1 401")
    writer.close()


async def test_body_too_deep_to_be_written_out_again_is_refused_and_kept(guarded: Client, sql: Sql) -> None:
    for depth in (63, 64, 300, 1000, 5000):
        nested = b"[" * depth + b"]" * depth
        raw = b'{"job_id":"j1","status":"failed","content_type":"video","error":%b}' % nested
        code, answer = await guarded.send(raw, {"X-Webhook-Secret": OLD})
        assert code == (200 if depth < 64 else 400), answer
    assert sql("SELECT outcome, COUNT(*) FROM rushes_webhooks GROUP BY outcome ORDER BY outcome") == (
        ("applied", 1), ("dead", 4),
    )  # fmt: skip


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
async def test_compressed_body_is_refused_whatever_is_in_it(
    guarded: Client, caplog: pytest.LogCaptureFixture, encoding: str
) -> None:
    for body in (gzip.compress(b"{}"), b"no such thing"):
        headers = {"Content-Encoding": encoding} | signed(body)
        code, answer = await guarded.send(body, headers)
        assert (code, answer["code"]) == (415, "compressed")
        del headers["webhook-signature"]
        assert await guarded.send(body, headers) == (401, CANNOT)
    assert caplog.text == ""


async def test_secret_cannot_be_guessed_where_jobs_are_registered(database_url: str) -> None:
    async with running(database_url, webhook_secret=OLD, auth_failures_per_minute=3) as server:

        async def register(secret: str) -> int:
            headers = {"X-Webhook-Secret": secret}
            order = {"job_id": secret, "prompt": "the sea", "user_id": "u1"}
            async with server.session.post(f"{server.url}/api/videos", json=order, headers=headers) as answer:
                return answer.status

        assert [await register(f"guess-{n}") for n in range(5)] == [401, 401, 401, 429, 429]
        assert await register(OLD) == 201


async def test_plain_secret_is_refused_where_signatures_are_required(database_url: str) -> None:
    async with running(database_url, webhook_secret=WHSEC, webhook_require_signature=True) as server:
        await server.register("j1")
        body = orjson.dumps(webhook("j1", "generating"))
        assert (await server.send(body, {"X-Webhook-Secret": WHSEC}))[0] == 401
        assert (await server.send(body, signed(body)))[0] == 200


async def test_too_many_failures_of_one_address_are_told_to_wait_but_never_bar_who_authenticates(
    database_url: str,
) -> None:
    async with running(database_url, webhook_secret=OLD, auth_failures_per_minute=3) as server:
        await server.register("j1")
        sent = webhook("j1", "generating")
        assert [(await server.send(sent))[0] for _ in range(4)] == [401, 401, 401, 429]
        url = f"{server.url}/api/webhooks/video-completion"
        async with server.session.post(url, json=sent) as answer:
            assert 0 < int(answer.headers["Retry-After"]) <= 60
        assert (await server.send(sent, {"X-Webhook-Secret": OLD}))[0] == 200


async def test_failures_are_counted_by_the_address_that_a_trusted_proxy_names(database_url: str) -> None:
    settings = {"webhook_secret": OLD, "auth_failures_per_minute": 1}
    async with running(database_url, trusted_proxies="127.0.0.0/8", **settings) as server:
        for address in ("192.0.2.1", "192.0.2.2"):
            assert (await server.send({}, {"X-Forwarded-For": address}))[0] == 401
        assert (await server.send({}, {"X-Forwarded-For": "192.0.2.1"}))[0] == 429
    async with running(database_url, **settings) as server:
        assert (await server.send({}, {"X-Forwarded-For": "192.0.2.3"}))[0] == 401
        assert (await server.send({}, {"X-Forwarded-For": "192.0.2.4"}))[0] == 429


async def test_webhook_secret_may_register_a_job_for_anybody(guarded: Client) -> None:
    order = {"job_id": "j9", "user_id": "u9", "prompt": "p"}
    async with guarded.session.post(
        f"{guarded.url}/api/videos", json=order, headers={"X-Webhook-Secret": NEW, "Host": "elsewhere.example"}
    ) as answer:
        assert answer.status == 201
    async with guarded.session.post(
        f"{guarded.url}/api/videos", json=order, headers={"X-Webhook-Secret": "no", "Host": "elsewhere.example"}
    ) as answer:
        assert answer.status == 401


@pytest.mark.parametrize(
    "settings",
    [
        {"app_env": "production"},
        {"app_env": "production", "webhook_secret": "x"},
        {"app_env": "production", "webhook_secret": "x", "database_url": "mysql://root@localhost/x"},
        {"webhook_secret": "whsec_not base64"},
        {"webhook_secret": "plain", "webhook_require_signature": True},
        {"host": "0.0.0.0"},
    ],
)
def test_settings_that_would_be_unsafe_do_not_start(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as error:
        refuse_unsafe(Settings(_env_file=None, **settings))
    assert "not base64" not in str(error.value).replace("is not base64", "")


@pytest.mark.parametrize("name", [name for name, field in Settings.model_fields.items() if field.annotation is float])
def test_duration_that_can_never_pass_does_not_start(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bounds = {
        "retention_days": "36500",
        "audit_days": "36500",
        "push_ttl": "2419200",
        "stream_dead_after": "86400",
        "s3_url_ttl": "604800",
        "auth_lookup_max_age": "60",
    }
    most = bounds.get(name, "31536000")
    monkeypatch.setenv(name.upper(), most)
    assert getattr(load(), name) == float(most)
    for never in ("inf", "nan", "-1", "0", most + ".1"):
        monkeypatch.setenv(name.upper(), never)
        with pytest.raises(SettingsError, match=f"{name.upper()} is not usable"):
            load()


async def test_documented_way_to_send_from_python_works(database_url: str) -> None:
    text = (Path(__file__).parents[2] / "docs/protocol.md").read_text()
    example = found(r"```python\n(from app.deliver import.*?)```", text, re.DOTALL)[1]
    async with running(database_url, webhook_secret=WHSEC, webhook_require_signature=True) as server:
        await server.register("demo-1")
        code = example.replace("http://127.0.0.1:8080", server.url).replace("secret=None", f"secret={WHSEC!r}")
        told: dict[str, Any] = {}
        await asyncio.to_thread(exec, code, told)
        assert told["status"] == 200
        assert (await server.read("/api/videos/demo-1"))[1]["progress"] == 50


@pytest.mark.parametrize("to", ["{elsewhere}/here", "/relative", "http://[::1", None])
async def test_redirect_is_a_refusal_and_takes_the_secret_nowhere(tmp_path: Path, to: str | None) -> None:
    asked: list[str | dict[str, str]] = []

    async def redirect(request: web.Request) -> web.Response:
        asked.append(request.path)
        target = {} if to is None else {"Location": to.format(elsewhere=str(elsewhere.make_url("")).rstrip("/"))}
        return web.Response(status=int(request.path[1:]), headers=target)

    async def taken(request: web.Request) -> web.Response:
        asked.append(dict(request.headers))
        return web.json_response({"success": True})

    front, back = web.Application(), web.Application()
    front.router.add_post("/{status}", redirect)
    back.router.add_route("*", "/{path:.*}", taken)
    async with TestServer(front) as server, TestServer(back) as elsewhere:
        for status in (302, 301, 303, 307, 308, 300, 304):
            url = str(server.make_url(f"/{status}"))
            code, answer = await asyncio.to_thread(deliver, url, webhook("j1", "pending"), OLD, attempts=1)
            assert code == status
            assert to is None or to.removeprefix("{elsewhere}") in answer
        arguments = ("--job-id", "j1", "--status", "pending", "--attempts", "1")
        code, out, err = await run(tmp_path, "send", str(server.make_url("/302")), *arguments, WEBHOOK_SECRET=OLD)
        assert (code, "redirect" in out, "Traceback" in err) == (1, True, False)
    assert asked == ["/302", "/301", "/303", "/307", "/308", "/300", "/304", "/302"]


@pytest.mark.parametrize("after", ["²", "-1", "Wed, 21 Oct 2015 07:28:00 GMT", ""])
async def test_retry_after_that_is_no_number_of_seconds_is_passed_over(
    aiohttp_server: AiohttpServer, after: str
) -> None:
    async def busy(_request: web.Request) -> web.Response:
        return web.json_response({}, status=503, headers={"Retry-After": after})

    app = web.Application()
    app.router.add_post("/hook", busy)
    server = await aiohttp_server(app)
    with pytest.raises(NotDeliveredError, match="503"):
        await asyncio.to_thread(deliver, str(server.make_url("/hook")), webhook("j1", "pending"), attempts=1)


async def test_numbers_that_json_does_not_have_are_delivered_as_null(server: Client, sql: Sql) -> None:
    await server.register("j1")
    sent = completion("j1", video("k/1"))
    sent["data"]["metadata"] |= {"processing_time": float("nan"), "seeds": (float("inf"), 1)}
    code, answer = await asyncio.to_thread(deliver, server.url, sent, attempts=1)
    assert code == 200, answer
    ((kept,),) = sql("SELECT payload FROM rushes_webhooks")
    assert json.loads(kept, parse_constant=pytest.fail)["data"]["metadata"]["seeds"] == [None, 1]


def test_no_attempt_is_no_delivery() -> None:
    with pytest.raises(NotDeliveredError, match="attempt"):
        deliver("http://127.0.0.1:9", {}, attempts=0)


async def test_simulated_backend_signs_where_signatures_are_required(database_url: str) -> None:
    settings = {"webhook_secret": f"{OLD},{WHSEC}", "webhook_require_signature": True, "simulated_step": 0.05}
    async with running(database_url, **settings) as server:
        async with server.session.post(f"{server.url}/api/videos/generate", json={"prompt": "the sea"}) as answer:
            job_id = (await answer.json())["job_id"]
        async with events(server.session, f"{server.url}/events/{job_id}") as source:
            while (await source.next()).event != "completed":
                pass


async def test_smoke_signs_where_signatures_are_required(tmp_path: Path, database_url: str) -> None:
    both = f"{OLD},{WHSEC}"
    settings = {"webhook_secret": both, "webhook_require_signature": True, "auth_jwt_secret": "s" * 32}
    async with running(database_url, **settings) as server:
        code, out, err = await run(tmp_path, "smoke", server.url, WEBHOOK_SECRET=both)
        assert (code, out.splitlines()[-2][:6]) == (0, "9 of 9"), out + err
