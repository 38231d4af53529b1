"""The migrations, applied by yoyo: plain SQL files that can run twice."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
from yoyo import read_migrations
from yoyo.backends.core.mysql import MySQLBackend
from yoyo.connections import parse_uri

from app.db import session, ticket_key
from app.db.connection import connect
from app.db.errors import (
    DatabaseAwayError,
    RetryableError,
    TableGoneError,
    UnfitError,
    judged,
    not_connected,
)
from app.db.url import parameters

_FOLDER = Path(__file__).parent / "migrations"

# What our queries need on the site's tables; those that we make have it from the start.
_WANTED_INDEXES = (
    (
        "video_generations",
        ("authorId", "status", "createdAt"),
        "video_generations_authorId_status_createdAt_idx",
    ),
    (
        "video_generations",
        ("organizationId", "status", "createdAt"),
        "video_generations_organizationId_status_createdAt_idx",
    ),
    ("video_generations", ("createdAt",), "video_generations_createdAt_idx"),
    ("video_files", ("generationId",), "video_files_generationId_idx"),
)

_INDEX_COLUMNS = """
SELECT INDEX_NAME, COLUMN_NAME FROM information_schema.STATISTICS
WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %s ORDER BY INDEX_NAME, SEQ_IN_INDEX
"""

# The tables that we write to, the site's and ours.
ENGINES = """
SELECT TABLE_NAME, ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()
  AND (TABLE_NAME IN ('video_generations', 'video_files') OR TABLE_NAME LIKE 'rushes\\_%') ORDER BY TABLE_NAME
"""


# MariaDB puts another engine in the place of the one that CREATE TABLE names, or refuses that.
_ENFORCED = "SHOW SESSION VARIABLES LIKE 'enforce\\_storage\\_engine'"


@dataclass(frozen=True, slots=True)
class Report:
    """What `apply` did: migrations by name, tables that were there before, indexes that are missing as statements."""

    applied: list[str]
    adopted: list[str]
    missing_indexes: list[str]


def refuse_engines(rows: Iterable[tuple[Any, ...]]) -> None:
    """Takes the rows of ENGINES. Raises UnfitError for a table whose engine knows no transactions of our kind."""
    for table, engine in rows:
        if engine is not None and engine.lower() != "innodb":  # a view has none
            raise UnfitError(
                f"the table {table} is kept by {engine}, which cannot take back what was half done: "
                f"ALTER TABLE `{table}` ENGINE=InnoDB"
            )


async def pending(url: str, wait: float = 10.0) -> list[str]:
    """Names of the migrations that a database lacks. Raises DatabaseAwayError."""
    names = sorted(path.stem for path in _FOLDER.glob("*.sql"))
    connection = await connect(url, wait)
    try:
        applied = {name for (name,) in await connection.rows("SELECT migration_id FROM _yoyo_migration")}
    except RetryableError as error:
        if not error.lacks_table:
            raise
        return names
    finally:
        connection.close()
    return [name for name in names if name not in applied]


def _refuse_enforced(rows: Iterable[tuple[Any, ...]]) -> None:
    """Takes the rows of _ENFORCED. Raises UnfitError where no table of ours would get the engine that it needs."""
    for name, engine in rows:
        if engine and engine.lower() != "innodb":
            raise UnfitError(
                f"the database makes every table with {engine} ({name}), and ours need InnoDB: "
                f"set {name} to InnoDB, or to nothing"
            )


def apply(url: str, *, add_indexes: bool = False, patience: float = 10.0) -> Report:
    """Brings a database up to date; several at once wait for each other. `patience`, in seconds, is for the connection.

    Raises UnreachableError; RefusedError and UnfitError, its kinds, when waiting would not help; TableGoneError;
    another DatabaseAwayError when others migrate for too long; and once it is connected pymysql's Error.
    """
    with _session(url, patience) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK('rushes_migrate', 60)")
        if cursor.fetchone() != (1,):
            raise DatabaseAwayError("another migration has been running for a minute")
        cursor.execute(_ENFORCED)
        _refuse_enforced(cursor.fetchall())
        cursor.execute(ENGINES)
        found = cursor.fetchall()
        refuse_engines(found)
        existing = [table for table, _ in found if not table.startswith("rushes_")]
        _clear_halves(cursor)
        try:
            names = _apply_pending(url, cursor)
            ticket_key.make(connection)
        except Exception as error:
            _raise_otherwise(error)
            raise
        missing = _missing_indexes(cursor)
        if add_indexes:
            for statement in missing:
                cursor.execute(statement)
        adopted = existing if any("video" in name for name in names) else []
        return Report(names, adopted, missing)


_HAS_VERSION = "SHOW TABLES LIKE '\\_yoyo\\_version'"

# What a migration does, done to a table that is nobody's. yoyo passes over some of the errors, and then stumbles.
_PROBE = (
    "DROP TABLE IF EXISTS rushes_probe",
    "CREATE TABLE rushes_probe (id INT PRIMARY KEY, other INT) ENGINE=InnoDB",
    "INSERT INTO rushes_probe (id) VALUES (1)",
    "ALTER TABLE rushes_probe ADD INDEX rushes_probe_other (other)",
    "UPDATE rushes_probe SET other = 1",
    "SELECT other FROM rushes_probe",
    "DELETE FROM rushes_probe",
    "DROP TABLE rushes_probe",
)


def _apply_pending(url: str, cursor: Any) -> list[str]:
    """Names of the migrations that were applied."""
    cursor.execute(_HAS_VERSION)
    is_new = cursor.fetchone() is None
    if is_new:
        _try_rights(cursor)
    with _backend(url) as backend:
        # GET_LOCK is ours, so whoever left yoyo's own lock row behind is dead.
        backend.break_lock()
        wanted = backend.to_apply(read_migrations(str(_FOLDER)))
        names = [m.id for m in wanted]
        if wanted:
            if not is_new:
                _try_rights(cursor)
            with backend.lock():
                backend.apply_migrations(wanted)
    return names


def _try_rights(cursor: Any) -> None:
    for statement in _PROBE:
        cursor.execute(statement)


def _clear_halves(cursor: Any) -> None:
    """yoyo stumbles over tables of its own that it was making when it was ended. Nothing is recorded in them yet."""
    cursor.execute("SHOW TABLES LIKE '\\_yoyo\\_%'")
    found = {name for (name,) in cursor.fetchall()}
    if "_yoyo_version" in found:
        cursor.execute("SELECT COUNT(*) FROM _yoyo_version")
        if cursor.fetchone() != (0,):
            return
    for table in found & {"_yoyo_migration", "_yoyo_log", "_yoyo_version"}:
        cursor.execute(f"DROP TABLE {table}")


def _raise_otherwise(error: BaseException) -> None:
    """Raises what is at the bottom of an error, if that is more to the point: a right that is lacking, or a table."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, pymysql.err.Error):
            found = judged(cause)
            if isinstance(found, RetryableError) and found.lacks_right:
                raise session.unfit(found, "what we make") from error
            if isinstance(found, RetryableError) and found.lacks_table:
                raise TableGoneError(found) from error
        cause = cause.__cause__ or cause.__context__


def _missing_indexes(cursor: Any) -> list[str]:
    statements = []
    for table, columns, name in _WANTED_INDEXES:
        cursor.execute(_INDEX_COLUMNS, (table,))
        indexes: dict[str, list[str]] = {}
        for index, column in cursor.fetchall():
            indexes.setdefault(index, []).append(column)
        if not any(tuple(found[: len(columns)]) == columns for found in indexes.values()):
            listed = ", ".join(f"`{column}`" for column in columns)
            statements.append(f"CREATE INDEX `{name}` ON `{table}` ({listed})")
    return statements


class _Backend(MySQLBackend):  # type: ignore[misc]
    """yoyo on a connection made from our own reading of DATABASE_URL, which knows what Prisma writes there."""

    def connect(self, dburi: Any) -> Any:
        return _connect(dburi.args["url"])

    def quote_identifier(self, identifier: str) -> str:
        """In every mode of the database. yoyo asks for the mode each time, some 400 times in an empty database."""
        return f"`{identifier.replace('`', '``')}`"


def _backend(url: str) -> Any:
    uri = parse_uri("mysql:///")._replace(database=parameters(url)["db"], args={"url": url})
    backend = _Backend(uri, "_yoyo_migration")
    backend.init_database()
    return backend


@contextmanager
def _session(url: str, patience: float) -> Iterator[Any]:
    connection = _connect(url, patience)
    try:
        yield connection
    finally:
        connection.close()


def _connect(url: str, patience: float = 10.0) -> Any:
    """A session as all of ours are. Raises UnreachableError."""
    arguments = parameters(url)
    arguments["database"] = arguments.pop("db")
    try:
        # Without a demand PyMySQL would take any certificate.
        connection = pymysql.connect(
            **arguments,
            charset="utf8mb4",
            autocommit=None,
            connect_timeout=patience,
            read_timeout=patience,
            ssl_disabled="ssl" not in arguments,
        )
    except Exception as error:
        raise not_connected(error, arguments) from error
    connection._read_timeout = None  # type: ignore[attr-defined]  # noqa: SLF001 - a migration may take hours
    try:
        _state(connection, arguments["database"])
    except BaseException:
        connection.close()
        raise
    return connection


def _state(connection: Any, database: str) -> None:
    with connection.cursor() as cursor:
        try:
            for statement in session.opening(database, idle=0):
                cursor.execute(statement)
        except pymysql.err.Error as error:
            raise session.unfit(judged(error), "a setting of a session") from error
        if session.refuse_otherwise(cursor.fetchall()):
            try:
                cursor.execute(session.LOG_ROWS)
            except pymysql.err.Error as error:
                raise UnfitError(session.NOT_LOGGED) from error
