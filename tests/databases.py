"""The session's database server, the databases that tests have of their own on it, and what it counts."""

import asyncio
import fcntl
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import pymysql
from pymysql.constants import CLIENT

from app.db import migrate
from app.db.local import private_database
from app.db.url import parameters

MIGRATIONS = sorted((Path(__file__).parents[1] / "app/db/migrations").glob("*.sql"))

_ROOM = 4 << 30  # bytes; each process of tests has a database or two at a time, of some 150 MiB
_PREFIX = "rushes-tests-"
_numbers = itertools.count(1)

Rows = tuple[tuple[Any, ...], ...]


class Sql(Protocol):
    """Runs a statement in a test's database; its rows."""

    def __call__(self, statement: str, *values: Any) -> Rows: ...


@contextmanager
def quick_folder() -> Iterator[Path]:
    """For all that tests write. In memory, where there is room: most of the time that a database, a spool or a browser
    takes to begin is flushes, and no test cuts the power."""
    memory = Path("/dev/shm")
    in_memory = memory.is_dir() and os.access(memory, os.W_OK)
    if in_memory:
        _remove_leftovers(memory)
        in_memory = shutil.disk_usage(memory).free > _ROOM
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=memory if in_memory else None) as name:
        folder = Path(name)
        with (folder / "lock.new").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            (folder / "lock.new").rename(folder / "lock")
            yield folder


def _remove_leftovers(memory: Path) -> None:
    """Of runs that were killed, whose lock nobody holds any more: memory is not emptied by itself."""
    for folder in memory.glob(f"{_PREFIX}*"):
        with suppress(OSError), (folder / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


class Databases:
    """A server that lives as long as the session. Its own database is migrated, and the model of all others."""

    def __init__(self, url: str) -> None:
        migrate.apply(url)
        self.arguments = parameters(url)
        with self._session("rushes") as run:
            tables = [table for (table,) in run("SHOW TABLES")]
            made = [run(f"SHOW CREATE TABLE `{table}`")[0][1] for table in tables]
            yoyo = [
                f"INSERT INTO {table} SELECT * FROM rushes.{table}" for table in tables if table.startswith("_yoyo")
            ]
        # The rows that migrations insert are made anew: the log's name is another in each database.
        rows = [text for text in (path.read_text() for path in MIGRATIONS) if "\nINSERT IGNORE INTO" in text]
        statements = ["SET FOREIGN_KEY_CHECKS = 0", *made, *yoyo, *rows]
        self._script = ";\n".join(statement.strip().removesuffix(";") for statement in statements)

    @contextmanager
    def _session(self, database: str | None = None) -> Iterator[Callable[[str], Any]]:
        with pymysql.connect(
            unix_socket=self.arguments["unix_socket"], user=self.arguments["user"], database=database, autocommit=True,
            client_flag=CLIENT.MULTI_STATEMENTS, charset="utf8mb4", ssl_disabled=True,
        ) as session, session.cursor() as cursor:  # fmt: skip

            def run(statements: str) -> Any:
                cursor.execute(statements)
                rows = cursor.fetchall()
                while cursor.nextset():
                    pass
                return rows

            yield run

    def make(self) -> str:
        """The address of a new one, as `rushes migrate` leaves it."""
        name = f"test_{next(_numbers)}"
        with self._session() as run:
            run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci; USE {name};\n{self._script}")
        return self._url(name)

    def drop(self, url: str) -> None:
        """Its sessions are ended first: one that a test has left would be waited for."""
        name = parameters(url)["db"]
        with self._session() as run:
            for (number,) in run(f"SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '{name}'"):
                with suppress(pymysql.err.OperationalError):  # it may have ended meanwhile
                    run(f"KILL {number}")
            run(f"DROP DATABASE IF EXISTS {name}")

    def _url(self, name: str) -> str:
        user, unix_socket = self.arguments["user"], quote(self.arguments["unix_socket"], safe="")
        return f"mysql://{user}@localhost/{name}?unix_socket={unix_socket}"


@contextmanager
def database_server() -> Iterator[Databases]:
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        stack = AsyncExitStack()
        url = runner.run(stack.enter_async_context(private_database(Path(folder))))
        try:
            yield Databases(url)
        finally:
            runner.run(stack.aclose())


def status(sql: Sql, name: str) -> int:
    return int(sql(f"SHOW GLOBAL STATUS LIKE '{name}'")[0][1])


def selects(sql: Sql) -> int:
    return status(sql, "Com_select")


def empty(sql: Sql) -> None:
    """Drops all tables of the test's database."""
    sql("SET FOREIGN_KEY_CHECKS = 0")
    for (table,) in sql("SHOW TABLES"):
        sql(f"DROP TABLE {table}")
    sql("SET FOREIGN_KEY_CHECKS = 1")  # as Prisma has it: without them MariaDB adds keys another way, which has failed
