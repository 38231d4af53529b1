"""Writers beside each other and beside other programs: the order of the log, locks, commits that nobody answers."""

import asyncio
import contextlib
from typing import Self
from urllib.parse import quote

import pymysql
import pytest

from app.db.errors import BusyError
from app.db.url import parameters
from tests.databases import Sql, status
from tests.waiting import until
from tests.webhooks import webhook
from tests.writing import Harness, add_jobs, delivery, holding, kinds, log_ids, writing


async def test_writer_that_loses_a_deadlock_tries_again(harness: Harness, sql: Sql, database_url: str) -> None:
    add_jobs(sql, "j1")
    sql("CREATE TABLE ballast (id INT PRIMARY KEY)")
    arguments = parameters(database_url)
    rival = pymysql.connect(unix_socket=arguments["unix_socket"], user="root", database=arguments["db"])
    before = deadlocks(sql)
    with rival.cursor() as cursor:
        # Heavier than the writer's transaction, so that InnoDB chooses the writer's as the victim.
        cursor.execute("INSERT INTO ballast VALUES " + ",".join(f"({n})" for n in range(1000)))
        cursor.execute("UPDATE rushes_counter SET value = value WHERE id = 1")
        waiting = asyncio.create_task(harness.writer.submit(delivery(webhook("j1", "generating"))))
        await until(lambda: status(sql, "Innodb_row_lock_current_waits") == 1)
        await asyncio.to_thread(cursor.execute, "UPDATE video_generations SET prompt = 'q' WHERE id = 'j1'")
    rival.commit()
    rival.close()
    assert (await waiting).kind == "applied"
    assert deadlocks(sql) == before + 1
    assert sql("SELECT prompt, progress FROM video_generations") == (("q", 50),)


def deadlocks(sql: Sql) -> int:
    """MySQL has it in no status variable."""
    return int(sql("SELECT COUNT FROM information_schema.INNODB_METRICS WHERE NAME = 'lock_deadlocks'")[0][0])


async def test_row_that_another_program_holds_stalls_no_other_webhook(
    harness: Harness, sql: Sql, database_url: str
) -> None:
    add_jobs(sql, "held", "free")
    with holding(database_url, "held") as session:
        waiting = asyncio.create_task(harness.writer.submit(delivery(webhook("held", "generating"))))
        assert kinds(await harness.submit(webhook("free", "generating"))) == ["applied"]
        assert not waiting.done()
        session.rollback()
        assert (await waiting).kind == "applied"


async def test_row_that_stays_held_is_given_up_within_the_budget(sql: Sql, database_url: str) -> None:
    add_jobs(sql, "held")
    async with writing(database_url, budget=0.3) as harness:
        with holding(database_url, "held"), pytest.raises(BusyError):
            await harness.submit(webhook("held", "generating"))
    assert sql("SELECT COUNT(*) FROM rushes_webhooks") == ((0,),)


async def test_two_writers_keep_the_log_dense_and_in_commit_order(sql: Sql, database_url: str) -> None:
    jobs = [f"j{n}" for n in range(12)]
    add_jobs(sql, *jobs)
    async with writing(database_url) as one, writing(database_url) as two:

        async def send(harness: Harness, seed: int) -> None:
            for step in range(40):
                body = webhook(jobs[(seed + step) % len(jobs)], "generating")
                assert kinds(await harness.submit(body))[0] in ("applied", "stale")

        await asyncio.gather(*(send(h, n) for n, h in enumerate([one, two] * 6)))
    assert log_ids(sql) == list(range(1, len(one.events) + len(two.events) + 1))
    assert sorted(e.id for e in one.events + two.events) == log_ids(sql)
    for harness in (one, two):
        assert [e.id for e in harness.events] == sorted(e.id for e in harness.events)


async def test_id_that_is_visible_has_all_smaller_ids_visible_too(sql: Sql, database_url: str) -> None:
    add_jobs(sql, *(f"j{n}" for n in range(8)))
    async with writing(database_url) as one, writing(database_url) as two:
        sending = asyncio.gather(
            *(h.submit(*(webhook(f"j{n}", "generating") for n in range(8))) for h in [one, two] * 15)
        )
        while not sending.done():
            count, newest = sql("SELECT COUNT(*), COALESCE(MAX(id), 0) FROM rushes_events")[0]
            assert count == newest
            await asyncio.sleep(0)
        await sending


async def test_same_webhook_through_two_writers_at_once_is_applied_once(sql: Sql, database_url: str) -> None:
    add_jobs(sql, *(f"j{n}" for n in range(40)))
    async with writing(database_url) as one, writing(database_url) as two:
        for n in range(40):
            sent = webhook(f"j{n}", "generating")
            first, second = await asyncio.gather(one.submit(sent), two.submit(sent))
            assert sorted(kinds(first + second)) == ["applied", "duplicate"]
        late = webhook("unknown", "generating")
        first, second = await asyncio.gather(one.submit(late), two.submit(late))
        assert kinds(first + second) == ["parked", "parked"]
    assert sql("SELECT COUNT(*) FROM rushes_webhooks WHERE outcome = 'parked'") == ((1,),)
    assert log_ids(sql) == list(range(1, 41))


class CuttingProxy:
    """Stands before the database, and cuts the connection at a commit: before it gets there, or before its answer."""

    def __init__(self, socket_path: str) -> None:
        self._socket_path = socket_path
        self.cut: str | None = None
        self.cuts = 0

    async def __aenter__(self) -> Self:
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_unix_connection(self._socket_path)
        answers = asyncio.create_task(self._copy(up_reader, writer))
        try:
            await self._forward(reader, up_reader, up_writer, answers)
        finally:
            answers.cancel()
            for one in (writer, up_writer):
                one.close()
                with contextlib.suppress(ConnectionError):
                    await one.wait_closed()

    async def _forward(
        self,
        reader: asyncio.StreamReader,
        up_reader: asyncio.StreamReader,
        up_writer: asyncio.StreamWriter,
        answers: asyncio.Task[None],
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 20):
                if self.cut and b"COMMIT" in data:
                    self.cuts += 1
                    if self.cut == "after":
                        answers.cancel()
                        await asyncio.wait([answers])
                        up_writer.write(data)
                        await up_reader.read(100)
                    self.cut = None
                    return
                up_writer.write(data)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 20):
                writer.write(data)


@pytest.mark.parametrize("cut", ["before", "after"])
async def test_commit_whose_answer_is_lost_is_settled_by_looking(sql: Sql, database_url: str, cut: str) -> None:
    add_jobs(sql, "j1", "j2")
    arguments = parameters(database_url)
    async with CuttingProxy(arguments["unix_socket"]) as proxy:
        url = f"mysql://root@127.0.0.1:{proxy.port}/{quote(arguments['db'])}"
        async with writing(url) as harness:
            await harness.submit(webhook("j1", "processing"))
            proxy.cut = cut
            outcomes = await harness.submit(webhook("j1", "generating"), webhook("j2", "generating"))
            assert proxy.cuts == 1
            assert kinds(outcomes) == ["applied", "applied"]
    assert log_ids(sql) == [1, 2, 3]
    assert sql("SELECT outcome, attempts FROM rushes_webhooks") == (("applied", 1),) * 3
