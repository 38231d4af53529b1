"""The forms in which files and received webhooks are shown, wherever that is: by the API, in events, by commands.

`routes/schemas.py` has those of the API alone.
"""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import GetPydanticSchema, WithJsonSchema
from typing_extensions import TypedDict  # typing's own is too bare for pydantic before Python 3.12

from app.domain import payload
from app.domain.job import State

Outcome = Literal["applied", "duplicate", "stale", "parked", "dead", "discarded"]

Time = Annotated[str, WithJsonSchema({"format": "date-time", "type": "string"})]
"""As `times.rfc3339` writes it."""


class _Size(TypedDict):
    width: int
    height: int


Dimensions = Annotated[_Size, GetPydanticSchema(lambda _, schema_of: schema_of(payload.Dimensions))]
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
