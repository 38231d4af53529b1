"""The processes of the server, as each of them says in the database every few seconds."""

import importlib.metadata
from typing import NamedTuple

from app import ids, times
from app.db.pool import Pool
from app.db.sql import bind

EVERY = 5.0
"""Seconds from one word to the next."""

# Seconds after which one that says nothing is not there, and after which its row goes. By the database's clock: those
# of the machines may differ.
_GONE, _FORGOTTEN = 20, 3600

_SAY = """
INSERT INTO rushes_processes (id, version, started_at, seen_at, behind, sse, websocket, spooled)
VALUES (%s, %s, %s, UTC_TIMESTAMP(6), %s, %s, %s, %s)
ON DUPLICATE KEY UPDATE seen_at = VALUES(seen_at), behind = VALUES(behind), sse = VALUES(sse),
  websocket = VALUES(websocket), spooled = VALUES(spooled)
"""
_FORGET = f"DELETE FROM rushes_processes WHERE seen_at < UTC_TIMESTAMP(6) - INTERVAL {_FORGOTTEN} SECOND"
_LEAVE = "DELETE FROM rushes_processes WHERE id = %s"
_THERE = f"""
SELECT id, version, started_at, behind, sse, websocket, spooled FROM rushes_processes
WHERE seen_at > UTC_TIMESTAMP(6) - INTERVAL {_GONE} SECOND ORDER BY started_at, id
"""

_VERSION_MAX = 32


class Has(NamedTuple):
    """What a process has now: events that it has not followed yet, open streams by transport, webhooks on its disk."""

    lag: int
    sse: int
    websocket: int
    spooled: int


class Process(NamedTuple):
    """`started_at` is in microseconds since 1970."""

    id: str
    version: str
    started_at: int
    has: Has


class Processes:
    """This one, and the others. Every method raises DatabaseError."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.version = importlib.metadata.version("rushes")[:_VERSION_MAX]
        self._started_at = times.now()

    def me(self, has: Has) -> Process:
        return Process(ids.PROCESS, self.version, self._started_at, has)

    async def say(self, has: Has) -> None:
        """That this process is there."""
        say = bind(_SAY, ids.PROCESS, self.version, times.sql6(self._started_at), *has)
        await self._pool.run(say, _FORGET)

    async def leave(self) -> None:
        """That it ends."""
        await self._pool.run(bind(_LEAVE, ids.PROCESS))

    async def there(self, has: Has) -> list[Process]:
        """All, the oldest first: of this one what it has now, of the others what they said last."""
        found = [
            Process(process_id, version, times.microseconds(started_at), Has(*has_it))
            for process_id, version, started_at, *has_it in await self._pool.rows(_THERE)
        ]
        others = [process for process in found if process.id != ids.PROCESS]
        return sorted([*others, self.me(has)], key=lambda process: (process.started_at, process.id))
