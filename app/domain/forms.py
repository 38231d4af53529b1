"""The forms in which files and received webhooks are shown, wherever that is: by the API, in events, by commands.

`routes/schemas.py` has those of the API alone.
"""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import GetPydanticSchema, WithJsonSchema
from typing_extensions import TypedDict  # typing's own is too bare for pydantic before Python 3.12

from app.domain import versions
from app.domain.audit import Act, Means
from app.domain.failure import Kind
from app.domain.job import State

Outcome = Literal["applied", "duplicate", "stale", "parked", "dead", "discarded"]

Time = Annotated[str, WithJsonSchema({"format": "date-time", "type": "string"})]
"""As `times.rfc3339` writes it."""


class _Size(TypedDict):
    width: int
    height: int


Dimensions = Annotated[_Size, GetPydanticSchema(lambda _, schema_of: schema_of(versions.Dimensions))]
"""In pixels; openapi.json describes them as those that senders send."""


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
    created_at: Time


class StoredFile(File):
    """With where it lies, told to nobody: the key, and the bucket and provider where they are no usual ones."""

    s3_key: str
    s3_bucket: NotRequired[str]
    s3_provider: NotRequired[str]


class Webhook(TypedDict):
    id: str
    received_at: Time
    origin: str
    job_id: str | None
    status: str | None
    version: str | None
    outcome: Outcome
    attempts: int
    duration_ms: float
    error_code: str | None
    error: str | None


Filter = TypedDict(
    "Filter",
    {
        "outcome": Outcome | None,
        "job_id": str | None,
        "status": str | None,
        "version": str | None,
        "origin": str | None,
        "q": str | None,
        "from": Time,
        "to": Time | None,
    },
)
"""Which webhooks are meant: `from` <= t < `to`, in UTC. `to` is null where whatever is still to come is meant too."""


ReplayOutcome = Literal["applied", "stale", "duplicate", "parked", "dead", "discarded", "queued", "busy", "gone"]
"""What became of a webhook of a replay, or would: `queued` is one whose payload lies on a server's disk, which will try
it; `busy` one whose job another program held; `gone` one that was deleted meanwhile."""


class Replay(TypedDict):
    """A replay of many. `total` counts its webhooks as far as they are `chosen`; of `previewed` ones `preview` tells
    what each would become, by outcome; `done` are those of which it is known what they have become. `replayed_outcomes`
    are the outcomes that its webhooks had."""

    id: str
    name: str
    state: Literal["running", "done", "aborted"]
    dry_run: bool
    who: str
    created_at: Time
    ended_at: Time | None
    chosen: bool
    total: int
    previewed: int
    preview: dict[str, int]
    done: int
    outcomes: dict[str, int]
    replayed_outcomes: list[Outcome]
    filter: Filter


class ReplayResult(TypedDict):
    """`before` is its outcome when it was chosen; `outcome` and `changed` are null until it is tried."""

    webhook_id: str
    before: Outcome
    preview: ReplayOutcome | None
    outcome: ReplayOutcome | None
    changed: bool | None
    code: str | None


class Audited(TypedDict):
    """What somebody did: `who` is an admin, by his `sub`, or whoever typed a `command`, as the machine calls him.
    `before` and `after` tell what it changed; `after` is null while it is under way, or where it was cut short."""

    id: str
    at: Time
    who: str
    by: Means
    act: Act
    webhook_id: str | None
    job_id: str | None
    replay_id: str | None
    before: Any
    after: Any


AuditFilter = TypedDict(
    "AuditFilter",
    {
        "who": str | None,
        "act": Act | None,
        "webhook_id": str | None,
        "job_id": str | None,
        "from": Time,
        "to": Time | None,
    },
)


Ending = Literal["completed", "failed"] | Kind
"""How a generation ended: "failed" is of any kind."""


class EndedGeneration(TypedDict):
    """`ended` is "completed" or the kind of the failure; `seconds` is null where it is not known how long it took."""

    job_id: str
    ended: Literal["completed"] | Kind
    ended_at: Time
    seconds: float | None


EndedFilter = TypedDict("EndedFilter", {"ended": Ending | None, "timed": bool, "from": Time, "to": Time})
"""Which are meant: those whose end was committed at `from` <= t < `to`, whole quarters of an hour in UTC."""


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
    """`payload_encoding` tells what `payload` is: a JSON value, or a string of text or base64. It is "hidden" where the
    reader may not see it; `payload` is null then, and `headers` are empty."""

    headers: dict[str, str]
    payload: Any
    payload_encoding: Literal["json", "text", "base64", "hidden"]
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
