"""The server starts before its database, as after a power cut: it takes webhooks at once, and begins when it can."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pymysql
import pytest

from app.appkeys import SPOOL
from app.db import migrate
from app.db.errors import NotMigratedError, RefusedError
from app.db.local import private_database
from app.db.url import parameters
from tests.client import Client, running
from tests.databases import MIGRATIONS, Sql
from tests.gate import Gate
from tests.processes import free_port, run, serving
from tests.servers import is_mysql
from tests.streams import events, later
from tests.waiting import drained, until
from tests.webhooks import webhook

SECRET = "the secret of the senders"


@pytest.fixture
async def shut(database_url: str) -> AsyncIterator[Gate]:
    """A database that is out of reach, until it is opened."""
    gate = Gate(database_url)
    await gate.open()
    await gate.shut()
    yield gate
    await gate.shut()


async def ready(server: Client, *, seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while (await server.read("/readyz"))[0] != 200:
            await asyncio.sleep(0.02)


def add_job(sql: Sql, name: str) -> None:
    sql("INSERT INTO video_generations (id, prompt, authorId, updatedAt) VALUES (%s, 'p', 'dev', NOW(3))", name)


async def test_server_that_starts_before_its_database_takes_webhooks_and_begins_when_it_comes(
    shut: Gate, sql: Sql, tmp_path: Path
) -> None:
    add_job(sql, "j1")
    async with running(shut.url, data_dir=tmp_path) as server:
        code, body = await server.send(webhook("j1", "generating"))
        assert (code, body["status"]) == (202, "queued")
        assert await server.read("/readyz") == (503, {"status": "degraded", "database": "out of reach"})
        assert (await server.read("/api/webhooks/video-completion"))[1]["status"] == "degraded"
        assert (await server.read("/healthz"))[0] == 200
        for path in ("/events", "/events/j1"):
            assert await later(server.session, server.url + path) == "unavailable"
        for path in ("/api/videos/user", "/api/videos/j1", "/api/admin/webhooks"):
            async with server.session.get(server.url + path) as answer:
                assert (answer.status, int(answer.headers["Retry-After"]) > 0) == (503, True), path
        await shut.open()
        await ready(server)
        await drained(server)
        async with events(server.session, f"{server.url}/events/j1") as source:
            assert (await source.next()).data["progress"] == 50
            assert (await server.send(webhook("j1", "downloading")))[0] == 200
            assert (await source.next()).data["progress"] == 75
        # Upkeep has begun too.
        assert (await server.send(webhook("late", "generating")))[0] == 404
        add_job(sql, "late")
        async with asyncio.timeout(10):
            while sql("SELECT progress FROM video_generations WHERE id = 'late'") != ((50,),):
                await asyncio.sleep(0.02)


async def test_database_that_accepts_and_says_nothing_holds_up_no_webhook_for_long(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"mysql://root@127.0.0.1:{silent.getsockname()[1]}/x"
        async with running(url, data_dir=tmp_path, db_timeout=0.2) as server:
            assert (await server.send(webhook("j1", "generating")))[0] == 202


async def test_production_waits_for_somebody_to_migrate_a_database_that_came_late(
    shut: Gate, sql: Sql, tmp_path: Path
) -> None:
    sql("DELETE FROM _yoyo_migration")
    sql("DROP TABLE rushes_webhooks, rushes_events")
    settings = {"data_dir": tmp_path, "app_env": "production", "webhook_secret": SECRET}
    async with running(shut.url, **settings) as server:
        await shut.open()
        async with asyncio.timeout(10):
            while (await server.read("/readyz"))[1]["database"] != "not migrated: run `rushes migrate`":
                await asyncio.sleep(0.02)
        assert (await server.send(webhook("j1", "generating"), {"X-Webhook-Secret": SECRET}))[0] == 202
        async with server.session.get(server.url + "/api/webhooks/video-completion") as answer:
            assert answer.status == 503
        assert sql("SHOW TABLES LIKE 'rushes_webhooks'") == ()
        await asyncio.to_thread(migrate.apply, shut.url)
        await ready(server)
        await drained(server)
    assert sql("SELECT outcome FROM rushes_webhooks") == (("parked",),)


async def test_development_migrates_a_database_that_came_late(shut: Gate, sql: Sql, tmp_path: Path) -> None:
    sql("SET FOREIGN_KEY_CHECKS = 0")
    for (table,) in sql("SHOW TABLES"):
        sql(f"DROP TABLE {table}")
    async with running(shut.url, data_dir=tmp_path) as server:
        assert (await server.send(webhook("j1", "generating")))[0] == 202
        await shut.open()
        await ready(server)
        await drained(server)
    assert sql("SELECT outcome FROM rushes_webhooks") == (("parked",),)


@pytest.mark.skipif(
    is_mysql(), reason="the gate is TCP before a socket, and MySQL's passwords want to know which it is"
)
async def test_database_that_comes_late_and_refuses_us_is_told_and_webhooks_stay_queued(
    shut: Gate, sql: Sql, tmp_path: Path
) -> None:
    sql("CREATE USER IF NOT EXISTS 'late'@'localhost' IDENTIFIED BY 'right'")
    sql("GRANT ALL ON *.* TO 'late'@'localhost'")
    async with running(shut.url.replace("root@", "late:wrong@"), data_dir=tmp_path) as server:
        assert (await server.send(webhook("j1", "generating")))[0] == 202
        await shut.open()
        async with asyncio.timeout(10):
            while (await server.read("/readyz"))[1]["database"] != "refuses this server: its log says why":
                await asyncio.sleep(0.02)
        sql("ALTER USER 'late'@'localhost' IDENTIFIED BY 'wrong'")
        await ready(server)
        await drained(server)


async def test_what_waiting_does_not_mend_ends_the_start(database_url: str, sql: Sql) -> None:
    with pytest.raises(RefusedError, match="Access denied"):
        async with running(database_url.replace("root@", "nobody:hush@")):
            pass
    with pytest.raises(RefusedError, match="Unknown database"):
        async with running(database_url.replace("/test_", "/absent_")):
            pass
    sql("DELETE FROM _yoyo_migration WHERE migration_id >= '0009'")
    lacking = len([path for path in MIGRATIONS if path.name >= "0009"])
    with pytest.raises(NotMigratedError, match=f"lacks {lacking} migrations; run `rushes migrate` first"):
        async with running(database_url, app_env="production", webhook_secret=SECRET):
            pass


@pytest.mark.parametrize(
    ("change", "told"),
    [(("root@", "nobody:hush@"), "Access denied"), (("/test_", "/absent_"), "Unknown database")],
)
async def test_wrong_database_url_is_one_sentence_at_the_start(
    tmp_path: Path, database_url: str, change: tuple[str, str], told: str
) -> None:
    code, out, err = await run(tmp_path, "serve", PORT=free_port(), DATABASE_URL=database_url.replace(*change))
    assert (code, err.count("\n")) == (1, 1), err
    assert err.startswith("rushes: cannot connect to the database at /")
    assert told in err
    assert "hush" not in out + err


async def test_server_and_database_are_started_together_and_the_database_is_slower(tmp_path: Path) -> None:
    folder = tmp_path / "database"
    async with private_database(folder) as url:
        await asyncio.to_thread(migrate.apply, url)
        arguments = parameters(url)
        with pymysql.connect(unix_socket=arguments["unix_socket"], user="root", database="rushes") as session:
            session.cursor().execute(
                "INSERT INTO video_generations (id, prompt, authorId, updatedAt) VALUES ('j1', 'p', 'dev', NOW(3))"
            )
            session.commit()
    async with serving(tmp_path, DATABASE_URL=url) as (process, address, _), aiohttp.ClientSession() as session:
        for status in ("processing", "generating"):
            async with session.post(f"{address}/api/webhooks/video-completion", json=webhook("j1", status)) as answer:
                assert (answer.status, (await answer.json())["status"]) == (202, "queued")
        async with private_database(folder) as again:
            assert again == url
            async with asyncio.timeout(30):
                while True:
                    async with session.get(f"{address}/api/videos/j1") as answer:
                        if answer.status == 200 and (await answer.json())["progress"] == 50:
                            break
                    await asyncio.sleep(0.02)
            process.terminate()
            await until(lambda: process.returncode is not None)
            assert process.returncode == 0


async def test_server_that_never_found_its_database_stops_cleanly_and_keeps_what_was_queued(
    shut: Gate, tmp_path: Path
) -> None:
    async with running(shut.url, data_dir=tmp_path) as server:
        assert (await server.send(webhook("j1", "generating")))[0] == 202
        assert server.app[SPOOL].pending == 1
    assert len([p for p in (tmp_path / "spool").iterdir() if p.suffix == ".sqlite3"]) == 1


async def test_server_that_is_stopped_while_it_waits_for_its_database_stops(database_url: str) -> None:
    gate = Gate(database_url)
    await gate.open()
    await gate.shut()
    for turn in range(10):
        async with running(gate.url, db_timeout=0.3):
            opening = asyncio.create_task(gate.open())
            await asyncio.sleep(0.05 * turn)
            await opening
        with contextlib.suppress(Exception):
            await gate.shut()
