"""A site's table of generations as it has grown: 100 finished videos of each reader, spread among other users' rows.

All rows are there as rushes and the site would have made them: each finished job with its file, and with its row in
`rushes_jobs`, as jobs have that were moved by webhooks.
"""

import json
from datetime import UTC, datetime, timedelta

from bench import payload
from bench.seed import connected

READER = "bench-reader"
READERS = (READER, *(f"{READER}-{number}" for number in range(1, 16)))
VIDEOS = 100

# Of other users, and how many of their jobs have failed.
_EACH, _FAILED_OF = 200, 10

# As long as a site's own ids (cuid), and as those are, in the order in which they were made. `row` counts from 0.
_ID = "CONCAT('cm', LPAD(%s, 9, '0'), 'benchgallery00')"

PROMPT = (
    "Un coucher de soleil cinématographique sur l'océan, plan large au grand-angle, lumière dorée, vagues lentes, "
    "quelques mouettes au loin, ambiance sereine, 24 images par seconde"
)
METADATA = json.dumps(json.loads(payload.template("completed"))["data"]["metadata"], ensure_ascii=False)

_TEN = "(SELECT 0 AS d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 \
UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)"

# In so many rows each statement fills the tables.
_CHUNK = 10_000
_ROWS = f"""
(SELECT a.d + 10 * b.d + 100 * c.d + 1000 * d.d + %s AS n
FROM {_TEN} a CROSS JOIN {_TEN} b CROSS JOIN {_TEN} c CROSS JOIN {_TEN} d) AS numbers
"""

_JOBS = f"""
INSERT INTO video_generations (id, prompt, status, progress, message, error, processingTime, generationTime,
  downloadTime, authorId, createdAt, updatedAt, completedAt)
SELECT {_ID % "n"}, CONCAT(%s, ', ', n), IF(failed, 'FAILED', 'COMPLETED'), IF(failed, 0, 100),
  IF(failed, 'La génération a échoué', 'Génération terminée avec succès'),
  IF(failed, 'Erreur inconnue lors de la génération', NULL), 120.5, 90.2, 30.3,
  COALESCE(ELT(reader, {", ".join(["%s"] * len(READERS))}), CONCAT('user-', n %% %s)), made,
  made + INTERVAL 2 MINUTE, made + INTERVAL 2 MINUTE
FROM (
  SELECT n, reader, reader > %s AND n %% {_FAILED_OF} = 0 AS failed, made
  FROM (SELECT n, %s - n %% %s AS reader, %s + INTERVAL n SECOND AS made FROM {_ROWS} WHERE n < %s) AS whose
) AS jobs ORDER BY n
"""

_OF_CHUNK = f"FROM video_generations WHERE id BETWEEN {_ID % '%s'} AND {_ID % '%s'} ORDER BY id"

_FILES = f"""
INSERT INTO video_files (id, filename, s3Key, fileUrl, filePath, fileSize, durationSeconds, aspectRatio, width, height,
  metadata, createdAt, generationId)
SELECT CONCAT('f', id), 'sunset-ocean.mp4', CONCAT('/videos/', id, '/sunset-ocean.mp4'),
  CONCAT('https://s3.amazonaws.com/sorami-videos/videos/', id, '/sunset-ocean.mp4'),
  CONCAT('/videos/', id, '/sunset-ocean.mp4'), 15728640, 8, '16:9', 1920, 1080, %s, completedAt, id
{_OF_CHUNK.replace("WHERE", "WHERE status = 'COMPLETED' AND")}
"""

_POSITIONS = f"""
INSERT INTO rushes_jobs (job_id, status, has_files, at, stage, tie, updated_at, created_at, since)
SELECT id, LOWER(status), status = 'COMPLETED', TIMESTAMPDIFF(MICROSECOND, '1970-01-01', completedAt), 4, '', updatedAt,
  createdAt, completedAt
{_OF_CHUNK}
"""

_NEWEST = """
SELECT g.id, f.id FROM video_generations g LEFT JOIN video_files f ON f.generationId = g.id
WHERE g.authorId = %s AND g.status = 'COMPLETED' ORDER BY g.createdAt DESC
"""

_REOPEN = "UPDATE video_generations SET status = 'PROCESSING', progress = 50, completedAt = NULL WHERE id = %s"


async def fill(database_url: str, rows: int) -> None:
    """Make `rows` generations, 100 of them each reader's. `rows` is a multiple of 100, at least 1700."""
    every, readers = rows // VIDEOS, len(READERS)
    since = datetime.now(UTC).replace(tzinfo=None, microsecond=0) - timedelta(seconds=rows + 600)
    async with connected(database_url) as cursor:
        for first in range(0, rows, _CHUNK):
            last = min(first + _CHUNK, rows) - 1
            others = max(1, rows // _EACH)
            await cursor.execute(_JOBS, (PROMPT, *READERS, others, readers, every, every, since, first, rows))
            await cursor.execute(_FILES, (METADATA, first, last))
            await cursor.execute(_POSITIONS, (first, last))
        await cursor.execute("ANALYZE TABLE video_generations, video_files, rushes_jobs")


async def newest(database_url: str, reader: str = READER) -> dict[str, list[str]]:
    """What a page of 100 must show: ids of the reader's newest finished jobs, newest first, each with its files'."""
    found: dict[str, list[str]] = {}
    async with connected(database_url) as cursor:
        await cursor.execute(_NEWEST, reader)
        for job_id, file_id in await cursor.fetchall():
            found.setdefault(job_id, []).extend([] if file_id is None else [file_id])
    return {job_id: sorted(files) for job_id, files in list(found.items())[:VIDEOS]}


async def reopen(database_url: str, job_id: str) -> None:
    """Make the job unfinished again, without its file: for a webhook to complete it."""
    async with connected(database_url) as cursor:
        await cursor.execute("DELETE FROM video_files WHERE generationId = %s", job_id)
        await cursor.execute("DELETE FROM rushes_jobs WHERE job_id = %s", job_id)
        await cursor.execute(_REOPEN, job_id)
