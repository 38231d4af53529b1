"""The browsers that users want to be told in: subscriptions to Web Push.

An endpoint is one browser's, so it has one user: whoever subscribes there last.
"""

import asyncio
import hashlib
import itertools
from typing import NamedTuple

from app.backoff import backoff
from app.db.errors import RetryableError
from app.db.pool import Pool
from app.db.sql import bind, exact
from app.texts import Language
from app.times import sql6
from app.webpush import Subscription

# What was still to be told there was for whoever had it before.
_FORGET_NOTICES = """
DELETE FROM rushes_notices WHERE subscription_id = %s
  AND NOT EXISTS (SELECT 1 FROM rushes_push WHERE id = %s AND CAST(author_id AS BINARY) = %s)
"""

# Whoever renews it goes on with the events that he is to be told of.
_PUT = """
INSERT INTO rushes_push (id, author_id, subject, endpoint, p256dh, auth, language, since, renewed_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, (SELECT value FROM rushes_counter c WHERE c.id = 1), UTC_TIMESTAMP(6))
ON DUPLICATE KEY UPDATE
  since = IF(CAST(author_id AS BINARY) = CAST(VALUES(author_id) AS BINARY), since, VALUES(since)),
  author_id = VALUES(author_id), subject = VALUES(subject), p256dh = VALUES(p256dh),
  auth = VALUES(auth), language = VALUES(language), renewed_at = VALUES(renewed_at), failures = 0, paused_until = NULL
"""

_OF_AUTHOR = "author_id = %s AND CAST(author_id AS BINARY) = %s"

# Those beyond the newest, of which there may be a few more while several come at once.
_BEYOND = f"""
DELETE FROM rushes_push WHERE id IN (
  SELECT id FROM (
    SELECT id FROM rushes_push WHERE {_OF_AUTHOR} ORDER BY renewed_at DESC, id LIMIT 1000 OFFSET %s
  ) beyond
)
"""

_REMOVE = f"DELETE FROM rushes_push WHERE {_OF_AUTHOR} AND id = %s"
_REMOVE_ALL = f"DELETE FROM rushes_push WHERE {_OF_AUTHOR}"
_REMOVE_ANY = "DELETE FROM rushes_push WHERE id = %s"
_REMOVE_OLD = "DELETE FROM rushes_push WHERE renewed_at < %s ORDER BY renewed_at LIMIT 1000"
_COUNT = "SELECT ROW_COUNT()"

_TRIES, _PAUSE_MIN, _PAUSE_MAX = 5, 0.05, 0.4

_FAILED = """
UPDATE rushes_push SET failures = failures + 1, paused_until = UTC_TIMESTAMP(6) + INTERVAL %s SECOND WHERE id = %s
"""
_SUCCEEDED = "UPDATE rushes_push SET failures = 0, paused_until = NULL WHERE id = %s AND failures > 0"


class Stored(NamedTuple):
    """One of them. `subject` is the `sub` of the token by which it came."""

    id: str
    author_id: str
    subject: str
    where: Subscription
    language: Language
    failures: int


def id_of(endpoint: str) -> str:
    """By which an endpoint can be named without being told."""
    return hashlib.sha256(endpoint.encode()).hexdigest()


class Subscriptions:
    """`most` are kept of a user: of more, those that were not renewed for longest go. Every method raises
    DatabaseError."""

    def __init__(self, pool: Pool, most: int) -> None:
        self._pool = pool
        self._most = most

    async def put(self, author_id: str, subject: str, where: Subscription, language: Language) -> str:
        """Adds it, or renews it; its id."""
        subscription_id = id_of(where.endpoint)
        statements = [
            bind(_FORGET_NOTICES, subscription_id, subscription_id, exact(author_id)),
            bind(_PUT, subscription_id, author_id, subject, *where, language),
            bind(_BEYOND, author_id, exact(author_id), self._most),
        ]
        for tries in itertools.count(1):  # those that come at once wait for each other's rows, now and then in a circle
            try:
                await self._pool.run(*statements)
                break
            except RetryableError:
                if tries == _TRIES:
                    raise
                await asyncio.sleep(backoff(tries, _PAUSE_MIN, _PAUSE_MAX, jitter=1.0))
        return subscription_id

    async def remove(self, author_id: str, subscription_id: str) -> bool:
        """Removes one of a user's; whether he had it."""
        return bool(await self._deleted(bind(_REMOVE, author_id, exact(author_id), exact(subscription_id))))

    async def remove_all(self, author_id: str) -> int:
        """Removes all of a user's; how many there were."""
        return await self._deleted(bind(_REMOVE_ALL, author_id, exact(author_id)))

    async def drop(self, subscription_id: str) -> None:
        """Removes one, whoever's it is."""
        await self._pool.run(bind(_REMOVE_ANY, subscription_id))

    async def drop_older(self, than: int) -> int:
        """Removes those that were not renewed since, in microseconds since 1970, a thousand at most; how many."""
        return await self._deleted(bind(_REMOVE_OLD, sql6(than)))

    async def failed(self, subscription_id: str, pause: float) -> None:
        """Nothing is sent there for so many seconds."""
        await self._pool.run(bind(_FAILED, pause, subscription_id))

    async def succeeded(self, subscription_id: str) -> None:
        await self._pool.run(bind(_SUCCEEDED, subscription_id))

    async def _deleted(self, statement: bytes) -> int:
        _, ((count,),) = await self._pool.run(statement, _COUNT)
        return int(count)
