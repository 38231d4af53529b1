"""A job's files as the pages read them: the first of them by their keys, and how many there are."""

from typing import Any

from app.db.connection import Row
from app.db.sql import bind
from app.wire import EVENT_MAX, FILES_MAX, fitting, stored_file

# By all of its bytes, as an event has them too: another page begins after the last of one.
_PLACE = "CAST(CONVERT(s3Key USING utf8mb4) AS BINARY)"

# Of each job as many as an event has, but one in any case.
_FIRST = f"""
SELECT f.generationId, f.id, f.filename, f.fileUrl, f.filePath, f.fileSize, f.format, f.durationSeconds, f.aspectRatio,
  f.width, f.height, f.createdAt, found.num
FROM (
  SELECT id, place, COUNT(*) OVER (PARTITION BY generationId) AS num, ROW_NUMBER() OVER w AS nth,
    SUM(size) OVER w AS size
  FROM (
    SELECT id, generationId, {_PLACE} AS place, COALESCE(LENGTH(fileUrl), 0) + COALESCE(LENGTH(filePath), 0) AS size
    FROM video_files WHERE %s
  ) files WINDOW w AS (PARTITION BY generationId ORDER BY place)
) found JOIN video_files f ON f.id = found.id
WHERE found.nth = 1 OR (found.nth <= {FILES_MAX} AND found.size <= {EVENT_MAX}) ORDER BY found.place
"""

_IS_FILE = "SELECT id FROM video_files WHERE id = %s AND generationId = %s"

_AFTER = f"{_PLACE} > (SELECT {_PLACE} FROM video_files WHERE id = %s)"

Shown = tuple[list[dict[str, Any]], int]
"""Files in the gallery's form, and how many there are with those that are left out."""


def first_of(job_ids: list[str]) -> bytes:
    """The first files of jobs; for `shown`."""
    return bind(_FIRST.replace("%s", "generationId IN %s"), job_ids)


def after(job_id: str, file_id: str) -> list[bytes]:
    """Two statements: whether that is a file of the job, and those that follow it; for `shown`."""
    rest = _FIRST.replace("%s", f"generationId = %s AND {_AFTER}")
    return [bind(_IS_FILE, file_id, job_id), bind(rest, job_id, file_id)]


def shown(rows: tuple[Row, ...]) -> dict[str, Shown]:
    """By the job's id, of the rows that these read."""
    files: dict[str, list[dict[str, Any]]] = {}
    counted: dict[str, int] = {}
    for job_id, *fields, created_at, num in rows:
        files.setdefault(job_id, []).append(stored_file(fields, created_at))
        counted[job_id] = int(num)
    return {
        job_id: (found[: max(1, len(fitting(found, EVENT_MAX)))], counted[job_id]) for job_id, found in files.items()
    }
