"""The key that stream tickets are signed with: one row, the same for all processes. No sender and no issuer has it."""

import asyncio
import re
import secrets
import time
from typing import Any

import structlog

from app.db.errors import DatabaseAwayError
from app.db.pool import Pool
from app.db.sql import bind

log = structlog.get_logger(__name__)

_READ = "SELECT secret FROM rushes_ticket_key WHERE id = 1"
_MAKE = "INSERT IGNORE INTO rushes_ticket_key (id, secret) VALUES (1, %s)"

_FORM = re.compile(r"[0-9a-f]{64}")

# Seconds. Who deletes the row is obeyed everywhere after the first, and tickets signed with a key that another process
# made are good here after the second.
_KEPT = 60.0
_READ_AGAIN = 1.0


def make(session: Any) -> None:
    """Makes the row through a session of PyMySQL, unless there is one."""
    with session.cursor() as cursor:
        cursor.execute(_MAKE, (_random(),))
    session.commit()


class TicketKey:
    """The key, read when first needed and again once it is a minute old."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._key = b""
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def get(self) -> bytes:
        """32 bytes. Raises DatabaseAwayError where they cannot be told."""
        return await self._at_most(_KEPT)

    async def get_newer(self) -> bytes:
        """The same, no more than a second old: for a ticket that another process may have signed with a newer key."""
        return await self._at_most(_READ_AGAIN)

    async def _at_most(self, seconds: float) -> bytes:
        async with self._reading:  # whoever waited here finds it read
            if time.monotonic() - self._read_at > seconds:
                self._key = await self._read()
                self._read_at = time.monotonic()
            return self._key

    async def _read(self) -> bytes:
        rows = await self._pool.rows(_READ)
        if not rows:
            # Somebody deleted it, so that a new one is made. Others may be making one too: the first counts.
            await self._pool.run(bind(_MAKE, _random()))
            rows = await self._pool.rows(_READ)
        found = next((str(secret) for (secret,) in rows), "")
        if not _FORM.fullmatch(found):
            log.error("ticket_key_unusable", hint="delete the row of rushes_ticket_key, and a new one is made")
            raise DatabaseAwayError("the key of stream tickets in the database is none")
        return bytes.fromhex(found)


def _random() -> str:
    return secrets.token_hex(32)
