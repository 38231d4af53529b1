"""What every session of ours states, and reads back. What our statements mean must not be the server's to say.

A server may begin its sessions with another character set, another SQL mode, autocommit off: by its options, or by
`init_connect`, which runs before the first statement of every user but an administrator. So nothing is left as it was
found. The packet that opens a session states all that our SQL rests on, and reads it back at its end, since the server
may bound a value (`maximum-…`), and a proxy on the way may swallow it. A session that is otherwise is refused.

Afterwards we rest on this: a session keeps what it has. SET GLOBAL is for sessions that begin later, `init_connect`
runs once, and neither aiomysql nor PyMySQL connects again by itself. What is changed for one session alone is named
where that is done (`leader.py`, `health.py`).
"""

import re
from collections.abc import Iterable
from math import ceil
from typing import Any, NamedTuple

from app.db.errors import DatabaseError, RetryableError, UnfitError

# Strict, so that a value that does not fit is an error instead of another value. Neither ANSI_QUOTES nor
# NO_BACKSLASH_ESCAPES, on which our quoting rests.
_SQL_MODE = "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"

_ALL = "18446744073709551615"

# In this order. A limit of time would end what comes after it. With completion_type CHAIN the end of a transaction
# begins the next one, with RELEASE it ends the session. `init_connect` may have begun a transaction: nothing that is
# written in it would be committed. max_join_size turns sql_big_selects off.
#
# innodb_lock_wait_timeout: a row held by another program must not stall every webhook.
# lock_wait_timeout: how long somebody's ALTER TABLE may hold us up is for our own time-outs to say.
# max_sort_length: ids are put in order by all of their bytes.
# max_statement_time, max_execution_time: what somebody has stopped waiting for must not go on. Only the sessions that
# requests share have an end; MySQL's is for what reads.
# idle_transaction_timeout: MariaDB ends a transaction that says nothing more. Its machine may have vanished, and its
# locks would stay for hours.
_STATED = f"""
SET SESSION completion_type = 0, sql_safe_updates = 0
  /*M! , max_statement_time = 0 */ /*!80000 , max_execution_time = 0 */;
ROLLBACK AND NO CHAIN NO RELEASE;
SET NAMES utf8mb4 COLLATE utf8mb4_bin;
SET SESSION autocommit = 1, sql_mode = '{_SQL_MODE}', sql_select_limit = {_ALL}, max_join_size = {_ALL},
  max_sort_length = 1024, sql_auto_is_null = 0, foreign_key_checks = 1, unique_checks = 1, time_zone = '+00:00',
  innodb_lock_wait_timeout = 1, lock_wait_timeout = 86400, default_storage_engine = InnoDB
  /*M! , check_constraint_checks = 1, system_versioning_asof = DEFAULT, old_mode = '',
  idle_transaction_timeout = {{idle}}, max_statement_time = {{seconds}} */
  /*!80000 , max_execution_time = {{milliseconds}} */;
SET SESSION sql_big_selects = 1;
SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;
USE {{database}};
"""

# As SHOW VARIABLES names and spells what was stated.
_EVERYWHERE = {
    "character_set_client": "utf8mb4",
    "character_set_connection": "utf8mb4",
    "character_set_results": "utf8mb4",
    "collation_connection": "utf8mb4_bin",
    "autocommit": "ON",
    "sql_mode": _SQL_MODE,
    "sql_select_limit": _ALL,
    "sql_big_selects": "ON",
    "max_sort_length": "1024",
    "completion_type": "NO_CHAIN",
    "sql_safe_updates": "OFF",
    "sql_auto_is_null": "OFF",
    "foreign_key_checks": "ON",
    "unique_checks": "ON",
    "time_zone": "+00:00",
    "innodb_lock_wait_timeout": "1",
    "default_storage_engine": "InnoDB",
}

# MySQL and MariaDB, and their versions, each have some of these.
_SOMEWHERE = {
    "transaction_isolation": "READ-COMMITTED",
    "tx_isolation": "READ-COMMITTED",
    "transaction_read_only": "OFF",
    "tx_read_only": "OFF",
    "check_constraint_checks": "ON",
    "system_versioning_asof": "DEFAULT",
    "old_mode": "",
    "in_transaction": "0",
}

_LIMITS = ("max_execution_time", "max_statement_time")
_PACKET_MAX = "max_allowed_packet"
_BINARY_LOG = ("log_bin", "sql_log_bin", "binlog_format")

# What tells two servers apart, also of one machine.
_SERVER = ("hostname", "port", "socket", "datadir", "server_id")
_VERSION = "version"

# SHOW rather than SELECT @@…: that fails for a name that the server does not have.
_NAMES = (*_EVERYWHERE, *_SOMEWHERE, *_LIMITS, *_BINARY_LOG, _PACKET_MAX, *_SERVER, _VERSION)
_READ_BACK = f"SHOW SESSION VARIABLES WHERE Variable_name IN {_NAMES}"

# For servers whose binary log is of statements: none can be written to it in READ COMMITTED (error 1665).
LOG_ROWS = "SET SESSION binlog_format = 'ROW'"

STATEMENTS_LOGGED = 1665
NOT_LOGGED = (
    "the database writes its binary log as statements (binlog_format=STATEMENT), and refuses what we write: set "
    "binlog_format to ROW or MIXED, or give our user the right BINLOG ADMIN (MySQL: SYSTEM_VARIABLES_ADMIN)"
)

_USER = re.compile(r" (?:to|for) user '.*?'@'.*?'")


def opening(database: str, idle: int, limit: float = 0.0) -> list[str]:
    """The statements that open a session; the last one's rows are for `refuse_otherwise`.

    `idle`: seconds that MariaDB lets a transaction say nothing; `limit`: seconds that a statement may take, to MySQL
    one that reads. 0 is for no end.
    """
    quoted = f"`{database.replace('`', '``')}`"
    seconds, milliseconds = _limits(limit)
    stated = _STATED.format(idle=idle, database=quoted, seconds=seconds, milliseconds=milliseconds)
    return [*stated.strip().removesuffix(";").split(";\n"), _READ_BACK]


def _limits(limit: float) -> tuple[str, str]:
    """As max_statement_time and max_execution_time are spelled. The least of them is a millisecond, 0 would be none."""
    milliseconds = ceil(limit * 1000)
    return f"{milliseconds / 1000:.6f}", str(milliseconds)


def refuse_otherwise(rows: Iterable[tuple[Any, ...]], limit: float = 0.0) -> bool:
    """Raises UnfitError where the session is not as stated, with that `limit`. Whether LOG_ROWS must be said in it
    too."""
    found = {str(name).lower(): str(value) for name, value in rows}
    seconds, milliseconds = _limits(limit)
    somewhere = _SOMEWHERE | {"max_statement_time": seconds, "max_execution_time": milliseconds}
    for name, wanted in (_EVERYWHERE | somewhere).items():
        value = found.get(name)
        if value is None and name in somewhere:
            continue
        if value is None or _parts(value) != _parts(wanted):
            raise UnfitError(
                f"a session of the database has {name} = {value!r} although {wanted!r} was set: an option of the "
                "server (maximum-…), or a proxy on the way to it, keeps it so, and must let it be"
            )
    if not found.keys() & {"transaction_isolation", "tx_isolation"}:
        raise UnfitError("the database does not tell how a session's transactions are isolated")
    return [found.get(name) for name in _BINARY_LOG] == ["ON", "ON", "STATEMENT"]


def _parts(value: str) -> set[str]:
    """Modes come in any order, names in any case."""
    return set(value.lower().split(","))


def packet_max(rows: Iterable[tuple[Any, ...]]) -> int:
    """How many bytes the server takes at once."""
    return next(int(value) for name, value in rows if name == _PACKET_MAX)


class Server(NamedTuple):
    """Which server a session has."""

    is_mariadb: bool
    named: tuple[str | None, ...]


def server(rows: Iterable[tuple[Any, ...]]) -> Server:
    found = {str(name).lower(): str(value) for name, value in rows}
    return Server("mariadb" in found.get(_VERSION, "").lower(), tuple(found.get(name) for name in _SERVER))


def unfit(error: DatabaseError, what: str) -> UnfitError:
    """What it means that the server refuses `what` of ours: a sentence that names no user."""
    if isinstance(error, RetryableError) and error.number == STATEMENTS_LOGGED:
        return UnfitError(NOT_LOGGED)
    named = _USER.sub("", error.sentence).rstrip(".")
    if isinstance(error, RetryableError) and error.lacks_right:
        return UnfitError(f"the database's user lacks a right that we need: {named}")
    return UnfitError(f"the database refuses {what}: {named}")
