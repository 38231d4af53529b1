"""The log: one row for each committed change, with ids that are dense and in the order of commits."""

import hashlib
from collections.abc import Sequence
from typing import cast

from app import times
from app.db.answers import TextRow
from app.db.batched import Batched
from app.db.connection import Row
from app.db.pool import Pool
from app.db.sql import Raw, bind, exact, literal
from app.wire import BEFORE_ALL, EventId, Found, LogEvent

# The digits stand beside the id that they belong to: an earlier version moves the value alone.
_TAKE_IDS = """
UPDATE rushes_counter SET value = LAST_INSERT_ID(value + %s), digits_of = value, digits = %s WHERE id = 1
"""

_APPEND = """
INSERT INTO rushes_events (id, job_id, author_id, organization_id, event, data, created_at) VALUES %s
"""

# What `_digits` makes, made by the database: nobody has to read the data for it.
_DIGITS = """
LEFT(SHA2(CONCAT_WS('\\n', job_id, author_id, COALESCE(organization_id, ''), event, SHA2(data, 256)), 256), 8)
"""

HEAD = f"""
SELECT value, IF(digits_of = value, digits, (SELECT {_DIGITS} FROM rushes_events e WHERE e.id = value))
FROM rushes_counter WHERE rushes_counter.id = 1
"""

_OLDEST = "SELECT MIN(id) FROM rushes_events"

_DIGITS_OF = f"SELECT id, {_DIGITS} FROM rushes_events WHERE id IN %s"

_NAME = "SELECT CONCAT(name, '/', DATABASE()) FROM rushes_log WHERE id = 1"

_COLUMNS = "SELECT id, job_id, author_id, organization_id, event, data FROM rushes_events"

# Parts of the log, or digits of events, that are read in one packet.
_READ_AT_ONCE = 20
_LOOKED_UP_AT_ONCE = 200

# (last_id, limit, job_id, author_id)
_Part = tuple[int, int, str | None, str | None]

# The columns, as text; only an organization may be missing.
_EventRow = tuple[str, str, str, str | None, str, str]


def append(events: list[LogEvent], at: int) -> list[bytes]:
    """Two statements for the very end of a transaction; the first gives, as its row, the last id taken.

    They go out in one packet with the commit: the counter's lock, which all writers wait for, is held
    for no round trip.
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
        ]
        for place, event in enumerate(events, start=1)
    ]
    return [bind(_TAKE_IDS, count, events[-1].digits), bind(_APPEND, rows)]


def _digits(event: LogEvent) -> str:
    """What tells the event from another one of its number, made of what it says. Eight hex digits: two that differ have
    the same once in four thousand million times."""
    data = hashlib.sha256(event.data).hexdigest()
    told = (event.job_id, event.author_id, event.organization_id or "", event.event, data)
    # Text that is no UTF-8 is stored as it is quoted.
    return hashlib.sha256("\n".join(told).encode("utf-8", "replace")).hexdigest()[:8]


def number(events: list[LogEvent], last: int) -> None:
    """Gives events the ids that the log gave them; `last` is the last of them."""
    for place, event in enumerate(reversed(events)):
        event.id = last - place


def head_of(rows: Sequence[Row | TextRow]) -> EventId:
    """The id of the newest event, of the rows of HEAD."""
    ((value, digits),) = rows
    number = int(value or 0)
    return EventId(number, digits or "") if number else BEFORE_ALL


class Log:
    """Reads the log. Every method raises DatabaseAwayError."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._looked_up = Batched(self._read_digits, _LOOKED_UP_AT_ONCE)
        self._parts = Batched(self._read_parts, _READ_AT_ONCE)

    async def head(self) -> EventId:
        """The id of the newest event, 0-0 before the first."""
        return head_of(await self._pool.rows(HEAD))

    async def name(self) -> str:
        """What tells this log from those of other installations, unless their databases are copies of this one."""
        return str((await self._pool.rows(_NAME))[0][0])

    async def look_up(self, number: int) -> Found:
        """What the log says about a number."""
        return await self._looked_up.get(number)

    async def _read_digits(self, numbers: Sequence[int]) -> dict[int, Found]:
        async with self._pool.connection() as connection:
            rows, last, oldest = await connection.run_text(bind(_DIGITS_OF, numbers), HEAD, _OLDEST)
        head, floor = head_of(last), _floor(last, oldest)
        # The counter knows the newest also when its row is gone.
        known = {BEFORE_ALL.number: BEFORE_ALL.digits, head.number: head.digits or None}
        known |= {int(number or 0): digits for number, digits in rows}
        return {number: Found(known.get(number), floor, head) for number in numbers}

    async def after(
        self, last_id: int, limit: int, *, job_id: str | None = None, author_id: str | None = None
    ) -> list[LogEvent]:
        """At most `limit` events with greater ids, in order: all, or one job's, or one author's."""
        return await self._parts.get((last_id, limit, job_id, author_id))

    async def _read_parts(self, parts: Sequence[_Part]) -> dict[_Part, list[LogEvent]]:
        async with self._pool.connection() as connection:
            answers = await connection.run_text(*(_select(part) for part in parts))
        return {part: [_event(row) for row in rows] for part, rows in zip(parts, answers, strict=True)}


def _floor(last: Sequence[TextRow], oldest: Sequence[TextRow]) -> int:
    """The id after which no event is missing, of the rows of HEAD and _OLDEST."""
    head, first = int(last[0][0] or 0), oldest[0][0]
    return head if first is None else min(int(first) - 1, head)


def _select(part: _Part) -> bytes:
    last_id, limit, job_id, author_id = part
    where = "id > %s"
    values: list[int | str | bytes] = [last_id]
    for column, value in (("job_id", job_id), ("author_id", author_id)):
        if value is not None:
            # Exact here, not in code: events of another spelling must not use up the limit.
            where += f" AND {column} = %s AND CAST({column} AS BINARY) = %s"
            values += [value, exact(value)]
    return bind(f"{_COLUMNS} WHERE {where} ORDER BY id LIMIT %s", *values, limit)


def _event(row: TextRow) -> LogEvent:
    event_id, job_id, author_id, organization_id, name, data = cast("_EventRow", row)
    event = LogEvent(int(event_id), job_id, author_id, organization_id, name, data.encode())
    event.digits = _digits(event)
    return event
