"""A job's files as the pages read them: the first of them by their keys, and how many there are."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from app.db.charsets import FILE, FILES_JOB, S3_KEY, each_held, held
from app.db.connection import Row
from app.db.sql import Raw, bind, exact, json_bytes
from app.domain.event import EVENT_MAX, FILES_MAX, fitting, stored_file
from app.domain.forms import StoredFile
from app.times import stored

# By all of its bytes, as an event has them too: another page begins after the last of one.
_PLACE = "CAST(CONVERT(s3Key USING utf8mb4) AS BINARY)"

_SIZE = f"{json_bytes('fileUrl')} + {json_bytes('filePath')}"

# Where the key is a path too, the address may say another.
_IS_PATH = "CAST(CONVERT(s3Key USING utf8mb4) AS BINARY) = CAST(CONVERT(filePath USING utf8mb4) AS BINARY)"
_KEY_SIZE = f"GREATEST(LENGTH(s3Key), IF({_IS_PATH}, COALESCE(LENGTH(fileUrl), 0), 0))"

_COUNT = f"""
SELECT generationId, COUNT(*), SUM({_SIZE}), SUM({_KEY_SIZE}) FROM video_files WHERE generationId IN %s
GROUP BY generationId
"""


class Counted(NamedTuple):
    """A row of `count`: how many files a job has, and the bytes of their addresses and paths, and of their keys. Those
    may be Decimals."""

    id: str
    number: int
    size: int
    keys: int

    def room(self, each: int, address: int) -> int:
        """Bytes that the files have in an answer, as many as it tells: `each` for the names of fields and all else, and
        `address` for one that is signed, beside its key."""
        number = min(self.number, FILES_MAX)
        stored = min(int(self.size) + each * number, EVENT_MAX)
        return stored + ((address * number + 3 * int(self.keys)) if address else 0)


def columns(text: str = "{}") -> str:
    """What is read of a file: a `FileRow`. `text` is for those that may be long."""
    url, path = (text.format(name) for name in ("f.fileUrl", "f.filePath"))
    return f"""
f.generationId, f.id, f.filename, {url}, {path}, f.fileSize, f.format, f.durationSeconds, f.aspectRatio,
  f.width, f.height, f.createdAt, f.s3Key, g.s3Bucket, g.storageProvider
"""


class FileRow(NamedTuple):
    """A row of `columns`. Other programs' may hold anything."""

    job_id: str
    id: str
    filename: Any
    url: Any
    path: Any
    size: Any
    format: Any
    seconds: Any
    aspect_ratio: Any
    width: Any
    height: Any
    created_at: Any
    key: str
    bucket: Any
    provider: Any


_COLUMNS = f"SELECT {columns()}"

_JOB = "JOIN video_generations g ON g.id = f.generationId"

_ALL = f"{_COLUMNS} FROM video_files f {_JOB} WHERE f.generationId IN %s ORDER BY {_PLACE}"

_ONE = f"{_COLUMNS} FROM video_files f {_JOB} WHERE f.generationId = %s AND %s ORDER BY {_PLACE} LIMIT 1"

# Of each job as many as an event has, but one in any case. It takes ten times as many reads as to read them all.
_FIRST = f"""
{_COLUMNS} FROM (
  SELECT id, place, ROW_NUMBER() OVER w AS nth, SUM(size) OVER w AS size
  FROM (SELECT id, generationId, {_PLACE} AS place, {_SIZE} AS size FROM video_files WHERE %s) files
  WINDOW w AS (PARTITION BY generationId ORDER BY place)
) found JOIN video_files f ON f.id = found.id {_JOB}
WHERE found.nth = 1 OR (found.nth <= {FILES_MAX} AND found.size <= {EVENT_MAX}) ORDER BY found.place
"""

_OF_OTHERS = f"""
{_COLUMNS} FROM video_files f {_JOB} WHERE CAST(CONVERT(f.generationId USING utf8mb4) AS BINARY) <>
  COALESCE((SELECT CAST(CONVERT(generationId USING utf8mb4) AS BINARY) FROM video_files WHERE id = %s), '') AND
"""

_OF_KEY = f"{_OF_OTHERS} f.s3Key = %s"

_PAGE_END = "SELECT MAX(id) FROM (SELECT id FROM video_files WHERE id > %s ORDER BY id LIMIT %s) page"

# Of an address the last part, in which every way to write a key leaves it as it is, or writes % or +.
_LAST_PART = "CAST(CONVERT(SUBSTRING_INDEX(SUBSTRING_INDEX(f.fileUrl, '?', 1), '/', -1) USING utf8mb4) AS BINARY)"

_BY_ADDRESS = f"""
{_OF_OTHERS} f.id > %s AND f.id <= %s AND {_IS_PATH}
  AND ({_LAST_PART} = %s OR LOCATE(CHAR(37), {_LAST_PART}) OR LOCATE('+', {_LAST_PART}))
"""

_IS_FILE = "SELECT id FROM video_files WHERE id = %s AND generationId = %s"

_AFTER = f"generationId = %s AND {_PLACE} > (SELECT {_PLACE} FROM video_files WHERE id = %s)"


def count(job_ids: Sequence[str]) -> bytes:
    """How many files jobs have, and of how many bytes; for `first_of`."""
    return bind(_COUNT, each_held(FILES_JOB, job_ids))


def first_of(counted: Iterable[Counted]) -> list[bytes]:
    """The statements that read the first files of the jobs that `count` told of; for `shown`."""
    whole: list[str] = []
    cut: list[str] = []
    for job in counted:
        (whole if job.number <= FILES_MAX and job.size <= EVENT_MAX else cut).append(job.id)
    statements = [bind(_ALL, each_held(FILES_JOB, whole))] if whole else []
    if cut:
        statements.append(bind(_FIRST, Raw(bind("generationId IN %s", each_held(FILES_JOB, cut)))))
    return statements


def after(job_id: str, file_id: str) -> list[bytes]:
    """Two statements: whether that is a file of the job, and those that follow it; for `shown`."""
    file, job = held(FILE, file_id), held(FILES_JOB, job_id)
    return [bind(_IS_FILE, file, job), bind(_FIRST, Raw(bind(_AFTER, job, file)))]


def every(job_id: str) -> bytes:
    """The statement that reads all files of a job; for `shown`."""
    return bind(_ALL, each_held(FILES_JOB, [job_id]))


def others_of_key(file_id: str, key: str) -> bytes:
    """The statement that reads files of that key, or of one that the site's collation takes for it, of other jobs than
    the file's; for `shown`."""
    return bind(_OF_KEY, held(FILE, file_id), held(S3_KEY, key))


def page_end(last: str, most: int) -> bytes:
    """The statement that gives the last id of so many files after that one, NULL where there are none."""
    return bind(_PAGE_END, held(FILE, last), most)


def others_by_address(file_id: str, key: str, last: str, until: str) -> bytes:
    """The statement that reads, of the files between those ids, those of other jobs than the file's whose address may
    name that key, though their own is another; for `shown`."""
    return bind(_BY_ADDRESS, held(FILE, file_id), held(FILE, last), held(FILE, until), exact(key.rpartition("/")[2]))


def of_file(job_id: str, file_id: str | None) -> bytes:
    """The statement that reads one file of a job, the first by its key where none is named; for `shown`."""
    which = Raw(b"TRUE" if file_id is None else bind("f.id = %s", held(FILE, file_id)))
    return bind(_ONE, held(FILES_JOB, job_id), which)


def shown(rows: Sequence[Row], *, whole: bool = False) -> dict[str, list[StoredFile]]:
    """By the job's id, in the gallery's form, of the rows that these read: as many as an event has, unless `whole`."""
    files: dict[str, list[StoredFile]] = {}
    for job_id, *fields, created_at, key, bucket, provider in rows:
        files.setdefault(job_id, []).append(stored_file(fields, stored(created_at), key, bucket, provider))
    if whole:
        return files
    return {job_id: found[: max(1, len(fitting(found, EVENT_MAX)))] for job_id, found in files.items()}
