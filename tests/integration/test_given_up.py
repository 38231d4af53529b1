"""What nobody waits for any more: the database's server ends it by itself."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.db.connection import connect
from app.db.errors import PassingError
from app.db.pool import Pool
from tests.databases import Sql
from tests.servers import is_mysql
from tests.waiting import until

PATIENCE = 0.4
# It runs for a minute, and is no sleep: what is ended is work.
LONG = "SELECT COUNT(*) FROM numbers a, numbers b, numbers c WHERE a.id + b.id + c.id < 0"
RUNNING = (
    "SELECT COUNT(*) FROM information_schema.PROCESSLIST"
    " WHERE DB = DATABASE() AND INFO LIKE 'SELECT COUNT(*) FROM numbers a%%'"
)
LIMITS = "SHOW SESSION VARIABLES WHERE Variable_name IN ('max_statement_time', 'max_execution_time')"


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    made = Pool(database_url, 1, PATIENCE)
    yield made
    made.close()


@pytest.fixture
def crowd(sql: Sql) -> None:
    """A table of which LONG makes a thousand million rows."""
    sql("CREATE TABLE numbers (id INT NOT NULL) ENGINE=InnoDB")
    sql("INSERT INTO numbers SELECT seq FROM seq_1_to_2000")


def is_running(sql: Sql) -> bool:
    return bool(sql(RUNNING)[0][0])


@pytest.mark.usefixtures("crowd")
async def test_statement_that_takes_too_long_is_ended_by_the_server_too(pool: Pool, sql: Sql) -> None:
    with pytest.raises(PassingError):
        await pool.rows(LONG)
    await until(lambda: not is_running(sql), 5.0)


@pytest.mark.usefixtures("crowd")
async def test_statement_of_somebody_who_went_away_is_ended_by_the_server(pool: Pool, sql: Sql) -> None:
    asked = asyncio.create_task(pool.rows(LONG))
    await until(lambda: is_running(sql))
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    await until(lambda: not is_running(sql), 5.0)


async def test_sessions_that_requests_share_have_an_end_and_those_that_write_webhooks_none(
    pool: Pool, database_url: str
) -> None:
    name, of_pool, none = (
        ("max_execution_time", "400", "0") if is_mysql() else ("max_statement_time", "0.400000", "0.000000")
    )
    assert await pool.rows(LIMITS) == ((name, of_pool),)
    connection = await connect(database_url, PATIENCE)
    assert await connection.rows(LIMITS) == ((name, none),)
    connection.close()
