"""Character sets of the site's columns: what a column cannot hold is equal to nothing in it.

To both servers it is an error instead ("illegal mix of collations", "cannot convert string"), which one odd id in a
request or a webhook would be an outage by. So a value is compared as its column has it, or as NULL. A column of
utf8mb4, as Prisma makes them all, holds everything, and ASCII is in every character set: then values go as they are.

A process has one database, so what is known of it stands here, once: each session asks anew as it begins.
"""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from app.db.sql import Raw, bind, exact

JOB, AUTHOR, ORGANIZATION = "video_generations.id", "video_generations.authorId", "video_generations.organizationId"
FILE, FILES_JOB, S3_KEY = "video_files.id", "video_files.generationId", "video_files.s3Key"

_TABLES = {"video_generations", "video_files"}

_COLUMNS = """
SELECT TABLE_NAME, COLUMN_NAME, CHARACTER_SET_NAME, COLLATION_NAME FROM information_schema.COLUMNS
WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME IN %s AND CHARACTER_SET_NAME <> 'utf8mb4'
"""

# A constant: the index serves. The collation is the column's own, since two that nobody chose would be no match.
_HELD = "IF(CAST(CONVERT(%s USING utf8mb4) AS BINARY) = %s, %s, NULL) COLLATE %s"
_CONVERTED = "CONVERT(%s USING %s)"

_NAME = re.compile(r"\w+", re.ASCII)


class _Charset(NamedTuple):
    name: str
    collation: str


_known: dict[str, _Charset] = {}


def watch(*tables: str) -> None:
    """Sessions that begin from now on ask for these tables too."""
    _TABLES.update(tables)


def question() -> bytes:
    """The statement of which `learn` takes the rows."""
    return bind(_COLUMNS, sorted(_TABLES))


def learn(rows: Iterable[tuple[Any, ...]]) -> None:
    """Takes which columns do not hold everything; all others do."""
    _known.clear()
    for table, column, name, collation in rows:
        if _NAME.fullmatch(str(name)) and _NAME.fullmatch(str(collation)):
            _known[f"{table}.{column}".lower()] = _Charset(str(name), str(collation))


def held(column: str, value: str) -> str | Raw:
    """What `column`, as table.column, is compared with for `value`, as `bind` takes it."""
    if value.isascii() or (charset := _known.get(column.lower())) is None:
        return value
    converted = Raw(bind(_CONVERTED, value, Raw(charset.name.encode())))
    return Raw(bind(_HELD, converted, exact(value), converted, Raw(charset.collation.encode())))


def each_held(column: str, values: Iterable[str]) -> list[str | Raw]:
    return [held(column, value) for value in values]
