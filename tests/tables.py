"""Tables as a site has them, and tables that fail."""

import asyncio
from typing import Any

from tests.databases import Sql

UNASKED = {"generator_url": "http://127.0.0.1:9"}  # the jobs here are old: nobody is to say that they have failed


def alter(sql: Sql, table: str, *changes: str) -> None:
    # As a site's own session may be that made them long ago.
    sql("SET SESSION sql_mode = ''")
    for change in changes:
        sql(f"ALTER TABLE {table} {change}")


def add(sql: Sql, job_id: str, created_at: str | None = "2025-10-23 13:00:00.123456", **columns: Any) -> None:
    row = {"id": job_id, "prompt": "p", "authorId": "dev", "createdAt": created_at, "updatedAt": created_at} | columns
    sql(f"INSERT INTO video_generations ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})", *row.values())


_STATES = {1047: "08S01", 1205: "HY000", 1226: "42000", 1317: "70100"}


async def mend(sql: Sql) -> None:
    """Beside the loop: the table may be in use by a transaction that it has to end first."""
    await asyncio.to_thread(sql, "DROP TRIGGER broken")


def break_table(sql: Sql, table: str, number: int, condition: str = "TRUE", when: str = "UPDATE") -> None:
    """The table fails with that error, as a server says it, until its trigger is dropped."""
    sql(
        f"CREATE TRIGGER broken BEFORE {when} ON {table} FOR EACH ROW BEGIN IF {condition} THEN "
        f"SIGNAL SQLSTATE '{_STATES.get(number, 'HY000')}' SET MYSQL_ERRNO = {number}; END IF; END"
    )
