"""The API for pages: registering, generating, the gallery."""

import asyncio
from contextlib import suppress
from typing import Any

import pymysql
import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpServer

from app.db.url import parameters
from tests.client import Client, order, running
from tests.databases import Sql
from tests.sign_in import SECRET, bearer
from tests.streams import events, number_of
from tests.webhooks import completion, video, webhook


async def test_registered_job_is_there_in_full(server: Client, sql: Sql) -> None:
    code, body = await order(server, job_id="j1", user_id="u9", organization_id="o1", aspect_ratio="9:16",
                             number_of_videos=2, duration_seconds=5, person_generation="DONT_ALLOW",
                             input_image_base64="aGk=")  # fmt: skip
    assert (code, body["id"], body["state"], body["progress"]) == (201, "j1", "PENDING", 0)
    assert sql(
        "SELECT authorId, organizationId, prompt, aspectRatio, numberOfVideos, durationSeconds, personGeneration,"
        " inputImageBase64, status FROM video_generations"
    ) == (("u9", "o1", "the sea", "9:16", 2, 5, "DONT_ALLOW", "aGk=", "PENDING"),)


async def test_job_without_an_id_gets_one(server: Client) -> None:
    code, body = await order(server)
    assert code == 201
    assert body["id"].startswith("c")
    assert len(body["id"]) == 25


async def test_registering_again_is_200_and_somebody_elses_id_is_409(server: Client, sql: Sql) -> None:
    await order(server, job_id="j1")
    assert (await order(server, job_id="j1"))[0] == 200
    code, body = await order(server, job_id="j1", user_id="u2")
    assert (code, body["code"]) == (409, "id_conflict")
    assert (await order(server, job_id="J1"))[0] == 409
    assert sql("SELECT id FROM video_generations") == (("j1",),)


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": ""},
        {"prompt": " \n\t\u2003"},
        {"prompt": None},
        {"number_of_videos": 0},
        {"job_id": "x" * 192},
        {"job_id": "user"},
        {"job_id": "generate"},
        {"duration_seconds": "x"},
        {"number_of_videos": True},
        {"duration_seconds": "8"},
    ],
)
async def test_wrong_order_is_told_field_by_field(server: Client, sql: Sql, fields: dict[str, Any]) -> None:
    code, body = await order(server, **fields)
    assert (code, body["code"]) == (400, "invalid_request")
    assert body["details"][0]["field"] == next(iter(fields))
    assert sql("SELECT COUNT(*) FROM video_generations") == ((0,),)


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ([], "must be an object"),
        ({"prompt": "p", "duration_seconds": "8"}, "duration_seconds: must be a number"),
        ({"prompt": "p", "job_id": "user"}, "job_id: user is an address of its own under /api/videos"),
    ],
)
async def test_wrong_order_is_told_in_the_words_of_json(server: Client, sent: object, told: str) -> None:
    async with server.session.post(f"{server.url}/api/videos", json=sent) as answer:
        assert (await answer.json())["error"] == f"Invalid request: {told}"


async def test_owner_that_the_sites_own_tables_do_not_know_is_told(server: Client, sql: Sql) -> None:
    sql("CREATE TABLE users (id VARCHAR(191) PRIMARY KEY) COLLATE utf8mb4_unicode_ci")
    sql("ALTER TABLE video_generations ADD CONSTRAINT a FOREIGN KEY (authorId) REFERENCES users (id)")
    code, body = await order(server, user_id="nobody")
    assert (code, body["code"]) == (422, "unknown_owner")
    sql("INSERT INTO users VALUES ('somebody')")
    assert (await order(server, job_id="j1", user_id="somebody"))[0] == 201
    assert (await server.send(webhook("j1", "generating")))[0] == 200
    assert (await server.send(completion("j1", video("k"))))[0] == 200


async def test_generation_is_simulated_through_real_webhooks(database_url: str, sql: Sql) -> None:
    async with running(database_url, simulated_step=0.1) as server:
        code, body = await order(server, "/api/videos/generate", number_of_videos=2)
        assert (code, body["status"]) == (202, "pending")
        assert body["created_at"].endswith("Z")
        async with events(server.session, f"{server.url}/events/{body['job_id']}") as source:
            seen = [await source.next()]
            while seen[-1].event == "progress":
                seen.append(await source.next())
        assert [e.data["progress"] for e in seen][-4:] == [25, 50, 75, 100]
        assert len(seen[-1].data["videos"]) == 2
        async with server.session.get(server.url + seen[-1].data["videos"][0]["file_url"]) as file:
            assert (await file.read())[4:8] == b"ftyp"
    assert sql("SELECT COUNT(*) FROM rushes_webhooks WHERE outcome = 'applied'") == ((4,),)


async def test_prompt_with_fail_in_it_shows_a_failure(database_url: str) -> None:
    async with running(database_url, simulated_step=0.05) as server:
        _, body = await order(server, "/api/videos/generate", prompt="please fail")
        async with events(server.session, f"{server.url}/events/{body['job_id']}") as source:
            while (event := await source.next()).event != "failed":
                pass
        assert "please fail" in event.data["error"]


@pytest.mark.parametrize(
    ("language", "said", "told"),
    [
        ("fr", {"error": "quota exceeded"}, "Le service de génération a refusé cette vidéo : quota exceeded"),
        ("en", {"error": "quota exceeded"}, "The generation backend refused this video: quota exceeded"),
        ("en", {"error": 5, "message": "not now"}, "The generation backend refused this video: not now"),
        ("fr", ["<h1>"], "Le service de génération a refusé cette vidéo, sans dire pourquoi (HTTP 429)."),
        ("en", {"error": " "}, "The generation backend refused this video, and did not say why (HTTP 429)."),
    ],
)
async def test_backend_that_refuses_makes_the_job_fail_with_its_own_words(
    aiohttp_server: AiohttpServer, database_url: str, language: str, said: object, told: str
) -> None:
    async def refuse(request: web.Request) -> web.Response:
        assert {"job_id", "user_id", "prompt"} <= (await request.json()).keys()
        return web.json_response(said, status=429)

    backend = web.Application()
    backend.router.add_post("/api/videos/generate", refuse)
    started = await aiohttp_server(backend)
    async with (
        running(database_url, generator_url=str(started.make_url("/")), app_language=language) as server,
    ):
        code, body = await order(server, "/api/videos/generate")
        assert (code, body["code"], body["error"]) == (502, "generation_failed", told)
        _, job = await server.read(f"/api/videos/{body['job_id']}")
        assert (job["state"], job["error"]) == ("FAILED", told)


@pytest.mark.parametrize("status", [302, 303, 307, 304])
async def test_backend_that_sends_us_elsewhere_has_not_accepted(
    aiohttp_server: AiohttpServer, database_url: str, status: int
) -> None:
    async def elsewhere(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": "/login"})

    async def login(request: web.Request) -> web.Response:
        return web.Response(text="<h1>Sign in</h1>", content_type="text/html")

    backend = web.Application()
    backend.router.add_post("/api/videos/generate", elsewhere)
    backend.router.add_route("*", "/login", login)
    started = await aiohttp_server(backend)
    async with (
        running(database_url, generator_url=str(started.make_url("/"))) as server,
    ):
        code, body = await order(server, "/api/videos/generate")
        assert (code, body["code"]) == (502, "generation_failed")
        assert (await server.read(f"/api/videos/{body['job_id']}"))[1]["state"] == "FAILED"


@pytest.mark.parametrize(
    ("language", "told"),
    [("fr", "Le service de génération ne répond pas."), ("en", "The generation backend does not answer.")],
)
async def test_backend_that_is_away_makes_the_job_fail(database_url: str, language: str, told: str) -> None:
    async with running(database_url, generator_url="http://127.0.0.1:9", app_language=language) as server:
        code, body = await order(server, "/api/videos/generate")
        assert (code, body["code"], body["error"]) == (502, "generation_failed", told)
        assert (await server.read(f"/api/videos/{body['job_id']}"))[1]["error"] == told


async def test_backend_that_refuses_without_an_end_is_not_listened_to_for_ever(
    aiohttp_server: AiohttpServer, database_url: str
) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(status=400)
        await answer.prepare(request)
        with suppress(ConnectionError):
            while True:
                await answer.write(b"no " * 100_000)
        return answer

    backend = web.Application()
    backend.router.add_post("/api/videos/generate", endless)
    started = await aiohttp_server(backend)
    async with (
        running(database_url, generator_url=str(started.make_url("/"))) as server,
        asyncio.timeout(10),
    ):
        code, body = await order(server, "/api/videos/generate")
        assert (code, "HTTP 400" in body["error"]) == (502, True)


async def test_production_without_a_backend_simulates_none(database_url: str, sql: Sql) -> None:
    settings = {"app_env": "production", "webhook_secret": "hush", "auth_jwt_secret": SECRET}
    async with running(database_url, **settings, app_language="en") as server:
        code, body = await order(server, "/api/videos/generate", bearer())
        assert (code, body["error"]) == (502, "No generation backend is set (GENERATOR_URL).")
    assert sql("SELECT status FROM video_generations") == (("FAILED",),)


async def test_idempotency_key_makes_one_job_of_many_requests(database_url: str, sql: Sql) -> None:
    async with running(database_url, simulated_step=60) as server:
        headers = {"Idempotency-Key": "k1"}
        answers = await asyncio.gather(*(order(server, "/api/videos/generate", headers) for _ in range(8)))
        assert {code for code, _ in answers} == {202}
        assert len({body["job_id"] for _, body in answers}) == 1
        assert (await order(server, "/api/videos/generate", {"Idempotency-Key": "k2"}))[1]["job_id"] not in answers[0]
    assert sql("SELECT COUNT(*) FROM video_generations") == ((2,),)


async def test_request_repeated_is_told_why_its_job_failed_until_that_has_its_video(
    aiohttp_server: AiohttpServer, database_url: str
) -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.json_response({"error": "quota exceeded"}, status=429)

    backend = web.Application()
    backend.router.add_post("/api/videos/generate", refuse)
    started = await aiohttp_server(backend)
    async with (
        running(database_url, generator_url=str(started.make_url("/"))) as server,
    ):

        async def asked() -> tuple[int, dict[str, Any]]:
            return await order(server, "/api/videos/generate", {"Idempotency-Key": "k1"})

        first = await asked()
        assert (first[0], await asked()) == (502, first)
        job_id = first[1]["job_id"]
        await server.send(webhook(job_id, "failed") | {"timestamp": None, "error": "the lens broke"})
        assert await asked() == (502, first[1] | {"error": "the lens broke"})
        await server.send(completion(job_id, video("k")))
        code, body = await asked()
        assert (code, body["job_id"], body["status"]) == (202, job_id, "completed")


async def test_gallery_has_the_form_that_the_page_needs(server: Client) -> None:
    await server.register("done")
    await server.register("running")
    await server.send(completion("done", video("k/1")))
    await server.send(webhook("running", "generating"))
    code, body = await server.read("/api/videos/user")
    assert code == 200
    assert number_of(body["last_event_id"]) == 4
    assert body["next_cursor"] is None
    (done,), (active,) = body["generations"], body["active"]
    assert done.pop("videos")[0].keys() == {
        "id", "filename", "file_url", "file_path", "file_size", "format", "duration_seconds", "aspect_ratio",
        "dimensions", "created_at",
    }  # fmt: skip
    assert done | {"created_at": None} == {
        "id": "done", "prompt": "the sea", "status": "completed", "created_at": None,
        "completed_at": "2025-10-23T14:30:00.000Z", "model": "veo-3", "model_version": "3.0",
        "processing_time": 120.5, "generation_time": 90.2, "download_time": 30.3, "aspect_ratio": "16:9",
        "num_videos": 1,
    }  # fmt: skip
    assert (active["id"], active["state"], active["progress"]) == ("running", "PROCESSING", 50)


async def test_gallery_shows_only_the_callers_videos(server: Client) -> None:
    await server.register("theirs", user_id="u2")
    await server.register("cased", user_id="DEV")
    await server.send(completion("theirs", video("k")))
    _, body = await server.read("/api/videos/user")
    assert (body["generations"], body["active"]) == ([], [])


async def test_gallery_is_paged_newest_first_without_a_gap_or_a_repetition(server: Client, sql: Sql) -> None:
    for n in range(7):
        await server.register(f"j{n}")
        await server.send(completion(f"j{n}", video(f"k{n}")))
    sql("UPDATE video_generations SET createdAt = '2025-01-01' WHERE id IN ('j2', 'j3', 'j4')")
    seen, cursor = [], None
    while True:
        _, body = await server.read("/api/videos/user", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))
        seen += [job["id"] for job in body["generations"]]
        cursor = body["next_cursor"]
        if cursor is None:
            break
        assert len(body["generations"]) == 2
    assert seen == ["j6", "j5", "j1", "j0", "j4", "j3", "j2"]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "cursor=x", "cursor=W10=", "limit=" + "9" * 5000, "limit=1.5"]
)
async def test_wrong_page_is_told(server: Client, query: str) -> None:
    code, body = await server.read(f"/api/videos/user?{query}")
    assert (code, body["code"]) == (400, "invalid_request")


async def test_gallerys_last_event_id_is_where_its_stream_goes_on(server: Client) -> None:
    await server.register("j1")
    _, gallery = await server.read("/api/videos/user")
    await server.send(webhook("j1", "generating"))
    async with events(server.session, f"{server.url}/events?last_event_id={gallery['last_event_id']}") as source:
        assert (await source.next()).data["progress"] == 50


async def test_name_that_points_here_from_elsewhere_is_not_dev(server: Client) -> None:
    async with server.session.get(f"{server.url}/api/videos/user", headers={"Host": "evil.example"}) as answer:
        assert (answer.status, (await answer.json())["code"]) == (401, "unauthorized")


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/static/../app/main.py",
        "/static/%2e%2e/app/main.py",
        "/static/none.js",
        "/static/%00",
        "/static/" + "x" * 300,
    ],
)
async def test_what_is_not_there_is_a_json_404(server: Client, path: str) -> None:
    code, body = await server.read(path)
    assert (code, body["code"]) == (404, "not_found")


async def test_page_has_a_strict_policy_and_the_language_that_is_set(database_url: str) -> None:
    async with running(database_url, app_language="en") as server:
        async with server.session.get(server.url) as page:
            assert "script-src 'self'" in page.headers["Content-Security-Policy"]
            assert "unsafe" not in page.headers["Content-Security-Policy"]
            assert '<html lang="en"' in await page.text()


async def test_readiness_names_the_database(server: Client) -> None:
    assert await server.read("/readyz") == (200, {"status": "ready", "database": "ok"})
    assert (await server.read("/healthz"))[0] == 200


async def test_log_that_cannot_be_taken_is_not_told_as_a_conflict(server: Client, sql: Sql, database_url: str) -> None:
    arguments = parameters(database_url)
    with pymysql.connect(unix_socket=arguments["unix_socket"], user="root", database=arguments["db"]) as session:
        session.cursor().execute("UPDATE rushes_counter SET value = value")
        code, body = await order(server, job_id="j1")
    assert (code, body["code"]) == (503, "unavailable")
    assert (await order(server, job_id="j1"))[0] == 201


async def test_sessions_that_the_server_ended_are_replaced_unnoticed(server: Client, sql: Sql) -> None:
    await asyncio.gather(*(server.read("/api/videos/user") for _ in range(6)))
    for (number,) in sql(
        "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND ID <> CONNECTION_ID()"
    ):
        sql(f"KILL {number}")
    assert [(await server.read("/api/videos/user"))[0] for _ in range(6)] == [200] * 6
    assert (await order(server))[0] == 201


async def test_pages_are_framed_by_nobody_under_any_address(server: Client) -> None:
    for path in ("/", "/admin", "/docs", "/static/index.html", "/static/admin.html", "/static/docs.html"):
        async with server.session.get(server.url + path) as answer:
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"], path


async def test_user_who_sends_the_webhook_secret_too_registers_for_himself_and_may_name_the_job(
    database_url: str,
) -> None:
    async with running(database_url, webhook_secret="hush", auth_jwt_secret=SECRET) as server:
        secret = {"X-Webhook-Secret": "hush"}
        code, job = await order(server, headers=bearer(sub="u1", org_id="o1") | secret, job_id="named")
        assert (code, job["job_id"]) == (201, "named")
        assert (await order(server, headers=bearer(sub="u1") | {"X-Webhook-Secret": "wrong"}, job_id="x"))[0] == 401
        assert (await order(server, headers=secret, job_id="x"))[0] == 400
        assert (await server.read("/api/videos/named", headers=bearer(sub="u2", org_id="o1")))[0] == 200


async def test_optional_fields_that_are_null_count_as_missing(server: Client) -> None:
    nulls: dict[str, Any] = dict.fromkeys(
        ["aspect_ratio", "number_of_videos", "duration_seconds", "person_generation", "job_id"]
    )
    code, job = await order(server, **nulls)
    assert (code, job["aspect_ratio"]) == (201, "16:9")
    code, body = await order(server, prompt=None)
    assert (code, [d["field"] for d in body["details"]]) == (400, ["prompt"])
