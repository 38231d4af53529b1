"""An operator sees which jobs nobody reports on, and has the generation backend asked for one of them now."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.appkeys import RECONCILER
from app.upkeep.leader import Leader
from tests.acts import SIGNED, USERS
from tests.backend import Backend, add_stalled, answer, job
from tests.client import Client, running
from tests.databases import Sql
from tests.sign_in import bearer
from tests.waiting import until
from tests.webhooks import video

VIEWER = bearer("val", 86400, role="viewer")
ADMIN = USERS["admin"]


@pytest.fixture
async def site(database_url: str, backend: Backend) -> AsyncIterator[Client]:
    """It never asks by itself: another process leads."""
    async with quiet(database_url, backend) as server:
        yield server


@asynccontextmanager
async def quiet(database_url: str, backend: Backend, **more: Any) -> AsyncIterator[Client]:
    leader = Leader(database_url)
    assert await leader.leads()
    settings = {"generator_url": backend.url, "stall_after": 50, "auth_viewer_claim": "role=viewer"}
    async with running(database_url, **settings | SIGNED | more) as server:
        yield server
    leader.close()


async def ask(server: Client, job_id: str, who: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
    async with server.post(f"/api/admin/jobs/{job_id}/ask", headers=who or ADMIN) as said:
        return said.status, await said.json()


async def listed(server: Client, who: dict[str, str] | None = None) -> dict[str, Any]:
    status, body = await server.read("/api/admin/stalled", headers=who or ADMIN)
    assert status == 200, body
    return body


async def noted(server: Client) -> None:
    """What upkeep's rounds find is in the table, without a question to the backend."""
    await server.app[RECONCILER]._jobs.find()


async def test_stalled_jobs_are_listed_with_what_was_heard_of_them_and_those_with_news_are_not(
    site: Client, sql: Sql
) -> None:
    add_stalled(sql, "silent", seconds=100)
    add_stalled(sql, "young", seconds=10)
    await noted(site)
    body = await listed(site)
    (found,) = body["jobs"]
    assert body["more"] is False
    assert found | {"moved_at": "", "due_at": ""} == {
        "job_id": "silent", "status": "pending", "moved_at": "", "tries": 0, "unanswered": 0, "due_at": "",
    }  # fmt: skip
    assert (await listed(site, VIEWER))["jobs"] == [found]


async def test_list_of_stalled_jobs_is_bounded_and_says_that_there_are_more(site: Client, sql: Sql) -> None:
    add_stalled(sql, *[f"j{number}" for number in range(130)])
    await noted(site)
    body = await listed(site)
    assert (len(body["jobs"]), body["more"]) == (100, True)


async def test_completion_that_was_lost_is_applied_once_the_backend_is_asked(
    site: Client, sql: Sql, backend: Backend
) -> None:
    backend.jobs["j1"] = answer("j1", "completed", video("k"))
    add_stalled(sql, "j1")
    await noted(site)
    status, said = await ask(site, "j1")
    assert (status, said["said"], said["status"], said["outcome"]) == (200, "status", "completed", "applied")
    assert job(sql)[0] == "COMPLETED"
    assert sql("SELECT origin, outcome FROM rushes_webhooks") == (("reconciled", "applied"),)
    assert (await listed(site))["jobs"] == []


async def test_answer_that_changes_nothing_is_told_as_such_and_leaves_the_rounds_their_turn(
    site: Client, sql: Sql, backend: Backend
) -> None:
    backend.jobs["j1"] = answer("j1", "pending")
    add_stalled(sql, "j1")
    await noted(site)
    before = sql("SELECT due_at, tries, silent FROM rushes_asked")
    status, said = await ask(site, "j1")
    assert (status, said) == (
        200, {"job_id": "j1", "said": "status", "status": "pending", "outcome": None, "error": None},
    )  # fmt: skip
    assert sql("SELECT due_at, tries, silent FROM rushes_asked") == before
    assert sql("SELECT COUNT(*) FROM rushes_webhooks") == ((0,),)


async def test_same_news_is_applied_once_however_often_it_is_asked_for(
    site: Client, sql: Sql, backend: Backend
) -> None:
    backend.jobs["j1"] = answer("j1", "generating")
    add_stalled(sql, "j1")
    assert [(await ask(site, "j1"))[1]["outcome"] for _ in range(3)] == ["applied", None, None]
    assert sql("SELECT COUNT(*) FROM rushes_webhooks") == ((1,),)


@pytest.mark.parametrize(
    ("known", "said"),
    [(None, "unknown"), (b'{"job_id": "j1", "status": "queued"}', "unreadable"),
     (answer("x", "failed"), "unreadable")],
)  # fmt: skip
async def test_backend_that_does_not_know_the_job_or_says_what_nobody_reads_is_told_and_nothing_changes(
    site: Client, sql: Sql, backend: Backend, known: object, said: str
) -> None:
    if known is not None:
        backend.jobs["j1"] = known
    add_stalled(sql, "j1")
    status, body = await ask(site, "j1")
    assert (status, body["said"], body["outcome"]) == (200, said, None)
    assert (body["error"] is None) == (said == "unknown")
    assert job(sql)[0] == "PENDING"


async def test_job_that_the_backend_does_not_know_is_given_up_when_its_time_is_over_as_in_the_rounds(
    database_url: str, sql: Sql, backend: Backend
) -> None:
    async with quiet(database_url, backend, give_up_after=60) as server:
        add_stalled(sql, "j1", seconds=100)
        _, body = await ask(server, "j1")
    assert (body["said"], body["outcome"], job(sql)[0]) == ("unknown", "applied", "FAILED")


@pytest.mark.parametrize("broken", [500, b"<html>", b"[1]"])
async def test_backend_that_does_not_answer_is_502_and_no_press_makes_a_job_fail_sooner(
    database_url: str, sql: Sql, backend: Backend, broken: object
) -> None:
    backend.jobs["j1"] = broken
    async with quiet(database_url, backend, give_up_after=60) as server:
        add_stalled(sql, "j1", seconds=100)
        await noted(server)
        for _ in range(4):
            status, body = await ask(server, "j1")
            assert (status, body["code"]) == (502, "generator_silent")
    assert job(sql)[0] == "PENDING"
    assert sql("SELECT silent FROM rushes_asked") == ((0,),)


async def test_without_a_backend_nobody_can_be_asked(database_url: str, sql: Sql) -> None:
    async with running(database_url, app_env="production", auth_jwt_issuer="i", **SIGNED) as server:
        add_stalled(sql, "j1")
        status, body = await ask(server, "j1", bearer("boss", 3600, role="admin", iss="i"))
    assert (status, body["code"]) == (409, "no_generator")


async def test_only_an_unfinished_job_is_asked_for(site: Client, sql: Sql, backend: Backend) -> None:
    add_stalled(sql, "done")
    sql("UPDATE video_generations SET status = 'COMPLETED', completedAt = NOW()")
    for name, refused in {"done": (409, "finished"), "DONE": (404, "not_found"), "none": (404, "not_found")}.items():
        status, body = await ask(site, name)
        assert (status, body["code"]) == refused
    assert backend.asked == []


async def test_viewers_and_users_may_not_have_it_asked(site: Client, sql: Sql, backend: Backend) -> None:
    add_stalled(sql, "j1")
    for who, code in ((VIEWER, "viewer"), (USERS["author"], "forbidden")):
        status, body = await ask(site, "j1", who)
        assert (status, body["code"]) == (403, code)
    status, _ = await site.read("/api/admin/stalled", headers=USERS["author"])
    assert status == 403
    assert backend.asked == []


async def test_who_had_it_asked_is_written_down_with_what_came_of_it(site: Client, sql: Sql, backend: Backend) -> None:
    backend.jobs["j1"] = answer("j1", "generating")
    add_stalled(sql, "j1", "j2")
    await ask(site, "j1")
    backend.jobs["j2"] = 500
    await ask(site, "j2")
    _, told = await site.read("/api/admin/audit", params={"act": "ask"}, headers=ADMIN)
    assert [(one["who"], one["job_id"], one["before"], one["after"]) for one in told["audit"]] == [
        ("boss", "j2", {"status": "pending"}, {"said": "silent", "status": None, "outcome": None}),
        ("boss", "j1", {"status": "pending"}, {"said": "status", "status": "generating", "outcome": "applied"}),
    ]


async def test_an_admin_has_one_asked_for_at_a_time_and_all_admins_four(
    site: Client, sql: Sql, backend: Backend
) -> None:
    names = [f"j{number}" for number in range(8)]
    add_stalled(sql, *names)
    backend.gate.clear()
    admins = [bearer(f"ada{number}", 3600, role="admin") for number in range(6)]
    asking = [asyncio.create_task(ask(site, name, admin)) for name, admin in zip(names, admins, strict=False)]
    asking += [asyncio.create_task(ask(site, name, admins[0])) for name in names[6:]]
    await until(lambda: backend.at_once == 4)
    backend.gate.set()
    assert {status for status, _ in await asyncio.gather(*asking)} == {200}
    assert backend.most_at_once == 4


async def test_admin_reads_on_while_the_backend_that_he_had_asked_does_not_answer(
    site: Client, sql: Sql, backend: Backend
) -> None:
    add_stalled(sql, "j1")
    backend.gate.clear()
    asking = asyncio.create_task(ask(site, "j1"))
    await until(lambda: backend.at_once == 1)
    async with asyncio.timeout(10):
        for path in ("/api/admin/stalled", "/api/admin/webhooks", "/api/admin/stats", "/api/admin/generations"):
            assert (await site.read(path, headers=ADMIN))[0] == 200
        assert (await site.read("/api/videos/user", headers=ADMIN))[0] == 200
    assert not asking.done()
    backend.gate.set()
    assert (await asking)[0] == 200
