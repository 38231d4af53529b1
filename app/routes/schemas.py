"""The forms of what the API answers: handlers make their answers as these, and openapi.json tells them.

mypy holds what is made to them, and the tests hold every answer to them.
"""

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict  # typing's own is too bare for pydantic before Python 3.12

from app.domain.failure import Kind, Side
from app.domain.forms import (
    Audited,
    AuditFilter,
    EndedFilter,
    EndedGeneration,
    File,
    Filter,
    Outcome,
    Replay,
    ReplayResult,
    Time,
    Webhook,
)  # fmt: skip
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
    """With what was ordered: `input_image` tells whether its image is kept. With its timeline, the oldest event first
    and 200 at most; where a stream that begins here goes on, whether the caller is its author, or may act on it
    otherwise, and his channel: tabs of equal channel may share a stream."""

    number_of_videos: int
    duration_seconds: int
    person_generation: str
    input_image: bool
    events: list[Step]
    last_event_id: str
    channel: str
    own: bool
    may_act: bool


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


class Dependencies(TypedDict):
    """Each is "ok", or a sentence says what is wrong."""

    database: str
    jwks: NotRequired[str]
    redis: NotRequired[str]


class Readiness(Dependencies):
    status: Literal["ready", "degraded"]
    set_aside: NotRequired[int]


class Ticket(TypedDict):
    ticket: str
    expires_at: Time


class Webhooks(TypedDict):
    """Where errors are looked through, a page may be short or empty and still have a `next_cursor`."""

    webhooks: list[Webhook]
    next_cursor: str | None
    filter: Filter


class WebhookCount(TypedDict):
    """`more`: errors were looked through for as long as one request may, and there are others."""

    count: int
    more: NotRequired[Literal[True]]
    filter: Filter


class AuditPage(TypedDict):
    audit: list[Audited]
    next_cursor: str | None
    filter: AuditFilter


class EndedGenerations(TypedDict):
    """`count`, on the first page, is of all pages."""

    generations: list[EndedGeneration]
    next_cursor: str | None
    filter: EndedFilter
    count: NotRequired[int]


class Replays(TypedDict):
    replays: list[Replay]
    next_cursor: str | None


class ReplayResults(TypedDict):
    results: list[ReplayResult]
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
    is the share of those that finished, null where none ended. `job_seconds` is of those that finished. `shown_ms` is
    from the sockets to a screen, of events that were traced; left out where none was."""

    webhooks: dict[Outcome, int]
    finished: int
    failed: int
    failed_by_kind: dict[str, int]
    success_rate: float | None
    job_seconds: Times
    webhook_ms: Times
    shown_ms: NotRequired[Times]


class Bucket(Figures):
    start: Time


class Taken(TypedDict):
    """`taken` is how many of the events were."""

    success: Literal[True]
    taken: int


class Trace(TypedDict):
    """When the event was committed, when the first and the last process had written it to its sockets, and how many
    these were; when the first browser had painted it, and how many have told so. Few are asked."""

    event_id: str
    committed_at: Time | None
    handed_at: Time
    handed_last_at: Time
    sockets: int
    shown_at: Time | None
    shown: int


class StalledJob(TypedDict):
    """`status` is the sender's last word and `moved_at` when it came. The backend was asked `tries` times since then,
    the last `unanswered` of them in vain; it is asked again at `due_at`, or soon where that is over."""

    job_id: str
    status: str
    moved_at: Time
    tries: int
    unanswered: int
    due_at: Time


class StalledJobs(TypedDict):
    """`more`: there are others."""

    jobs: list[StalledJob]
    more: bool


class AskedNow(TypedDict):
    """What the backend said: its word for the `status`, that the job is `unknown` to it, or something `unreadable`, of
    which `error` tells. `outcome` is that of the webhook made of it, null where it is nothing new."""

    job_id: str
    said: Literal["status", "unknown", "unreadable"]
    status: str | None
    outcome: str | None
    error: str | None


class Totals(Figures):
    """`handed_ms` is from an event's commit to the last socket, of those that were traced; left out where none was."""

    handed_ms: NotRequired[Times]


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
        "totals": Totals,
        "now": Now,
        "kept_from": Time | None,
        "may_act": bool,
    },
)
"""`buckets` are all that there are from `from` to `to`, in order; each begins with an hour or day of the time zone.
What was counted before `kept_from` is purged: of it there are figures alone. `may_act` tells whether who asks may do
more than look."""


class PushKey(TypedDict):
    public_key: str | None


class Subscribed(TypedDict):
    """`id` is what it is removed by."""

    success: Literal[True]
    id: str


class Unsubscribed(TypedDict):
    """`removed` is how many there were."""

    success: Literal[True]
    removed: int
