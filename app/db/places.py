"""Where each walk over a large table goes on: a page at a time, in whatever process leads, across restarts."""

from typing import Any

import orjson

from app.db.pool import Pool
from app.db.sql import bind

_PLACE = "SELECT place FROM rushes_places WHERE name = %s"
_KEEP = "INSERT INTO rushes_places (name, place) VALUES (%s, %s) ON DUPLICATE KEY UPDATE place = VALUES(place)"


async def place(pool: Pool, name: str) -> Any:
    """What was kept under that name, None before anything was. Raises DatabaseError."""
    rows = await pool.rows(bind(_PLACE, name))
    return next((orjson.loads(place) for (place,) in rows), None)


async def keep(pool: Pool, name: str, value: Any) -> None:
    """Keeps a value that JSON can hold. Raises DatabaseError."""
    await pool.run(bind(_KEEP, name, orjson.dumps(value).decode()))
