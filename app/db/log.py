"""The log: one row for each committed change, with ids that are dense and in the order of commits."""

from collections.abc import Sequence
from typing import cast

from app import times
from app.db.answers import TextRow
from app.db.batched import Batched
from app.db.pool import Pool
from app.db.sql import Raw, bind, exact, literal
from app.wire import LogEvent

_TAKE_IDS = "UPDATE rushes_counter SET value = LAST_INSERT_ID(value + %s) WHERE id = 1"

_APPEND = """
INSERT INTO rushes_events (id, job_id, author_id, organization_id, event, data, created_at) VALUES %s
"""

HEAD = "SELECT value FROM rushes_counter WHERE id = 1"

_NAME = "SELECT CONCAT(name, '/', DATABASE()) FROM rushes_log WHERE id = 1"

_COLUMNS = "SELECT id, job_id, author_id, organization_id, event, data FROM rushes_events"

# Parts of the log that are read in one packet.
_READ_AT_ONCE = 20

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
    return [bind(_TAKE_IDS, count), bind(_APPEND, rows)]


def number(events: list[LogEvent], last: int) -> None:
    """Gives events the ids that the log gave them; `last` is the last of them."""
    for place, event in enumerate(reversed(events)):
        event.id = last - place


class Log:
    """Reads the log. Every method raises DatabaseAwayError."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._bounds = Batched(self._read_bounds, 1)
        self._parts = Batched(self._read_parts, _READ_AT_ONCE)

    async def head(self) -> int:
        """The id of the newest event, 0 before the first."""
        return int((await self._pool.rows(HEAD))[0][0])

    async def name(self) -> str:
        """What tells this log from those of other installations, unless their databases are copies of this one."""
        return str((await self._pool.rows(_NAME))[0][0])

    async def bounds(self) -> tuple[int, int]:
        """(floor, head): the log still has every event with floor < id <= head."""
        return await self._bounds.get(None)

    async def _read_bounds(self, _: Sequence[None]) -> dict[None, tuple[int, int]]:
        head, oldest = await self._pool.run(HEAD, "SELECT MIN(id) FROM rushes_events")
        last = int(head[0][0])
        first = oldest[0][0]
        return {None: (last if first is None else min(int(first) - 1, last), last)}

    async def after(
        self, last_id: int, limit: int, *, job_id: str | None = None, author_id: str | None = None
    ) -> list[LogEvent]:
        """At most `limit` events with greater ids, in order: all, or one job's, or one author's."""
        return await self._parts.get((last_id, limit, job_id, author_id))

    async def _read_parts(self, parts: Sequence[_Part]) -> dict[_Part, list[LogEvent]]:
        async with self._pool.connection() as connection:
            answers = await connection.run_text(*(_select(part) for part in parts))
        return {part: [_event(row) for row in rows] for part, rows in zip(parts, answers, strict=True)}


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
    return LogEvent(int(event_id), job_id, author_id, organization_id, name, data.encode())
