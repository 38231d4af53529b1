"""What a status update does to a job: which one wins, and what it stores. Pure.

Updates of one job have a total order, so any arrival order, with any repetition, ends in the same row:

- what a user did (cancelled, deleted) beats everything; it was accepted in the state that the job was in then;
- a completion that brings files beats everything else;
- otherwise the later time wins, at equal times the later stage;
- at equal time and stage the content decides: what says more, then the smaller text. Senders do not do this on
  purpose; without a rule for it the first to arrive would win, and the row would depend on the network.

Files have an order of their own: each keeps the fields of the latest completion that named it, and of several of one
time, an address or a size from any that has it.
"""

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, get_args

import orjson

from app.domain.partial import Partial
from app.texts import MESSAGES
from app.times import moment

State = Literal["PENDING", "PROCESSING", "GENERATING", "DOWNLOADING", "COMPLETED", "FAILED"]

FINISHED = ("COMPLETED", "FAILED")
_STATES: dict[str, State] = {state: state for state in get_args(State)}

DEFAULT_MODEL = "veo-2.0-generate-001"
DEFAULT_MODEL_VERSION = "2.0"
MAX_AHEAD_US = 5 * 60 * 1_000_000
# Characters; what a TEXT column holds whatever they are.
ERROR_MAX = 16_000

_STAGES = {"pending": 0, "processing": 1, "generating": 2, "downloading": 3}
_FILES_AWAITED, FAILED, _COMPLETED = 4, 5, 6

WITHOUT_FILES, WITH_FILES, CANCELLED, DELETED = range(4)

_RUNNING = {
    "pending": ("PENDING", 0),
    "processing": ("PROCESSING", 25),
    "generating": ("PROCESSING", 50),
    "downloading": ("PROCESSING", 75),
}


@dataclass(slots=True)
class VideoFile:
    """One file of a completion. `duration_seconds` is whole; `created_at` is in microseconds. Nobody changes one, as
    with `StatusUpdate`."""

    s3_key: str
    filename: str
    url: str | None
    path: str | None
    size: int
    format: str
    duration_seconds: int
    aspect_ratio: str
    width: int
    height: int
    created_at: int | None


@dataclass(slots=True)
class StatusUpdate:
    """One webhook in its internal form, whatever version it came in. Nobody changes one once it is made;
    it is not frozen because that would double what it costs to make.

    Times are microseconds since 1970. `files` is empty unless this is a completion that brings files;
    `has_data` tells a completion without data from one whose data holds no file.
    """

    job_id: str
    status: str
    version: str
    timestamp: int | None = None
    has_data: bool = False
    files: tuple[VideoFile, ...] = ()
    error: str | None = None
    prompt_used: str | None = None
    generated_at: int | None = None
    model: str | None = None
    model_version: str | None = None
    processing_time: float | None = None
    generation_time: float | None = None
    download_time: float | None = None
    metadata: dict[str, Any] | None = None
    user_id: str | None = None
    partial: Partial | None = None
    _brought: str = field(default="", init=False, repr=False, compare=False)

    @property
    def brought(self) -> str:
        """Digest of the files and of what is stored with them."""
        if not self._brought:
            if not self.files and self.metadata is None:
                return _NOTHING
            self._brought = _digest(orjson.dumps((self.files, self.metadata), option=orjson.OPT_SORT_KEYS))
        return self._brought


class Position(NamedTuple):
    """Where an update stands in its job's order. `rank` is `WITHOUT_FILES`, or one that beats it whatever the time;
    `at` is in microseconds since 1970."""

    rank: int
    at: int
    stage: int
    tie: str

    def beats(self, other: "Position | None") -> bool:
        if other is None:
            return True
        mine, theirs = self[:3], other[:3]
        return mine > theirs or (mine == theirs and self.tie < other.tie)


FileKey = tuple[int, str, str, str]
"""`at` of the latest completions that named a file; `tie` of the one of them that gave it its fields, its address, its
size. An address or size that none of them has is `NOBODY`'s."""

NOBODY = "~"  # after every tie

OLDEST: FileKey = (-1, "", "", "")
"""Of a file that another program made, beside a job that it has not finished."""


@dataclass(slots=True)
class Job:
    """A job as the rules see it: where it stands, whether it has any file, and which, by their keys.

    `files` is known where the update brings files, `has_any` where it is a completion that brings none.
    """

    state: State
    status: str
    progress: int
    message: str | None = None
    error: str | None = None
    position: Position | None = None
    partial: Partial | None = None
    has_any: bool = False
    files: dict[str, VideoFile] = field(default_factory=dict)
    file_keys: dict[str, FileKey] = field(default_factory=dict)


@dataclass(slots=True)
class Change:
    """What an update that is not stale does. Nobody changes one, likewise.

    `at` is the update's place in time, in microseconds, and when what it tells occurred. `columns` are those of
    `video_generations` to set, none when only files change; `new_files` are those to insert,
    `refreshed_files` those to overwrite, and `completed_files` those that only get an address or a size.
    """

    at: int
    columns: dict[str, Any]
    new_files: tuple[VideoFile, ...] = ()
    refreshed_files: tuple[VideoFile, ...] = ()
    completed_files: tuple[VideoFile, ...] = ()


def file_key(at: int, tie: str, file: VideoFile) -> FileKey:
    """Of a file as one completion names it."""
    return at, tie, NOBODY if file.url is None else tie, tie if file.size else NOBODY


def ordering_time(update: StatusUpdate, received_at: int) -> int:
    """The update's own time or, where it has none or one too far ahead of the clock, its first receipt."""
    stamp = update.timestamp
    return received_at if stamp is None or stamp > received_at + MAX_AHEAD_US else stamp


def brings_no_file(update: StatusUpdate) -> bool:
    """Whether it is a completion whose data holds no file: a failure, unless the job has one."""
    return update.status == "completed" and update.has_data and not update.files


def apply(job: Job, update: StatusUpdate, received_at: int, language: str) -> Change | None:
    """Moves `job` by `update` and returns what to store, or None when the update is stale.

    `received_at` is the update's first receipt, in microseconds. `job` is changed in place, so that
    several updates of one job can follow each other within a transaction.
    """
    if job.position is not None and job.position.rank >= CANCELLED:
        return None
    at = ordering_time(update, received_at)
    if update.files:
        return _complete(job, update, at, language)
    if brings_no_file(update) and job.has_any:
        return None
    status, stage, columns = _without_files(update, at, language)
    error = columns["error"]
    tie = _tie(error.encode("utf-8", "replace")) if error else ""
    position = Position(WITHOUT_FILES, at, stage, tie)
    if not position.beats(job.position):
        return None
    job.position = position
    _set(job, status, columns)
    return Change(at, columns)


def _complete(job: Job, update: StatusUpdate, at: int, language: str) -> Change | None:
    columns = {
        "status": "COMPLETED",
        "progress": 100,
        "message": MESSAGES[language]["completed"],
        "error": None,
        "completedAt": moment(at if update.generated_at is None else update.generated_at),
        "processingTime": update.processing_time,
        "generationTime": update.generation_time,
        "downloadTime": update.download_time,
        "model": update.model or DEFAULT_MODEL,
        "modelVersion": update.model_version or DEFAULT_MODEL_VERSION,
    }
    content: list[Any] = [list(columns.values()), update.brought]
    if update.partial is not None:
        content.append(list(update.partial))
    # What says more comes first.
    missing = (*columns.values(), update.model, update.model_version, update.generated_at).count(None)
    tie = f"{missing:02d}{_digest(orjson.dumps(content))}"
    position = Position(WITH_FILES, at=at, stage=_COMPLETED, tie=tie)
    wins = position.beats(job.position)
    files = _take_files(job, update.files, at, tie)
    if not (wins or any(files)):
        return None
    if wins:
        job.position = position
        job.partial = update.partial
        _set(job, "completed", columns)
    return Change(at, columns if wins else {}, *files)


def _take_files(job: Job, files: tuple[VideoFile, ...], at: int, tie: str) -> tuple[tuple[VideoFile, ...], ...]:
    """(new, refreshed, completed) files of a completion, which `job` has from now on."""
    new: list[VideoFile] = []
    refreshed: list[VideoFile] = []
    completed: list[VideoFile] = []
    for file in files:
        key = file.s3_key
        mine = file_key(at, tie, file)
        known = job.files.get(key)
        if known is None:
            new.append(file)
            job.files[key], job.file_keys[key] = file, mine
            continue
        merged, by = _merge(known, job.file_keys.get(key, OLDEST), file, mine)
        if by == job.file_keys.get(key, OLDEST):
            continue
        (refreshed if by[1] == tie else completed).append(merged)
        job.files[key], job.file_keys[key] = merged, by
    job.has_any = job.has_any or bool(files)
    return tuple(new), tuple(refreshed), tuple(completed)


def _merge(known: VideoFile, theirs: FileKey, file: VideoFile, mine: FileKey) -> tuple[VideoFile, FileKey]:
    if mine[0] != theirs[0]:
        return (file, mine) if mine[0] > theirs[0] else (known, theirs)
    at, tie, url, size = mine[0], min(theirs[1], mine[1]), min(theirs[2], mine[2]), min(theirs[3], mine[3])
    return (
        replace(
            file if tie != theirs[1] else known,
            url=file.url if url != theirs[2] else known.url,
            size=file.size if size != theirs[3] else known.size,
        ),
        (at, tie, url, size),
    )


def _without_files(update: StatusUpdate, at: int, language: str) -> tuple[str, int, dict[str, Any]]:
    """(status word, stage, columns) of an update that brings no file."""
    texts = MESSAGES[language]
    columns: dict[str, Any] = {"error": None, "completedAt": None}
    if update.status in _RUNNING:
        state, progress = _RUNNING[update.status]
        columns["status"], columns["progress"], columns["message"] = state, progress, texts[update.status]
        return update.status, _STAGES[update.status], columns
    if update.status == "completed" and not update.has_data:
        columns |= {"status": "PROCESSING", "progress": 95, "message": texts["files_awaited"]}
        return "completed", _FILES_AWAITED, columns
    columns |= {
        "status": "FAILED",
        "progress": 0,
        "message": texts["failed"],
        "error": _failure(update, texts)[:ERROR_MAX],
        "completedAt": moment(at),
    }
    return "failed", FAILED, columns


def _failure(update: StatusUpdate, texts: dict[str, str]) -> str:
    if update.status == "completed":
        nothing = texts["nothing_produced"]
        return f"{nothing}: {update.error}" if update.error else nothing
    if update.error:
        return update.error
    if update.prompt_used:
        return texts["failed_for"].format(prompt=update.prompt_used)
    return texts["failed_unknown"]


def _set(job: Job, status: str, columns: dict[str, Any]) -> None:
    job.status = status
    job.state = columns["status"]
    job.progress = columns["progress"]
    job.message = columns["message"]
    job.error = columns["error"]


def _tie(content: bytes) -> str:
    """Orders contents as their texts do (by a prefix), and tells any two apart (by a digest)."""
    return content[:24].hex() + _digest(content) if content else ""


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


_NOTHING = _digest(orjson.dumps(((), None)))


def finished_at(state: str, *, completed_at: int | None, updated_at: int | None) -> int:
    """When such a row was finished, by what it says; 0 where it was not, or does not say."""
    return (completed_at or updated_at or 0) if state in FINISHED else 0


def known_file_key(position: Position | None, *, has_url: bool, has_size: bool) -> FileKey:
    """Of a file of such a row, which stands there: what comes later must find the file no older than it was."""
    if position is None:
        return OLDEST
    return position.at, "", "" if has_url else NOBODY, "" if has_size else NOBODY


def known_position(state: str, finished_at: int, *, has_files: bool) -> Position | None:
    """The position of a row that no webhook of ours has moved yet: one another program inserted.

    An unfinished row has none: any update moves it. A finished one stands where it was finished,
    so that a late update does not move it back.
    """
    if state == "COMPLETED":
        return Position(WITH_FILES if has_files else WITHOUT_FILES, finished_at, FAILED, "")
    if state == "FAILED":
        return Position(WITHOUT_FILES, finished_at, FAILED, "")
    return None


def state_of(stored: object, *, ended: bool) -> State:
    """The state of a row, in our words. Another program's enum may have more: whether the row says that it has ended
    tells which of ours is nearest."""
    state = _STATES.get(str(stored).upper())
    if state is not None:
        return state
    return "FAILED" if ended else "PENDING"


def status_word(state: str, progress: int) -> str:
    """The sender's word for a row that has no position of ours."""
    if state == "PROCESSING":
        return "downloading" if progress >= 75 else "generating" if progress >= 50 else "processing"  # noqa: PLR2004
    return state.lower()
