"""Columns of the site's tables that hold less than what we write: a text that only explains is made to fit, and what
is no description is refused before it is sent: a batch that the database refuses is found out about in halves.

Nothing is asked for until a column has refused something, so tables as Prisma makes them cost nothing.
"""

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any

from pymysql.constants import ER

from app.db.connection import Connection
from app.db.errors import ValuesRefusedError
from app.db.sql import Raw, bind
from app.domain.job import VideoFile
from app.times import moment, now, sql

# What describes a job or a file. Names, keys, sizes and states are no descriptions: they are never altered.
_DESCRIBING = {
    "video_generations": {
        "prompt", "error", "message", "model", "modelVersion", "processingTime", "generationTime", "downloadTime",
        "completedAt", "aspectRatio", "durationSeconds", "personGeneration",
    },
    "video_files": {"metadata", "filePath", "createdAt", "aspectRatio"},
}  # fmt: skip

_FILES = {
    "s3Key": attrgetter("s3_key"), "filename": attrgetter("filename"), "fileUrl": attrgetter("url"),
    "fileSize": attrgetter("size"), "format": attrgetter("format"), "durationSeconds": attrgetter("duration_seconds"),
    "width": attrgetter("width"), "height": attrgetter("height"),
}  # fmt: skip
"""Of video_files, the columns that hold what is no description, and what they get."""

_COLUMNS = """
SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE, CHARACTER_MAXIMUM_LENGTH, CHARACTER_OCTET_LENGTH,
  CHARACTER_SET_NAME, NUMERIC_PRECISION - NUMERIC_SCALE
FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME IN %s
"""

_REFUSALS = {
    ER.BAD_NULL_ERROR,
    ER.WARN_DATA_OUT_OF_RANGE,
    ER.WARN_DATA_TRUNCATED,
    ER.TRUNCATED_WRONG_VALUE,
    ER.TRUNCATED_WRONG_VALUE_FOR_FIELD,
    ER.DATA_TOO_LONG,
}

# `site`.`video_generations`.`error`, 'error', 'video_files.metadata'; before it may stand what the sender wrote.
_NAMED = re.compile(r"[Cc]olumn (?:`[^`]*`\.)*[`'](?:\w+\.)?(\w+)[`']")

# Seconds for which it is believed: the site may widen its columns. What is refused for it is asked for again soon.
_BELIEVED = 3600.0
_BELIEVED_TO_REFUSE = 5.0

_WHOLE_NUMBERS = {"tinyint": 2**7, "smallint": 2**15, "mediumint": 2**23, "int": 2**31, "bigint": 2**63}
_CODECS = {"latin1": "cp1252", "ascii": "ascii"}
_BASIC_PLANE = {"utf8", "utf8mb3", "ucs2"}
_BEYOND = re.compile("[\U00010000-\U0010ffff]")

_LEFT_OUT = Raw(b"")


@dataclass(frozen=True, slots=True)
class Column:
    """`length` is in characters, `octets` in bytes; `whole_digits` are those before the point."""

    kind: str
    definition: str
    nullable: bool
    length: int | None
    octets: int | None
    charset: str | None
    whole_digits: int | None

    def fit(self, value: Any) -> Any:
        """The value as the column takes it, or _LEFT_OUT."""
        if value is None:
            return None if self.nullable else self._nothing()
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, datetime):
            late = self.kind == "timestamp" and value.year >= _TIMESTAMP_ENDS
            return moment(now()) if late else value
        if isinstance(value, int | float) and abs(value) >= self._bound():
            return None if self.nullable else self._nothing()
        return value

    def refuses(self, value: Any) -> bool:
        """Whether the column surely does not take it; what is not known here is left to the database."""
        if value is None:
            return not self.nullable
        if isinstance(value, int):
            return value >= self._bound() * (2 if "unsigned" in self.definition and self.kind != "decimal" else 1)
        if not isinstance(value, str) or self.charset is None or self.length is None or self.octets is None:
            return False
        value = value.rstrip(" ")  # what is too long by spaces only is cut by the database itself
        return (
            len(value) > self.length
            or (self.charset.startswith("utf8") and len(value.encode()) > self.octets)
            or (self.charset in _BASIC_PLANE and _BEYOND.search(value) is not None)
            or (self.charset == "ascii" and not value.isascii())
        )

    def _nothing(self) -> Any:
        if self.charset is not None:
            return ""
        return _LEFT_OUT if self.whole_digits is None and self.kind not in ("double", "float") else 0

    def _bound(self) -> float:
        if self.kind in _WHOLE_NUMBERS:
            return _WHOLE_NUMBERS[self.kind]
        return float("inf") if self.kind != "decimal" or self.whole_digits is None else 10.0**self.whole_digits

    def _text(self, value: str) -> Any:
        if self.kind in ("timestamp", "datetime"):
            late = self.kind == "timestamp" and value[:4] >= str(_TIMESTAMP_ENDS)
            return sql(now()) if late else value
        if self.kind == "enum":
            return value if f"'{value}'" in self.definition else _LEFT_OUT
        if self.charset is None or self.length is None or self.octets is None:
            return value
        if self.charset in _BASIC_PLANE:
            value = _BEYOND.sub("\ufffd", value)
        elif self.charset != "utf8mb4":
            codec = _CODECS.get(self.charset, "ascii")
            value = value.encode(codec, "replace").decode(codec)
        value = value[: self.length]
        if self.charset.startswith("utf8"):  # TEXT is bounded by its bytes
            value = value.encode("utf-8", "replace")[: self.octets].decode("utf-8", "ignore")
        return value


_TIMESTAMP_ENDS = 2038


def _shown(value: Any) -> str:
    return f"a text of {len(value)} characters" if isinstance(value, str) else "null" if value is None else f"{value}"


class Columns:
    """What is known of them since one refused something."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, Column]] = {}
        self._until = 0.0
        self._of_files: dict[str, Column] = {}
        self._refuses_until = 0.0

    async def learn(self, connection: Connection, error: Exception) -> bool:
        """Whether what `error` refuses only describes, and may be taken if it is tried again now. If it is of a file
        and does not, `refusal` knows of it from now on.

        Raises DatabaseAwayError or RetryableError.
        """
        if not isinstance(error, ValuesRefusedError) or error.number not in _REFUSALS:
            return False
        named = _NAMED.findall(error.sentence)
        if not named or not any(named[-1] in columns for columns in (*_DESCRIBING.values(), _FILES)):
            return False
        of_files: dict[str, Column] = {}
        known: dict[str, dict[str, Column]] = {}
        for table, name, kind, definition, nullable, length, octets, charset, digits in await connection.rows(
            bind(_COLUMNS, list(_DESCRIBING))
        ):
            column = Column(kind.lower(), definition.lower(), nullable == "YES", length, octets, charset, digits)
            if name in _DESCRIBING.get(table, ()):
                known.setdefault(table, {})[name] = column
            elif table == "video_files" and name in _FILES:
                of_files[name] = column
        news = known != self._known and named[-1] not in _FILES
        at = time.monotonic()
        self._known, self._until = known, at + _BELIEVED
        self._of_files, self._refuses_until = of_files, at + _BELIEVED_TO_REFUSE
        return news

    def refusal(self, files: Iterable[VideoFile]) -> str | None:
        """What a column of video_files is known not to take of these, in a sentence; None if nothing is."""
        if self._of_files and time.monotonic() > self._refuses_until:
            self._of_files = {}
        for name, column in self._of_files.items():
            value = _FILES[name]
            for file in files:
                if column.refuses(value(file)):
                    return f"column '{name}' of video_files, {column.definition}, does not take {_shown(value(file))}"
        return None

    def fit(self, table: str, row: dict[str, Any]) -> dict[str, Any]:
        """The row as its table takes it: texts that describe are cut, or have U+FFFD or ? for what its character set
        lacks; other descriptions that do not fit are null, or left out."""
        if not self._known:
            return row
        if time.monotonic() > self._until:
            self._known = {}
            return row
        known = self._known.get(table, {})
        fitting = {name: known[name].fit(value) if name in known else value for name, value in row.items()}
        return {name: value for name, value in fitting.items() if value is not _LEFT_OUT}

    def fit_metadata(self, text: str | None) -> str | None:
        """The JSON of a file's metadata; cut, it is none."""
        fitting: str | None = self.fit("video_files", {"metadata": text}).get("metadata")
        if text is None or (fitting is not None and len(fitting) >= len(text)):
            return fitting
        return self.fit_metadata(None)

    def fit_file(self, key: str, row: dict[str, Any]) -> dict[str, Any]:
        """The same of a file: a path that is too long gives way to the file's key."""
        fitting = self.fit("video_files", row)
        if fitting is row:
            return row
        path = row.get("filePath")
        if path is not None and fitting["filePath"] != path:
            fitting["filePath"] = key
        return fitting
