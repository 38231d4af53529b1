"""The simulated backend over real HTTP against a real server: each way to misbehave ends as the documents say."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from pytest_aiohttp import AiohttpServer

from app import times
from app.simulator.backend import Backend
from app.simulator.reasons import REASONS
from app.simulator.web import create_app
from tests.client import Client, order, running
from tests.databases import Sql
from tests.processes import free_port, let_go, run, start, stdout
from tests.streams import events
from tests.waiting import until

WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ENDED = ("COMPLETED", "FAILED")


async def ended(server: Client, job_id: str) -> dict[str, Any]:
    """The job once it has ended."""
    async with asyncio.timeout(20), events(server.session, f"{server.url}/events/{job_id}") as source:
        while (await source.next()).data["state"] not in ENDED:
            pass
    return (await server.read(f"/api/videos/{job_id}"))[1]


async def made(server: Client, prompt: str, **fields: Any) -> dict[str, Any]:
    """The job of that prompt once it has ended."""
    code, body = await order(server, "/api/videos/generate", prompt=prompt, **fields)
    assert code == 202, body
    return await ended(server, body["job_id"])


def outcomes(sql: Sql) -> list[tuple[str, str]]:
    """Of each webhook: its status, and what became of it."""
    return [*sql("SELECT status, outcome FROM rushes_webhooks ORDER BY received_at, id")]


async def settled(sql: Sql, count: int) -> list[tuple[str, str]]:
    await until(lambda: len(outcomes(sql)) == count)
    return outcomes(sql)


@asynccontextmanager
async def quick(database_url: str, **settings: Any) -> AsyncIterator[Client]:
    async with running(database_url, **{"simulated_step": 0.02, "app_language": "en"} | settings) as server:
        yield server


async def test_every_kind_of_failure_can_be_had_by_a_word(database_url: str) -> None:
    async with quick(database_url) as server:
        jobs = await asyncio.gather(*(made(server, f"the sea [fail:{name}]") for name in REASONS))
    for name, job in zip(REASONS, jobs, strict=True):
        kind, _, side = name.partition("/")
        assert (job["state"], job["failure"]["kind"]) == ("FAILED", kind)
        assert side in ("", job["failure"]["side"])


async def test_failure_without_a_reason_is_told_by_the_prompt(database_url: str) -> None:
    async with quick(database_url) as server:
        assert (await made(server, "a bell [fail]"))["error"] == 'Generation failed for: "a bell [fail]"'


@pytest.mark.parametrize("name", ["quota", "access", "transient"])
async def test_refused_order_is_a_failed_job_and_no_webhook(database_url: str, sql: Sql, name: str) -> None:
    async with quick(database_url) as server:
        code, body = await order(server, "/api/videos/generate", prompt=f"the sea [refuse:{name}]")
        assert (code, body["code"]) == (502, "generation_failed")
        job = await ended(server, body["job_id"])
    assert job["failure"]["kind"] == name
    assert [outcome for _, outcome in outcomes(sql)] == ["applied"]  # our own word that it was refused


async def test_word_that_is_not_understood_says_so_to_who_wrote_it(database_url: str) -> None:
    async with quick(database_url) as server:
        code, body = await order(server, "/api/videos/generate", prompt="[fail:weather]")
        assert (code, "[fail:weather] names no kind of failure" in body["error"]) == (502, True)


async def test_job_that_stalls_stays_where_it_was_and_is_told_to_admins(database_url: str) -> None:
    async with quick(database_url, stall_after=0.2) as server:
        _, body = await order(server, "/api/videos/generate", prompt="[stall]")
        async with server.events(f"/events/{body['job_id']}") as source:
            while (await source.next()).data["progress"] != 50:
                pass
        async with asyncio.timeout(10):
            while (await server.read("/api/admin/stats"))[1]["now"]["stalled"] != 1:
                await asyncio.sleep(0.05)
        _, job = await server.read(f"/api/videos/{body['job_id']}")
        assert (job["state"], job["progress"]) == ("PROCESSING", 50)


async def test_job_that_the_backend_forgets_is_given_up(database_url: str) -> None:
    async with quick(database_url, stall_after=0.2, give_up_after=0.4) as server:
        job = await made(server, "[forget]")
        assert (job["state"], job["failure"]["kind"]) == ("FAILED", "timeout")


async def test_completion_that_was_never_sent_is_found_by_asking(database_url: str, sql: Sql) -> None:
    async with quick(database_url, stall_after=0.2) as server:
        job = await made(server, "[lost]", number_of_videos=2)
        assert (job["state"], len(job["videos"])) == ("COMPLETED", 2)
    assert sql("SELECT status FROM rushes_webhooks WHERE origin = 'webhook' AND status = 'completed'") == ()


async def test_late_completion_tells_when_it_was_made(database_url: str, sql: Sql) -> None:
    async with quick(database_url) as server:
        assert (await made(server, "[late:0.5]"))["state"] == "COMPLETED"
    ((payload, received),) = sql("SELECT payload, received_at FROM rushes_webhooks WHERE status = 'completed'")
    said = times.read(json.loads(payload)["timestamp"])
    assert said is not None
    assert received.replace(tzinfo=UTC).timestamp() - said / 1e6 > 0.45


async def test_webhooks_that_come_twice_count_once(database_url: str, sql: Sql) -> None:
    async with quick(database_url) as server:
        assert (await made(server, "[twice]"))["state"] == "COMPLETED"
        counted = await settled(sql, 8)
    for status in ("processing", "generating", "downloading", "completed"):
        assert sorted(outcome for one, outcome in counted if one == status) == ["applied", "duplicate"]


async def test_webhooks_in_the_wrong_order_end_in_the_same_job(database_url: str, sql: Sql) -> None:
    async with quick(database_url) as server:
        job = await made(server, "[shuffle]")
        counted = await settled(sql, 4)
        _, after = await server.read(f"/api/videos/{job['id']}")
        assert (after["state"], after["progress"], len(after["videos"])) == ("COMPLETED", 100, 1)
    assert counted == [("completed", "applied"), *((s, "stale") for s in ("downloading", "generating", "processing"))]


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
async def test_video_comes_by_each_version_of_the_payload(database_url: str, sql: Sql, version: str) -> None:
    async with quick(database_url) as server:
        job = await made(server, f"[{version}]", aspect_ratio="1:1", duration_seconds=3)
        (video,) = job["videos"]
        assert (video["duration_seconds"], video["dimensions"]) == (3, {"width": 960, "height": 960})
    assert sql("SELECT version FROM rushes_webhooks WHERE status = 'completed'") == ((version,),)


async def test_fewer_videos_than_asked_for_are_a_success_that_says_what_is_missing(database_url: str) -> None:
    async with quick(database_url) as server:
        job = await made(server, "[partial:2]", number_of_videos=3)
        assert (job["state"], job["requested"], job["generated"], len(job["videos"])) == ("COMPLETED", 3, 1, 1)
        assert job["failure"]["kind"] == "safety"
        nothing = await made(server, "[empty]")
        assert (nothing["state"], nothing["failure"]["kind"]) == ("FAILED", "no_video")


async def test_order_is_honoured_in_format_length_and_number_and_read_by_ranges(database_url: str) -> None:
    async with quick(database_url) as server:
        job = await made(server, "the sea", aspect_ratio="9:16", duration_seconds=5, number_of_videos=3)
        films = set()
        for video in job["videos"]:
            assert (video["duration_seconds"], video["aspect_ratio"]) == (5, "9:16")
            assert video["dimensions"] == {"width": 720, "height": 1280}
            async with server.get(video["file_url"]) as answer:
                whole = await answer.read()
            assert (len(whole), answer.content_type) == (video["file_size"], "video/mp4")
            films.add(whole)
            for asked, part in (("bytes=0-1", whole[:2]), ("bytes=5000-", whole[5000:]), ("bytes=-7", whole[-7:])):
                async with server.get(video["file_url"], headers={"Range": asked}) as answer:
                    assert (answer.status, await answer.read()) == (206, part)
                    assert answer.headers["Content-Range"].endswith(f"/{len(whole)}")
            async with server.get(video["file_url"], headers={"Range": f"bytes={len(whole)}-"}) as answer:
                assert answer.status == 416
            async with server.head(video["file_url"]) as answer:
                assert answer.content_length == len(whole)
        assert len(films) == 3
        (other,) = (await made(server, "the sea", aspect_ratio="4:3"))["videos"]
        assert (other["aspect_ratio"], other["dimensions"]) == ("16:9", {"width": 1280, "height": 720})


async def test_film_that_is_none_and_any_film_in_production_is_not_found(database_url: str) -> None:
    async with quick(database_url) as server:
        assert (await server.read("/simulated/16x9-8s-9.mp4"))[0] == 404
    production = {"app_env": "production", "webhook_secret": "s" * 20, "auth_jwt_secret": "s" * 32}
    async with quick(database_url, **production) as server:
        assert (await server.read("/simulated/16x9-8s-1.mp4"))[0] == 404


@asynccontextmanager
async def asked(webhooks: str, aiohttp_server: AiohttpServer, **options: Any) -> AsyncIterator[str]:
    """The address of a backend that posts to `webhooks`."""
    wanted: dict[str, Any] = {"step": 0.01, "films": "http://films", "first_wait": 0.01} | options
    async with Backend(webhooks, wanted.pop("secret", None), **wanted) as backend:
        yield str((await aiohttp_server(create_app(backend))).make_url("/")).rstrip("/")


async def ask(url: str, headers: dict[str, str] | None = None, **fields: Any) -> tuple[int, dict[str, Any]]:
    body = json.dumps({"job_id": "j1", "prompt": "the sea"} | fields)
    headers = {"Content-Type": "application/json"} | (headers or {})
    async with ClientSession() as session, session.post(f"{url}/api/videos/generate", data=body, headers=headers) as a:
        return a.status, await a.json()


async def test_webhook_that_is_not_taken_is_sent_again_under_its_id_and_signed_anew(
    aiohttp_server: AiohttpServer,
) -> None:
    answers, seen, done = [503, 429, 408, 200], [], asyncio.Event()

    async def receive(request: web.Request) -> web.Response:
        seen.append((request.headers["webhook-id"], await request.read(), request.headers["webhook-signature"]))
        if len(seen) == len(answers):
            done.set()
        return web.Response(status=answers[min(len(seen), len(answers)) - 1])

    receiver = web.Application()
    receiver.router.add_post("/", receive)
    at = str((await aiohttp_server(receiver)).make_url("/"))
    async with asked(at, aiohttp_server, secret=WHSEC) as url, asyncio.timeout(10):
        assert (await ask(url))[0] == 202
        await done.wait()
    assert len({(webhook_id, body) for webhook_id, body, _ in seen}) == 1


async def test_backend_takes_as_many_jobs_as_it_may_and_forgets_the_oldest_that_ended(
    aiohttp_server: AiohttpServer,
) -> None:
    async with asked("http://127.0.0.1:9/", aiohttp_server, step=60, jobs_max=2) as url:
        for job_id in ("j1", "j2", "j1"):  # the last one is known
            assert (await ask(url, job_id=job_id))[0] == 202
        code, body = await ask(url, job_id="j3")
        assert (code, "RESOURCE_EXHAUSTED" in body["error"]) == (429, True)
    async with asked("http://127.0.0.1:9/", aiohttp_server, jobs_max=2, always="[shuffle] [lost]") as url:
        for job_id in ("j1", "j2", "j3"):
            assert (await ask(url, job_id=job_id))[0] == 202
            async with ClientSession() as session, asyncio.timeout(10):
                while True:
                    async with session.get(f"{url}/api/videos/status/{job_id}") as answer:
                        if (await answer.json())["status"] == "completed":
                            break
                    await asyncio.sleep(0.005)
        async with ClientSession() as session:
            codes = [(await session.get(f"{url}/api/videos/status/{job_id}")).status for job_id in ("j1", "j2", "j3")]
        assert codes == [404, 200, 200]


async def test_backend_takes_no_more_bytes_than_it_may(
    aiohttp_server: AiohttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, most in (("backend.BYTES_MAX", 20_000), ("web._BODY_MAX", 12_000), ("web._BODIES_MAX", 15_000)):
        monkeypatch.setattr(f"app.simulator.{name}", most)
    async with asked("http://127.0.0.1:9/", aiohttp_server, step=60) as url:
        assert (await ask(url, job_id="j1", prompt="x" * 9_000))[0] == 202
        assert (await ask(url, job_id="j2", prompt="x" * 9_000))[0] == 429
        assert (await ask(url, job_id="j3", input_image_base64="x" * 12_000))[0] == 413
        monkeypatch.setattr("app.simulator.web._BODY_MAX", 20_000)
        assert (await ask(url, job_id="j4", input_image_base64="x" * 16_000))[0] == 503


async def test_page_of_a_browser_cannot_have_webhooks_sent(aiohttp_server: AiohttpServer) -> None:
    async with asked("http://127.0.0.1:9/", aiohttp_server) as url:
        assert (await ask(url, {"Origin": url}))[0] == 403
        assert (await ask(url, {"Content-Type": "text/plain"}))[0] == 403
        code, body = await ask(url, number_of_videos=9)
        assert (code, "number_of_videos" in body["error"]) == (400, True)
        code, body = await ask(url, {"Content-Type": "application/json", "Content-Length": "0"})
        assert code == 400


async def test_program_makes_the_videos_of_a_server_and_ends_when_it_is_told(
    tmp_path: Path, database_url: str, sql: Sql
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with running(database_url, generator_url=url, webhook_secret=WHSEC, webhook_require_signature=True) as server:
        arguments = ("generator", "--port", str(port), "--webhooks", server.url, "--step", "0.02", "--always", "[v3]")
        process = await start(tmp_path, *arguments, WEBHOOK_SECRET=WHSEC)
        try:
            async with asyncio.timeout(30):
                while f"GENERATOR_URL={url}" not in (await stdout(process).readline()).decode():
                    assert process.returncode is None
            job = await made(server, "the sea", duration_seconds=4)
            (video,) = job["videos"]
            assert video["file_url"].startswith(f"{url}/simulated/")
            assert sql("SELECT version FROM rushes_webhooks WHERE status = 'completed'") == (("v3",),)
            async with server.session.get(video["file_url"]) as answer:
                assert len(await answer.read()) == video["file_size"]
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(20):
                await process.communicate()
            assert process.returncode == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            let_go(process)


async def test_program_that_cannot_be_started_says_why_in_a_sentence(tmp_path: Path) -> None:
    for arguments, settings, told in (
        ((), {"APP_ENV": "production", "WEBHOOK_SECRET": "s" * 20}, "is for development"),
        (("--always", "[late:soon]"), {}, "[late:soon] has no number"),
        (("--always", "[v3] twice"), {}, "twice is no word"),
        (("--webhooks", "ftp://x"), {}, "must begin with http"),
    ):
        code, _, err = await run(tmp_path, "generator", *arguments, **settings)
        assert (code != 0, told in err) == (True, True), err
