"""Changes of webhooks that the log tells: each gets its number, once, whoever looks and whatever the log holds."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from itertools import chain, count

import pytest

from app.db import changes as module
from app.db.changed import ID_BYTES, note
from app.db.changes import Changes
from app.db.connection import Connection, connect
from app.db.errors import DatabaseError
from app.db.pool import Pool
from tests.databases import Sql, status
from tests.log_rows import append, appending
from tests.rows import add_events
from tests.tables import break_table, mend
from tests.webhooks import completion, video, webhook
from tests.writing import Harness, add_jobs, kinds

_names = count(1)


@pytest.fixture
def changes(pool: Pool) -> Changes:
    return Changes(pool)


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    made = await connect(database_url, 10.0)
    yield made
    made.close()


def made(number: int = 1) -> list[str]:
    """Ids of webhooks, each later than those before."""
    return [f"{next(_names):032x}" for _ in range(number)]


async def numbered(changes: Changes) -> list[str]:
    """All webhooks in the order of their numbers, which have no gap."""
    found: list[str] = []
    while news := await changes.after(len(found)):
        assert [change.id.number for change in news] == [*range(len(found) + 1, len(found) + len(news) + 1)]
        found += [change.webhook_id for change in news]
    return found


def place(sql: Sql) -> int:
    return int(sql("SELECT place FROM rushes_places WHERE name = 'changes_log'")[0][0])


def rows_read(sql: Sql) -> int:
    return sum(int(value) for _, value in sql("SHOW GLOBAL STATUS LIKE 'Handler_read%'"))


async def test_batch_with_events_tells_all_its_webhooks_by_the_last_one_and_inserts_no_row(
    harness: Harness, changes: Changes, sql: Sql
) -> None:
    add_jobs(sql, "j1", "j2")
    done = await harness.submit(
        webhook("j1", "generating"),
        completion("j2", video("k")),
        webhook("j2", "pending"),
        webhook("nobody", "pending"),
    )
    assert (kinds(done), harness.batches) == (["applied", "applied", "stale", "parked"], [2])
    told = [outcome.webhook_id for outcome in done]
    assert sql("SELECT COUNT(*) FROM rushes_changes") == ((0,),)
    assert sql("SELECT id, LOWER(HEX(webhooks)) FROM rushes_events ORDER BY id") == ((1, None), (2, "".join(told)))
    assert await changes.number() == 1
    assert await numbered(changes) == told
    assert await changes.number() == 0


async def test_batch_without_an_event_inserts_a_row(harness: Harness, changes: Changes, sql: Sql) -> None:
    done = await harness.submit(webhook("nobody", "pending"))
    assert sql("SELECT number FROM rushes_changes") == ((None,),)
    assert await changes.number() == 1
    assert await numbered(changes) == [outcome.webhook_id for outcome in done]


async def test_event_that_tells_of_many_webhooks_gives_each_a_number(changes: Changes, connection: Connection) -> None:
    told = [made(3000), made(), made(700)]
    for each in told:
        await append(connection, each, events=3)
    assert await changes.number() == 3
    assert await numbered(changes) == [webhook_id for each in told for webhook_id in each]


async def test_what_is_copied_at_once_is_bounded_in_bytes_and_nothing_is_left_out(
    changes: Changes, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_COPIED", 10 * ID_BYTES)
    told = [made(number) for number in (6, 4, 1, 10, 3, 3, 3, 3)]
    for each in told:
        await append(connection, each)
    assert await changes.number() == 8
    assert await numbered(changes) == [webhook_id for each in told for webhook_id in each]


async def test_more_events_than_are_taken_at_once_are_all_numbered(
    changes: Changes, connection: Connection, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 2)
    monkeypatch.setattr(module, "STEP", 7)
    told = [made(2) for _ in range(25)]
    for place_of, each in enumerate(told):
        await append(connection, each, events=1 + place_of % 3)
        if place_of % 5 == 0:
            sql(note(each)[0].decode())
    assert await changes.number() == 30
    assert sorted(await numbered(changes)) == sorted(chain(*told, *told[::5]))


async def test_what_one_look_finds_is_in_the_order_in_which_it_was_begun(
    changes: Changes, connection: Connection, sql: Sql
) -> None:
    told = made(20)
    for number, webhook_id in enumerate(told):
        if number % 3:
            await append(connection, [webhook_id])
        else:
            sql(note([webhook_id])[0].decode())
    assert await changes.number() == 20
    assert await numbered(changes) == told


async def test_slower_of_two_transactions_is_not_passed_over(
    database_url: str, changes: Changes, connection: Connection, sql: Sql
) -> None:
    (first, second, third) = made(3)
    with contextlib.closing(await connect(database_url, 10.0)) as quick:
        await connection.run("START TRANSACTION", *appending([first]))
        await quick.run("START TRANSACTION", *note([second]), "COMMIT")
        assert await changes.number() == 1
        waiting = asyncio.create_task(append(quick, [third]))
        assert await changes.number() == 0
        assert place(sql) == 0
        await connection.run("COMMIT")
        await waiting
    assert await changes.number() == 2
    assert await numbered(changes) == [second, first, third]


async def test_events_beyond_the_counter_wait_for_it(changes: Changes, connection: Connection, sql: Sql) -> None:
    told = made(2)
    for webhook_id in told:
        await append(connection, [webhook_id])
    sql("UPDATE rushes_counter SET value = 1")
    assert await changes.number() == 1
    assert place(sql) == 1
    sql("UPDATE rushes_counter SET value = 2")
    assert await changes.number() == 1
    assert await numbered(changes) == told


@pytest.mark.parametrize("name", ["changes", "changes_log"])
async def test_who_fails_while_he_gives_numbers_leaves_all_as_it_was(
    changes: Changes, connection: Connection, sql: Sql, name: str
) -> None:
    told = made(3)
    sql(note(told[:1])[0].decode())
    await append(connection, told[1:])
    break_table(sql, "rushes_places", 1317, f"NEW.name = '{name}'")
    with pytest.raises(DatabaseError):
        await changes.number()
    await mend(sql)
    assert (place(sql), await changes.head(), await numbered(changes)) == (0, 0, [])
    async with asyncio.timeout(10):
        while await changes.number() != 2:  # the server may not have seen yet that his session has gone
            await asyncio.sleep(0.01)
    assert await numbered(changes) == told


async def test_who_is_killed_while_he_gives_numbers_leaves_all_to_the_next(
    database_url: str, changes: Changes, connection: Connection, sql: Sql
) -> None:
    told = made(2)
    await append(connection, told)
    sql("CREATE TRIGGER broken BEFORE UPDATE ON rushes_places FOR EACH ROW DO SLEEP(30)")
    with contextlib.closing(Pool(database_url, 1, 60.0)) as pool:
        killed = asyncio.create_task(Changes(pool).number())
        sleeping = "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND STATE = 'User sleep'"
        async with asyncio.timeout(10):
            while not (found := sql(sleeping)):
                await asyncio.sleep(0.01)
            # Nobody who appends waits for him, nor who looks.
            await append(connection, told)
            assert await changes.number() == 0
        sql(f"KILL {found[0][0]}")
        with pytest.raises(DatabaseError):
            await killed
    await mend(sql)
    assert await changes.number() == 2
    assert await numbered(changes) == told * 2


async def test_place_that_is_missing_loses_nothing_that_can_be_gone_on_from(
    changes: Changes, connection: Connection, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = made(5)
    for webhook_id in told:
        await append(connection, [webhook_id])
    sql("DELETE FROM rushes_places")
    monkeypatch.setattr(module, "KEPT", 3)
    assert await changes.number() == 3
    assert await numbered(changes) == told[2:]
    assert (place(sql), await changes.number()) == (5, 0)


@pytest.mark.parametrize("junk", ["x", "", "-1", "1e400", "[]"])
async def test_place_that_is_no_number_stops_nobody(
    changes: Changes, connection: Connection, sql: Sql, junk: str
) -> None:
    told = made(2)
    await append(connection, told[:1])
    await changes.number()
    sql("UPDATE rushes_places SET place = %s WHERE name = 'changes_log'", junk)
    await changes.number()
    await append(connection, told[1:])
    await changes.number()
    assert (await numbered(changes))[-1] == told[1]
    assert place(sql) == 2


async def test_log_that_is_taken_back_is_followed_down(changes: Changes, connection: Connection, sql: Sql) -> None:
    told = made(5)
    for webhook_id in told[:3]:
        await append(connection, [webhook_id])
    assert await changes.number() == 3
    sql("DELETE FROM rushes_events WHERE id > 1")
    sql("UPDATE rushes_counter SET value = 1")
    assert (await changes.number(), place(sql)) == (0, 1)
    for webhook_id in told[3:]:
        await append(connection, [webhook_id])
    assert await changes.number() == 2
    assert await numbered(changes) == told


async def test_counter_that_is_missing_holds_up_no_rows(changes: Changes, connection: Connection, sql: Sql) -> None:
    told = made(2)
    await append(connection, told[:1])
    sql("DELETE FROM rushes_counter")
    sql(note(told[1:])[0].decode())
    assert [await changes.number() for _ in range(2)] == [1, 0]
    assert await numbered(changes) == told[1:]


async def test_what_is_no_list_of_ids_does_no_harm(changes: Changes, connection: Connection, sql: Sql) -> None:
    told = made(3)
    for webhook_id in told:
        await append(connection, [webhook_id])
    junk = ["''", "'x'", "REPEAT('x', 15)", "REPEAT('y', 17)", "REPEAT('x', 1024 * 1024 * 8)"]
    for number, value in enumerate(junk, start=4):
        sql(
            "INSERT INTO rushes_events (id, job_id, author_id, event, data, created_at, webhooks)"
            f" VALUES (%s, 'j1', 'dev', 'progress', '{{}}', NOW(3), {value})",
            number,
        )
    sql("UPDATE rushes_counter SET value = 8")
    await append(connection, told)
    assert await changes.number() == 5
    assert sorted(await numbered(changes)) == sorted([*told, b"y".hex() * 16, *told])
    assert str(await changes.newest()).startswith("7-")


async def test_events_that_tell_of_no_webhook_are_gone_over_once(
    changes: Changes, connection: Connection, sql: Sql
) -> None:
    count, told = 3 * module.STEP, made(2)
    add_events(sql, count, 0)
    await append(connection, told[:1])
    before, steps = rows_read(sql), status(sql, "Com_commit")
    assert await changes.number() == 1
    assert count < rows_read(sql) - before < count + module.STEP
    assert status(sql, "Com_commit") - steps == 4  # no transaction goes over more than STEP
    before = rows_read(sql)
    await append(connection, told[1:])
    for _ in range(5):
        await changes.number()
    assert rows_read(sql) - before < module.STEP
    assert await numbered(changes) == told


async def test_log_that_was_purged_is_gone_over_at_once(changes: Changes, connection: Connection, sql: Sql) -> None:
    told = made()
    add_events(sql, 1, 0, start=1000 * module.STEP)
    await append(connection, told)
    before = status(sql, "Com_commit")
    assert await changes.number() == 1
    assert status(sql, "Com_commit") - before < 5
    assert await numbered(changes) == told


async def test_processes_of_the_version_before_go_on_beside_this_one(
    changes: Changes, connection: Connection, sql: Sql
) -> None:
    earlier, later, parked = made(), made(), made()
    # Its batches insert a row and an event, and its look numbers rows alone.
    sql(note(earlier)[0].decode())
    add_events(sql, 1, 0)
    sql("UPDATE rushes_changes SET number = 1 WHERE number IS NULL")
    sql("INSERT INTO rushes_places (name, place) VALUES ('changes', '1')")
    await append(connection, later)
    sql(note(parked)[0].decode())
    assert await changes.number() == 2
    assert await numbered(changes) == [*earlier, *later, *parked]
