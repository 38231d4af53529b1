"""Tables of ours that lack what the migrations make, though these are recorded: it is told before it is needed."""

import asyncio
from pathlib import Path

import pytest

from app.db import schema
from app.db.errors import NotMigratedError, UnfitError
from app.db.health import examine
from tests.client import running
from tests.databases import Sql
from tests.processes import run

# Each column and unique key that a migration makes. A key that says which row is which goes with its columns.
COLUMNS = [(name, column) for name, table in schema.tables().items() for column in table.columns]
KEYS = [(name, key) for name, table in schema.tables().items() for key in table.unique]


def test_tables_are_read_from_the_migrations_as_they_make_them(sql: Sql) -> None:
    columns, keys = sql(schema.COLUMNS.replace("%", "%%")), sql(schema.UNIQUE_KEYS.replace("%", "%%"))
    assert set(columns) == set(COLUMNS)
    assert set(keys) == {(name, ",".join(key)) for name, key in KEYS}


@pytest.mark.parametrize(("table", "column"), COLUMNS)
async def test_column_that_is_gone_is_told(database_url: str, sql: Sql, table: str, column: str) -> None:
    sql("SET SESSION sql_mode = ''")
    for key in schema.tables()[table].unique:
        if column in key and len(key) > 1:
            sql(f"ALTER TABLE {table} DROP PRIMARY KEY")  # MariaDB drops no part of it
    sql(f"ALTER TABLE {table} DROP COLUMN {column}")
    with pytest.raises(UnfitError, match=f"the table {table} lacks the column {column}"):
        await examine(database_url, 5.0)


@pytest.mark.parametrize(("table", "key"), KEYS)
async def test_unique_key_that_is_gone_is_told(database_url: str, sql: Sql, table: str, key: tuple[str, ...]) -> None:
    primary = sql(
        "SELECT COUNT(*) FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %s"
        " AND INDEX_NAME = 'PRIMARY' AND COLUMN_NAME = %s",
        table, key[0],
    )  # fmt: skip
    if sql(f"SHOW COLUMNS FROM {table} WHERE Extra = 'auto_increment'"):
        sql(f"ALTER TABLE {table} MODIFY id BIGINT UNSIGNED NOT NULL")  # a number that counts itself needs its key
    sql(f"ALTER TABLE {table} DROP " + ("PRIMARY KEY" if primary[0][0] else "INDEX rushes_webhooks_dedup"))
    with pytest.raises(UnfitError, match=f"the table {table} lacks the unique key"):
        await examine(database_url, 5.0)


async def test_column_of_a_migration_that_is_not_applied_yet_asks_for_it(database_url: str, sql: Sql) -> None:
    sql("ALTER TABLE rushes_jobs DROP COLUMN partial")
    sql("DELETE FROM _yoyo_migration WHERE migration_id = '0020.partial'")
    with pytest.raises(NotMigratedError, match="run `rushes migrate`"):
        await examine(database_url, 5.0)


async def test_server_and_migrate_tell_what_is_gone(
    database_url: str, sql: Sql, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.db.health._GOOD", 0.1)
    async with running(database_url) as server:
        assert (await server.read("/readyz"))[0] == 200
        sql("ALTER TABLE rushes_jobs DROP COLUMN deleted_by")
        async with asyncio.timeout(10):
            while (await server.read("/readyz"))[0] != 503:
                await asyncio.sleep(0.05)
    code, _, error = await run(tmp_path, "migrate", DATABASE_URL=database_url)
    assert (code, "the table rushes_jobs lacks the column deleted_by" in error) == (1, True)
