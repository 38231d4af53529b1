"""What lies in the bucket of files that are deleted: it goes too, unless it is another job's as well."""

import asyncio

import structlog

from app.db import files
from app.db.pool import Pool
from app.domain.forms import StoredFile
from app.storage import Storage

log = structlog.get_logger(__name__)

# Rows of the site's files that one statement passes, a few milliseconds of the database.
_PASSED = 5000
_PAUSE = 0.01  # seconds


class Objects:
    """Deletes objects of the storage. One that is told as a file of another job too, by its key or by its address, is
    left. What a sender names between that look and the deletion is not seen."""

    def __init__(self, pool: Pool, storage: Storage) -> None:
        self._pool = pool
        self._storage = storage

    async def remove(self, file: StoredFile) -> None:
        """Raises OSError, aiohttp's ClientError or DatabaseAwayError."""
        if await self._is_anothers_too(file):
            log.warning("object_left", file_id=file["id"])
        else:
            await self._storage.remove(file)

    async def _is_anothers_too(self, file: StoredFile) -> bool:
        place = self._storage.lies_at(file)
        if place is None:
            return False
        _, key = place
        if await self._is_among(files.others_of_key(file["id"], key), place):
            return True
        last = ""
        while True:
            ((until,),) = await self._pool.rows(files.page_end(last, _PASSED))
            if until is None:
                return False
            if await self._is_among(files.others_by_address(file["id"], key, last, until), place):
                return True
            last = until
            await asyncio.sleep(_PAUSE)

    async def _is_among(self, statement: bytes, place: tuple[str, str]) -> bool:
        found = files.shown(await self._pool.rows(statement), whole=True)
        return any(self._storage.lies_at(other) == place for others in found.values() for other in others)
