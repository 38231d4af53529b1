"""The JSON that goes out: events of the log, and files in the gallery's form."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from app.domain.estimate import Estimate
from app.domain.failure import Failure, recognise, redacted
from app.domain.fields import SECONDS_MAX
from app.domain.forms import StoredFile
from app.domain.job import FINISHED
from app.domain.partial import Partial
from app.times import rfc3339


class EventId(NamedTuple):
    """What a client goes on after: an event's number in the log, and the digits that tell this event from another one
    of that number. Its text is what clients are given; without digits, where they are not known, the number alone."""

    number: int
    digits: str = ""

    def __str__(self) -> str:
        return f"{self.number}-{self.digits}" if self.digits else str(self.number)


BEFORE_ALL = EventId(0, "0")


class Found(NamedTuple):
    """What the log says about a number: the digits of its event, None if that is not there any more, or not yet; and
    that it has every event with floor < id <= head."""

    digits: str | None
    floor: int
    head: EventId


@dataclass(slots=True)
class LogEvent:
    """One committed change: a row of the log. `data` is the JSON that both transports send.

    `id` is 0 until the commit gives it its place. `digits` tell it from another one that was given the same, in a
    history of the log that was taken back. `data` is empty of a row that cannot be shown: those whom it concerns are to
    read the present state instead.
    """

    id: int
    job_id: str
    author_id: str
    organization_id: str | None
    event: str
    data: bytes
    digits: str = ""

    @property
    def is_readable(self) -> bool:
        return bool(self.data)

    @property
    def event_id(self) -> EventId:
        return EventId(self.id, self.digits)

    @property
    def id_text(self) -> str:
        """That of its EventId, which takes as long to make as all else that is sent of an event."""
        return f"{self.id}-{self.digits}" if self.digits else str(self.id)

    @property
    def owner(self) -> tuple[str, str | None]:
        return self.author_id, self.organization_id


class Part(NamedTuple):
    """Events of the log, in order. `more`: there are, or may be, others after these. The log had every event after
    `floor` when these were read."""

    events: list[LogEvent]
    more: bool
    floor: int


EVENT_MAX = 256 * 1024
"""Bytes, of an event's data."""

FILES_MAX = 100
"""Files in an event, or of a job in a list."""

_ERROR_MAX = 64 * 1024  # bytes, as JSON
_MESSAGE_MAX = 16 * 1024
# Of a file in another program's row: what webhooks may bring, too.
_BYTES_MAX = 2**63 - 1
_PIXELS_MAX = 2**31 - 1
_FRAME = 512  # bytes, of all else around the files, and some more


def event_name(state: str) -> str:
    return state.lower() if state in FINISHED else "progress"


def event_data(
    *,
    job_id: str,
    status: str,
    state: str,
    progress: int,
    message: str | None,
    occurred_at: int,
    error: str | None,
    estimate: Estimate,
    videos: Sequence[StoredFile] | None = None,
    num_videos: int = 0,
    partial: Partial | None = None,
) -> bytes:
    """The `data` of one event, of `EVENT_MAX` at most. `occurred_at` is in microseconds since 1970. `videos`, where the
    job is completed, are its files, or the first of `num_videos`: as many as fit are told."""
    shown: dict[str, Any] = {
        "job_id": job_id,
        "status": status,
        "state": state,
        "progress": progress,
        "message": _clipped(redacted(message), _MESSAGE_MAX),
        "occurred_at": rfc3339(occurred_at),
        "error": _clipped(redacted(error), _ERROR_MAX),
        "eta_seconds": estimate.seconds,
        "eta_p90_seconds": estimate.p90,
    }
    there = max(num_videos, len(videos or ()))
    failure = failure_of(state, error, partial, there)
    shown["failure"] = failure and failure._asdict()
    if failure is not None and partial is not None:
        shown |= {"requested": partial.requested, "generated": there}
    if videos is None:
        shown["videos"] = []
        return _tight(orjson.dumps(shown))
    if len(videos) <= FILES_MAX:
        made = orjson.dumps(shown | {"videos": videos, "num_videos": max(num_videos, len(videos))})
        if len(made) <= EVENT_MAX:
            return _tight(made)
    files = [orjson.Fragment(file) for file in fitting(videos, EVENT_MAX - _FRAME - len(orjson.dumps(shown)))]
    return _tight(orjson.dumps(shown | {"videos": files, "num_videos": max(num_videos, len(videos))}))


def failure_of(state: str, error: str | None, partial: Partial | None, num_videos: int) -> Failure | None:
    """Why a job has failed, or has brought fewer videos than were asked for; None for all others."""
    if state == "FAILED":
        return recognise(error)
    return partial.failure if state == "COMPLETED" and partial and num_videos < partial.requested else None


def _tight(made: bytes) -> bytes:
    """A copy in as much memory as it needs: what orjson makes keeps 4 KiB or more, and the ring keeps thousands."""
    return bytes(memoryview(made))


def fitting(files: Sequence[StoredFile], room: int) -> list[bytes]:
    """The first of the files as JSON: `FILES_MAX` at most, and as many as have `room` bytes together."""
    found = []
    for file in files[:FILES_MAX]:
        encoded = orjson.dumps(file)
        room -= len(encoded) + 1
        if room < 0:
            break
        found.append(encoded)
    return found


def _clipped(text: str | None, most: int) -> str | None:
    """The beginning of the text that has `most` bytes as JSON."""
    while text is not None and 6 * len(text) > most and (size := len(orjson.dumps(text)) - 2) > most:
        text = text[: len(text) * most // size]
    return text


_WHOLE_MAX = 2**63 - 1
_DIGITS_MAX = 19  # as many as it has
"""What JSON, and a BIGINT, take."""


def whole(value: object) -> int:
    """A number as a column of another program's making gives it (DECIMAL, text, NULL), from 0 to `_WHOLE_MAX`; 0 where
    it is none."""
    if isinstance(value, str) and len(value) < _DIGITS_MAX and value.isdecimal():
        return int(value)  # nearly always
    try:
        if isinstance(value, int) or (isinstance(value, str) and value.isdecimal()):
            number = int(value)
        else:
            number = int(float(str(value)))
    except (ValueError, OverflowError):
        return 0
    return min(max(number, 0), _WHOLE_MAX)


def words(value: object) -> str:
    """Text, likewise."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return "" if value is None else str(value)


def stored_file(
    fields: Sequence[Any], created_at: int | None, key: object, bucket: object, provider: object
) -> StoredFile:
    """As `gallery_file`, of a row that another program may have written, as the database gave it. Numbers beyond what a
    webhook may bring are the nearest that it may."""
    file_id, filename, url, path, size, file_format, seconds, aspect_ratio, width, height = fields
    return gallery_file(
        (
            words(file_id),
            words(filename),
            url,
            path,
            _bounded(size, _BYTES_MAX),
            words(file_format),
            _bounded(seconds, SECONDS_MAX),
            words(aspect_ratio),
            _bounded(width, _PIXELS_MAX),
            _bounded(height, _PIXELS_MAX),
        ),
        created_at or 0,
        words(key),
        words(bucket),
        words(provider),
    )


def _bounded(value: object, most: int) -> int:
    number = whole(value)
    return min(number, most)


def gallery_file(fields: Sequence[Any], created_at: int, key: str, bucket: str = "", provider: str = "") -> StoredFile:
    """A file in the gallery's form. `fields` are id, filename, url, path, size in bytes, format, whole seconds,
    aspect ratio, width, height; `created_at` is in microseconds since 1970. The rest is where it lies."""
    file_id, filename, url, path, size, file_format, seconds, aspect_ratio, width, height = fields
    made: StoredFile = {
        "id": file_id,
        "filename": filename,
        "file_url": url,
        "file_path": path,
        "file_size": size,
        "format": file_format,
        "duration_seconds": seconds,
        "aspect_ratio": aspect_ratio,
        "dimensions": {"width": width, "height": height},
        "created_at": rfc3339(created_at),
        "s3_key": key,
    }
    if bucket:
        made["s3_bucket"] = bucket
    if provider not in ("", "AWS_S3"):
        made["s3_provider"] = provider
    return made
