"""Our tables as the migrations make them, read from the migrations themselves, and what of that a database lacks.

A table may have been restored from before a migration that is recorded as applied: then nothing would be missed until
the first webhook needs it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

MIGRATIONS = Path(__file__).parent / "migrations"

# The site's own tables are as the site has them.
_CREATED = re.compile(r"CREATE TABLE IF NOT EXISTS `(rushes_\w+)` \(\n(.*?)\n\)", re.DOTALL)
_ALTERED = re.compile(r"ALTER TABLE `(rushes_\w+)`([^;']*)")
_COLUMN = re.compile(r"^  `(\w+)`", re.MULTILINE)
_ADDED = re.compile(r"ADD COLUMN `(\w+)`")
_UNIQUE = re.compile(r"(?:PRIMARY KEY|UNIQUE (?:INDEX|KEY) `\w+`) \(([^)]*)\)")
_NAMES = re.compile(r"`(\w+)`")

_OURS = "TABLE_SCHEMA = DATABASE() AND TABLE_NAME LIKE 'rushes\\_%'"
COLUMNS = f"SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS WHERE {_OURS}"
UNIQUE_KEYS = f"""
SELECT TABLE_NAME, GROUP_CONCAT(COLUMN_NAME ORDER BY SEQ_IN_INDEX) FROM information_schema.STATISTICS
WHERE {_OURS} AND NON_UNIQUE = 0 AND SUB_PART IS NULL GROUP BY TABLE_NAME, INDEX_NAME
"""


@dataclass(slots=True)
class Table:
    """Its columns, and its unique keys as their columns in order, each with the migration that makes it."""

    columns: dict[str, str] = field(default_factory=dict)
    unique: dict[tuple[str, ...], str] = field(default_factory=dict)


@cache
def tables() -> dict[str, Table]:
    """By their names, after all migrations."""
    made: dict[str, Table] = {}
    for path in sorted(MIGRATIONS.glob("*.sql")):
        text = path.read_text()
        for name, body in _CREATED.findall(text):
            _add(made.setdefault(name, Table()), _COLUMN.findall(body), body, path.stem)
        for name, changes in _ALTERED.findall(text):
            _add(made.setdefault(name, Table()), _ADDED.findall(changes), changes, path.stem)
    return made


def _add(table: Table, columns: Iterable[str], sql: str, migration: str) -> None:
    for column in columns:
        table.columns.setdefault(column, migration)
    for key in _UNIQUE.findall(sql):
        table.unique.setdefault(tuple(_NAMES.findall(key)), migration)


def lacking(columns: Iterable[tuple[Any, ...]], unique_keys: Iterable[tuple[Any, ...]]) -> str | None:
    """What is not there first of all, in words; None where nothing is. Takes the rows of COLUMNS and UNIQUE_KEYS."""
    there = {(str(table), str(column)) for table, column in columns}
    keys = {(str(table), tuple(str(names).split(","))) for table, names in unique_keys}
    for name, table in tables().items():
        for column, migration in table.columns.items():
            if (name, column) not in there:
                return f"the table {name} lacks the column {column}, which the migration {migration} makes"
        for key, migration in table.unique.items():
            if (name, key) not in keys:
                listed = ", ".join(key)
                return f"the table {name} lacks the unique key ({listed}), which the migration {migration} makes"
    return None
