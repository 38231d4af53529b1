"""Changes of received webhooks in one order, without a gap: that in which they were found to be committed.

Ids of webhooks, and of rows, are given before the commit: whoever follows those misses the slower of two transactions.
And a counter in the transaction would be a row that all of them wait for. So what `changed` says gets its numbers after
its commit, one for each webhook, from whoever looks first, who holds one row while he does so: what was committed
before a look comes before what was committed after it, and of what one look finds, about what was begun first.

It is said by rows that have no number yet, and by events of the log. That is in the order of commits without a gap, so
a place in it passes nobody over; what its events tell is copied into rows that have their numbers. Of a webhook that
was changed twice the later change comes later, but where one look finds a row for the one and an event for the other:
whoever is told of either reads the webhook as it is by then.
"""

import asyncio
import hashlib
import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.db.changed import ID_BYTES
from app.db.connection import Connection, Row
from app.db.pool import Pool
from app.db.sql import bind

KEPT = 100_000
"""Changes that are kept at least, so that who was away can go on from where he was."""

# Transactions of either kind that get their numbers at once, and that are read at once.
_AT_ONCE = 500
# Events that are gone over at once. Many tell of no webhook.
STEP = 5000
# Changes that are read at once.
PAGE = 200

_PLACE, _LOG_PLACE = "changes", "changes_log"
_BEGIN = "INSERT IGNORE INTO rushes_places (name, place) VALUES (%s, %s)"
_THERE = "SELECT place FROM rushes_places WHERE name = %s"
# Whoever is at it already does it for all.
_HOLD = "SELECT place FROM rushes_places WHERE name = %s FOR UPDATE SKIP LOCKED"
_KEEP = "UPDATE rushes_places SET place = %s WHERE name = %s"

# Beyond its place the log may hold something, or it was taken back.
_ANY = f"""
SELECT 1 FROM DUAL WHERE EXISTS (SELECT 1 FROM rushes_changes WHERE number IS NULL)
  OR NOT ((SELECT value FROM rushes_counter WHERE id = 1)
    <=> (SELECT CAST(place AS UNSIGNED) FROM rushes_places WHERE name = '{_LOG_PLACE}'))
"""
_NEW = "SELECT id, LENGTH(ids), LEFT(ids, %s) FROM rushes_changes WHERE number IS NULL ORDER BY id LIMIT %s"
_NUMBER = """
INSERT INTO rushes_changes (id, number, ids) VALUES %s ON DUPLICATE KEY UPDATE number = VALUES(number)
"""

# Who appends an event holds the counter up to his commit: all events up to its value are there.
_LOG = f"""
SELECT value, (SELECT MIN(id) FROM rushes_events),
  (SELECT CAST(place AS UNSIGNED) FROM rushes_places WHERE name = '{_LOG_PLACE}')
FROM rushes_counter WHERE id = 1
"""
# No statement that reads the log may lock it: its end would be locked too, and all who append wait.
_TELLING = """
SELECT id, LENGTH(webhooks) FROM rushes_events FORCE INDEX (PRIMARY)
WHERE id > %s AND id <= %s AND webhooks IS NOT NULL ORDER BY id LIMIT %s
"""
_TOLD = "SELECT webhooks FROM rushes_events WHERE id IN %s ORDER BY id"
_COPY = "INSERT INTO rushes_changes (number, ids) VALUES %s"
_KEEP_LOG = "INSERT INTO rushes_places (name, place) VALUES (%s, %s) ON DUPLICATE KEY UPDATE place = VALUES(place)"
# Bytes that are copied at once: a packet takes twice as many, quoted. An event that tells more, of 65,536 webhooks, is
# not ours.
_COPIED = 1024 * 1024

_LAST = "SELECT number, ids FROM rushes_changes WHERE number <= %s ORDER BY number DESC LIMIT 1"
# The row that has a number, and those after it. One statement, so that both are of one moment: what gets its number
# between two would be in neither, and those after it would look like what comes after a gap.
_ON = f"({_LAST}) UNION ALL (SELECT number, ids FROM rushes_changes WHERE number > %s ORDER BY number LIMIT %s)"
_FORGET = "DELETE FROM rushes_changes WHERE number <= %s ORDER BY number LIMIT %s"

_NUMBER_DIGITS = 18


class ChangeId(NamedTuple):
    """A change's number, and digits that tell it from another one that was given its number after a restore."""

    number: int
    digits: str

    def __str__(self) -> str:
        return f"{self.number}-{self.digits}"

    @classmethod
    def parse(cls, text: str) -> "ChangeId | None":
        number, _, digits = text.partition("-")
        if not (number.isascii() and number.isdigit() and len(number) <= _NUMBER_DIGITS):
            return None
        return cls(int(number), digits)


NONE_YET = ChangeId(0, "0")


class Change(NamedTuple):
    id: ChangeId
    webhook_id: str


@dataclass(frozen=True, slots=True)
class _Row:
    """A transaction's changes."""

    number: int
    ids: bytes

    @property
    def last(self) -> int:
        return self.number + len(self.ids) // ID_BYTES - 1

    def changes(self) -> list[Change]:
        digits = hashlib.blake2b(b"%d %b" % (self.number, self.ids), digest_size=4).hexdigest()
        found = self.ids.hex()
        size = 2 * ID_BYTES
        return [
            Change(ChangeId(self.number + place, digits), found[place * size : (place + 1) * size])
            for place in range(len(self.ids) // ID_BYTES)
        ]


class _Found(NamedTuple):
    """What a transaction said, that gets numbers: a row of that id, or the log's, which is copied."""

    first: bytes
    """The id of its first webhook. It begins with when that was received."""
    size: int
    row_id: int | None
    ids: bytes = b""


class _Gone(NamedTuple):
    """What the log was gone over for: what was found, up to which event, whether that is another place than before, and
    whether there are more events."""

    found: list[_Found]
    place: int
    moved: bool
    more: bool


class Changes:
    """Every method raises DatabaseError."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._looking = asyncio.Lock()

    async def number(self) -> int:
        """Gives numbers to what was committed since the last look; how many transactions that was. Where another
        process is at it, there is nothing to do; in this one, each begins when the one before has ended."""
        async with self._looking:
            return await self._number()

    async def _number(self) -> int:
        if not await self._pool.rows(_ANY):
            return 0
        total, more = await self._number_some()
        # Not until there is nothing: others go on committing, and each look is a flush beside theirs.
        while more:
            found, more = await self._number_some()
            total += found
        return total

    async def _number_some(self) -> tuple[int, bool]:
        """How many got numbers, of the rows and of one step of the log; whether there were more."""
        async with self._pool.connection() as connection:
            head = await _hold(connection)
            if head is None:
                return 0, False
            log, rows = await connection.run(_LOG, bind(_NEW, ID_BYTES, _AT_ONCE))
            gone = await _go_over(connection, log)
            noted = [_Found(bytes(first), int(size), int(row_id)) for row_id, size, first in rows]
            number, numbered, copied = head, [], []
            # Of one webhook the row is nearly always the earlier: once an event tells that it was applied, it stays so.
            for found in heapq.merge(noted, gone.found, key=lambda found: found.first):
                if found.row_id is None:
                    copied.append([number + 1, found.ids])
                else:
                    numbered.append([found.row_id, number + 1, b""])
                number += found.size // ID_BYTES
            await connection.run(
                *([bind(_NUMBER, numbered)] if numbered else []),
                *([bind(_COPY, copied)] if copied else []),
                *([bind(_KEEP, str(number), _PLACE)] if number > head else []),
                *([bind(_KEEP_LOG, _LOG_PLACE, str(gone.place))] if gone.moved else []),
                "COMMIT",
            )
        return len(numbered) + len(copied), gone.more or len(rows) == _AT_ONCE

    async def head(self) -> int:
        """The number of the newest change."""
        return next((int(head) for (head,) in await self._pool.rows(bind(_THERE, _PLACE))), 0)

    async def newest(self) -> ChangeId:
        """The same with its digits."""
        return await self._at(await self.head()) or NONE_YET

    async def find(self, given: ChangeId) -> bool:
        """Whether it is one of ours, that is still kept: then it can be gone on from."""
        if given.number == 0:
            # Nothing may be lacking of what came since.
            return given == NONE_YET and (not await self.head() or await self._at(1) is not None)
        return await self._at(given.number) == given

    async def after(self, last: int) -> list[Change] | None:
        """The next ones, PAGE at most; None where those right after `last` are not kept any more, or there are fewer
        than `last`."""
        head = await self.head()
        if last > head:
            return None
        rows = await self._pool.rows(bind(_ON, last + 1, last + 1, PAGE))
        found: list[Change] = []
        for row in sorted((_Row(int(number), bytes(ids)) for number, ids in rows), key=lambda row: row.number):
            if row.last > last:
                if not found and row.number > last + 1:
                    return None
                found += [change for change in row.changes() if change.id.number > last]
            if len(found) >= PAGE:
                break
        return found[:PAGE] if found or last >= head else None

    async def forget(self, kept: int = KEPT) -> None:
        """Deletes those that are older than so many."""
        before, deleted = await self.head() - kept, _AT_ONCE
        while before > 0 and deleted == _AT_ONCE:
            _, ((deleted,),) = await self._pool.run(bind(_FORGET, before, _AT_ONCE), "SELECT ROW_COUNT()")

    async def _at(self, number: int) -> ChangeId | None:
        for first, ids in await self._pool.rows(bind(_LAST, number)):
            row = _Row(int(first), bytes(ids))
            if row.number <= number <= row.last:
                return row.changes()[number - row.number].id
        return None


async def _hold(connection: Connection) -> int | None:
    """Begins the transaction of who gives numbers: the newest number. None, and no transaction, where somebody else is
    at it."""
    _, held = await connection.run("START TRANSACTION", bind(_HOLD, _PLACE))
    if not held:
        _, there = await connection.run("ROLLBACK", bind(_THERE, _PLACE))
        if there:
            return None
        *_, held = await connection.run(bind(_BEGIN, _PLACE, "0"), "START TRANSACTION", bind(_HOLD, _PLACE))
        if not held:
            await connection.run("ROLLBACK")
            return None
    ((head,),) = held
    return int(head)


async def _go_over(connection: Connection, log: Sequence[Row]) -> _Gone:
    """One step of the log, from its place on, by the row of _LOG."""
    for value, first, place in log:
        # Without a place, what nobody could go on from is left out.
        began = max(0, value - KEPT) if place is None else place
        # Beyond what was purged; before its place, where the log was taken back.
        until = min(max(began, int(first or 1) - 1) + STEP, value)
        found, until = await _told(connection, began, until)
        return _Gone(found, until, until != place, until < value)
    return _Gone([], 0, moved=False, more=False)


async def _told(connection: Connection, began: int, until: int) -> tuple[list[_Found], int]:
    """What the events began < id <= until tell, as far as it is copied at once; and as far as that goes."""
    if until <= began:
        return [], until
    telling = await connection.rows(bind(_TELLING, began, until, _AT_ONCE))
    if len(telling) == _AT_ONCE:
        until = max(event_id for event_id, _ in telling)
    room = most = min(_COPIED, connection.packet_max // 4)
    taken: list[int] = []
    for event_id, size in telling:
        if not ID_BYTES <= size <= most:
            continue
        if size > room:
            until = event_id - 1
            break
        room -= size
        taken.append(event_id)
    if not taken:
        return [], until
    told = [bytes(ids) for (ids,) in await connection.rows(bind(_TOLD, taken))]
    return [_Found(ids[:ID_BYTES], len(ids), None, ids) for ids in told], until


def newest_of_each(changes: Sequence[Change]) -> list[Change]:
    """Of each webhook its last change alone: its row is shown as it is now."""
    last = {change.webhook_id: change for change in changes}
    return sorted(last.values())
