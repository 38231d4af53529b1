"""The forms of what the API answers: handlers make their answers as these, and openapi.json tells them.

mypy holds what is made to them, and the tests hold every answer to them.
"""

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict  # typing's own is too bare for pydantic before Python 3.12

from app.domain.failure import Kind, Side
from app.domain.forms import File, Outcome, Time, Webhook
from app.domain.job import State


class Failure(TypedDict):
    """Why a job has failed, or brought fewer videos than were asked for. `retryable`: the same order may pass;
    `operator`: only the operator can do anything; `advice` is in the reader's language."""

    kind: Kind
    side: Side | None
    category: str | None
    retryable: bool
    advice: str
    operator: bool


class Generation(TypedDict):
    """`videos` are the first by their keys, 100 at most and fewer where they are long; `num_videos` counts all.
    Where fewer videos came than were asked for there are `requested`, `generated` and `failure`."""

    id: str
    prompt: str
    status: str
    created_at: Time
    completed_at: Time | None
    model: str
    model_version: str
    processing_time: float | None
    generation_time: float | None
    download_time: float | None
    aspect_ratio: str
    videos: list[File]
    num_videos: int
    failure: NotRequired[Failure | None]
    requested: NotRequired[int]
    generated: NotRequired[int]


class Job(Generation):
    """A job in any state. `status` is the sender's last word in lower case, `eta_seconds` an estimate. Nine of ten take
    no longer than `eta_p90_seconds`."""

    state: State
    progress: int
    message: str | None
    error: str | None
    eta_seconds: int | None
    eta_p90_seconds: int | None


class RegisteredJob(Job):
    job_id: str


class Step(TypedDict):
    """One event of a job, in short."""

    id: str
    event: str
    status: str
    state: str
    progress: int
    message: str | None
    occurred_at: Time


class JobAsSeen(Job):
    """With its timeline, the oldest event first and 200 at most; where a stream that begins here goes on, whether the
    caller is its author, and the caller's channel: tabs of equal channel may share a stream."""

    events: list[Step]
    last_event_id: str
    channel: str
    own: bool


class Gallery(TypedDict):
    """`active_more`, `failed_more`: there are older ones beside those of `active`, of `failed`. `total` is there with
    `page`, and `searched`, how many jobs were looked through, with `q`."""

    generations: list[Generation | Job]
    next_cursor: str | None
    active: list[Job]
    active_more: NotRequired[Literal[True]]
    failed: list[Job]
    failed_more: NotRequired[Literal[True]]
    total: NotRequired[int]
    searched: NotRequired[int]
    last_event_id: str
    channel: str


class Polled(TypedDict):
    """As the generation backend answers for a job."""

    job_id: str
    status: str
    message: str | None
    progress: int
    videos: list[File]
    generation_metadata: Any
    error: str | None
    created_at: Time
    updated_at: Time
    completed_at: Time | None


class Started(TypedDict):
    job_id: str
    status: str
    message: str | None
    created_at: Time


class Acted(TypedDict):
    """`changed` is false where the job was so before."""

    success: Literal[True]
    job_id: str
    changed: bool


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
    timestamp: Time


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
    expires_at: Time


class Webhooks(TypedDict):
    webhooks: list[Webhook]
    next_cursor: str | None


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


class Times(TypedDict):
    """Of `n` values; quantiles are within 2 % of theirs. Null where there is none."""

    mean: float | None
    p50: float | None
    p95: float | None
    n: int


class Figures(TypedDict):
    """`finished` and `failed` are generations by how they ended; one that was cancelled is in neither. `success_rate`
    is the share of those that finished, null where none ended. `job_seconds` is of those that finished."""

    webhooks: dict[Outcome, int]
    finished: int
    failed: int
    failed_by_kind: dict[str, int]
    success_rate: float | None
    job_seconds: Times
    webhook_ms: Times


class Bucket(Figures):
    start: Time


class Transports(TypedDict):
    sse: int
    websocket: int


class ServerProcess(TypedDict):
    """`lag` is how many events of the log it has not told its streams yet."""

    id: str
    version: str
    started_at: Time
    lag: int


class Now(TypedDict):
    """Of all processes. `spooled` and `connections` are up to 5 s old; what is counted over whole tables may be older
    where these are large."""

    jobs_by_state: dict[State, int]
    stalled: int
    oldest_unfinished_seconds: float | None
    dead: int
    parked: int
    spooled: int
    set_aside: int
    connections: Transports
    processes: list[ServerProcess]


Stats = TypedDict(
    "Stats",
    {
        "from": Time,
        "to": Time,
        "bucket": Literal["hour", "day"],
        "timezone": str,
        "buckets": list[Bucket],
        "totals": Figures,
        "now": Now,
    },
)
"""`buckets` are all that there are from `from` to `to`, in order; each begins with an hour or day of the time zone."""
