"""The databases that tests have of their own on the session's server, and what that server counts."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pymysql
from pymysql.constants import CLIENT

MIGRATIONS = sorted((Path(__file__).parents[1] / "app/db/migrations").glob("*.sql"))
_numbers = itertools.count(1)


def make_database(mariadb) -> str:
    name = f"test_{next(_numbers)}"
    with pymysql.connect(
        unix_socket=mariadb["unix_socket"], user=mariadb["user"], autocommit=True,
        client_flag=CLIENT.MULTI_STATEMENTS,
    ) as session:  # fmt: skip
        cursor = session.cursor()
        cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")
        cursor.execute(f"USE {name}")
        for path in MIGRATIONS:
            cursor.execute(path.read_text())
            while cursor.nextset():
                pass
        for table in ("_yoyo_migration", "_yoyo_version", "_yoyo_log"):
            cursor.execute(f"CREATE TABLE {table} LIKE rushes.{table}")
            cursor.execute(f"INSERT INTO {table} SELECT * FROM rushes.{table}")
    return f"mysql://{mariadb['user']}@localhost/{name}?unix_socket={quote(mariadb['unix_socket'], safe='')}"


def status(sql: Callable[..., Any], name: str) -> int:
    return int(sql(f"SHOW GLOBAL STATUS LIKE '{name}'")[0][1])


def selects(sql: Callable[..., Any]) -> int:
    return status(sql, "Com_select")


def empty(sql: Callable[..., Any]) -> None:
    """Drops all tables of the test's database."""
    sql("SET FOREIGN_KEY_CHECKS = 0")
    for (table,) in sql("SHOW TABLES"):
        sql(f"DROP TABLE {table}")
    sql("SET FOREIGN_KEY_CHECKS = 1")  # as Prisma has it: without them MariaDB adds keys another way, which has failed
