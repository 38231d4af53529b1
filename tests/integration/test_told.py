"""What a backend says is told to users, and written into the log, without what is not theirs to know."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.client import Client
from tests.databases import Sql
from tests.processes import serving
from tests.tables import add
from tests.webhooks import completion, video, webhook

KEY = "AIzaSyA1234567890abcdefghijklmnopqrstuvw"
PASSWORD = "hunter22andmore"
PROJECT, REQUEST_ID = "my-startup-42", "9f86d081884c7d659a2f"
SAID = (
    f"503 for projects/{PROJECT}/locations/us url: /v1?key={KEY} via mysql://me:{PASSWORD}@db/site "
    f"request_id: {REQUEST_ID}"
)


@pytest.fixture
async def refusing() -> AsyncIterator[str]:
    """The address of a backend that refuses every order, by JSON or by a page of text, and tells too much."""

    async def start(request: web.Request) -> web.Response:
        order = await request.json()
        if order["prompt"] == "a page":
            return web.Response(status=500, text=f"<h1>{SAID}</h1>")
        return web.json_response({"error": SAID}, status=500)

    app = web.Application()
    app.router.add_post("/api/videos/generate", start)
    async with TestServer(app) as server:
        yield str(server.make_url("/")).rstrip("/")


async def test_secrets_of_a_backend_that_refuses_are_told_nowhere_and_not_logged(
    tmp_path: Path, database_url: str, sql: Sql, refusing: str
) -> None:
    told = {}
    settings = {"DATABASE_URL": database_url, "GENERATOR_URL": refusing, "LOG_LEVEL": "debug"}
    async with serving(tmp_path, **settings) as (process, url, _), aiohttp.ClientSession(url) as session:
        for prompt in ("JSON", "a page"):
            async with session.post("/api/videos/generate", json={"prompt": prompt}) as answer:
                told[f"answer to {prompt}"] = await answer.text()
                job_id = (await answer.json())["job_id"]
            for path in (f"{job_id}", f"{job_id}/status", f"{job_id}/result", "user", "user?state=failed"):
                async with session.get(f"/api/videos/{path}") as answer:
                    assert answer.status == 200
                    told[f"{path} after {prompt}"] = await answer.text()
        process.send_signal(signal.SIGTERM)
        out, err = await asyncio.wait_for(process.communicate(), 20)
    events = str(sql("SELECT data FROM rushes_events"))
    rows = str(sql("SELECT error FROM video_generations")) + str(sql("SELECT payload FROM rushes_webhooks"))
    log = out.decode() + err.decode()
    assert "generation_refused" in log
    assert "projects/…/" in told["answer to JSON"]
    assert PROJECT in rows  # for the operator
    told["events"] = events
    assert not [(word, place) for word in (PROJECT, REQUEST_ID) for place, text in told.items() if word in text]
    told |= {"rows": rows, "log": log}
    assert not [(word, place) for word in (KEY, PASSWORD) for place, text in told.items() if word in text]


async def test_secrets_in_a_failure_that_a_webhook_brings_are_stored_in_no_row_of_its_job(
    server: Client, sql: Sql
) -> None:
    await server.register("j1")
    await server.send(webhook("j1", "failed") | {"error": SAID})
    stored = str(sql("SELECT error FROM video_generations")) + str(sql("SELECT data FROM rushes_events"))
    assert PROJECT in stored
    assert KEY not in stored
    assert PASSWORD not in stored


async def test_rows_of_other_programs_tell_users_no_secret(server: Client, sql: Sql) -> None:
    add(sql, "j1", "2026-11-20 13:00:00", status="FAILED", error=SAID, message=SAID)
    async with server.events("/events/j1") as source:
        told = [str((await source.next()).data)]
    paths = ("j1", "j1/status", "j1/result", "user", "user?state=failed")
    told += [str(await server.read(f"/api/videos/{path}")) for path in paths]
    assert any("503 for projects/…" in text for text in told)
    assert not [text for text in told for word in (KEY, PASSWORD, PROJECT, REQUEST_ID) if word in text]


async def test_metadata_is_told_without_secrets_names_of_projects_and_request_ids(server: Client) -> None:
    await server.register("j1")
    body = completion("j1", video("k1"))
    body["data"]["metadata"] |= {
        "operation": f"projects/{PROJECT}/locations/us/operations/abc-def-1",
        "request_id": REQUEST_ID,
        "project_number": 764086051850,
        "num_videos_requested": 4,
        "provider": {"api_key": "letmein", "calls": [f"key={KEY}", SAID], "seed": 7},
        "prompt_used": "A film about project apollo-11",
    }
    await server.send(body)
    told = (await server.read("/api/videos/j1/result"))[1]["generation_metadata"]
    assert told == {
        "model_name": "veo-3",
        "model_version": "3.0",
        "processing_time": 120.5,
        "generation_time": 90.2,
        "download_time": 30.3,
        "operation": "…",
        "request_id": "…",
        "project_number": "…",
        "num_videos_requested": 4,
        "provider": {
            "api_key": "…",
            "calls": ["key=…", "503 for projects/…/locations/… url: /v1?key=… via mysql://…@db/site request_id: …"],
            "seed": 7,
        },
        "prompt_used": "A film about project apollo-11",
    }


async def test_prompt_in_the_reason_of_a_failure_is_told_as_its_user_wrote_it(server: Client) -> None:
    prompt = "A film about project apollo-11, key=gold, RESOURCE_EXHAUSTED"
    await server.register("j1")
    await server.send(webhook("j1", "failed", data={"metadata": {"prompt_used": prompt}}))
    job = (await server.read("/api/videos/j1"))[1]
    assert prompt in job["error"]
    assert job["failure"]["kind"] == "other"
