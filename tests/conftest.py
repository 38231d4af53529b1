"""The real parts that tests run on: a MariaDB for the session, a database of its own for each test, a server."""

import asyncio
import contextlib
import gc
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, TextIO, cast

import hypothesis
import pymysql
import pytest
import structlog
from pytest_aiohttp.plugin import AiohttpClient

from app import logs
from app.db.url import parameters
from tests import forks
from tests.client import Client, OwnServer, opened
from tests.databases import Databases, Rows, Sql, database_server, quick_folder

_FOLDER = pytest.StashKey[contextlib.ExitStack]()


class _Stderr:
    """What is stderr when something is written: loggers are made once, and pytest captures each test anew."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


logs.configure("error")
structlog.configure(logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _Stderr())))
# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("suite")


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The suite runs on the loop that serves; RUSHES_TEST_LOOP=asyncio runs it on the other one."""
    if os.environ.get("RUSHES_TEST_LOOP") == "asyncio":
        return {"asyncio": asyncio.new_event_loop}
    import uvloop

    return {"uvloop": uvloop.new_event_loop}


def pytest_configure(config: pytest.Config) -> None:
    """Puts temporary files where they are quick; for all processes of tests, and for those that they start."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    folder = config.stash[_FOLDER] = contextlib.ExitStack()
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder.enter_context(quick_folder()))
    config.option.basetemp = config.option.basetemp or f"{tempfile.tempdir}/t"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What may take long, as its own time-out says, begins first: no process of tests has it left when all others have
    ended."""
    usual = float(config.getini("timeout"))

    def longest(item: pytest.Item) -> float:
        marker = item.get_closest_marker("timeout")
        return usual if marker is None else float(marker.args[0])

    items.sort(key=longest, reverse=True)


def pytest_collection_finish() -> None:
    """What was collected stays; looking through it for garbage again and again takes a twentieth of the time."""
    gc.freeze()


def pytest_unconfigure(config: pytest.Config) -> None:
    forks.end()
    if _FOLDER in config.stash:
        config.stash[_FOLDER].close()


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    with database_server() as started:
        yield started


@pytest.fixture(scope="session")
def mariadb(databases: Databases) -> dict[str, Any]:
    """Connection arguments of the session's server, as root."""
    return databases.arguments


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """An empty, migrated database of the test's own."""
    url = databases.make()
    yield url
    databases.drop(url)


@pytest.fixture
def sql(database_url: str) -> Iterator[Sql]:
    """Runs a statement in the test's database; rows as tuples."""
    arguments = parameters(database_url)
    session = pymysql.connect(
        unix_socket=arguments["unix_socket"], user=arguments["user"], database=arguments["db"], autocommit=True,
        charset="utf8mb4", ssl_disabled=True,
    )  # fmt: skip

    server_version = session.get_server_info()  # type: ignore[no-untyped-call]  # its stub lacks a type
    mysql = "MariaDB" not in server_version

    def run(statement: str, *values: Any) -> Rows:
        with session.cursor() as cursor:
            cursor.execute(_without_sequences(statement) if mysql else statement, values or None)
            return cursor.fetchall()

    if mysql:
        run("SET SESSION cte_max_recursion_depth = 1000000")
    yield run
    session.close()


def _without_sequences(statement: str) -> str:
    """MySQL has no tables like seq_1_to_9."""
    counted = (
        r"(WITH RECURSIVE s AS (SELECT \1 AS seq UNION ALL SELECT seq + 1 FROM s WHERE seq < \2) SELECT * FROM s) s"
    )
    return re.sub(r"\bseq_(\d+)_to_(\d+)\b", counted, statement)


@pytest.fixture
def aiohttp_client_cls() -> type[Client]:
    return Client


@pytest.fixture
async def server(aiohttp_client: AiohttpClient, database_url: str) -> Client:
    client: object = await aiohttp_client(OwnServer(database_url))
    assert isinstance(client, Client)
    return await opened(client)
