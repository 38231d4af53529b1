"""Jobs by what their prompts say, in whatever case and accents.

Prompts are compared by the weights that the collation gives their characters: as bytes, since the collation's own LIKE
takes ten times as long for what nearly fits everywhere. What one search may cost is bounded by how much it looks
through: the newest `JOBS_MAX` jobs, `PROMPT_MAX` characters of each prompt, `BYTES_MAX` of all.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from app.db.charsets import JOB, each_held
from app.db.connection import Connection, Statement
from app.db.rows import KEY
from app.db.sql import Raw, bind

JOBS_MAX = 5000
PROMPT_MAX = 2000
BYTES_MAX = 2 * 1024 * 1024

# Jobs whose prompts are looked through by one statement: so many more than BYTES_MAX at most.
_AT_ONCE = 250

_NEWEST = """
(SELECT g.id, g.createdAt, %s AS wanted FROM video_generations g WHERE %s ORDER BY g.createdAt DESC, g.id DESC LIMIT %s)
"""
_WINDOW = "SELECT id, wanted FROM (%s) newest ORDER BY createdAt DESC, id DESC LIMIT %s"

_BEGINNING = f"CONVERT(LEFT(g.prompt, {PROMPT_MAX}) USING utf8mb4) COLLATE utf8mb4_unicode_ci"

# A text of nothing that has a weight is found nowhere.
_PLACES = f"""
SELECT g.id, OCTET_LENGTH({_BEGINNING}),
  LOCATE(NULLIF(WEIGHT_STRING(%s COLLATE utf8mb4_unicode_ci), ''), WEIGHT_STRING({_BEGINNING}))
FROM video_generations g {KEY} WHERE g.id IN %s AND %s
"""
_SAYS = f"SELECT g.id FROM video_generations g WHERE g.id IN %s AND {_BEGINNING} LIKE %s ESCAPE '!'"


@dataclass(frozen=True, slots=True)
class Search:
    """Ids of those that were found, newest first, and how many jobs were looked through."""

    found: list[str]
    searched: int


async def search(
    connection: Connection, opening: Sequence[Statement], says: str, states: Sequence[bytes], after: bytes, shown: bytes
) -> Search:
    """Looks through the newest jobs, after `opening` in the same packet.

    SQL: `states` has of each state what tells its jobs, `after` which of the newest are wanted beside, `shown` which of
    the wanted may be shown. Those that come before what is wanted count as looked through.
    """
    newest = b" UNION ALL ".join(bind(_NEWEST, Raw(after), Raw(state), JOBS_MAX) for state in states)
    *_, window = await connection.run_text(*opening, bind(_WINDOW, Raw(newest), JOBS_MAX))
    ids = [job_id or "" for job_id, wanted in window if wanted == "1"]
    passed_over = len(window) - len(ids)
    found: list[str] = []
    left = BYTES_MAX
    start = 0
    while start < len(ids) and left > 0:
        some = ids[start : start + _AT_ONCE]
        start += len(some)
        (rows,) = await connection.run_text(bind(_PLACES, says, each_held(JOB, some), Raw(shown)))
        left -= sum(int(size or 0) for _, size, _ in rows)
        found += await _that_say(connection, says, some, {job_id or "": int(place or 0) for job_id, _, place in rows})
    return Search(found, passed_over + min(start, len(ids)))


async def _that_say(connection: Connection, says: str, ids: Sequence[str], places: dict[str, int]) -> list[str]:
    """Those of the ids, in their order, whose prompts do say so. `places` are where, in bytes from 1, 0 for nowhere.

    A weight has two bytes: at an even place the end of one and the beginning of the next only look like it, which is
    rare, and of these the collation itself is asked.
    """
    sure = {job_id for job_id, place in places.items() if place % 2}
    if unsure := [job_id for job_id, place in places.items() if place and not place % 2]:
        escaped = re.sub(r"([!%_])", r"!\1", says)
        (rows,) = await connection.run_text(bind(_SAYS, each_held(JOB, unsure), f"%{escaped}%"))
        sure |= {job_id or "" for (job_id,) in rows}
    return [job_id for job_id in ids if job_id in sure]
