"""A database that answers, and takes nothing: it has failed over to a replica, has too many guests, or a full disk."""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import pymysql
import pytest

from app.appkeys import SPOOL
from app.db.health import examine
from app.db.url import parameters
from tests.client import Client, running
from tests.databases import Sql
from tests.waiting import until
from tests.webhooks import webhook

APPLIED = "SELECT COUNT(*), MAX(attempts) FROM rushes_webhooks WHERE outcome = 'applied'"


@pytest.fixture
def url(database_url: str, sql: Sql) -> Iterator[str]:
    """As a user whom these limits concern; root is above them."""
    sql("CREATE USER IF NOT EXISTS 'site'@'localhost'")
    sql(f"GRANT ALL ON {parameters(database_url)['db']}.* TO 'site'@'localhost'")
    yield database_url.replace("mysql://root@", "mysql://site@")
    sql("SET GLOBAL read_only = 0")
    sql("SET GLOBAL max_connections = 200")


def sessions_begun(sql: Sql) -> int:
    return int(sql("SHOW GLOBAL STATUS LIKE 'Connections'")[0][1])


async def test_webhook_is_tried_again_until_the_database_can_be_written_to(url: str, sql: Sql) -> None:
    async with running(url) as server:
        await server.register("j1")
        sql("SET GLOBAL read_only = 1")
        before = sessions_begun(sql)
        posting = asyncio.create_task(server.send(webhook("j1", "generating")))
        # Each try that is refused ends its session.
        await until(lambda: sessions_begun(sql) >= before + 3)
        sql("SET GLOBAL read_only = 0")
        assert (await posting)[0] == 200
        assert sql(APPLIED) == ((1, 1),)


async def test_webhook_is_queued_where_the_database_stays_read_only_and_applied_later(url: str, sql: Sql) -> None:
    async with running(url, answer_budget=0.5) as server:
        await server.register("j1")
        sql("SET GLOBAL read_only = 1")
        code, body = await server.send(webhook("j1", "generating"))
        assert (code, body["status"]) == (202, "queued")
        sql("SET GLOBAL read_only = 0")
        await until(lambda: sql(APPLIED) == ((1, 1),))


async def test_webhook_is_queued_while_the_database_has_too_many_guests(url: str, sql: Sql) -> None:
    arguments = parameters(url)
    async with running(url) as server:
        await server.register("j1")
        assert (await server.send(webhook("j1", "processing")))[0] == 200
        sql("SET GLOBAL max_connections = 10")
        for (session,) in sql("SELECT id FROM information_schema.PROCESSLIST WHERE user = 'site' AND db IS NOT NULL"):
            sql(f"KILL {session}")
        guests = []
        with suppress(pymysql.err.OperationalError):  # too many connections
            while True:
                guests.append(pymysql.connect(unix_socket=arguments["unix_socket"], user="site"))
        code, _ = await server.send(webhook("j1", "generating"))
        assert code == 202
        for guest in guests:
            guest.close()
        await until(lambda: sql(APPLIED) == ((2, 1),))
        await until(lambda: server.app[SPOOL].pending == 0)


async def test_webhook_that_cannot_even_be_recorded_as_dead_is_queued_and_applied_later(
    database_url: str, sql: Sql
) -> None:
    async with running(database_url) as server:
        await server.register("j1")
        sql("CREATE TRIGGER full BEFORE INSERT ON rushes_webhooks FOR EACH ROW SIGNAL SQLSTATE '45000'")
        assert (await server.send(webhook("j1", "generating")))[0] == 202
        assert (await server.send({"job_id": "j1"}))[0] == 400
        sql("DROP TRIGGER full")
        await until(lambda: sql(APPLIED) == ((1, 1),))
        await until(
            lambda: sql("SELECT error_code FROM rushes_webhooks WHERE outcome = 'dead'") == (("invalid_payload",),)
        )


async def test_look_whether_the_database_can_be_written_to_touches_no_row_that_is_there(
    server: Client, database_url: str, sql: Sql
) -> None:
    """Not a job whose id a database takes for none, and none of the requests that senders are remembered by."""
    await server.register(" ")
    assert (await server.send(webhook(" ", "generating")))[0] == 200
    sql("INSERT INTO rushes_requests VALUES ('', 'a', 'j1', NOW(3), NULL)")
    tables = ("video_generations", "rushes_jobs", "rushes_requests", "rushes_webhooks", "rushes_events")
    with _holding(database_url, tables):
        await examine(database_url, 5)


@contextmanager
def _holding(database_url: str, tables: Iterable[str]) -> Iterator[None]:
    arguments = parameters(database_url)
    with pymysql.connect(
        unix_socket=arguments["unix_socket"], user=arguments["user"], database=arguments["db"]
    ) as other:
        cursor = other.cursor()
        for table in tables:
            cursor.execute(f"SELECT * FROM {table} FOR UPDATE")
            assert cursor.fetchall(), table
        yield
