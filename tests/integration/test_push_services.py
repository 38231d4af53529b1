"""A push service that refuses, fails, is silent or is no service: the others are told all the same, and once."""

import asyncio
import socket
import threading
from typing import Any

import pytest
import structlog
from aiohttp import web
from structlog.testing import LogCapture

from app import lookups
from app.upkeep import notify
from app.webpush import Subscription, WebPush
from tests.client import running
from tests.databases import Sql
from tests.push import KEY, SIGNS_IN, Browser, PushService, complete, made, subscribe
from tests.sign_in import bearer
from tests.waiting import until


def told_to_the_log(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    lines = LogCapture()
    log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[lines], wrapper_class=structlog.BoundLogger)
    monkeypatch.setattr(notify, "log", log)
    return lines.entries


@pytest.mark.parametrize("status", [404, 410])
async def test_browser_that_its_service_does_not_know_any_more_is_forgotten(
    database_url: str, service: PushService, sql: Sql, status: int
) -> None:
    async with running(database_url, **SIGNS_IN) as server:
        ada, other = Browser(service), Browser(service)
        service.answers[ada.path] = [web.Response(status=status)]
        for browser in (ada, other):
            await subscribe(server, browser, headers=bearer("ada"))
        await complete(server, await made(server))
        await other.next()
        await until(lambda: sql("SELECT id FROM rushes_push") == ((other.id,),))


@pytest.mark.parametrize("refusal", [503, 429, 403, 302])
async def test_message_that_was_not_taken_is_sent_again_later_and_keeps_nobody_waiting(
    database_url: str, service: PushService, sql: Sql, monkeypatch: pytest.MonkeyPatch, refusal: int
) -> None:
    monkeypatch.setattr(notify, "_PAUSE_MIN", 0.05)
    async with running(database_url, **SIGNS_IN) as server:
        ada, bob = Browser(service), Browser(service)
        elsewhere = {"Location": f"{bob.endpoint}"}
        service.answers[ada.path] = [web.Response(status=refusal, headers=elsewhere) for _ in range(2)]
        for user, browser in (("ada", ada), ("bob", bob)):
            await subscribe(server, browser, headers=bearer(user))
        mine, his = await made(server), await made(server, "bob")
        logs = told_to_the_log(monkeypatch)
        await complete(server, mine)
        await complete(server, his)
        assert (await bob.next()).jobs == [his]
        assert (await ada.next()).jobs == [mine]
        assert service.posted.count(bob.path) == 1, "a redirect was followed"
        assert [line["why"] for line in logs if line["event"] == "push_not_taken"] == [f"HTTP {refusal}"]
        assert ada.endpoint not in str(logs)
        await until(lambda: sql("SELECT failures, paused_until FROM rushes_push WHERE id = %s", ada.id) == ((0, None),))


async def test_service_says_how_long_it_is_left_alone(
    database_url: str, service: PushService, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "_PAUSE_MIN", 0.05)
    async with running(database_url, **SIGNS_IN) as server:
        ada = Browser(service)
        service.answers[ada.path] = [web.Response(status=429, headers={"Retry-After": "999"})]
        await subscribe(server, ada, headers=bearer("ada"))
        await complete(server, await made(server))
        left = "SELECT TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), paused_until) FROM rushes_push WHERE failures = 1"
        await until(lambda: sql(left))
        ((seconds,),) = sql(left)
        assert 980 < seconds < 1000


async def test_browser_whose_service_fails_again_and_again_is_forgotten(
    database_url: str, service: PushService, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "_PAUSE_MAX", 0.01)
    monkeypatch.setattr(notify, "_FAILURES_MAX", 3)
    async with running(database_url, **SIGNS_IN) as server:
        ada = Browser(service)
        service.answers[ada.path] = [web.Response(status=500) for _ in range(5)]
        await subscribe(server, ada, headers=bearer("ada"))
        await complete(server, await made(server))
        await until(lambda: sql("SELECT id FROM rushes_push") == ())
        assert len(service.posted) == 3


async def test_message_that_no_service_would_take_is_not_sent_again(database_url: str, service: PushService) -> None:
    async with running(database_url, **SIGNS_IN) as server:
        ada = Browser(service)
        service.answers[ada.path] = [web.Response(status=413)]
        await subscribe(server, ada, headers=bearer("ada"))
        await complete(server, await made(server))
        await asyncio.wait_for(service.asked.get(), 15)
        await complete(server, second := await made(server))
        assert (await ada.next()).jobs == [second]


async def test_service_that_is_silent_is_given_up_after_its_time_and_keeps_nobody_waiting(
    database_url: str, service: PushService, sql: Sql
) -> None:
    async with running(database_url, **SIGNS_IN, push_timeout=0.3) as server:
        ada, bob = Browser(service), Browser(service)
        service.answers[ada.path] = [asyncio.Event()]
        await subscribe(server, ada, headers=bearer("ada"))
        await subscribe(server, bob, headers=bearer("bob"))
        await complete(server, await made(server))
        await asyncio.wait_for(service.asked.get(), 15)
        await complete(server, await made(server, "bob"))
        await bob.next()
        await until(lambda: sql("SELECT failures FROM rushes_push WHERE id = %s", ada.id) == ((1,),))


async def test_user_whose_services_are_all_silent_leaves_room_for_the_others(
    database_url: str, service: PushService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "_AT_ONCE", 4)
    async with running(database_url, **SIGNS_IN, push_timeout=60) as server:
        mallory, bob = [Browser(service) for _ in range(6)], Browser(service)
        for browser in mallory:
            service.answers[browser.path] = [asyncio.Event()]
            await subscribe(server, browser, headers=bearer("mallory"))
        await subscribe(server, bob, headers=bearer("bob"))
        await complete(server, await made(server, "mallory"))
        for _ in range(notify._AT_ONCE_OF_USER):
            await asyncio.wait_for(service.asked.get(), 15)
        await complete(server, theirs := await made(server, "bob"))
        assert (await bob.next()).jobs == [theirs]


async def test_message_is_taken_by_its_status_whatever_comes_after_it(
    database_url: str, service: PushService, sql: Sql
) -> None:
    async with running(database_url, **SIGNS_IN) as server:
        ada = Browser(service)
        service.answers[ada.path] = [web.Response(status=201, body=b"no gzip", headers={"Content-Encoding": "gzip"})]
        await subscribe(server, ada, headers=bearer("ada"))
        await complete(server, await made(server))
        await asyncio.wait_for(service.asked.get(), 15)
        await until(lambda: sql("SELECT COUNT(*) FROM rushes_notices") == ((0,),))
        assert sql("SELECT failures FROM rushes_push") == ((0,),)


async def test_name_that_leads_into_a_network_of_ours_is_not_connected_to() -> None:
    came = asyncio.Event()

    async def listen(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set()
        writer.close()

    listening = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    sender = WebPush(KEY, "mailto:ops@rushes.example", wait=5)
    body = Browser(PushService()).subscription["keys"]
    try:
        for host in ("localhost", "127.0.0.1", "127.1", "2130706433", "0.0.0.0"):
            answer = await sender.send(Subscription(f"http://{host}:{port}/", **body), b"{}", 60)
            assert answer.status == 0
            assert not came.is_set(), host
    finally:
        await sender.close()
        listening.close()


async def test_names_that_nobody_answers_for_hold_up_no_other_name_and_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    found, silent = socket.getaddrinfo, threading.Event()

    def look_up(host: str, *rest: Any, **more: Any) -> Any:
        if host.endswith(".silent.example"):
            silent.wait(60)  # as the resolver of the system does, however soon its caller gives up
        return found(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    sender = WebPush(KEY, "mailto:ops@rushes.example", wait=0.2)
    keys = Browser(PushService()).subscription["keys"]
    endpoints = [f"https://{number}.silent.example/" for number in range(100)]
    try:
        answers = await asyncio.gather(
            *(sender.send(Subscription(endpoint, **keys), b"{}", 60) for endpoint in endpoints)
        )
        assert {answer.status for answer in answers} == {0}
        async with asyncio.timeout(5):
            await asyncio.to_thread(int)
            await asyncio.get_running_loop().getaddrinfo("localhost", 80)
        waiting = [thread for thread in threading.enumerate() if thread.name == lookups.THREAD]
        assert 0 < len(waiting) <= lookups.MOST
        assert all(thread.daemon for thread in waiting), "they do not keep the process from ending"
    finally:
        silent.set()
        await sender.close()
