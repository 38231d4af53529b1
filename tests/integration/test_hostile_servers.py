"""Servers whose sessions begin otherwise than ours need them: nothing may come out otherwise."""

import asyncio
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.db import migrate
from app.db.connection import connect
from app.db.sql import bind
from tests.flow import TRICKY, flow
from tests.servers import private_server


@dataclass
class Setting:
    """What new sessions of a server get. `only`: the one kind of server that has it."""

    name: str
    variables: dict[str, Any] = field(default_factory=dict)
    only: str = ""


def charset(name: str, only: str = "MariaDB") -> Setting:
    """As --skip-character-set-client-handshake --character-set-server=… makes it: MySQL 9 has no such option."""
    variables = dict.fromkeys(("client", "connection", "results", "server"), name)
    return Setting(f"charset {name}", {f"character_set_{kind}": value for kind, value in variables.items()}, only)


def init(statement: str, only: str = "") -> Setting:
    return Setting(f"init_connect {statement}", {"init_connect": statement}, only)


def one(variable: str, value: Any, only: str = "") -> Setting:
    return Setting(f"{variable}={value}", {variable: value}, only)


SETTINGS = [
    *(charset(name) for name in ("gbk", "big5", "sjis", "latin1", "utf8mb3")),
    *(init(f"SET NAMES {name}") for name in ("gbk", "sjis", "latin1")),
    init("SET autocommit = 0"),
    init("START TRANSACTION"),
    init("USE mysql"),
    init("SET timestamp = 1"),
    init("SET foreign_key_checks = 0, unique_checks = 0"),
    init("SET sql_auto_is_null = 1"),
    init("SET SESSION TRANSACTION READ ONLY"),
    init("SET TRANSACTION READ ONLY, ISOLATION LEVEL SERIALIZABLE"),
    init("SET check_constraint_checks = 0", "MariaDB"),
    init("SET system_versioning_asof = '1999-01-01 00:00:00'", "MariaDB"),
    one("autocommit", 0),
    one("sql_select_limit", 1),
    one("completion_type", "CHAIN"),
    one("completion_type", "RELEASE"),
    one("sql_safe_updates", 1),
    one("max_join_size", 1),
    one("max_sort_length", 64),
    *(
        one("sql_mode", mode)
        for mode in ("ANSI", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "PIPES_AS_CONCAT", "PAD_CHAR_TO_FULL_LENGTH", "")
    ),
    *(one("sql_mode", mode, "MariaDB") for mode in ("ORACLE", "MSSQL", "EMPTY_STRING_IS_NULL")),
    one("max_statement_time", 0.000_1, "MariaDB"),
    one("max_execution_time", 1, "MySQL"),
    one("default_storage_engine", "MyISAM"),
    one("default_storage_engine", "MEMORY"),
    one("default_storage_engine", "Aria", "MariaDB"),
    *(one("transaction_isolation", level, "MySQL") for level in ("SERIALIZABLE", "READ-UNCOMMITTED")),
    *(one("tx_isolation", level, "MariaDB") for level in ("SERIALIZABLE", "READ-UNCOMMITTED")),
    one("transaction_read_only", 1, "MySQL"),
    one("tx_read_only", 1, "MariaDB"),
    one("time_zone", "+09:00"),
    one("lock_wait_timeout", 1),
    one("innodb_snapshot_isolation", 1, "MariaDB"),
    one("old_mode", "ZERO_DATE_TIME_CAST,UTF8_IS_UTF8MB3", "MariaDB"),
]


# Nothing here is about what a power cut would lose, and most of a migration is flushes.
_FAST = ("--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0")


@contextmanager
def serving(folder, *options):
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        yield runner.run(stack.enter_async_context(private_server(folder, *_FAST, *options)))
        runner.run(stack.aclose())


@pytest.fixture(scope="module")
def admin(tmp_path_factory):
    """Of a server that takes no notice of the character set that a client asks for, and has a binary log."""
    options = ("--loose-skip-character-set-client-handshake", "--log-bin=binlog")
    with serving(tmp_path_factory.mktemp("hostile"), *options) as admin:
        yield admin


@pytest.fixture(params=SETTINGS, ids=lambda setting: setting.name)
def url(request, admin):
    """An empty database of a server with one such setting, for a user who is no administrator."""
    setting = request.param
    if setting.only and (setting.only == "MySQL") != admin.is_mysql:
        pytest.skip(f"only {setting.only} has it")
    address = admin.make_database()
    with admin.set(setting.variables):
        yield address


async def test_all_works_on_a_server_whose_sessions_begin_otherwise(url, admin):
    await asyncio.to_thread(migrate.apply, url)
    await flow(url, admin.sql)


# Characters whose last byte is a quote or a backslash in gbk, big5 or sjis, or that end in the half of one.
texts = st.lists(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from([*"'\\\"`\0\x1a\n%", "你", "表", "ソ", "功", "許", "縗", "é", "ÿ", "😀", TRICKY]),
    ),
    max_size=40,
).map("".join)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=texts, raw=st.binary(max_size=60))
async def test_any_text_comes_back_byte_for_byte_from_a_session_as_we_make_it(url, text, raw):
    connection = await connect(url, 10)
    try:
        values = (text, text, text.encode(), raw)
        ((back, size, same, bits),) = await connection.rows(bind("SELECT %s, LENGTH(%s), %s, %s", *values))
        assert (back, size, same, bits) == (text, len(text.encode()), text.encode(), raw)
        assert (await connection.run_text(bind("SELECT %s", text)))[0] == [(text,)]
    finally:
        connection.close()
