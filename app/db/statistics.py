"""Statistics as they are read: quarters of an hour made into the hours or days of a time zone."""

from collections.abc import AsyncIterator, Sequence

from app.db.pool import Pool
from app.db.resultsets import first_value, values_of
from app.db.sql import bind
from app.domain.rollup import Rollup
from app.domain.spans import quarter_of

# Quarters that are read at once: half a mebibyte or so, and some milliseconds of the loop's time.
_AT_ONCE = 400

_READ = """
SELECT quarter, counts, job_times, webhook_times FROM rushes_rollups
WHERE quarter >= %s AND quarter < %s ORDER BY quarter LIMIT %s
"""


async def spans(pool: Pool, starts: Sequence[int]) -> AsyncIterator[Rollup]:
    """What there was in each span of time, in order, of which these are the starts and the end of the last one, in
    microseconds since 1970. Raises DatabaseError."""
    edges = [quarter_of(start) for start in starts]
    span, place = Rollup(), 1
    async for rows in _read(pool, edges[0], edges[-1]):
        for quarter, *packed in map(values_of, rows):
            while int(quarter) >= edges[place]:
                yield span
                span, place = Rollup(), place + 1
            span.take(*packed)
    for _ in range(place, len(edges)):
        yield span
        span = Rollup()


async def _read(pool: Pool, first: int, last: int) -> AsyncIterator[list[bytes]]:
    """The rows of _READ, as they are sent, so many at once."""
    more = True
    while more:
        async with pool.connection() as connection:
            (rows,) = await connection.run_unread(bind(_READ, first, last, _AT_ONCE))
        yield rows
        more = len(rows) == _AT_ONCE
        if more:
            first = int(first_value(rows[-1])) + 1
