"""Database servers set against us: one private server, whose settings a test changes and puts back."""

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pymysql
import pytest

from app.db import local
from app.db.url import parameters
from tests.databases import Rows

USER = "site"
_numbers = itertools.count(1)


def is_mysql() -> bool:
    """Whether the suite runs on MySQL, which scripts/server brings."""
    return local._find_program().name == "mysqld"


@dataclass
class Admin:
    """Root's own session, which no later setting reaches; the server belongs to the tests."""

    socket: str
    session: Any

    def sql(self, statement: str, *values: Any) -> Rows:
        with self.session.cursor() as cursor:
            cursor.execute(statement, values or None)
            rows: Rows = cursor.fetchall()
            return rows

    def url(self, database: str, user: str = USER) -> str:
        return f"mysql://{user}@localhost/{database}?unix_socket={quote(self.socket, safe='')}"

    def make_database(self) -> str:
        """The address of an empty database, for a user without any right of an administrator."""
        name = f"hostile_{next(_numbers)}"
        self.sql(f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")
        self.sql(f"GRANT ALL ON {name}.* TO '{USER}'@'localhost'")
        self.sql(f"USE {name}")
        return self.url(name)

    @contextmanager
    def set(self, settings: dict[str, Any]) -> Iterator[None]:
        """New sessions get these until the end."""
        before = {name: self.sql(f"SELECT @@GLOBAL.{name}")[0][0] for name in settings}
        try:
            for name, value in settings.items():
                self.sql(f"SET GLOBAL {name} = %s", value)
            yield
        finally:
            for name, value in before.items():
                self.sql(f"SET GLOBAL {name} = %s", value)


@asynccontextmanager
async def private_server(folder: Path, *options: str) -> AsyncIterator[Admin]:
    """A server of the program that the suite runs on, with `options` after those that a private one has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "_OPTIONS", (*local._OPTIONS, *options))
        async with local.private_database(folder) as url:
            socket = parameters(url)["unix_socket"]
            session = pymysql.connect(unix_socket=socket, user="root", autocommit=True, charset="utf8mb4")
            admin = Admin(socket, session)
            # What root's own session rests on in the tests, whatever the options say.
            admin.sql("SET NAMES utf8mb4 COLLATE utf8mb4_bin")
            admin.sql("SET SESSION sql_mode = '', sql_select_limit = 18446744073709551615, time_zone = '+00:00'")
            admin.sql(f"CREATE USER IF NOT EXISTS '{USER}'@'localhost'")
            admin.sql(f"GRANT SELECT ON mysql.* TO '{USER}'@'localhost'")
            yield admin
            session.close()
