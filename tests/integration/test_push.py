"""Web Push: who has closed the page is told of the ends of his jobs, once, and nobody else is."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from app.upkeep import notify
from tests import site
from tests.client import moved, running
from tests.databases import Sql
from tests.processes import serving, usable
from tests.push import SIGNS_IN, Browser, PushService, Served, complete, delete, fail, made, subscribe
from tests.sign_in import SECRET, bearer
from tests.waiting import until


async def test_closed_page_is_told_of_the_end_of_a_job_in_its_language(database_url: str, service: PushService) -> None:
    async with running(database_url, **SIGNS_IN, push_ttl=600) as server:
        ada = Browser(service)
        await subscribe(server, ada, headers=bearer("ada") | {"Accept-Language": "en"})
        job_id = await made(server, prompt="A  fox\nin the snow " + "x" * 400)
        await complete(server, job_id)
        message = await ada.next()
        (notice,) = message.told["notices"]
        assert (notice["job_id"], notice["event"], notice["title"]) == (job_id, "completed", "Video ready")
        assert notice["body"].startswith("A fox in the snow xxx")
        assert len(notice["body"]) <= 200
        assert message.told["several"] == "{count} generations have ended"
        _, job = await server.read(f"/api/videos/{job_id}", headers=bearer("ada"))
        assert notice["number"] == int(job["events"][-1]["id"].partition("-")[0])
        assert 590 <= int(message.headers["TTL"]) <= 600
        assert b"http" not in message.raw
        await fail(server, other := await made(server))
        assert [(n["job_id"], n["title"]) for n in (await ada.next()).told["notices"]] == [(other, "Generation failed")]


async def test_nobody_is_told_of_the_jobs_of_others_and_of_what_he_cancelled_or_deleted(
    database_url: str, service: PushService
) -> None:
    async with running(database_url, **SIGNS_IN) as server:
        ada, bob = Browser(service), Browser(service)
        await subscribe(server, ada, headers=bearer("ada", org_id="org"))
        await subscribe(server, bob, headers=bearer("bob", org_id="org", role="admin"))
        cancelled, mine = await made(server), await made(server)
        async with server.post(f"/api/videos/{cancelled}/cancel", headers=bearer("ada")) as answer:
            assert answer.status == 200
        await complete(server, mine)
        assert (await ada.next()).jobs == [mine]
        theirs = await made(server, "bob")
        await complete(server, theirs)
        assert (await bob.next()).jobs == [theirs]
        assert ada.told.empty()


async def test_job_that_was_taken_up_again_deleted_or_given_away_meanwhile_is_not_told_of(
    database_url: str, service: PushService, sql: Sql
) -> None:
    async with running(database_url, **SIGNS_IN) as server:
        ada = Browser(service)
        held = asyncio.Event()
        service.answers[ada.path] = [held]
        await subscribe(server, ada, headers=bearer("ada"))
        jobs = [await made(server) for _ in range(5)]
        await complete(server, jobs[0])
        await asyncio.wait_for(service.asked.get(), 15)
        await fail(server, jobs[1])
        await moved(server, jobs[1], "generating")
        await complete(server, jobs[2])
        assert (await delete(server, f"/api/videos/{jobs[2]}", headers=bearer("ada")))[0] == 200
        await complete(server, jobs[3])
        sql("UPDATE video_generations SET authorId = 'bob' WHERE id = %s", jobs[3])
        await complete(server, jobs[4])
        held.set()
        assert [(await ada.next()).jobs, (await ada.next()).jobs] == [[jobs[0]], [jobs[4]]]


async def test_all_that_ended_while_a_browser_was_being_told_comes_in_one_message(
    database_url: str, sql: Sql, service: PushService
) -> None:
    async with running(database_url, **SIGNS_IN) as server:
        ada = Browser(service)
        held = asyncio.Event()
        service.answers[ada.path] = [held]
        await subscribe(server, ada, headers=bearer("ada"))
        jobs = [await made(server, prompt="é" * 500) for _ in range(12)]
        for job_id in jobs:
            await complete(server, job_id)
            if job_id == jobs[0]:
                await asyncio.wait_for(service.asked.get(), 15)
        await until(lambda: sql("SELECT COUNT(*) FROM rushes_notices") == ((12,),))
        held.set()
        assert (await ada.next()).jobs == jobs[:1]
        rest = await ada.next()
        assert rest.jobs == jobs[:0:-1][: len(rest.jobs)]
        assert len(rest.jobs) + rest.told["more"] == 11
        assert rest.told["more"] > 0


async def test_page_is_told_once_however_many_processes_serve(database_url: str, service: PushService) -> None:
    async with running(database_url, **SIGNS_IN) as one, running(database_url, **SIGNS_IN) as other:
        ada = Browser(service)
        await subscribe(one, ada, headers=bearer("ada"))
        jobs = [await made(one) for _ in range(6)]
        for server, job_id in zip((one, other) * 3, jobs, strict=True):
            await complete(server, job_id)
        told: list[str] = []
        while len(told) < 6:
            told += (await ada.next()).jobs
        assert sorted(told) == sorted(jobs)


async def test_killed_server_tells_what_it_had_not_told_yet_and_what_it_had_not_again(
    tmp_path: Path, database_url: str, service: PushService
) -> None:
    settings = {name.upper(): str(value) for name, value in (SIGNS_IN | {"database_url": database_url}).items()}
    ada = Browser(service)
    async with aiohttp.ClientSession() as session, serving(tmp_path, **settings) as (process, url, _):
        server = Served(session, url)
        await usable(url)
        await subscribe(server, ada, headers=bearer("ada"))
        first, second = await made(server), await made(server)
        await complete(server, first)
        assert (await ada.next()).jobs == [first]
        service.answers[ada.path] = [asyncio.Event()]
        await complete(server, second)
        for _ in (first, second):
            await asyncio.wait_for(service.asked.get(), 15)
        process.kill()
        await process.wait()
    async with serving(tmp_path, **settings):
        assert (await ada.next()).jobs == [second]


async def test_end_that_is_older_than_its_time_is_told_to_nobody(
    database_url: str, service: PushService, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "_TIDY_EVERY", 0.0)
    async with running(database_url, **SIGNS_IN, push_ttl=60) as server:
        ada = Browser(service)
        held = asyncio.Event()
        service.answers[ada.path] = [held]
        await subscribe(server, ada, headers=bearer("ada"))
        await complete(server, await made(server))
        await asyncio.wait_for(service.asked.get(), 15)
        await complete(server, await made(server))
        await until(lambda: sql("SELECT COUNT(*) FROM rushes_notices") == ((2,),))
        sql("UPDATE rushes_notices SET created_at = created_at - INTERVAL 61 SECOND")
        await until(lambda: sql("SELECT COUNT(*) FROM rushes_notices") == ((0,),))
        held.set()
        await ada.next()
        await complete(server, last := await made(server))
        assert (await ada.next()).jobs == [last]


async def test_server_tells_of_what_ends_after_somebody_subscribed_also_while_it_did_not_push(
    database_url: str, service: PushService, sql: Sql
) -> None:
    ada = Browser(service)
    async with running(database_url, **SIGNS_IN | {"push_poll": 600}) as server:
        await complete(server, await made(server))
        await subscribe(server, ada, headers=bearer("ada"))
        sql("DELETE FROM rushes_places WHERE name = 'push'")
        await complete(server, second := await made(server))
        await subscribe(server, ada, headers=bearer("ada"))
    async with running(database_url, auth_jwt_secret=SECRET) as server:
        await complete(server, third := await made(server))
    async with running(database_url, **SIGNS_IN):
        assert (await ada.next()).jobs == [third, second]
        assert ada.told.empty()


async def test_log_that_was_taken_back_does_not_end_the_telling(
    database_url: str, service: PushService, sql: Sql
) -> None:
    async with running(database_url, **SIGNS_IN) as server:
        ada = Browser(service)
        await subscribe(server, ada, headers=bearer("ada"))
        await until(lambda: sql("SELECT place FROM rushes_places WHERE name = 'push'"))
        sql("UPDATE rushes_push SET since = 1000000")
        sql("UPDATE rushes_places SET place = '1000000' WHERE name = 'push'")
        await until(lambda: sql("SELECT place FROM rushes_places WHERE name = 'push'") != (("1000000",),))
        await complete(server, last := await made(server))
        assert (await ada.next()).jobs == [last]


async def test_browser_in_which_somebody_else_signs_in_is_told_of_his_jobs_alone(
    database_url: str, service: PushService, sql: Sql
) -> None:
    async with running(database_url, **SIGNS_IN) as server:
        shared = Browser(service)
        held = asyncio.Event()
        service.answers[shared.path] = [held]
        await subscribe(server, shared, headers=bearer("ada"))
        await complete(server, first := await made(server))
        await asyncio.wait_for(service.asked.get(), 15)
        await complete(server, await made(server))
        await until(lambda: sql("SELECT COUNT(*) FROM rushes_notices") == ((2,),))
        await subscribe(server, shared, headers=bearer("bob"))
        assert sql("SELECT COUNT(*) FROM rushes_notices") == ((0,),)
        held.set()
        assert (await shared.next()).jobs == [first]
        await complete(server, await made(server))
        await complete(server, his := await made(server, "bob"))
        assert (await shared.next()).jobs == [his]


async def test_user_whom_the_site_does_not_know_any_more_is_told_nothing(
    database_url: str, service: PushService, sql: Sql
) -> None:
    site.furnish(sql)
    settings = SIGNS_IN | site.LOOK_UPS | {"auth_lookup_max_age": 0.05}
    async with running(database_url, **settings) as server:
        ada = Browser(service)
        await subscribe(server, ada, headers=bearer("user_Ada"))
        await complete(server, job_id := await made(server, "user_Ada"))
        assert (await ada.next()).jobs == [job_id]
        job_id = await made(server, "user_Ada")
        sql("UPDATE users SET clerkId = 'user_gone' WHERE id = 'user-1'")
        await asyncio.sleep(0.06)  # what was looked up counts for so long
        await complete(server, job_id)
        await until(lambda: sql("SELECT id FROM rushes_push") == ())
        assert ada.told.empty()
