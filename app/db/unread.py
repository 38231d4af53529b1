"""Finished jobs as the database sends them: read only where that has not been done before.

What is sent of a job is all that is shown of it. So what was made of the same bytes once is right, whoever wrote the
rows meanwhile; and nothing cheaper would tell whether another program has changed them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from app.db import files
from app.db.resultsets import first_value, row_of
from app.db.rows import KEY
from app.db.sql import Raw, bind
from app.db.videos import Generation, JobRow, columns, generations

# Characters of each text. A row with as many bytes may be cut, and is read in another way.
_TEXT_MAX = 4_000

# Rows for each job, that is files; with more, likewise.
_FILES_EACH = 4

_CUT = f"LEFT({{}}, {_TEXT_MAX})"

_READ = f"""
SELECT STRAIGHT_JOIN {columns(_CUT)}, {files.columns(_CUT)}
FROM (%s) found JOIN video_generations g ON g.id = found.id {KEY} LEFT JOIN video_files f ON f.generationId = g.id
ORDER BY found.createdAt DESC, found.id DESC LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class Unread:
    """A job with its files. `sent` is equal for two that are the same in all that `read` tells."""

    id: str
    sent: tuple[bytes, ...]

    @property
    def created_at(self) -> str | None:
        """As the database has it."""
        job, _ = _parts(self.sent[0])
        return None if job.created_at is None else str(job.created_at)

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(map(len, self.sent))

    def read(self) -> Generation:
        job, _ = _parts(self.sent[0])
        found = [file for _, file in map(_parts, self.sent) if file is not None and file.job_id == self.id]
        found.sort(key=lambda file: file.key.encode())
        (made,) = generations([job], {self.id: (files.shown(found).get(self.id, []), len(found))})
        return made


def statement(ids: bytes, most: int) -> bytes:
    """What reads the jobs, newest first, and their files. `ids` gives `id` and `createdAt` of `most` at most.
    That is what is sorted: as whole rows it would take twice as long."""
    return bind(_READ, Raw(ids), most * _FILES_EACH)


def jobs(sent: Sequence[bytes], most: int) -> list[Unread] | None:
    """What `statement` gave; None where it is not all: a text may be cut, or there are more files."""
    if len(sent) == most * _FILES_EACH or any(len(row) >= _TEXT_MAX for row in sent):
        return None
    return [Unread(job_id, tuple(rows)) for job_id, rows in groupby(sent, first_value)]


def _parts(sent: bytes) -> tuple[JobRow, files.FileRow | None]:
    """A row's job, and its file if there is one."""
    values = row_of(sent)
    job, file = values[: len(JobRow._fields)], values[len(JobRow._fields) :]
    return JobRow._make(job), None if file[0] is None else files.FileRow._make(file)
