"""What a batch writes into the site's tables and of positions: one statement for all rows of a kind."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import orjson

from app.db.columns import Columns
from app.db.sql import Raw, bind, literal, update_rows
from app.db.writer.read_set import JobRow, file_keys_json
from app.domain.event import gallery_file
from app.domain.job import Change, StatusUpdate, VideoFile
from app.ids import cuid
from app.times import sql

_MAKE_JOBS = """
INSERT INTO video_generations (id, prompt, authorId, createdAt, updatedAt) VALUES %s
"""

# In the gallery's order, behind the id.
_SHOWN = (
    "filename", "fileUrl", "filePath", "fileSize", "format", "durationSeconds", "aspectRatio", "width", "height",
)  # fmt: skip

_NEW_FILE = ("id", "generationId", "s3Key", *_SHOWN, "metadata", "createdAt")

_INSERT_FILES = f"INSERT INTO video_files ({', '.join(_NEW_FILE)}) VALUES %s"

# For what the site's column does not take and need not.
_DEFAULT = Raw(b"DEFAULT")

SET_POSITIONS = """
INSERT INTO rushes_jobs (job_id, status, has_files, at, stage, tie, file_keys, updated_at, created_at, since, partial)
VALUES %s
ON DUPLICATE KEY UPDATE
  dismissed_at = IF(VALUES(status) = 'failed' AND created_at <=> VALUES(created_at), dismissed_at, NULL),
  deleted_at = NULL, deleted_by = NULL,
  status = VALUES(status), has_files = VALUES(has_files), at = VALUES(at), stage = VALUES(stage), tie = VALUES(tie),
  file_keys = VALUES(file_keys), updated_at = VALUES(updated_at), created_at = VALUES(created_at),
  since = VALUES(since), partial = VALUES(partial)
"""

_CREATED_AT = "(SELECT createdAt FROM video_generations WHERE id = %s)"


class WriteSet:
    """Files are put to their jobs' rows, whose changes `statements` then write.

    `columns` tells what the site's columns hold, as far as one has refused something.
    """

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._metadata: list[bytes] = []

    def put_files(self, row: JobRow, update: StatusUpdate, change: Change) -> None:
        """Gives the job the files of a change that the update made."""
        if files := (*change.new_files, *change.refreshed_files):
            metadata = self._stored_metadata(update, len(files))
            for file in files:
                self._put_file(row, file, metadata, change.at)
        for file in change.completed_files:
            _complete_file(row, file)

    def statements(self, rows: Iterable[JobRow], now_us: int) -> list[bytes]:
        """What writes the rows that changed, at that time."""
        at = Raw(literal(sql(now_us)))
        changed = [row for row in rows if row.changed]
        fit = partial(self._columns.fit, "video_generations")
        jobs = {row.id: fit(row.columns) | {"updatedAt": at} for row in changed}
        made = [
            [row.id, fit({"prompt": row.prompt})["prompt"], row.author_id, at, at]
            for row in changed
            if row.prompt is not None
        ]
        statements = [*self._metadata]
        if made:
            statements.append(bind(_MAKE_JOBS, made))
        statements += update_rows("video_generations", "id", jobs)
        inserted = {key: columns for row in changed for key, columns in row.inserted.items()}
        if inserted:
            # Sorted, so that two transactions meet their common keys in one order.
            files = [[inserted[key].get(name, _DEFAULT) for name in _NEW_FILE] for key in sorted(inserted)]
            statements.append(bind(_INSERT_FILES, files))
        refreshed = {key: columns for row in changed for key, columns in row.refreshed.items()}
        statements += update_rows("video_files", "s3Key", {key: refreshed[key] for key in sorted(refreshed)})
        if changed:
            statements.append(bind(SET_POSITIONS, [_position_row(row, at) for row in changed]))
        return statements

    def _stored_metadata(self, update: StatusUpdate, files: int) -> Raw:
        """The metadata as SQL. Each file's row has them, but they are sent once: as a variable of the session."""
        text = self._columns.fit_metadata(None if update.metadata is None else orjson.dumps(update.metadata).decode())
        if text is None or files <= 1:
            return Raw(literal(text))
        name = b"@metadata_%d" % len(self._metadata)
        self._metadata.append(b"SET %b = %b" % (name, literal(text)))
        return Raw(name)

    def _put_file(self, row: JobRow, file: VideoFile, metadata: Raw, at: int) -> None:
        key = file.s3_key
        created_at = at if file.created_at is None else file.created_at
        known = row.gallery.get(key)
        file_id = known["id"] if known else cuid()
        columns: dict[str, Any] = {
            "filename": file.filename,
            "fileUrl": file.url,
            "filePath": file.path,
            "fileSize": file.size,
            "format": file.format,
            "durationSeconds": file.duration_seconds,
            "aspectRatio": file.aspect_ratio,
            "width": file.width,
            "height": file.height,
            "metadata": metadata,
            "createdAt": sql(created_at),
        }
        columns = self._columns.fit_file(key, columns)
        shown = [file_id, *(columns.get(name, "") for name in _SHOWN)]
        row.gallery[key] = gallery_file(shown, created_at, key, row.bucket, row.provider)
        if known is None or key in row.inserted:
            row.inserted[key] = {"id": file_id, "generationId": row.id, "s3Key": key} | columns
        else:
            row.refreshed[key] = columns


def _complete_file(row: JobRow, file: VideoFile) -> None:
    """Gives a file an address and a size, and leaves the rest as it is."""
    key = file.s3_key
    row.gallery[key] = row.gallery[key] | {"file_url": file.url, "file_size": file.size}
    columns = row.inserted.get(key) or row.refreshed.setdefault(key, {})
    columns |= {"fileUrl": file.url, "fileSize": file.size}


def _position_row(row: JobRow, at: Raw) -> list[Any]:
    position = row.job.position
    assert position is not None  # noqa: S101 - a job that changed has one
    # Of a row that this transaction makes, what its column made of the time: it may be of another precision.
    created_at = row.created_at or None if row.prompt is None else Raw(bind(_CREATED_AT, row.id))
    return [
        row.id, row.job.status, position.rank, position.at, position.stage, position.tie,
        file_keys_json(row.job.file_keys), at, created_at, row.since or None,
        row.job.partial and row.job.partial.as_json(),
    ]  # fmt: skip
