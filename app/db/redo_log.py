"""Whether anybody has committed anything since a moment before: told by the place of the server's redo log.

What was read after a moment that was `settled` holds as long as the moment stays the same (decision 65):

- Every commit writes to InnoDB's redo log before others see it, and its program hears of it later still. So where the
  log stands where it stood, nobody has heard of a commit since.
- A commit may be written and not seen yet, for an instant. MariaDB keeps each that was written in its history until
  everybody sees it. So where the history was empty after the log stood there, all that was written was seen.

MySQL keeps no insertions in its history, and its status tells neither: there no moment is known.
"""

import time
from math import inf
from typing import NamedTuple

from app.db.connection import Connection
from app.db.errors import RetryableError
from app.db.pool import Pool
from app.db.resultsets import TextRow
from app.db.session import Server
from app.db.sql import bind
from app.turns import Together, Turns

# Of this session: the server's own would be summed over all sessions, and these are the same in both. The number that
# the next transaction gets is beside the place, since some versions (10.8 to 10.11) may give the place that another
# session was just told.
_PLACE = "SHOW SESSION STATUS WHERE Variable_name IN ('Innodb_lsn_current', 'Innodb_max_trx_id')"
_PLACE_ROWS = 2
_HISTORY = "SHOW SESSION STATUS LIKE 'Innodb\\_history\\_list\\_length'"

# What is written to tables of another engine is in no redo log of InnoDB's, and a view has none.
_TABLES = ("video_generations", "video_files", "rushes_jobs", "rushes_counter", "rushes_events")
_IN_INNODB = bind(
    "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME IN %s"
    " AND ENGINE = 'InnoDB'",
    _TABLES,
)

# MariaDB empties its history once a second by itself, and at once when its monitor is read, for which it takes some
# tenths of a millisecond. That needs the right PROCESS.
_HASTEN = ("SHOW ENGINE INNODB STATUS", "DO SLEEP(0.0005)")

# After so many looks in a row that each found another moment, there is none for a while: each such pause is twice as
# long as the one before, so many times.
_OTHERS_MAX = 3
_PAUSE, _DOUBLED = 0.01, 5


Place = list[TextRow]


class Moment(NamedTuple):
    """Where the redo log of one server, from its start to its end, stood. If `settled`, all that was committed by then
    could be seen. Where two are equal but for that, nobody has heard of a commit between them."""

    epoch: int
    place: Place
    server: Server
    settled: bool

    def is_same(self, other: "Moment") -> bool:
        """Whether what was read after `other`, if that was settled, is still so."""
        return self[:2] == other[:2]


class RedoLog:
    """Tells moments. Raises DatabaseAwayError."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._turns = Turns()
        self._together: Together[Moment | None] = Together()
        self._epoch = 0
        self._server: Server | None = None
        self._looked_at = -inf
        self._settled: Place | None = None
        self._others = 0
        self._not_before = -inf
        self._may_hasten = True

    async def moment(self) -> Moment | None:
        """The moment that it is, looked for after this was called; None where it is unknown, or not worth a look."""
        if time.monotonic() < self._not_before:
            return None
        return await self._together.get(None, self._turns.of(""), self._look)

    async def _look(self) -> Moment | None:
        async with self._pool.connection() as connection:
            at = time.monotonic()
            (place,) = await connection.run_text(_PLACE) if connection.server.is_mariadb else [[]]
            if len(place) != _PLACE_ROWS:
                self._not_before = inf
                return None
            # A session that was there at the last look has had that server ever since. One that crashes may write its
            # log anew from an earlier place.
            if connection.server != self._server or connection.since >= self._looked_at:
                self._epoch += 1
                self._server, self._settled = connection.server, None
            self._looked_at = at
            if place == self._settled:
                self._others = 0
            else:
                place = await self._settle(connection, place)
            return Moment(self._epoch, place, connection.server, place == self._settled)

    async def _settle(self, connection: Connection, place: Place) -> Place:
        """Where the log stands by now, which is settled if it may be."""
        self._others += 1
        if self._others > _OTHERS_MAX:
            doubled = min(self._others - _OTHERS_MAX - 1, _DOUBLED)
            self._not_before = time.monotonic() + _PAUSE * 2**doubled
        hasten = _HASTEN if self._may_hasten else ()
        try:
            # The history counts only after the place.
            *_, place, history, in_innodb = await connection.run_text(*hasten, _PLACE, _HISTORY, _IN_INNODB)
        except RetryableError as error:
            if not error.lacks_right:
                raise
            self._may_hasten = False  # it settles within a second by itself
            return place
        if [length for _, length in history] == ["0"] and in_innodb == [(str(len(_TABLES)),)]:
            self._settled = place
        return place
