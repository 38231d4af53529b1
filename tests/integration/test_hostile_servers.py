"""Servers whose sessions begin otherwise than ours need them: nothing may come out otherwise."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pymysql
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.appkeys import READINESS
from app.db import health, migrate
from app.db.connection import connect
from app.db.errors import UnfitError
from app.db.sql import bind
from app.db.url import parameters
from tests.client import Client, running
from tests.flow import TRICKY, flow
from tests.processes import free_port, run
from tests.servers import Admin, is_mysql, private_server
from tests.webhooks import webhook


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
def serving(folder: Path, *options: str) -> Iterator[Admin]:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        yield runner.run(stack.enter_async_context(private_server(folder, *_FAST, *options)))
        runner.run(stack.aclose())


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admin]:
    """Of a server that takes no notice of the character set that a client asks for, and has a binary log."""
    options = ("--loose-skip-character-set-client-handshake", "--log-bin=binlog")
    with serving(tmp_path_factory.mktemp("hostile"), *options) as admin:
        yield admin


@pytest.fixture(params=SETTINGS, ids=lambda setting: setting.name)
def url(request: pytest.FixtureRequest, admin: Admin) -> Iterator[str]:
    """An empty database of a server with one such setting, for a user who is no administrator."""
    setting = request.param
    if setting.only and (setting.only == "MySQL") != is_mysql():
        pytest.skip(f"only {setting.only} has it")
    address = admin.make_database()
    with admin.set(setting.variables):
        yield address


async def test_all_works_on_a_server_whose_sessions_begin_otherwise(url: str, admin: Admin) -> None:
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


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=texts, raw=st.binary(max_size=60))
async def test_any_text_comes_back_byte_for_byte_from_a_session_as_we_make_it(url: str, text: str, raw: bytes) -> None:
    connection = await connect(url, 10)
    try:
        values = (text, text, text.encode(), raw)
        asked = bind("SELECT %s AS a, LENGTH(%s) AS b, %s AS c, %s AS d", *values)
        ((back, size, same, bits),) = await connection.rows(asked)
        assert (back, size, same, bits) == (text, len(text.encode()), text.encode(), raw)
        assert (await connection.run_text(bind("SELECT %s AS a", text)))[0] == [(text,)]
    finally:
        connection.close()


# --- What cannot be had is told ---------------------------------------------------------------------------------------


@pytest.fixture
def plain(admin: Admin) -> str:
    """A migrated database of the server as it is, for a user who is no administrator."""
    address = admin.make_database()
    migrate.apply(address)
    return address


def revoked(admin: Admin, url: str, *tables_and_rights: tuple[str, str]) -> str:
    """The address for a user who has all rights on each table but these."""
    database = parameters(url)["db"]
    admin.sql("DROP USER IF EXISTS 'less'@'localhost'")
    admin.sql("CREATE USER 'less'@'localhost'")
    for (table,) in admin.sql("SHOW TABLES"):
        rights = {"SELECT", "INSERT", "UPDATE", "DELETE"} - {
            right for name, right in tables_and_rights if name == table
        }
        admin.sql(f"GRANT {', '.join(rights)} ON {database}.{table} TO 'less'@'localhost'")
    return admin.url(database, "less")


async def readiness(server: Client) -> tuple[int, str]:
    code, body = await server.read("/readyz")
    health = (await server.read("/api/webhooks/video-completion"))[0]
    if health != code:  # it changed in between
        code, body = await server.read("/readyz")
    assert health == code
    return code, body["database"]


async def until_told(server: Client, told: str) -> None:
    async with asyncio.timeout(15):
        while told not in str(await readiness(server)):
            await asyncio.sleep(0.05)


@pytest.fixture
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """That all is well holds for 0.2 s instead of 10."""
    monkeypatch.setattr(health, "_GOOD", 0.2)


@pytest.fixture
def statements_logged(admin: Admin) -> Iterator[None]:
    with admin.set({"binlog_format": "STATEMENT"}):
        yield


async def test_binary_log_of_statements_is_told_by_migrate_and_at_the_start(
    admin: Admin, plain: str, statements_logged: None, tmp_path: Path
) -> None:
    """Nothing could be written: every webhook would be taken and never applied."""
    with pytest.raises(UnfitError, match="binlog_format to ROW or MIXED"):
        await asyncio.to_thread(migrate.apply, plain)
    with pytest.raises(UnfitError, match="binlog_format to ROW or MIXED"):
        async with running(plain):
            pass
    for command in ("migrate", "serve"):
        code, _, err = await run(tmp_path, command, PORT=free_port(), DATABASE_URL=plain)
        assert (code, err.count("\n")) == (1, 1)
        assert "binlog_format to ROW or MIXED" in err


async def test_binary_log_of_statements_is_no_matter_to_a_user_who_may_choose(
    admin: Admin, plain: str, statements_logged: None
) -> None:
    right = "SYSTEM_VARIABLES_ADMIN" if is_mysql() else "BINLOG ADMIN"
    admin.sql(f"GRANT {right} ON *.* TO 'site'@'localhost'")
    try:
        await flow(plain, admin.sql)
    finally:
        admin.sql(f"REVOKE {right} ON *.* FROM 'site'@'localhost'")


@pytest.mark.usefixtures("looks_often")
async def test_binary_log_of_statements_is_told_while_we_serve_and_webhooks_wait_on_disk(
    admin: Admin, plain: str
) -> None:
    async with running(plain) as server:
        await server.register("j1")
        with admin.set({"binlog_format": "STATEMENT"}):
            for _ in range(2):  # one that was being opened has the old format still
                for (session,) in admin.sql("SELECT id FROM information_schema.PROCESSLIST WHERE user = 'site'"):
                    with suppress(pymysql.err.OperationalError):  # it has ended by itself
                        admin.sql(f"KILL {session}")
                await until_told(server, "binlog_format")
            assert (await readiness(server))[0] == 503
            assert (await server.send(webhook("j1", "generating")))[0] == 202
        await until_told(server, "200, 'ok'")
        async with asyncio.timeout(15):
            while (await server.read("/api/videos/j1"))[1]["progress"] != 50:
                await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("table", "right"),
    [
        ("video_generations", "UPDATE"),
        ("video_files", "INSERT"),
        ("rushes_events", "DELETE"),
        ("rushes_jobs", "UPDATE"),
    ],
)
async def test_right_that_is_missing_is_named_at_the_start(admin: Admin, plain: str, table: str, right: str) -> None:
    with pytest.raises(
        UnfitError, match=f"lacks a right that we need: {right} command denied for table .*{table}"
    ) as e:
        async with running(revoked(admin, plain, (table, right))):
            pass
    assert "less" not in str(e.value)


async def test_right_that_was_taken_away_is_told_while_we_serve(admin: Admin, plain: str) -> None:
    url = revoked(admin, plain)
    async with running(url) as server:
        assert await readiness(server) == (200, "ok")
        server.app[READINESS].health._until = 0.0
        admin.sql("REVOKE INSERT ON video_files FROM 'less'@'localhost'")
        code, told = await readiness(server)
        assert (code, "INSERT command denied" in told) == (503, True)


@pytest.mark.parametrize("table", ["video_files", "rushes_webhooks"])
async def test_table_of_another_engine_is_told_with_what_mends_it(admin: Admin, plain: str, table: str) -> None:
    if table == "video_files":
        admin.sql("ALTER TABLE video_files DROP FOREIGN KEY video_files_generationId_fkey")
    else:
        admin.sql(f"ALTER TABLE {table} DROP INDEX rushes_webhooks_outcome")  # longer than MyISAM's may be
    admin.sql(f"ALTER TABLE {table} ENGINE=MyISAM")
    with pytest.raises(UnfitError, match=f"ALTER TABLE `{table}` ENGINE=InnoDB"):
        await asyncio.to_thread(migrate.apply, plain)
    with pytest.raises(UnfitError, match=f"ALTER TABLE `{table}` ENGINE=InnoDB"):
        async with running(plain):
            pass


async def test_adopted_table_of_another_engine_is_told_before_anything_is_made(admin: Admin) -> None:
    url = admin.make_database()
    admin.sql("CREATE TABLE video_generations (id VARCHAR(191) PRIMARY KEY) ENGINE=MyISAM")
    with pytest.raises(UnfitError, match="ALTER TABLE `video_generations` ENGINE=InnoDB"):
        await asyncio.to_thread(migrate.apply, url)
    assert admin.sql("SHOW TABLES") == (("video_generations",),)


async def test_column_that_an_adopted_table_lacks_is_told_at_the_start(admin: Admin, plain: str) -> None:
    admin.sql("ALTER TABLE video_generations DROP COLUMN downloadTime")
    with pytest.raises(UnfitError, match="refuses what we write: Unknown column 'downloadTime'"):
        async with running(plain):
            pass


@pytest.mark.parametrize("table", ["rushes_counter", "rushes_webhooks", "video_files"])
async def test_tables_that_were_dropped_while_we_serve_are_not_ready(admin: Admin, plain: str, table: str) -> None:
    async with running(plain) as server:
        assert await readiness(server) == (200, "ok")
        server.app[READINESS].health._until = 0.0
        admin.sql(f"DROP TABLE {table}")
        code, told = await readiness(server)
        assert code == 503
        assert told.startswith(f"the table {table} is gone, although its migration was applied: ")


@pytest.mark.usefixtures("looks_often")
async def test_read_only_database_is_not_ready_and_still_read(admin: Admin, plain: str) -> None:
    async with running(plain) as server:
        await server.register("j1")
        with admin.set({"read_only": 1}):
            await until_told(server, "cannot be written to")
            assert (await server.read("/api/videos/j1"))[0] == 200
            async with running(plain) as second:
                assert await readiness(second) == (503, "cannot be written to")
                assert (await second.read("/api/videos/j1"))[0] == 200
        await until_told(server, "200, 'ok'")


async def test_session_that_the_server_bounds_is_refused_with_what_is_otherwise(tmp_path: Path) -> None:
    async with private_server(tmp_path, "--maximum-max-sort-length=100", *_FAST) as admin:
        url = admin.make_database()
        with pytest.raises(UnfitError, match="max_sort_length = '100' although '1024' was set"):
            await connect(url, 10)
        with pytest.raises(UnfitError, match="max_sort_length"):
            await asyncio.to_thread(migrate.apply, url)


async def test_all_works_where_names_of_tables_and_databases_are_in_lower_case(tmp_path: Path) -> None:
    if is_mysql():
        pytest.skip("MySQL takes it only when its files are made")
    async with private_server(tmp_path, "--lower-case-table-names=1", *_FAST) as admin:
        url = admin.make_database().replace("/hostile_", "/HOSTILE_")
        await asyncio.to_thread(migrate.apply, url)
        await flow(url, admin.sql)


async def test_engine_that_the_server_enforces_is_told_by_migrate(tmp_path: Path) -> None:
    if is_mysql():
        pytest.skip("only MariaDB has it")
    async with private_server(tmp_path, "--enforce-storage-engine=Aria", *_FAST) as admin:
        with pytest.raises(UnfitError, match="enforce_storage_engine"):
            await asyncio.to_thread(migrate.apply, admin.make_database())


@pytest.mark.parametrize("name", ["it's", "a`b", "é你"])
async def test_database_of_any_name_is_ours_whatever_init_connect_uses(admin: Admin, name: str) -> None:
    quoted = name.replace("`", "``")
    admin.sql(f"CREATE DATABASE IF NOT EXISTS `{quoted}`")
    admin.sql(f"GRANT ALL ON `{quoted}`.* TO 'site'@'localhost'")
    with admin.set({"init_connect": "USE mysql"}):
        connection = await connect(admin.url(quote(name, safe="")), 10)
        assert await connection.rows("SELECT DATABASE()") == ((name,),)
        connection.close()
