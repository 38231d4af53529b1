"""The `rushes` command as people run it: a process of its own, with its own private database."""

import asyncio
import json
import os
import shlex
import signal
import socket
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pytest_aiohttp.plugin import AiohttpServer

from tests.client import running
from tests.databases import Sql
from tests.processes import databases_of, free_port, really_start, run, serving, stderr
from tests.streams import events
from tests.waiting import until
from tests.webhooks import webhook


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_signal_stops_server_and_database_cleanly_and_data_is_kept(tmp_path: Path, how: signal.Signals) -> None:
    async with serving(tmp_path, start=really_start) as (process, url, _):
        async with aiohttp.ClientSession() as session:
            async with session.post(f"{url}/api/videos", json={"job_id": "kept", "prompt": "p"}) as answer:
                assert answer.status == 201
            async with events(session, f"{url}/events") as source:
                await source.next()
                process.send_signal(how)
                assert await source.next_or_end() is None
        async with asyncio.timeout(15):
            assert await process.wait() == 0
    assert databases_of(tmp_path) == []
    async with serving(tmp_path) as (_, url, _), aiohttp.ClientSession() as session:
        async with session.get(f"{url}/api/videos/kept") as answer:
            assert answer.status == 200


async def test_killed_server_leaves_no_database_and_the_next_start_recovers(tmp_path: Path) -> None:
    async with serving(tmp_path) as (process, url, _), aiohttp.ClientSession() as session:
        async with session.post(f"{url}/api/videos", json={"job_id": "j1", "prompt": "p"}):
            pass
        async with session.post(f"{url}/api/webhooks/video-completion", json=webhook("j1", "generating")) as answer:
            assert answer.status == 200
        assert databases_of(tmp_path)
        process.kill()
        await process.wait()
    await until(lambda: not databases_of(tmp_path))
    async with serving(tmp_path) as (_, url, _), aiohttp.ClientSession() as session:
        async with session.get(f"{url}/api/videos/j1") as answer:
            assert (await answer.json())["progress"] == 50


@pytest.mark.parametrize("workers", [1, 2])
async def test_killed_database_is_started_again_and_what_came_meanwhile_is_applied(
    tmp_path: Path, workers: int
) -> None:
    async with serving(tmp_path, WORKERS=workers) as (process, url, _), aiohttp.ClientSession() as session:
        async with session.post(f"{url}/api/videos", json={"job_id": "j1", "prompt": "p"}) as answer:
            assert answer.status == 201
        async with events(session, f"{url}/events/j1") as source, asyncio.timeout(30):
            assert (await source.next()).data["progress"] == 0
            for status, progress in (("processing", 25), ("generating", 50)):
                [database] = databases_of(tmp_path)
                os.kill(database, signal.SIGKILL)
                async with session.post(f"{url}/api/webhooks/video-completion", json=webhook("j1", status)) as answer:
                    assert answer.status in (200, 202)
                assert (await source.next()).data["progress"] == progress
                # It may serve before whoever started it has seen that.
                for event in ("private_database_ended", "private_database_started_again"):
                    await told(process, event)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            _, err = await process.communicate()
        assert (process.returncode, databases_of(tmp_path)) == (0, [])
        assert b"private_database_ended" not in err


async def told(process: asyncio.subprocess.Process, event: str) -> dict[str, Any]:
    """The log's next line of that event; no traceback before it."""
    async with asyncio.timeout(20):
        while line := await stderr(process).readline():
            assert b"Traceback" not in line
            if f'"{event}"'.encode() in line:
                said: dict[str, Any] = json.loads(line)
                return said
    raise AssertionError(f"it ended before {event}")


async def test_killed_database_that_cannot_start_says_why_and_starts_once_it_can(tmp_path: Path) -> None:
    async with serving(tmp_path) as (process, _, _):
        files, elsewhere = tmp_path / ".data/mysql", tmp_path / "elsewhere"
        files.rename(elsewhere)
        os.kill(databases_of(tmp_path)[0], signal.SIGKILL)
        assert (await told(process, "private_database_ended"))["exit_code"] == -signal.SIGKILL
        assert str(files) in (await told(process, "private_database_not_started"))["error"]
        elsewhere.rename(files)
        await told(process, "private_database_started_again")
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            await process.communicate()
        assert (process.returncode, databases_of(tmp_path)) == (0, [])


async def test_server_told_to_stop_while_its_database_is_started_again_leaves_none(tmp_path: Path) -> None:
    async with serving(tmp_path) as (process, _, _):
        [database] = databases_of(tmp_path)
        os.kill(database, signal.SIGKILL)
        await told(process, "private_database_ended")
        await until(lambda: databases_of(tmp_path))
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(20):
            await process.communicate()
        assert (process.returncode, databases_of(tmp_path)) == (0, [])


async def test_printed_curl_works_when_pasted_and_moves_the_bar(tmp_path: Path) -> None:
    async with serving(tmp_path, SIMULATED_STEP="0.1") as (_, url, printed), aiohttp.ClientSession() as session:
        (line,) = [line.strip() for line in printed.splitlines() if line.strip().startswith("curl ")]
        async with events(session, f"{url}/events") as source:
            await source.next()
            curl = await asyncio.create_subprocess_exec(*shlex.split(line), "-sf", stdout=asyncio.subprocess.DEVNULL)
            assert await curl.wait() == 0
            seen: list[int] = []
            while not seen or seen[-1] < 100:
                seen.append((await source.next()).data["progress"])
        assert seen == [0, 25, 50, 75, 100]


async def test_smoke_passes_its_nine_checks_and_send_moves_a_job(tmp_path: Path, database_url: str) -> None:
    async with serving(tmp_path, DATABASE_URL=database_url) as (_, url, _):
        code, out, err = await run(tmp_path, "smoke", url, start=really_start)
        assert (code, out.splitlines()[-2]) == (0, "9 of 9"), out + err
        async with aiohttp.ClientSession() as session:
            async with session.post(f"{url}/api/videos", json={"job_id": "j1", "prompt": "p"}):
                pass
            code, out, err = await run(tmp_path, "send", url, "--job-id", "j1", "--status", "generating")
            assert code == 0, err
            assert '"progress":50' in out
    assert not (tmp_path / ".data/mysql").exists()


async def test_with_a_database_url_migrate_works_and_starts_no_private_database(
    tmp_path: Path, database_url: str
) -> None:
    code, out, _ = await run(tmp_path, "migrate", DATABASE_URL=database_url)
    assert code == 0
    assert "up to date" in out or "applied" in out
    assert (await run(tmp_path, "migrate", DATABASE_URL=database_url, APP_ENV="production"))[0] == 0
    assert not (tmp_path / ".data").exists()


async def test_database_that_lacks_our_tables_or_gives_no_rights_is_told_in_one_sentence(
    tmp_path: Path, mariadb: dict[str, Any], sql: Sql
) -> None:
    sql("CREATE DATABASE IF NOT EXISTS bare")
    sql("CREATE USER IF NOT EXISTS 'reader'@'localhost'")
    sql("GRANT SELECT ON *.* TO 'reader'@'localhost'")
    sql("CREATE USER IF NOT EXISTS 'blind'@'localhost'")
    sql("GRANT INSERT ON *.* TO 'blind'@'localhost'")
    unix_socket = quote(mariadb["unix_socket"], safe="")
    (ours,) = sql("SELECT DATABASE()")[0]
    for arguments, user, name, told in (
        (["purge"], "root", "bare", "run `rushes migrate` first"),
        (["purge"], "reader", ours, "INSERT command denied"),
        (["migrate"], "reader", "bare", "command denied"),
        (["dead", "list"], "blind", ours, "SELECT command denied"),
        (["dead", "list"], "root", "bare", "run `rushes migrate` first"),
    ):
        url = f"mysql://{user}@localhost/{name}?unix_socket={unix_socket}"
        code, out, err = await run(tmp_path, *arguments, DATABASE_URL=url)
        assert (code, out, err.count("\n")) == (1, "", 1), err
        assert err.startswith("rushes: the database")
        assert told in err


async def test_taken_port_is_one_sentence_that_says_what_to_do(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, err = await run(tmp_path, "serve", PORT=port)
    assert (code, err.count("\n")) == (1, 1)
    assert err.startswith(f"rushes: port {port} is taken; ")
    assert not (tmp_path / ".data").exists()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"APP_ENV": "production"}, "WEBHOOK_SECRET and DATABASE_URL"),
        ({"HOST": "0.0.0.0"}, "bind to 127.0.0.1"),
        ({"HOST": "banana.invalid"}, "HOST is neither an address nor a name"),
        ({"HOST": "192.0.2.1"}, "bind to 127.0.0.1"),
        ({"PORT": "many"}, "PORT is not usable"),
        ({"WEBHOOK_SECRET": "whsec_QQ=="}, "WEBHOOK_SECRET is not usable"),
        ({"DATABASE_URL": "mysql://root:hush@db.example/x?sslmode=prefer"}, "asks by sslmode for a connection"),
        ({"DATABASE_URL": "postgres://x/y"}, "mysql://user:password@host:port/database"),
        ({"DATABASE_URL": "mysql://root:hush@db.example:many/x"}, "a port that is not a number"),
        ({"DATABASE_URL": "mysql://root:hush@[::1/x"}, "DATABASE_URL is not usable: it must look like mysql://"),
        ({"DATABASE_URL": "mysql://root:hush\u2100@h/x"}, "DATABASE_URL is not usable: it must look like mysql://"),
        ({"STALL_AFTER": "inf"}, "STALL_AFTER is not usable"),
        ({"RETENTION_DAYS": "1e9"}, "RETENTION_DAYS is not usable"),
        ({"REDIS_URL": "redis://:hush@h:port"}, "REDIS_URL must look like redis://user:password@host:6379"),
    ],
)
async def test_setting_that_cannot_work_is_told_in_one_sentence(
    tmp_path: Path, settings: dict[str, str], told: str
) -> None:
    code, out, err = await run(tmp_path, "serve", **({"PORT": free_port()} | settings))
    assert (code, err.count("\n")) == (1, 1), err
    assert told in err
    assert "Traceback" not in err
    assert "hush" not in out + err


async def test_send_tries_again_with_the_same_id_until_it_is_taken(
    aiohttp_server: AiohttpServer, tmp_path: Path
) -> None:
    ids = []

    async def flaky(request: web.Request) -> web.Response:
        ids.append(request.headers["webhook-id"])
        if len(ids) < 3:
            return web.json_response({}, status=503, headers={"Retry-After": "0"})
        return web.json_response({"success": True})

    app = web.Application()
    app.router.add_post("/api/webhooks/video-completion", flaky)
    server = await aiohttp_server(app)
    code, _, err = await run(
        tmp_path, "send", str(server.make_url("")).rstrip("/"), "--job-id", "j", "--status", "pending"
    )
    assert code == 0, err
    assert len(ids) == 3
    assert len(set(ids)) == 1


@pytest.mark.parametrize("url", ["localhost:9", "nonsense", "http://127.0.0.1:1"])
async def test_send_to_nowhere_is_told_without_a_traceback(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = await run(tmp_path, "send", url, "--job-id", "j", "--status", "pending", "--attempts", "1")
    assert code == 1
    assert "not delivered" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("url", ["localhost:9", "nonsense"])
async def test_smoke_of_what_is_no_address_says_so_once(tmp_path: Path, url: str) -> None:
    code, out, err = await run(tmp_path, "smoke", url)
    assert (code, out) == (1, "")
    assert err == f"rushes: {url} is no address: it must begin with http:// or https://\n"


@pytest.mark.parametrize("command", [["smoke"], ["send", "--job-id", "j", "--status", "pending"]])
@pytest.mark.parametrize("scheme", ["http", "ftp"])
async def test_password_in_an_address_is_neither_sent_nor_printed(
    tmp_path: Path, command: list[str], scheme: str
) -> None:
    code, out, err = await run(tmp_path, *command, f"{scheme}://ada:hush@127.0.0.1:1/")
    assert code == 1
    assert "leave that out" in err
    assert "hush" not in out + err


async def test_server_here_is_the_one_that_is_meant_where_no_address_is_given(
    tmp_path: Path, database_url: str
) -> None:
    async with running(database_url) as server:
        here = {"HOST": "0.0.0.0", "PORT": str(urlsplit(server.url).port)}
        assert (await run(tmp_path, "smoke", **here))[0] == 0
        await server.register("j1")
        assert (await run(tmp_path, "send", "--job-id", "j1", "--status", "pending", **here))[0] == 0


@pytest.mark.parametrize(
    "secret",
    ["plain", "pâté €", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "plain,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
)
async def test_send_proves_who_it_is(tmp_path: Path, database_url: str, secret: str) -> None:
    async with running(database_url, webhook_secret=secret, webhook_require_signature="whsec" in secret) as server:
        await server.register("j1")
        arguments = ("send", server.url, "--job-id", "j1", "--status", "generating")
        assert (await run(tmp_path, *arguments))[0] == 1
        assert (await run(tmp_path, *arguments, WEBHOOK_SECRET=secret))[0] == 0


async def test_end_comes_in_time_whatever_still_hangs(tmp_path: Path, database_url: str) -> None:
    async def hang(_request: web.Request) -> web.Response:
        reached.set()
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    reached = asyncio.Event()
    backend = web.Application()
    backend.router.add_post("/api/videos/generate", hang)
    async with (
        TestServer(backend, shutdown_timeout=0) as started,
        serving(tmp_path, DATABASE_URL=database_url, GENERATOR_URL=str(started.make_url("/")), SHUTDOWN_GRACE="3") as (
            process,
            url,
            _,
        ),
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url}/ws", autoclose=False),  # never answers the close
    ):
        order = asyncio.create_task(session.post(f"{url}/api/videos/generate", json={"prompt": "the sea"}))
        await reached.wait()
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(5):
            assert await process.wait() == 0
        with pytest.raises(aiohttp.ClientError):
            await order
