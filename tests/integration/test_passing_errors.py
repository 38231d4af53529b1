"""Errors of the database that have nothing to do with what was sent: nobody's webhook is lost for them."""

import asyncio
from pathlib import Path

import pymysql
import pytest

from app.appkeys import SPOOL, WRITER
from tests.client import running
from tests.databases import Sql
from tests.tables import break_table, mend
from tests.waiting import until
from tests.webhooks import completion, video, webhook
from tests.writing import add_jobs

PASSING = [1030, 1047, 1105, 1114, 1180, 1205, 1206, 1226, 1317, 1412, 3024, 3101, 9001]

OUTCOMES = "SELECT outcome, error_code, COUNT(*) FROM rushes_webhooks GROUP BY outcome, error_code"
STATE = "SELECT status FROM video_generations"


@pytest.mark.parametrize("number", PASSING)
async def test_webhook_is_tried_again_while_that_lasts(database_url: str, sql: Sql, number: int) -> None:
    async with running(database_url) as server:
        await server.register("j1")
        break_table(sql, "video_generations", number)
        posting = asyncio.create_task(server.send(webhook("j1", "generating")))
        done, _ = await asyncio.wait([posting], timeout=0.1)
        assert not done
        await mend(sql)
        assert (await posting)[0] == 200
        assert sql(OUTCOMES) == (("applied", None, 1),)


@pytest.mark.parametrize("number", PASSING)
async def test_webhook_is_queued_where_that_lasts_and_applied_afterwards(
    database_url: str, sql: Sql, number: int
) -> None:
    async with running(database_url, answer_budget=0.3) as server:
        await server.register("j1")
        break_table(sql, "video_files", number, when="INSERT")
        code, body = await server.send(completion("j1", video("k1")))
        assert (code, body["status"]) == (202, "queued")
        await mend(sql)
        await until(lambda: sql(OUTCOMES) == (("applied", None, 1),))
        assert sql(STATE) == (("COMPLETED",),)


@pytest.mark.parametrize("number", PASSING)
async def test_registration_says_when_to_come_back(database_url: str, sql: Sql, number: int) -> None:
    async with running(database_url) as server:
        break_table(sql, "rushes_events", number, when="INSERT")
        order = {"job_id": "j1", "prompt": "the sea"}
        async with server.session.post(f"{server.url}/api/videos", json=order) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
            assert (await answer.json())["code"] == "unavailable"
        await mend(sql)
        await server.register("j1")


async def test_registration_that_the_database_will_never_take_is_refused_and_not_tried_for_ever(
    database_url: str, sql: Sql
) -> None:
    async with running(database_url) as server:
        sql("ALTER TABLE video_generations ADD CONSTRAINT short CHECK (LENGTH(prompt) < 5)")
        order = {"job_id": "j1", "prompt": "a long prompt"}
        async with server.session.post(f"{server.url}/api/videos", json=order) as answer:
            assert (answer.status, (await answer.json())["code"]) == (422, "apply_failed")


async def test_somebodys_kill_query_loses_nothing(database_url: str, sql: Sql) -> None:
    """In the middle of the transaction, and again and again."""
    async with running(database_url) as server:
        await server.register("j1")
        sql(
            "CREATE TRIGGER slow BEFORE UPDATE ON video_generations FOR EACH ROW "
            "BEGIN IF @rushes_test IS NULL THEN SET @rushes_test = SLEEP(0.2); END IF; END"
        )
        posting = [asyncio.create_task(server.send(webhook("j1", s))) for s in ("processing", "generating")]
        killed = 0
        running_there = "SELECT id FROM information_schema.PROCESSLIST WHERE state = 'User sleep'"
        while killed < 3:
            for (session,) in sql(running_there):
                try:
                    sql(f"KILL QUERY {session}")
                except pymysql.err.OperationalError:
                    continue  # it is over
                killed += 1
            await asyncio.sleep(0.01)
        await asyncio.to_thread(sql, "DROP TRIGGER slow")
        assert {answer[0] for answer in await asyncio.gather(*posting)} == {200}
        assert sql("SELECT progress FROM video_generations") == ((50,),)


async def test_one_that_fails_keeps_no_other_waiting(database_url: str, sql: Sql) -> None:
    """Among 200 that come at once: all but it are applied, also while it fails."""
    async with running(database_url, answer_budget=2.0) as server:
        names = [f"j{n}" for n in range(200)]
        add_jobs(sql, *names)
        break_table(sql, "video_generations", 1030, "OLD.id = 'j77'")
        answers = await asyncio.gather(*(server.send(webhook(name, "generating")) for name in names))
        assert [name for name, (code, _) in zip(names, answers, strict=True) if code != 200] == ["j77"]
        assert answers[77][0] == 202
        await mend(sql)
        await until(lambda: sql(OUTCOMES) == (("applied", None, 200),))


async def test_a_database_that_takes_nothing_is_not_asked_for_each_webhook_alone(database_url: str, sql: Sql) -> None:
    """Of 200 that wait a handful is enough to see that it is not for one of them."""
    async with running(database_url, answer_budget=1.0) as server:
        names = [f"j{n}" for n in range(200)]
        add_jobs(sql, *names)
        break_table(sql, "video_generations", 1114)
        before = begun(sql)
        answers = await asyncio.gather(*(server.send(webhook(name, "generating")) for name in names))
        assert {code for code, _ in answers} == {202}
        assert begun(sql) - before < 120
        await mend(sql)
        await until(lambda: sql(OUTCOMES) == (("applied", None, 200),), seconds=20)
        await until(lambda: server.app[SPOOL].pending == 0)


def begun(sql: Sql) -> int:
    """Transactions, since the server started."""
    return int(sql("SHOW GLOBAL STATUS LIKE 'Com_begin'")[0][1])


async def test_what_our_own_session_may_not_do_is_waited_for_and_not_blamed_on_the_webhook(
    database_url: str, sql: Sql, tmp_path: Path
) -> None:
    """Rights that are taken away by mistake."""
    name = database_url.split("/")[3].split("?", maxsplit=1)[0]
    sql("CREATE USER IF NOT EXISTS 'poor'@'localhost'")
    sql(f"GRANT ALL ON `{name}`.* TO 'poor'@'localhost'")
    url = database_url.replace("mysql://root@", "mysql://poor@")
    async with running(url, answer_budget=0.3) as server:
        await server.register("j1")
        sql(f"REVOKE UPDATE ON `{name}`.* FROM 'poor'@'localhost'")
        assert (await server.send(webhook("j1", "generating")))[0] == 202
        sql(f"GRANT UPDATE ON `{name}`.* TO 'poor'@'localhost'")
        await until(lambda: sql(OUTCOMES) == (("applied", None, 1),))
        assert server.app[WRITER] is not None
