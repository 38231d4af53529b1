"""The log: one row for each committed change, with ids that are dense and in the order of commits."""

import contextlib
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple, cast
from zlib import crc32

import orjson

from app import times
from app.db.connection import Row
from app.db.loader import Loader
from app.db.pool import Pool
from app.db.resultsets import TextRow
from app.db.sql import Raw, bind, exact, literal
from app.domain.event import BEFORE_ALL, EVENT_MAX, EventId, Found, LogEvent, Part

# The digits stand beside the id that they belong to: an earlier version moves the value alone.
_TAKE_IDS = """
UPDATE rushes_counter SET value = LAST_INSERT_ID(value + %s), digits_of = value, digits = %s WHERE id = 1
"""

_APPEND = """
INSERT INTO rushes_events (id, job_id, author_id, organization_id, event, data, created_at, webhooks) VALUES %s
"""

# What `_digits` makes, made by the database: nobody has to read the data for it.
_DIGITS = """
LOWER(LPAD(HEX(CRC32(CONCAT_WS('\\n', job_id, author_id, COALESCE(organization_id, ''), event, CRC32(data)))), 8, '0'))
"""

HEAD = f"""
SELECT value, IF(digits_of = value, digits, (SELECT {_DIGITS} FROM rushes_events e WHERE e.id = value))
FROM rushes_counter WHERE rushes_counter.id = 1
"""

_OLDEST = "SELECT MIN(id) FROM rushes_events"

_DIGITS_OF = f"SELECT id, {_DIGITS} FROM rushes_events WHERE id IN %s"

_NAME = "SELECT CONCAT(name, '/', DATABASE()) FROM rushes_log WHERE id = 1"

# Bytes of data in a part, and of one event more.
_PART_BYTES = 512 * 1024

# As much as fits. What is larger than an event may be is not read at all, and its digits are the database's to make.
_PART = f"""
SELECT e.id, e.job_id, e.author_id, e.organization_id, e.event,
  IF(LENGTH(e.data) > {EVENT_MAX}, NULL, e.data), IF(LENGTH(e.data) > {EVENT_MAX}, {_DIGITS}, NULL)
FROM (
  SELECT id, SUM(size) OVER (ORDER BY id) - size AS before_it FROM (
    SELECT id, LEAST(LENGTH(data), {EVENT_MAX}) AS size FROM rushes_events WHERE %s ORDER BY id LIMIT %s
  ) found
) part JOIN rushes_events e ON e.id = part.id
WHERE part.before_it < {_PART_BYTES} ORDER BY e.id
"""

_SIZES = "SELECT id, LENGTH(data) FROM rushes_events WHERE id > %s AND id <= %s ORDER BY id DESC"
_SIZES_AT_ONCE = 500

# The newest of a job. Of a long event the beginning is read, up to where `event_data` goes on with what may be long:
# within a text the quotes would have backslashes.
_SHORT, _BEGINNING = 4096, 20_000
_TIMELINE = f"""
SELECT id, event, {_DIGITS}, created_at, CASE
  WHEN LENGTH(data) > {EVENT_MAX} THEN NULL
  WHEN LENGTH(data) <= {_SHORT} THEN data
  ELSE SUBSTRING_INDEX(LEFT(data, {_BEGINNING}), ',"error":', 1) END
FROM rushes_events e FORCE INDEX (rushes_events_job)
WHERE %s AND created_at >= %s ORDER BY id DESC LIMIT %s
"""

# Microseconds that another program's clock may be ahead of ours; and that a column may round the time of our own up.
_CLOCKS_US, _ROUNDED_US = 5 * 60 * 1_000_000, 1000

_NAME_OF_EVENT = re.compile(r"[a-z]{1,16}")

# Parts of the log, or digits of events, that are read in one packet.
_READ_AT_ONCE = 20
_LOOKED_UP_AT_ONCE = 200


_EventRow = tuple[str, str, str, str | None, str, str | None, str | None]


class _Asked(NamedTuple):
    """A part of the log, as it is asked for."""

    last_id: int
    limit: int
    job_id: str | None
    author_id: str | None


class Step(NamedTuple):
    """An event of a job's timeline, and what it `said`, without its error and its files."""

    event_id: EventId
    event: str
    said: dict[str, Any]


def append(events: list[LogEvent], at: int, changed: Raw | None = None) -> list[bytes]:
    """Two statements for the very end of a transaction, before its COMMIT alone; `number` reads what they give.

    They go out in one packet with the commit: the counter's lock, which all writers wait for, is held
    for no round trip. The last event tells which webhooks the transaction has `changed`, as `changed.packed` has them.
    """
    count = len(events)
    created_at = Raw(literal(times.sql(at)))
    for event in events:
        event.digits = _digits(event)
    rows = [
        [
            Raw(b"LAST_INSERT_ID() - %d" % (count - place)),
            event.job_id,
            event.author_id,
            event.organization_id,
            event.event,
            event.data,
            created_at,
            changed if place == count else None,
        ]
        for place, event in enumerate(events, start=1)
    ]
    return [bind(_TAKE_IDS, count, events[-1].digits), bind(_APPEND, rows)]


def _digits(event: LogEvent) -> str:
    """What tells the event from another one of its number, made of what it says. Eight hex digits: two that differ have
    the same once in four thousand million times. Not against malice: who can write another history owns the log."""
    content = f"{event.job_id}\n{event.author_id}\n{event.organization_id or ''}\n{event.event}\n{crc32(event.data)}"
    try:
        return f"{crc32(content.encode()):08x}"
    except UnicodeEncodeError:  # it is stored as it is quoted
        return f"{crc32(content.encode('utf-8', 'replace')):08x}"


def number(events: list[LogEvent], results: Sequence[Sequence[TextRow]]) -> None:
    """Gives events the ids that the log gave them, by the results of a packet that ended with `append` and COMMIT."""
    *_, ((last,),), _appended, _committed = results
    for place, event in enumerate(reversed(events)):
        event.id = int(last or 0) - place


def head_of(rows: Sequence[Row | TextRow]) -> EventId:
    """The id of the newest event, of the rows of HEAD."""
    ((value, digits),) = rows
    number = int(value or 0)
    return EventId(number, digits or "") if number else BEFORE_ALL


class Log:
    """Reads the log. Every method raises DatabaseAwayError."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._looked_up = Loader(self._read_digits, _LOOKED_UP_AT_ONCE)
        self._parts = Loader(self._read_parts, _READ_AT_ONCE)

    async def head(self) -> EventId:
        """The id of the newest event, 0-0 before the first."""
        return head_of(await self._pool.rows(HEAD))

    async def name(self) -> str:
        """What tells this log from those of other installations, unless their databases are copies of this one."""
        ((name,),) = await self._pool.rows(_NAME)
        return str(name)

    async def look_up(self, number: int) -> Found:
        """What the log says about a number."""
        return await self._looked_up.get(number)

    async def _read_digits(self, numbers: Sequence[int]) -> dict[int, Found]:
        async with self._pool.connection() as connection:
            return _found(numbers, *await connection.run_text(bind(_DIGITS_OF, numbers), HEAD, _OLDEST))

    async def after(self, last_id: int, limit: int, *, job_id: str | None = None, author_id: str | None = None) -> Part:
        """At most `limit` events with greater ids, and about half a mebibyte of them: of all, of one job, or of one
        author."""
        return await self._parts.get(_Asked(last_id, limit, job_id, author_id))

    async def _read_parts(self, parts: Sequence[_Asked]) -> dict[_Asked, Part]:
        async with self._pool.connection() as connection:
            # What is there at the end was there when the parts were read.
            *answers, last, oldest = await connection.run_text(*(_select(part) for part in parts), HEAD, _OLDEST)
        floor = _floor(last, oldest)
        return {part: _read(part, rows, floor) for part, rows in zip(parts, answers, strict=True)}

    async def go_on(self, last_id: int, limit: int) -> tuple[Found, Part]:
        """As `look_up`, and `after` of the whole log, of one history: a database that crashes between two reads may
        come back with another one, and ends the connection of these."""
        asked = _Asked(last_id, limit, None, None)
        async with self._pool.connection() as connection:
            events, digits, last, oldest = await connection.run_text(
                _select(asked), bind(_DIGITS_OF, [last_id]), HEAD, _OLDEST
            )
        return _found([last_id], digits, last, oldest)[last_id], _read(asked, events, _floor(last, oldest))

    async def timeline(self, job_id: str, author_id: str, made_at: int, changed_at: int, most: int) -> list[Step]:
        """The newest events of a job, oldest first, as far as they can be shown. Those of an earlier job of its id are
        older than the row, which was made and last changed then, in microseconds since 1970."""
        # Changed before it was made: a clock that is far ahead tells nothing.
        since = made_at - _CLOCKS_US if made_at <= changed_at else 0
        which = _which(job_id=job_id, author_id=author_id)
        rows = await self._pool.rows(bind(_TIMELINE, Raw(which), times.sql(max(since, _CLOCKS_US)), most))
        with_it = [number for number, _, _, at, _ in rows if 0 <= made_at - (times.stored(at) or 0) <= _ROUNDED_US]
        first = min(with_it, default=0)
        steps = [_step(number, event, digits, said) for number, event, digits, _, said in reversed(rows)]
        return [step for step in steps if step is not None and step.event_id.number >= first]

    async def beginning(self, head: int, count: int, size: int) -> int:
        """The id after which the newest events up to `head` begin: `count`, or as many as have about `size` bytes."""
        last_id = head
        while last_id > max(0, head - count) and size > 0:
            first = max(0, head - count, last_id - _SIZES_AT_ONCE)
            for _, length in await self._pool.rows(bind(_SIZES, first, last_id)):
                size -= min(length, EVENT_MAX)
                if size <= 0:
                    break
                last_id -= 1
            else:
                last_id = first
        return last_id


def _found(
    numbers: Sequence[int], digits: Sequence[TextRow], last: Sequence[TextRow], oldest: Sequence[TextRow]
) -> dict[int, Found]:
    """What is said about each number, by the rows of _DIGITS_OF, HEAD and _OLDEST."""
    head, floor = head_of(last), _floor(last, oldest)
    # The counter knows the newest also when its row is gone.
    known = {BEFORE_ALL.number: BEFORE_ALL.digits, head.number: head.digits or None}
    known |= {int(number or 0): value for number, value in digits}
    return {number: Found(known.get(number), floor, head) for number in numbers}


def _floor(last: Sequence[TextRow], oldest: Sequence[TextRow]) -> int:
    """The id after which no event is missing, of the rows of HEAD and _OLDEST."""
    ((value, _digits_of_it),), ((first,),) = last, oldest
    head = int(value or 0)
    return head if first is None else min(int(first) - 1, head)


def _select(asked: _Asked) -> bytes:
    where = bind("id > %s AND ", asked.last_id) + _which(job_id=asked.job_id, author_id=asked.author_id)
    return bind(_PART, Raw(where), asked.limit)


def _which(**columns: str | None) -> bytes:
    # Exact here, not in code: events of another spelling must not use up the limit.
    return (
        b" AND ".join(
            bind(f"{column} = %s AND CAST({column} AS BINARY) = %s", value, exact(value))
            for column, value in columns.items()
            if value is not None
        )
        or b"TRUE"
    )


def _read(asked: _Asked, found: list[TextRow], floor: int) -> Part:
    events, size = [], 0
    # The columns of _PART, as text; only an organization, data and digits may be missing.
    for event_id, job_id, author_id, organization_id, name, data, digits in cast("list[_EventRow]", found):
        event = LogEvent(int(event_id), job_id, author_id, organization_id, name, (data or "").encode())
        size += EVENT_MAX if data is None else len(event.data)
        event.digits = digits or _digits(event)
        if not _can_be_shown(event):
            event.data = b""
        events.append(event)
    return Part(events, len(events) == asked.limit or size >= _PART_BYTES, floor)


def _step(number: int, event: str, digits: str, data: str | None) -> Step | None:
    for text in (data or "", f"{data}}}"):
        with contextlib.suppress(orjson.JSONDecodeError):
            said = orjson.loads(text)
            shown = _is_name(event) and isinstance(said, dict)
            return Step(EventId(number, digits), event, said) if shown else None
    return None


@lru_cache(maxsize=64)  # there are seven
def _is_name(event: str) -> bool:
    return _NAME_OF_EVENT.fullmatch(event) is not None


def _can_be_shown(event: LogEvent) -> bool:
    """Whether it is what we would write: a line end would begin another field of a stream."""
    if not _is_name(event.event) or b"\n" in event.data or b"\r" in event.data:
        return False
    try:
        return isinstance(orjson.loads(event.data), dict)
    except orjson.JSONDecodeError:
        return False
