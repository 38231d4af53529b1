"""SQL text from constants and values.

Text is put together as bytes: bodies and events are bytes already, and are most of what is sent. Quoting is our
own because PyMySQL's takes 40 µs for a body of a kilobyte, this 1. It rests on what every session of ours
sets: utf8mb4, whose longer characters hold neither quote nor backslash, and an sql_mode without
NO_BACKSLASH_ESCAPES.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from app import times

# FIELD() looks for each row among all: chunks keep that from growing with the square of a batch.
_ROWS_AT_ONCE = 50


class Raw(bytes):
    """SQL that goes into a statement as it is."""

    __slots__ = ()


def literal(value: Any) -> bytes:
    """A value as SQL. Raises TypeError for a type, ValueError for a number, that MySQL has no literal for."""
    return _ENCODERS[type(value)](value)


def _text(value: str) -> bytes:
    if "'" in value or "\\" in value:
        value = value.replace("\\", "\\\\").replace("'", "\\'")
    try:
        return f"'{value}'".encode()
    except UnicodeEncodeError:
        return f"'{value}'".encode("utf-8", "replace")


def _binary(value: bytes) -> bytes:
    return b"_binary'%b'" % value.replace(b"\\", b"\\\\").replace(b"'", b"\\'")


def _float(value: float) -> bytes:
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a number that MySQL has")
    text = repr(value)
    return (text if "e" in text else text + "e0").encode()


class _Encoders(dict[type, Callable[[Any], bytes]]):
    def __missing__(self, kind: type) -> Callable[[Any], bytes]:
        raise TypeError(f"{kind.__name__} is not a type that goes into SQL here")


_ENCODERS = _Encoders(
    {
        Raw: lambda value: value,
        str: _text,
        bytes: _binary,
        int: b"%d".__mod__,
        bool: b"%d".__mod__,
        float: _float,
        type(None): lambda _: b"NULL",
        datetime: lambda value: b"'%s'" % times.sql6(times.microseconds(value)).encode(),
    }
)


def bind(statement: str, *values: object) -> bytes:
    """`statement` with each %s replaced by a value; a list of values becomes (1, 2), one of rows (1, 2), (3, 4)."""
    return statement.encode() % tuple([_listed(v) if isinstance(v, (list, tuple, set)) else literal(v) for v in values])


def exact(text: str) -> bytes:
    """An id as it is compared with `CAST(column AS BINARY)`, beside a comparison that an index can serve: to collations
    with PAD SPACE, our own too, `bob` and `bob ` are the same. What is no UTF-8 is equal to nothing."""
    return text.encode("utf-8", "surrogatepass")


def _listed(values: Iterable[Any]) -> bytes:
    items: list[Any] = list(values)
    if items and isinstance(items[0], (list, tuple)):
        return b"(%b)" % b"), (".join([b", ".join([_ENCODERS[type(v)](v) for v in row]) for row in items])
    return b"(%b)" % b", ".join([_ENCODERS[type(v)](v) for v in items])


def update_rows(table: str, key: str, rows: dict[str, dict[str, Any]]) -> list[bytes]:
    """Statements that give each row, named by its `key` column, its own values.

    Rows with the same columns share a statement. A column with one value for all is set to it; in any other
    FIELD() tells the row's place in the list, and ELT() the value there.
    """
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, columns in rows.items():
        groups.setdefault(tuple(columns), []).append(name)
    statements = []
    for columns_of_group, names in groups.items():
        for start in range(0, len(names), _ROWS_AT_ONCE):
            chunk = names[start : start + _ROWS_AT_ONCE]
            statements.append(_update(table, key, columns_of_group, chunk, rows))
    return statements


def _update(table: str, key: str, columns: Sequence[str], names: list[str], rows: dict[str, dict[str, Any]]) -> bytes:
    listed = b", ".join(map(literal, names))
    place = b"FIELD(%s, %s)" % (key.encode(), listed)
    assignments = []
    for column in columns:
        values = [rows[name][column] for name in names]
        one = values.count(values[0]) == len(values)
        value = literal(values[0]) if one else b"ELT(%s, %s)" % (place, b", ".join(map(literal, values)))
        assignments.append(b"%s = %s" % (column.encode(), value))
    return b"UPDATE %s SET %s WHERE %s IN (%s)" % (table.encode(), b", ".join(assignments), key.encode(), listed)


def json_bytes(column: str) -> str:
    """SQL of about how many bytes a text column takes as JSON, 0 for NULL: a control character takes six."""
    return f"COALESCE(OCTET_LENGTH(JSON_QUOTE(CONVERT({column} USING utf8mb4))), 0)"
