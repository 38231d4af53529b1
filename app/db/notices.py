"""What browsers are still to be told of by Web Push: the ends of jobs, taken from the log.

The log is walked from where the last walk ended, and that place moves in the transaction that writes down what was
found there: each end is written down once, whatever is killed.
"""

from collections.abc import Collection
from typing import NamedTuple, get_args

import orjson

from app import times
from app.db.pool import Pool
from app.db.sql import Raw, bind
from app.db.subscriptions import Stored
from app.texts import Language
from app.webpush import Subscription

_PLACE = "push"

_READ_PLACE = "SELECT place FROM rushes_places WHERE name = %s"
_LOCK_PLACE = f"{_READ_PLACE} FOR UPDATE"
_KEEP_PLACE = "INSERT INTO rushes_places (name, place) VALUES (%s, %s) ON DUPLICATE KEY UPDATE place = VALUES(place)"
_HEAD = "SELECT value FROM rushes_counter WHERE id = 1"

# The primary key leads: whoever has many events is passed over as quickly as others.
_WRITE_DOWN = """
INSERT INTO rushes_notices (subscription_id, event_id, job_id, event, created_at)
SELECT s.id, e.id, e.job_id, e.event, e.created_at
FROM rushes_events e FORCE INDEX (PRIMARY)
JOIN rushes_push s ON s.author_id = e.author_id AND CAST(s.author_id AS BINARY) = CAST(e.author_id AS BINARY)
WHERE e.id > %s AND e.id <= %s AND e.id > s.since AND e.event IN ('completed', 'failed') AND e.created_at >= %s
ON DUPLICATE KEY UPDATE job_id = VALUES(job_id), event = VALUES(event), created_at = VALUES(created_at)
"""
_EVENTS_MAX = 2_000

# Where the first walk begins: before that nobody had subscribed.
_FIRST = "SELECT MIN(since) FROM rushes_push"
# A log that was taken back gives its numbers again.
_TAKEN_BACK = "UPDATE rushes_push SET since = %s WHERE since > %s"

_DUE = """
SELECT id, author_id, subject, endpoint, p256dh, auth, language, failures FROM rushes_push s
WHERE EXISTS (SELECT 1 FROM rushes_notices n WHERE n.subscription_id = s.id)
  AND (paused_until IS NULL OR paused_until <= UTC_TIMESTAMP(6)) %s %s
ORDER BY paused_until, id LIMIT %s
"""
_BUT = "AND id NOT IN %s"
_BUT_OF = "AND author_id NOT IN %s"

_OF = """
SELECT event_id, job_id, event, created_at FROM rushes_notices WHERE subscription_id = %s
ORDER BY event_id DESC LIMIT %s
"""
_TOLD = "DELETE FROM rushes_notices WHERE subscription_id = %s AND event_id <= %s"
_OVER = "DELETE FROM rushes_notices WHERE created_at < %s ORDER BY created_at LIMIT 1000"


_LANGUAGES: dict[str, Language] = {language: language for language in get_args(Language)}


class Notice(NamedTuple):
    """The end of a job, by the event's number in the log; `created_at` in microseconds since 1970."""

    event_id: int
    job_id: str
    event: str
    created_at: int


class _DueRow(NamedTuple):
    """A row of _DUE."""

    id: str
    author_id: str
    subject: str
    endpoint: str
    p256dh: str
    auth: str
    language: str
    failures: int

    def stored(self) -> Stored:
        where = Subscription(self.endpoint, self.p256dh, self.auth)
        return Stored(self.id, self.author_id, self.subject, where, _LANGUAGES.get(self.language, "en"), self.failures)


class Notices:
    """Every method raises DatabaseError."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def write_down(self, since: int) -> bool:
        """Writes down ends that the log has had since the last time, none from before then, in microseconds since 1970;
        whether the log has more."""
        # Not locked: a lock makes it a transaction that changes something, for which kept pages would be read anew.
        place_of, heads = await self._pool.run(bind(_READ_PLACE, _PLACE), _HEAD)
        if [int(orjson.loads(kept)) for (kept,) in place_of] == [int(head) for (head,) in heads]:
            return False
        async with self._pool.connection() as connection:
            _, places, ((head,),), ((oldest,),) = await connection.run(
                "START TRANSACTION", bind(_LOCK_PLACE, _PLACE), _HEAD, _FIRST
            )
            head = int(head)
            place = next((int(orjson.loads(kept)) for (kept,) in places), None)
            first = min(head if oldest is None else int(oldest), head) if place is None else place
            last = min(first + _EVENTS_MAX, head)
            if last == place:
                await connection.run("ROLLBACK")
                return False
            if first > head:
                await connection.run(bind(_TAKEN_BACK, head, head))
            found = bind(_WRITE_DOWN, first, last, times.sql(since))
            await connection.run(found, bind(_KEEP_PLACE, _PLACE, str(last)), "COMMIT")
            return last < head

    async def due(self, most: int, busy: Collection[str], authors: Collection[str]) -> list[Stored]:
        """Browsers that have something to be told, without those of these ids and those of these users."""
        but = Raw(bind(_BUT, [*busy]) if busy else b"")
        but_of = Raw(bind(_BUT_OF, [*authors]) if authors else b"")
        rows = await self._pool.rows(bind(_DUE, but, but_of, most))
        return [row.stored() for row in map(_DueRow._make, rows)]

    async def of(self, subscription_id: str, most: int) -> list[Notice]:
        """What one is to be told, newest first."""
        rows = await self._pool.rows(bind(_OF, subscription_id, most))
        return [Notice(event_id, job_id, event, times.microseconds(at)) for event_id, job_id, event, at in rows]

    async def told(self, subscription_id: str, up_to: int) -> None:
        """It knows of all events up to that one, or is not to be told of them."""
        await self._pool.run(bind(_TOLD, subscription_id, up_to))

    async def drop_older(self, than: int) -> None:
        """Removes what is from before then, in microseconds since 1970, a thousand at most: nobody waits for it any
        more, or the browser is gone."""
        await self._pool.run(bind(_OVER, times.sql(than)))
