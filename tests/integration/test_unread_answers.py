"""Users who ask for much, and read nothing of it, or ask for it many times at once."""

import asyncio
import gc

import pytest

from app.appkeys import ANSWERS, ORDERS, READING
from app.errors import ApiError
from tests.client import Client, running, slow_socket
from tests.databases import Sql
from tests.rows import fill
from tests.sign_in import SECRET, bearer

LIST = "/api/videos/user"
MIB = 1024 * 1024
# Six times as much in JSON.
LONG = "REPEAT(CHAR(1), 60000)"
BOUNDED = {"auth_jwt_secret": SECRET, "list_max_bytes": MIB // 4, "max_answer_bytes_per_user": MIB}


async def unread(server: Client, path: str, user: str) -> asyncio.StreamWriter:
    """A client that asks, and reads nothing."""
    _, writer = await asyncio.open_connection(sock=await slow_socket(server), limit=4096)
    lines = {"Host": "h"} | bearer(user)
    writer.write(f"GET {path} HTTP/1.1\r\n".encode() + "".join(f"{k}: {v}\r\n" for k, v in lines.items()).encode())
    writer.write(b"\r\n")
    return writer


async def held(server: Client, amount: int) -> None:
    async with asyncio.timeout(10):
        while server.app[ANSWERS]._total != amount:
            await asyncio.sleep(0.01)


async def asked(server: Client, path: str, user: str) -> tuple[int, str | None]:
    code, body = await server.read(path, headers=bearer(user))
    return code, body.get("code")


@pytest.mark.parametrize("path", [LIST, "/api/videos/big00001"])
async def test_answers_that_a_user_does_not_read_are_bounded_in_bytes_and_others_get_theirs(
    database_url: str, sql: Sql, path: str
) -> None:
    if path == LIST:
        fill(sql, 100, author="u1", prompt="REPEAT('x', 10000)")
    else:
        fill(sql, 1, author="u1", name="big", prompt=LONG)
    fill(sql, 3, author="u2", name="k", prompt="REPEAT('x', 10000)")
    async with running(database_url, **BOUNDED) as server:
        async with server.session.get(server.url + path, headers=bearer("u1")) as answer:
            size = len(await answer.read())
        await held(server, 0)
        # Before it is read, a list counts as the longest that there may be.
        fit = MIB // size if path != LIST else (MIB - MIB // 2) // size + 1
        clients = []
        for count in range(1, fit + 1):
            clients.append(await unread(server, path, "u1"))
            await held(server, size * count)
        assert await asked(server, path, "u1") == (429, "too_much_unread")
        assert await asked(server, LIST, "u2") == (200, None)
        for writer in clients:
            writer.transport.abort()
        await held(server, 0)
        assert await asked(server, path, "u1") == (200, None)


async def test_answer_that_is_longer_than_the_bound_comes_all_the_same(database_url: str, sql: Sql) -> None:
    fill(sql, 1, author="u1", status="'COMPLETED'", prompt=LONG)
    bounds = {"list_max_bytes": 1000, "max_answer_bytes_per_user": 1, "max_answer_bytes": 1}
    async with running(database_url, **BOUNDED | bounds) as server:
        for path in (LIST, "/api/videos/j00001"):
            assert await asked(server, path, "u1") == (200, None)


async def test_lists_that_a_user_asks_for_at_once_take_one_session_of_the_database(database_url: str, sql: Sql) -> None:
    fill(sql, 3, author="u1")
    async with running(database_url, auth_jwt_secret=SECRET) as server:
        sql("LOCK TABLES video_generations WRITE, video_generations AS g WRITE")
        answers = [asyncio.create_task(asked(server, f"{LIST}?limit={most + 1}", "u1")) for most in range(20)]
        async with asyncio.timeout(10):
            while len(getattr(server.app[READING]._locks.get("u1"), "_waiters", None) or ()) < 19:
                await asyncio.sleep(0.01)
            reading = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE %s AND ID <> CONNECTION_ID()"
            while sql(reading, "%authorId = %u1%") == ((0,),):
                await asyncio.sleep(0.01)
        assert sql(reading, "%authorId = %u1%") == ((1,),)
        sql("UNLOCK TABLES")
        assert {await answer for answer in answers} == {(200, None)}


async def test_page_of_another_origin_may_read_lists_and_jobs(database_url: str, sql: Sql) -> None:
    fill(sql, 1, author="u1")
    async with running(database_url, auth_jwt_secret=SECRET, cors_origins="https://app.example") as server:
        for path in (LIST, "/api/videos/j00001"):
            for method in ("GET", "HEAD"):
                headers = bearer("u1") | {"Origin": "https://app.example"}
                async with server.session.request(method, server.url + path, headers=headers) as answer:
                    assert answer.status == 200
                    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
                    assert answer.headers["Server"] == "rushes"


async def test_refusals_leave_nothing_behind(server: Client) -> None:
    """An exception that is raised again and again keeps the frames of each time, and all that was held there."""
    for path, key in ((LIST, ANSWERS), ("/api/videos/generate", ORDERS)):
        shares = server.app[key]
        with shares.holding("dev") as take:
            take(shares._each)
            for _ in range(3):
                ask = server.get(path) if key is ANSWERS else server.post(path, json={"prompt": "the sea"})
                async with ask as answer:
                    assert answer.status == 429, path
    gc.collect()
    assert [str(e) for e in gc.get_objects() if isinstance(e, ApiError) and e.__traceback__] == []
