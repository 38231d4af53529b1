"""Our quoting and reading, against the server itself."""

import asyncio
import json
import select
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.db.connection import Connection, Statement, connect
from app.db.errors import RetryableError, ValuesRefusedError
from app.db.pool import Pool
from app.db.resultsets import TextRow
from app.db.sql import bind, literal, update_rows
from tests.databases import Sql
from tests.servers import is_mysql

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
values = st.one_of(
    texts,
    st.sampled_from(["\\", "'", "\\'", "''", "\0", "\x1a", "%s", "\\0", "é'", "😀\\"]),
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(values, min_size=1, max_size=5), st.binary(max_size=60))
async def test_any_value_comes_back_as_it_was_sent(
    database_url: str, sent: list[float | str | None], raw: bytes
) -> None:
    connection = await connect(database_url, 10)
    try:
        statement = bind("SELECT %s AS raw", raw) + b"".join(b", " + literal(value) for value in sent)
        (row,) = await connection.rows(statement)
        assert list(row) == [raw, *sent]
        exact = [value for value in sent if not isinstance(value, float)]
        (rows,) = await connection.run_text(b", ".join([b"SELECT 1", *map(literal, exact)]))
        assert list(rows[0][1:]) == [None if value is None else str(value) for value in exact]
    finally:
        connection.close()


async def test_long_and_many_answers_are_read_whole(database_url: str) -> None:
    connection = await connect(database_url, 10)
    long = "é" * 200_000
    answers = await connection.run_text(
        bind("SELECT %s, 'x'", long), "DO 0", bind("SELECT 1 UNION ALL SELECT %s", "b" * 300), "SELECT NULL, ''"
    )
    assert answers == [[(long, "x")], [("0",)], [("1",), ("b" * 300,)], [(None, "")]]
    numbers = json.dumps(list(range(1, 5001)))
    counted = f"SELECT n FROM JSON_TABLE('{numbers}', '$[*]' COLUMNS (n INT PATH '$')) AS numbers"
    many = await connection.run_text(counted, "SELECT 2")
    assert (len(many[0]), many[0][-1], many[1]) == (5000, ("5000",), [("2",)])
    connection.close()


async def test_session_goes_on_after_values_that_were_refused(database_url: str) -> None:
    connection = await connect(database_url, 10)
    for _ in range(3):
        with pytest.raises(ValuesRefusedError, match="Duplicate entry"):
            await connection.run_text("SELECT 1", "INSERT INTO rushes_counter (id, value) VALUES (1, 0)", "SELECT 2")
        assert await connection.run_text("SELECT 3") == [[("3",)]]
    connection.close()


async def test_session_ends_with_an_error_that_another_session_may_not_have(database_url: str) -> None:
    connection = await connect(database_url, 10)
    with pytest.raises(RetryableError, match="no_such_table"):
        await connection.run_text("SELECT 1", "SELECT * FROM no_such_table", "SELECT 2")
    assert connection.closed


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {"a": 1}])
def test_what_has_no_literal_is_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        literal(value)


async def test_rows_updated_together_each_get_their_own_values(database_url: str, sql: Sql) -> None:
    sql("CREATE TABLE t (id VARCHAR(191) PRIMARY KEY, d DOUBLE, s TEXT, at DATETIME(3), same INT)")
    names = [f"row '{n}\\" for n in range(120)]
    for name in [*names, "other"]:
        sql("INSERT INTO t (id) VALUES (%s)", name)
    moments = [datetime(2025, 1, 1, 12, 0, n % 60, 123000, tzinfo=UTC) for n in range(120)]
    wanted = {
        name: {"d": None if n % 7 == 0 else n / 3 * 10 ** (n % 20 - 10), "s": f"é'{n}", "at": moments[n], "same": 5}
        for n, name in enumerate(names)
    }
    wanted[names[3]] = {"same": 6}
    connection = await connect(database_url, 10)
    statements = update_rows("t", "id", wanted)
    assert len(statements) == 4
    await connection.run_text(*statements)
    connection.close()
    for name, row in wanted.items():
        if len(row) > 1:
            assert isinstance(row["at"], datetime)
            assert sql("SELECT d, s, at, same FROM t WHERE id = %s", name) == (
                (row["d"], row["s"], row["at"].replace(tzinfo=None), 5),
            )
    assert sql("SELECT d, same FROM t WHERE id IN (%s, 'other') ORDER BY same", names[3]) == ((None, None), (None, 6))


@pytest.mark.skipif(is_mysql(), reason="MySQL ends no transaction that says nothing")
async def test_session_that_says_nothing_more_does_not_hold_its_locks_for_long(database_url: str, sql: Sql) -> None:
    sql("INSERT INTO video_generations (id, prompt, authorId, updatedAt) VALUES ('j1', 'p', 'dev', NOW(3))")
    silent, other = await connect(database_url, 0.3), await connect(database_url, 10)
    lock = "SELECT id FROM video_generations WHERE id = 'j1' FOR UPDATE SKIP LOCKED"
    assert await silent.run("BEGIN", lock)
    assert await other.rows(lock) == ()
    async with asyncio.timeout(10):
        while not await other.rows(lock):
            await asyncio.sleep(0.05)
    assert silent.closed
    silent.close()
    other.close()


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    made = await connect(database_url, 10)
    yield made
    made.close()


@pytest.mark.parametrize("size", [0xFFFFFF - 1, 0xFFFFFF, 0xFFFFFF + 1, 2 * 0xFFFFFF])
async def test_statements_longer_than_a_packet_arrive_whole(connection: Connection, size: int) -> None:
    length = size - len("?SELECT LENGTH('')")  # the first byte is the command
    assert await connection.run_text(b"SELECT LENGTH('%b')" % (b"x" * length)) == [[(str(length),)]]


async def test_what_comes_next_is_sent_by_who_reads_the_answer(connection: Connection) -> None:
    seen = []

    def then(results: list[list[TextRow]]) -> list[Statement]:
        seen.append(results)
        return [] if results == [[("1",)]] else ["SELECT 3", "SELECT 4"]

    assert await connection.run_text("SELECT 1", then=then) == [[("1",)]]
    assert await connection.run_text("SELECT 2", then=then) == [[("3",)], [("4",)]]
    assert seen == [[[("1",)]], [[("2",)]]]


async def test_answer_that_has_arrived_is_taken_when_looked_for(connection: Connection) -> None:
    seen: list[Sequence[TextRow]] = []

    def then(results: Sequence[Sequence[TextRow]]) -> Sequence[Statement]:
        seen.extend(results)
        return []

    asked = asyncio.create_task(connection.run_text("SELECT 1", then=then))
    await asyncio.sleep(0)
    answer = connection._raw._writer.get_extra_info("socket").fileno()
    select.select([answer], [], [])  # the loop stands still meanwhile
    assert seen == []
    connection.look()
    assert seen == [[("1",)]]
    connection.look()
    assert await asked == [[("1",)]]
    connection.look()
    assert await connection.run_text("SELECT 2") == [[("2",)]]


async def test_session_that_is_given_back_to_a_closed_pool_is_ended(database_url: str) -> None:
    """Left open, it kept the loop of a server that stops from closing."""
    pool = Pool(database_url, 1, 5.0)
    async with pool.connection() as connection:
        pool.close()
        assert await connection.rows("SELECT 1") == ((1,),)
    assert connection.closed
