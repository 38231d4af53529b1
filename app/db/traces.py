"""Events that are traced to the screen: written down a batch at a time, and how long they took as it is read.

What browsers tell is judged here, by what the process that sent the event has written down of it: whichever of them is
told.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import NamedTuple

from app import ids, times
from app.db.connection import Connection
from app.db.pool import Pool
from app.db.sql import bind
from app.domain.sketch import Sketch
from app.domain.spans import quarter_of
from app.domain.trace import LONGEST, Handed, Painted

_HANDED = """
INSERT INTO rushes_traces (event_id, process, digits, committed_at, handed_at, handed_last_at, sockets) VALUES %s
ON DUPLICATE KEY UPDATE digits = VALUES(digits), committed_at = VALUES(committed_at), handed_at = VALUES(handed_at),
  handed_last_at = VALUES(handed_last_at), sockets = VALUES(sockets), shown_at = NULL, shown = 0
"""
_SENT = "SELECT event_id, process, IF(sockets > 0, handed_at, NULL) FROM rushes_traces WHERE event_id IN %s"
_SHOWN = """
UPDATE rushes_traces SET shown_at = LEAST(COALESCE(shown_at, %s), %s), shown = shown + %s
WHERE event_id = %s AND process = %s
"""

# Made first, so that it is there to be locked; by a statement that locks it as the next one does. INSERT IGNORE would
# share the lock, and of two processes that share it neither gets it alone.
_BEGIN = """
INSERT INTO rushes_shown (quarter, handed_times, shown_times) VALUES (%s, '', '')
ON DUPLICATE KEY UPDATE quarter = VALUES(quarter)
"""
_HOLD = "SELECT handed_times, shown_times FROM rushes_shown WHERE quarter = %s FOR UPDATE"
_KEEP = "UPDATE rushes_shown SET handed_times = %s, shown_times = %s WHERE quarter = %s"

_OF_EVENT = """
SELECT MIN(committed_at), MIN(handed_at), MAX(handed_last_at), SUM(sockets), MIN(shown_at), SUM(shown)
FROM rushes_traces WHERE event_id = %s AND digits = %s
"""

_READ = """
SELECT quarter, handed_times, shown_times FROM rushes_shown WHERE quarter >= %s AND quarter < %s ORDER BY quarter
LIMIT %s
"""
_AT_ONCE = 400


class Way(NamedTuple):
    """An event's way, over all processes: when the first and the last have written it to their sockets, how many these
    are; when the first browser had shown it, and how many have told so. Microseconds since 1970."""

    committed_at: int | None
    handed_at: int
    handed_last_at: int
    sockets: int
    shown_at: int | None
    shown: int


class TracedEvents:
    """Every method raises DatabaseError."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def save(self, handed: Sequence[Handed], painted: Sequence[Painted]) -> list[Painted]:
        """Writes it down. What browsers tell counts from what was written down before; gives those of which there may
        still be something."""
        sent = await self._sent(painted)
        shown = [
            (one, at, took)
            for one in painted
            if (at := sent.get((one.event_id, one.process))) is not None and (took := one.after(at)) is not None
        ]
        committed = [one.handed_last_at - one.committed_at for one in handed if one.committed_at is not None]
        async with self._pool.connection() as connection:
            try:
                await connection.run(
                    "START TRANSACTION", *_rows(handed), *_tell((one, at + took) for one, at, took in shown)
                )
                await _count(connection, committed, [took for *_, took in shown])
                await connection.run("COMMIT")
            except BaseException:
                connection.close()  # which undoes it
                raise
        old = times.now() - LONGEST
        return [one for one in painted if (one.event_id, one.process) not in sent and one.painted_at > old]

    async def _sent(self, painted: Sequence[Painted]) -> dict[tuple[int, str], int | None]:
        """When each was written to sockets, None where to no one's."""
        if not painted:
            return {}
        rows = await self._pool.rows(bind(_SENT, sorted({one.event_id for one in painted})))
        return {(int(event_id), str(process)): handed_at for event_id, process, handed_at in rows}

    async def way(self, event_id: int, digits: str) -> Way | None:
        """None of an event that is not traced, or not any more."""
        for committed, handed, last, sockets, shown_at, shown in await self._pool.rows(
            bind(_OF_EVENT, event_id, digits)
        ):
            if handed is not None:
                return Way(committed, handed, last, int(sockets), shown_at, int(shown))
        return None


def _rows(handed: Sequence[Handed]) -> list[bytes]:
    rows = [[one.event_id, ids.PROCESS, *one[1:]] for one in handed]
    return [bind(_HANDED, rows)] if rows else []


def _tell(shown: Iterable[tuple[Painted, int]]) -> list[bytes]:
    """Of each that was shown, and when."""
    first: dict[tuple[int, str], tuple[int, int]] = {}
    for one, shown_at in shown:
        at, number = first.get((one.event_id, one.process), (shown_at, 0))
        first[one.event_id, one.process] = min(at, shown_at), number + 1
    # In the order of the rows: two processes that tell of the same ones take turns.
    return [bind(_SHOWN, at, at, number, *key) for key, (at, number) in sorted(first.items())]


async def _count(connection: Connection, handed: Sequence[int], shown: Sequence[int]) -> None:
    if not handed and not shown:
        return
    quarter = quarter_of(times.now())
    _, rows = await connection.run(bind(_BEGIN, quarter), bind(_HOLD, quarter))
    for packed in rows:
        counted = [Sketch.unpack(bytes(one)) for one in packed]
        for sketch, values in zip(counted, (handed, shown), strict=True):
            sketch.add(Sketch.of_values(values))
        await connection.run(bind(_KEEP, *(sketch.pack() for sketch in counted), quarter))


async def spans(pool: Pool, starts: Sequence[int], most: int, handed: Sketch) -> AsyncIterator[Sketch]:
    """How long it took from the sockets to a screen in each span of time, in order, of which these are the starts and
    the end of the last one, in microseconds since 1970; nothing, where all are longer than `most`.

    `handed` takes in how long it took from the commits to the sockets. Raises DatabaseError.
    """
    edges = [quarter_of(start) for start in starts]
    span, place, first = Sketch(), 1, edges[0]
    more = starts[-1] - starts[0] <= most
    while more:
        rows = await pool.rows(bind(_READ, first, edges[-1], _AT_ONCE))
        for quarter, to_sockets, to_screens in rows:
            first = quarter + 1
            while quarter >= edges[place]:
                yield span
                span, place = Sketch(), place + 1
            handed.take(bytes(to_sockets))
            span.take(bytes(to_screens))
        more = len(rows) == _AT_ONCE
    for _ in range(place, len(edges)):
        yield span
        span = Sketch()
