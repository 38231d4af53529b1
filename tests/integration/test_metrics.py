"""/metrics: who may read it, and that its figures are those of what happened."""

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.web import PlainResource
from prometheus_client.parser import text_string_to_metric_families

from app.appkeys import METRICS, SIBLINGS
from app.auth import jwks
from app.metrics import gauge, packed
from app.refusals import refuse_unsafe
from app.settings import SettingsError
from app.siblings import Siblings
from tests.client import Client, GivenSettings, OwnServer, running
from tests.gate import Gate
from tests.processes import serving, workers_of
from tests.sign_in import Issuer
from tests.waiting import until
from tests.webhooks import webhook

TOKEN = "a token of the figures alone"
SECRET = "a secret of all the senders"

Figures = dict[str, dict[tuple[tuple[str, str], ...], float]]


def parsed(text: str) -> Figures:
    """By name, what each set of labels has."""
    found: Figures = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            assert labels not in found.setdefault(sample.name, {}), f"{sample.name} {labels} is there twice"
            found[sample.name][labels] = sample.value
    return found


def total(figures: Figures, name: str, **labels: str) -> float:
    return sum(value for of, value in figures.get(name, {}).items() if labels.items() <= dict(of).items())


async def scraped(server: Client) -> Figures:
    async with server.get("/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        return parsed(await answer.text())


async def status(server: Client, **headers: str) -> int:
    async with server.get("/metrics", headers=headers) as answer:
        if answer.status != 200:
            assert "rushes_" not in await answer.text()
        return answer.status


async def test_webhooks_are_counted_by_outcome_and_requests_by_route_and_status(server: Client) -> None:
    await server.register("j1")
    moved = webhook("j1", "generating")
    late = webhook("j1", "processing", at="2020-01-01T00:00:00Z")
    for body in (moved, moved, late, webhook("nobody", "processing")):
        await server.send(body)
    await server.send(b"{}")
    await server.read("/api/videos/j1")
    await server.read("/api/videos/j2")
    figures = await scraped(server)
    for outcome in ("applied", "duplicate", "stale", "parked", "dead"):
        assert total(figures, "rushes_webhooks_total", outcome=outcome) == 1, outcome
    route = "/api/webhooks/video-completion"
    assert total(figures, "rushes_http_requests_total", route=route, method="POST") == 5
    assert total(figures, "rushes_http_request_seconds_count", route=route) == 5
    of_jobs = "/api/videos/{job_id}"
    assert total(figures, "rushes_http_requests_total", route=of_jobs, method="GET", status="200") == 1
    assert total(figures, "rushes_http_requests_total", route=of_jobs, method="GET", status="404") == 1
    assert total(figures, "rushes_waiting_webhooks", outcome="parked") == 1
    assert total(figures, "rushes_waiting_webhooks", outcome="dead") == 1
    assert total(figures, "rushes_jobs", state="PROCESSING") == 1
    assert figures["rushes_oldest_unfinished_job_timestamp_seconds"][()] > 1.7e9
    assert total(figures, "rushes_dependency_up", dependency="database") == 1
    assert total(figures, "process_resident_memory_bytes") > 1e6


async def test_streams_and_what_is_written_to_them_are_counted(server: Client) -> None:
    await server.register("j1")
    async with server.events("/events/j1") as one, server.session.ws_connect(f"{server.url}/ws") as socket:
        await one.next()
        await socket.receive()
        figures = await scraped(server)
        assert total(figures, "rushes_streams", transport="sse") == 1
        assert total(figures, "rushes_streams", transport="websocket") == 1
        before = total(figures, "rushes_stream_writes_total")
        await server.send(webhook("j1", "generating"))
        await one.next()
        await socket.receive()
        figures = await scraped(server)
        assert total(figures, "rushes_stream_writes_total") == before + 2
        assert total(figures, "rushes_events_handed_on_total") == 2
        assert total(figures, "rushes_lag_events") == 0
    async with asyncio.timeout(10):
        while total(figures, "rushes_streams_ended_total") != 2:
            figures = await scraped(server)
    assert total(figures, "rushes_streams") == 0


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP", "CF-Connecting-IP"])
async def test_what_a_proxy_passes_on_needs_the_token(database_url: str, header: str) -> None:
    async with running(database_url, metrics_token=TOKEN) as server:
        assert await status(server) == 200
        passed_on = {header: "127.0.0.1"}
        assert await status(server, **passed_on) == 401
        assert await status(server, **passed_on, Authorization="Bearer something else") == 401
        assert await status(server, **passed_on, Authorization=f"Basic {TOKEN}") == 401
        assert await status(server, **passed_on, Authorization=f"Bearer {TOKEN}") == 200


async def test_page_elsewhere_whose_name_was_made_to_point_here_reads_nothing(server: Client) -> None:
    assert await status(server, Host="elsewhere.example") == 401


async def test_request_that_names_no_host_reads_nothing(server: Client) -> None:
    reader, writer = await asyncio.open_connection(server.server.host, server.server.port)
    writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.0 401")
    assert b"rushes_" not in answer


async def test_page_of_another_origin_reads_nothing_even_one_that_may_call_the_api(database_url: str) -> None:
    """By the browser of somebody at this machine, or at the end of a tunnel to it."""
    async with running(database_url, cors_origins="https://site.example", metrics_token=TOKEN) as server:
        page = {"Origin": "https://site.example"}
        assert await status(server, **page) == 401
        assert await status(server, **{"Sec-Fetch-Site": "cross-site"}) == 401
        assert await status(server, **{"Sec-Fetch-Site": "same-site"}) == 401
        assert await status(server, **{"Sec-Fetch-Site": "none"}) == 200
        assert await status(server, **page, Authorization=f"Bearer {TOKEN}") == 200


async def test_without_a_token_nothing_that_is_sent_is_one(server: Client) -> None:
    for sent in ("Bearer", "Bearer ", "Bearer None", "Bearer \xff"):
        assert await status(server, Via="1.1 a", Authorization=sent) == 401


async def test_who_guesses_tokens_is_made_to_wait(database_url: str) -> None:
    async with running(database_url, metrics_token=TOKEN, auth_failures_per_minute=3) as server:
        answers = [await status(server, Via="1.1 a", Authorization=f"Bearer {guess}") for guess in range(5)]
        assert answers == [401, 401, 401, 429, 429]
        assert await status(server, Via="1.1 a", Authorization=f"Bearer {TOKEN}") == 200


@pytest.mark.parametrize("token", [" ", "short", SECRET])
def test_token_that_can_be_guessed_or_that_senders_have_is_refused(token: str) -> None:
    given: dict[str, Any] = {"app_env": "production", "database_url": "mysql://u@h/d", "webhook_secret": SECRET}
    refuse_unsafe(GivenSettings(**given, auth_jwt_secret="s" * 16 + "t" * 16, metrics_token=TOKEN))
    with pytest.raises(SettingsError, match="METRICS_TOKEN"):
        refuse_unsafe(GivenSettings(**given, auth_jwt_secret="s" * 16 + "t" * 16, metrics_token=token))


async def test_nothing_that_clients_make_up_becomes_a_series(server: Client) -> None:
    async def make_up(number: int) -> None:
        async with server.request(("PROPFIND", "MKCOL", "LOCK")[number % 3], f"/made/up/{number}") as answer:
            assert answer.status == 404
        async with server.get(f"/api/videos/made-up-{number}") as answer:
            assert answer.status == 404

    await make_up(0)
    before = len((await scraped(server))["rushes_http_requests_total"])
    for number in range(1, 20):
        await make_up(number)
    text = str(await scraped(server))
    assert "PROPFIND" not in text
    assert "made" not in text
    # That of /metrics itself is there from its first answer on.
    assert len((await scraped(server))["rushes_http_requests_total"]) == before + 1


async def test_while_the_database_is_away_what_a_process_has_is_told_and_nothing_old(database_url: str) -> None:
    gate = Gate(database_url)
    await gate.open()
    async with running(gate.url, health_timeout=0.3) as server:
        await server.register("j1")
        assert total(await scraped(server), "rushes_dependency_up", dependency="database") == 1
        await gate.shut()
        assert (await server.send(webhook("j1", "generating")))[0] == 202
        figures = await scraped(server)
        assert total(figures, "rushes_dependency_up", dependency="database") == 0
        assert total(figures, "rushes_spooled_webhooks") == 1
        assert "rushes_jobs" not in figures
        assert "rushes_lag_events" not in figures
        await gate.open()
    await gate.shut()


async def fresh(url: str, **headers: str) -> Figures:
    """Over a connection of its own, which may meet any worker."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics", headers=headers) as answer:
        assert answer.status == 200
        return parsed(await answer.text())


async def test_every_worker_tells_the_figures_of_all_and_those_of_one_that_was_killed_begin_again(
    tmp_path: Path, database_url: str
) -> None:
    async with serving(tmp_path, DATABASE_URL=database_url, WORKERS=2) as (process, url, _):
        sent = 30
        for number in range(sent):
            async with aiohttp.ClientSession() as session:
                body: dict[str, Any] = webhook("nobody", "processing", at=f"2025-10-23T14:00:{number:02}Z")
                async with session.post(f"{url}/api/webhooks/video-completion", json=body) as answer:
                    assert answer.status == 404
        for _ in range(8):
            figures = await fresh(url)
            counted = [total(figures, "rushes_webhooks_total", outcome="parked", worker=place) for place in "01"]
            assert min(counted) > 0
            assert sum(counted) == sent
            assert total(figures, "rushes_waiting_webhooks", outcome="parked") == sent
            assert len(figures["process_resident_memory_bytes"]) == 2
        killed, _ = workers_of(process)
        os.kill(killed, signal.SIGSTOP)  # one that hangs is left out
        asked = [asyncio.create_task(fresh(url)) for _ in range(20)]  # of which some meet the other
        done, hanging = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        assert {len(one.result()["rushes_build_info"]) for one in done} == {1}
        for one in hanging:
            one.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
        os.kill(killed, signal.SIGKILL)
        await until(lambda: len(workers_of(process)) == 2 and killed not in workers_of(process))
        async with asyncio.timeout(30):
            while len((await fresh(url))["rushes_build_info"]) != 2:
                await asyncio.sleep(0.05)
        assert total(await fresh(url), "rushes_webhooks_total") < sent


async def test_streams_do_not_wait_while_figures_are_put_together(server: Client) -> None:
    assert server.app is not None
    counts = server.app[METRICS]
    for number in range(10_000):
        counts.answered(PlainResource(f"/{number}"), "GET", 200, 0.1)

    async def asked() -> float:
        began = time.thread_time()
        async with server.get("/metrics") as answer:
            await answer.read()
        return time.thread_time() - began

    def made() -> float:
        began = time.thread_time()
        counts.families()
        return time.thread_time() - began

    of_the_loop = min([await asked() for _ in range(5)])
    assert of_the_loop < min(made() for _ in range(5)) / 2


async def test_figures_of_a_worker_that_cannot_ask_the_others_are_not_taken_for_theirs(database_url: str) -> None:
    own = OwnServer(database_url)
    own.app[SIBLINGS] = Siblings(None, 1, 2)
    async with Client(own) as server:
        await server.send(webhook("nobody", "processing"))
        figures = await scraped(server)
        assert total(figures, "rushes_webhooks_total", worker="1") == 1
        assert total(figures, "rushes_build_info", worker="1") == 1
        assert [*figures["rushes_dependency_up"]] == [(("dependency", "database"),)]


async def test_scrape_waits_for_no_issuer_that_hangs_and_asks_the_others_meanwhile(
    database_url: str, issuer: Issuer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(jwks, "_SECONDS", 600)
    issuer.add("a")
    issuer.answers.clear()
    given = {"app_env": "production", "webhook_secret": SECRET, "auth_jwks_url": issuer.url}
    own = OwnServer(database_url, health_timeout=1, **given)
    own.app[SIBLINGS] = Siblings(str(tmp_path), 0, 2)
    asked = asyncio.Event()

    async def tell() -> bytes:
        asked.set()
        return packed([])

    async with Siblings(str(tmp_path), 1, 2).telling(tell), Client(own) as server, asyncio.timeout(60):
        scraping = asyncio.create_task(scraped(server))
        await asked.wait()
        assert not scraping.done()
        assert total(await scraping, "rushes_dependency_up", dependency="jwks") == 0
        assert (await server.read("/readyz"))[1]["jwks"] == "out of reach"
        issuer.answers.set()
        while total(await scraped(server), "rushes_dependency_up", dependency="jwks") == 0:
            await asyncio.sleep(0.05)
        assert issuer.asked == 1


async def test_worker_that_is_killed_while_it_tells_is_left_out(database_url: str, tmp_path: Path) -> None:
    own = OwnServer(database_url)
    own.app[SIBLINGS] = Siblings(str(tmp_path), 0, 3)
    whole = packed([gauge("rushes_build_info", "The version that runs.", {"1": 1}, "version")])

    async def tell_all() -> bytes:
        return whole

    async def tell_half() -> bytes:
        return whole[: len(whole) // 2]

    one, other = Siblings(str(tmp_path), 1, 3), Siblings(str(tmp_path), 2, 3)
    async with one.telling(tell_all), other.telling(tell_half), Client(own) as server:
        figures = await scraped(server)
    assert {dict(labels)["worker"] for labels in figures["rushes_build_info"]} == {"0", "1"}
