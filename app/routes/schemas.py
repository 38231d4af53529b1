"""The forms of what the API answers, for openapi.json. The tests hold every answer to them."""

from datetime import datetime
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict  # typing's own is too bare for pydantic before Python 3.12

from app.domain.payload import Dimensions

State = Literal["PENDING", "PROCESSING", "GENERATING", "DOWNLOADING", "COMPLETED", "FAILED"]
Outcome = Literal["applied", "duplicate", "stale", "parked", "dead", "discarded"]


class Problem(TypedDict):
    field: str
    message: str


class Error(TypedDict):
    """Every answer of 400 and above: a sentence for people, a stable word for programs."""

    error: str
    code: str
    details: NotRequired[list[Problem]]
    job_id: NotRequired[str | None]
    webhook_id: NotRequired[str]


class File(TypedDict):
    id: str
    filename: str
    file_url: str | None
    file_path: str | None
    file_size: int
    format: str
    duration_seconds: int
    aspect_ratio: str
    dimensions: Dimensions
    created_at: datetime


class Generation(TypedDict):
    """`videos` are the first by their keys, 100 at most and fewer where they are long; `num_videos` counts all."""

    id: str
    prompt: str
    status: str
    created_at: datetime
    completed_at: datetime | None
    model: str
    model_version: str
    processing_time: float | None
    generation_time: float | None
    download_time: float | None
    aspect_ratio: str
    videos: list[File]
    num_videos: int


class Job(Generation):
    """A job in any state. `status` is the sender's last word in lower case, `eta_seconds` an estimate."""

    state: State
    progress: int
    message: str | None
    error: str | None
    eta_seconds: int | None


class RegisteredJob(Job):
    job_id: str


class JobAsSeen(Job):
    """With where a stream that begins here goes on, whether the caller is its author, and the caller's channel:
    tabs of equal channel may share a stream."""

    last_event_id: str
    channel: str
    own: bool


class Gallery(TypedDict):
    """`active_more`: there are older unfinished jobs beside those of `active`."""

    generations: list[Generation]
    next_cursor: str | None
    active: list[Job]
    active_more: NotRequired[Literal[True]]
    last_event_id: str
    channel: str


class Started(TypedDict):
    job_id: str
    status: str
    message: str | None
    created_at: datetime


class Received(TypedDict):
    """`status` is the one applied, "duplicate" or "stale"; a completion has `num_videos` instead. `job_id` is null for
    a duplicate, by its webhook-id, whose body names none."""

    success: Literal[True]
    message: str
    job_id: str | None
    webhook_id: str
    status: NotRequired[str]
    progress: NotRequired[int]
    num_videos: NotRequired[int]
    processing_time_ms: NotRequired[float]


class Queued(TypedDict):
    """Safe on local disk; applied when the database is back, or the job is free."""

    success: Literal[True]
    message: str
    job_id: str
    status: Literal["queued"]


class Health(TypedDict):
    status: Literal["healthy", "degraded"]
    webhook: Literal["video-completion"]
    timestamp: datetime


class Alive(TypedDict):
    status: Literal["alive"]


class Readiness(TypedDict):
    """Each dependency is "ok", or a sentence says what is wrong."""

    status: Literal["ready", "degraded"]
    database: str
    jwks: NotRequired[str]
    redis: NotRequired[str]
    set_aside: NotRequired[int]


class Ticket(TypedDict):
    ticket: str
    expires_at: datetime


class Webhook(TypedDict):
    id: str
    received_at: datetime
    origin: str
    job_id: str | None
    status: str | None
    version: str | None
    outcome: Outcome
    attempts: int
    duration_ms: float
    error_code: str | None
    error: str | None


class Webhooks(TypedDict):
    webhooks: list[Webhook]
    next_cursor: str | None


class Preview(TypedDict):
    """What a replay would change. `columns` is {name: {"old", "new"}}, of the job's row."""

    outcome: Outcome | None
    code: str | None
    error: str | None
    makes_job: NotRequired[bool]
    columns: NotRequired[dict[str, Any]]
    files_added: NotRequired[list[dict[str, Any]]]
    files_refreshed: NotRequired[list[dict[str, Any]]]
    note: NotRequired[str]


class WholeWebhook(Webhook):
    """`payload_encoding` tells what `payload` is: a JSON value, or a string of text or base64."""

    headers: dict[str, str]
    payload: Any
    payload_encoding: Literal["json", "text", "base64"]
    replay: NotRequired[Preview]


class JobState(TypedDict):
    """Where a job stands after a replay."""

    status: str | None
    state: State | None
    progress: int
    num_videos: int


class Replayed(TypedDict):
    """`changed` tells whether its outcome is another than before."""

    webhook_id: str
    changed: bool
    outcome: Outcome | Literal["queued"]
    code: str | None
    error: str | None
    job_id: str | None
    status: str | None
    job: NotRequired[JobState]
    message: NotRequired[str]


class ReplayedMany(TypedDict):
    """How many of each outcome. `more`: send `next_cursor` as `cursor` for the rest."""

    replayed: int
    outcomes: dict[str, int]
    more: bool
    next_cursor: str | None


class Discarded(TypedDict):
    webhook_id: str
    changed: bool
    outcome: Outcome
    message: NotRequired[str]
