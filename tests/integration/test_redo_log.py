"""Pages that are told again without being read: only as long as nobody has committed anything, whoever it is."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import combinations_with_replacement, count
from typing import Any

import orjson
import pymysql
import pytest

from app.appkeys import POOL
from app.db import redo_log
from app.db.connection import Connection
from app.db.gallery import Gallery, Page, Wanted
from app.db.notices import Notices
from app.db.pool import Pool
from app.db.redo_log import RedoLog
from app.db.session import Server
from app.db.url import parameters
from app.routes import listing
from app.storage import Storage
from tests.client import Client
from tests.databases import Sql
from tests.servers import is_mysql
from tests.tables import add

LIST = "/api/videos/user?limit=100"


@pytest.fixture(autouse=True)
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request looks whether anything has changed."""
    monkeypatch.setattr(redo_log, "_PAUSE", 0.0)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Wanted]:
    """What is read of the database, in order."""
    found: list[Wanted] = []
    page = Gallery.page

    async def counted(self: Gallery, wanted: Wanted) -> Page:
        found.append(wanted)
        return await page(self, wanted)

    monkeypatch.setattr(Gallery, "page", counted)
    return found


@pytest.fixture
def other(database_url: str) -> Iterator[Callable[[str], Any]]:
    """Another program's session, without autocommit."""
    given = parameters(database_url)
    with closing(
        pymysql.connect(unix_socket=given["unix_socket"], user=given["user"], database=given["db"], autocommit=False)
    ) as session:

        def run(statement: str) -> Any:
            with session.cursor() as cursor:
                cursor.execute(statement)

        yield run


async def asked(server: Client, tag: str = "") -> tuple[int, str, bytes]:
    async with server.session.get(server.url + LIST, headers={"If-None-Match": tag}) as answer:
        return answer.status, answer.headers["ETag"], await answer.read()


async def prompts(server: Client) -> dict[str, str]:
    return {job["id"]: job["prompt"] for job in orjson.loads((await asked(server))[2])["generations"]}


async def until_kept(server: Client, reads: list[Wanted]) -> None:
    """Asks until a page was told again; the server's own processes write now and then."""
    async with asyncio.timeout(10):
        while True:
            before = len(reads)
            await asked(server)
            if len(reads) == before:
                return


mariadb_only = pytest.mark.skipif(is_mysql(), reason="MySQL tells no moments")


@mariadb_only
async def test_page_is_told_again_unread_as_long_as_nobody_commits(
    server: Client, sql: Sql, reads: list[Wanted]
) -> None:
    add(sql, "j1", "2025-10-23", authorId="dev", status="COMPLETED", prompt="one")
    await until_kept(server, reads)
    _, tag, body = await asked(server)
    status, again, empty = await asked(server, tag)
    assert (status, again, empty) == (304, tag, b"")
    sql("UPDATE video_generations SET prompt = 'two' WHERE id = 'j1'")
    before = len(reads)
    status, other_tag, other_body = await asked(server, tag)
    assert (status, len(reads)) == (200, before + 1)
    assert (other_tag, other_body) != (tag, body)
    await until_kept(server, reads)
    assert (await asked(server, other_tag))[0] == 304
    assert await prompts(server) == {"j1": "two"}


# What another program does in one transaction: number, and a job of its own.
WRITES = (
    """
UPDATE video_generations SET prompt = '{n}' WHERE id = 'j1'
INSERT INTO video_generations (id, prompt, authorId, status, createdAt, updatedAt)
  VALUES ('n{n}', '{n}', 'dev', 'COMPLETED', NOW(3), NOW(3))
UPDATE video_generations SET status = IF(status = 'FAILED', 'COMPLETED', 'FAILED') WHERE id = 'j2'
DELETE FROM video_generations WHERE id LIKE 'n%' ORDER BY id LIMIT 1
INSERT INTO rushes_jobs (job_id, status, has_files, at, stage, tie, updated_at, deleted_at)
  VALUES ('j3', 'completed', 1, 1, 6, '', NOW(3), NOW(3))
  ON DUPLICATE KEY UPDATE deleted_at = IF(deleted_at IS NULL, NOW(3), NULL)
""".strip()
    .replace("\n  ", " ")
    .splitlines()
)
_SHOWN = """
SELECT g.id, g.prompt FROM video_generations g LEFT JOIN rushes_jobs k ON k.job_id = g.id
WHERE g.status = 'COMPLETED' AND k.deleted_at IS NULL
"""


@pytest.fixture
def packets(monkeypatch: pytest.MonkeyPatch) -> Callable[[Pool, Callable[[], None]], None]:
    """Has something called before each packet that a pool's sessions send."""
    of_pool: list[Connection] = []
    hooks: list[Callable[[], None]] = []
    run, run_reading = Connection.run, Connection._run_reading

    def before(connection: Connection) -> None:
        if connection in of_pool:
            hooks[-1]()

    async def hooked(self: Connection, *statements: Any) -> Any:
        before(self)
        return await run(self, *statements)

    async def hooked_reading(self: Connection, *arguments: Any) -> Any:
        before(self)
        return await run_reading(self, *arguments)

    monkeypatch.setattr(Connection, "run", hooked)
    monkeypatch.setattr(Connection, "_run_reading", hooked_reading)

    def hook(pool: Pool, called: Callable[[], None]) -> None:
        of_pool[:] = pool._idle
        hooks.append(called)

    return hook


async def test_no_page_hides_a_commit_wherever_its_transaction_began_and_ended(
    server: Client,
    sql: Sql,
    other: Callable[[str], Any],
    packets: Callable[[Pool, Callable[[], None]], None],
    reads: list[Wanted],
) -> None:
    """Another program writes before the one and commits, or rolls back, before the other of each two of our packets."""
    for job_id in ("j1", "j2", "j3"):
        add(sql, job_id, "2025-10-23", authorId="dev", status="COMPLETED", prompt="0")
    numbers = count(1)
    answers = 0
    for writes_at, ends_at in combinations_with_replacement(range(13), 2):
        await asked(server)
        number, packet = next(numbers), count()

        def step(
            writes_at: int = writes_at, ends_at: int = ends_at, number: int = number, packet: Any = packet
        ) -> None:
            at = next(packet)
            if at == writes_at:
                other(WRITES[number % len(WRITES)].format(n=number))
            if at == ends_at:
                other("ROLLBACK" if number % 7 == 0 else "COMMIT")

        packets(server.app[POOL], step)
        for _ in range(4):
            before: dict[str, str] = dict(sql(_SHOWN))
            found = await prompts(server)
            assert found in (before, dict(sql(_SHOWN))), (writes_at, ends_at)
            answers += 1
        packets(server.app[POOL], lambda: None)
        other("COMMIT")
        assert await prompts(server) == dict(sql(_SHOWN)), (writes_at, ends_at)
    assert is_mysql() or len(reads) < answers  # pages were told again, too


async def test_no_page_hides_what_was_committed_before_it_was_asked_for_while_another_program_writes_on(
    server: Client, sql: Sql, other: Callable[[str], Any], reads: list[Wanted]
) -> None:
    """At moments that are nobody's choice: hundreds of commits, as close to our reads as they come."""
    add(sql, "j1", "2025-10-23", authorId="dev", status="COMPLETED", prompt="0")
    written, ending = [0], threading.Event()

    def write() -> None:
        for number in count(1):
            other(f"UPDATE video_generations SET prompt = '{number}' WHERE id = 'j1'")
            other("COMMIT")
            written[0] = number
            if ending.wait(number % 7 / 1000) or number == 250:
                return

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while writer.is_alive():
            for _ in range(20):
                before = written[0]
                found = int((await prompts(server))["j1"])
                assert before <= found <= written[0] + 1
    finally:
        ending.set()
        writer.join()
    assert await prompts(server) == {"j1": str(written[0])}


@mariadb_only
@pytest.mark.parametrize("path", [LIST, f"{LIST}&state=active"])
async def test_page_with_jobs_that_go_on_is_read_each_time(
    server: Client, sql: Sql, reads: list[Wanted], path: str
) -> None:
    """The time that is left of them moves by itself."""
    add(sql, "j1", "2025-10-23", authorId="dev", status="COMPLETED", prompt="one")
    await until_kept(server, reads)
    await server.register("j2")
    before = len(reads)
    for _ in range(20):
        await server.read(path)
    assert len(reads) == before + 20


@mariadb_only
@pytest.mark.parametrize("kind", ["another server told it", "addresses are new", "it was told a minute ago"])
async def test_page_is_read_again_although_nothing_was_committed_where(
    server: Client, sql: Sql, reads: list[Wanted], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    add(sql, "j1", "2025-10-23", authorId="dev", status="COMPLETED", prompt="one")
    await until_kept(server, reads)
    page, numbers = Gallery.page, count(1)

    async def elsewhere(self: Gallery, wanted: Wanted) -> Page:
        return replace(await page(self, wanted), server=Server(is_mariadb=True, named=("another",)))

    if kind == "another server told it":
        monkeypatch.setattr(Gallery, "page", elsewhere)
        sql("UPDATE video_generations SET prompt = 'two'")
    elif kind == "addresses are new":
        monkeypatch.setattr(Storage, "window", property(lambda _: next(numbers)))
    else:
        monkeypatch.setattr(listing, "_KEPT_SECONDS", -1.0)
        sql("UPDATE video_generations SET prompt = 'two'")
    before = len(reads)
    for _ in range(10):
        await asked(server)
    assert len(reads) == before + 10


async def test_moment_is_another_after_the_session_with_the_server_was_lost(pool: Pool) -> None:
    """It may have crashed, and its log go on from an earlier place."""
    if is_mysql():
        assert await RedoLog(pool).moment() is None
        return
    seen = RedoLog(pool)
    second = await settled_twice(seen)
    pool._part_with_idle()
    assert not (await settled(seen)).is_same(second)
    third = await settled(seen)
    pool._idle[0].server = pool._idle[0].server._replace(named=("another",))
    assert not (await settled(seen)).is_same(third)


async def settled(seen: RedoLog) -> redo_log.Moment:
    async with asyncio.timeout(10):
        while (moment := await seen.moment()) is None or not moment.settled:
            pass
    return moment


@mariadb_only
async def test_page_is_read_each_time_while_a_commit_may_be_unseen_by_some(
    server: Client, sql: Sql, other: Callable[[str], Any], reads: list[Wanted]
) -> None:
    """Whoever has a read view from before it keeps it in the history, as a commit is that nobody sees yet."""
    add(sql, "j1", "2025-10-23", authorId="dev", status="COMPLETED", prompt="one")
    other("START TRANSACTION WITH CONSISTENT SNAPSHOT")
    sql("UPDATE video_generations SET prompt = 'two' WHERE id = 'j1'")
    for _ in range(20):
        await asked(server)
    assert len(reads) == 20
    other("COMMIT")
    await until_kept(server, reads)


@mariadb_only
async def test_moment_is_that_of_the_later_of_two_looks_at_the_log(
    pool: Pool, sql: Sql, packets: Callable[[Pool, Callable[[], None]], None]
) -> None:
    await settled(RedoLog(pool))
    seen, packet = RedoLog(pool), count()

    def step() -> None:
        if next(packet) == 1:
            sql("UPDATE rushes_counter SET value = value + 1")

    packets(pool, step)
    moment = await settled(seen)
    sql("UPDATE rushes_counter SET value = value + 1")
    assert not (await settled(seen)).is_same(moment)
    assert next(packet) > 2


@mariadb_only
async def test_looks_become_rare_where_each_finds_another_moment(
    pool: Pool, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redo_log, "_PAUSE", 1000.0)
    seen = RedoLog(pool)
    await settled_twice(seen)
    found = []
    for _ in range(6):
        sql("UPDATE rushes_counter SET value = value + 1")
        found.append(await seen.moment())
    assert [moment is None for moment in found] == [False] * 4 + [True] * 2


async def settled_twice(seen: RedoLog) -> redo_log.Moment:
    """The server's own threads write now and then."""
    async with asyncio.timeout(10):
        while not (moment := await settled(seen)).is_same(await settled(seen)):
            pass
    return moment


@mariadb_only
async def test_walk_for_ends_to_tell_browsers_of_moves_nothing_where_there_are_none(pool: Pool) -> None:
    notices = Notices(pool)
    while await notices.write_down(0):
        pass
    seen = RedoLog(pool)
    for _ in range(5):  # the server's own threads write now and then
        before = await settled_twice(seen)
        assert not await notices.write_down(0)
        after = await seen.moment()
        if after is not None and after.is_same(before):
            return
    raise AssertionError("each walk has moved the server")


@mariadb_only
@pytest.mark.parametrize(
    "changed",
    [
        "ALTER TABLE rushes_jobs ENGINE = MyISAM",
        "RENAME TABLE rushes_jobs TO elsewhere; CREATE VIEW rushes_jobs AS SELECT * FROM elsewhere",
    ],
)
async def test_nothing_is_settled_where_a_table_is_not_innodbs_own(pool: Pool, sql: Sql, changed: str) -> None:
    seen = RedoLog(pool)
    await settled(seen)
    for statement in changed.split("; "):
        sql(statement)
    async with asyncio.timeout(10):
        while sql("SHOW STATUS LIKE 'Innodb_history_list_length'")[0][1] != "0":
            await seen.moment()
    moments = [await seen.moment() for _ in range(20)]
    assert [moment.settled for moment in moments if moment is not None] == [False] * 20


@mariadb_only
async def test_without_the_right_to_hasten_it_settles_by_itself(database_url: str, sql: Sql) -> None:
    """Within a second or two, as the database has it: no pause of a test's makes that shorter."""
    name = "u" + parameters(database_url)["db"][-20:]
    sql(f"CREATE USER '{name}'@'localhost' IDENTIFIED BY 'x'")
    pool = Pool(database_url.replace("root@", f"{name}:x@"), 2, 10.0)
    try:
        sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {parameters(database_url)['db']}.* TO '{name}'@'localhost'")
        seen = RedoLog(pool)
        await settled(seen)
        sql("UPDATE rushes_counter SET value = value + 1")
        moment = await seen.moment()
        assert moment is None or not moment.settled
        await settled_twice(seen)
        assert not seen._may_hasten
    finally:
        pool.close()
        sql(f"DROP USER '{name}'@'localhost'")
