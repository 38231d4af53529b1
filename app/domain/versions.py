"""The versions of the payload: what each has of a video, and what tells it apart. Pure.

A new version is a new model of a video, a look at what tells it apart, and a line in `VERSIONS`.
"""

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AliasChoices, BaseModel, BeforeValidator, Field, PlainValidator, model_validator

from app.domain.fields import (
    USUAL_RATIO,
    Bytes,
    DescribedMoment,
    Flag,
    Link,
    Moment,
    Pixels,
    Ratio,
    Seconds,
    Span,
    Text,
    object_or_none,
    say_other_names,
    without_nulls,
)
from app.domain.named import COLUMN_MAX

VIDEOS_MAX = 100
"""Files of one webhook: they are written in one packet, and are all in one event, for each browser a frame."""


class Dimensions(BaseModel):
    width: Pixels
    height: Pixels


class Envelope(BaseModel):
    """What every version has around its data."""

    job_id: Annotated[str, Field(min_length=1, max_length=COLUMN_MAX, strict=True)]
    status: Annotated[
        Literal["pending", "processing", "generating", "downloading", "completed", "failed"],
        BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value),
    ]
    content_type: Literal["video"]
    timestamp: Moment = None
    has_data: Flag = None
    data: dict[str, Any] | None = None
    error: Any = None
    message: Any = None


class VideoV1(BaseModel):
    """The product document's form."""

    filename: Text
    file_url: Link = None
    key: Annotated[Text, Field(validation_alias="file_path")]
    size: Annotated[Bytes, Field(validation_alias="file_size")]
    duration: Annotated[Seconds, Field(validation_alias="duration_seconds")]
    format: Text
    aspect_ratio: Ratio
    dimensions: Dimensions
    created_at: DescribedMoment = None

    def link(self) -> str | None:
        return self.file_url

    def path(self) -> str:
        return self.key


class VideoV2(VideoV1):
    """From here on, null counts as missing: Python's senders write out what they do not know as None."""

    model_config = {"json_schema_extra": say_other_names}

    url: Link = None
    key: Annotated[Text, Field(validation_alias=AliasChoices("s3_key", "file_path"))]
    file_path: Link = None

    _without_nulls = model_validator(mode="before")(without_nulls)

    def link(self) -> str | None:
        return self.url or self.file_url

    def path(self) -> str:
        return self.file_path or self.key


class VideoV3(VideoV2):
    s3_url: Link = None
    size: Annotated[Bytes, Field(validation_alias=AliasChoices("size_bytes", "file_size"))]
    duration: Annotated[Span, Field(validation_alias=AliasChoices("duration", "duration_seconds"))]
    format: Text = "mp4"
    aspect_ratio: Ratio = USUAL_RATIO
    dimensions: Dimensions = Dimensions(width=1920, height=1080)

    def link(self) -> str | None:
        return self.url or self.s3_url or self.file_url


Video = TypeVar("Video", bound=VideoV1)


class Metadata(BaseModel):
    """What describes a completion, for openapi.json: nothing in it is ever refused."""

    model_config = {"protected_namespaces": ()}

    model_name: str | float | None = None
    model_version: str | float | None = None
    processing_time: Span | None = None
    generation_time: Span | None = None
    download_time: Span | None = None


class Data(BaseModel, Generic[Video]):
    videos: Annotated[list[Video], Field(max_length=VIDEOS_MAX)]
    success: Flag = None
    generated_at: DescribedMoment = None
    metadata: Annotated[Any, PlainValidator(object_or_none, json_schema_input_type=Metadata | Any)] = None


class Completion(BaseModel, Generic[Video]):
    """The part of a completion that differs by version; its shape makes errors name data.videos.0.filename."""

    data: Data[Video]


def _is_v3(document: dict[str, Any], fields_of_videos: set[str]) -> bool:
    data = document.get("data")
    return (
        (isinstance(data, dict) and "user_id" in data)
        or "error" in document
        or "message" in document
        or not _ONLY_V3.isdisjoint(fields_of_videos)
    )


def _is_v2(_document: dict[str, Any], fields_of_videos: set[str]) -> bool:
    return not _ONLY_V2.isdisjoint(fields_of_videos)


def _is_v1(_document: dict[str, Any], _fields_of_videos: set[str]) -> bool:
    return True


_ONLY_V3 = frozenset({"size_bytes", "duration", "s3_url"})
_ONLY_V2 = frozenset({"s3_key", "url"})


# Once: pydantic looks the class up anew for each use of Completion[…].
_V1 = Completion[VideoV1]
VERSIONS = (
    ("v3", _is_v3, Completion[VideoV3]),
    ("v2", _is_v2, Completion[VideoV2]),
    ("v1", _is_v1, _V1),
)
"""(name, whether a body is of it, what its completions are), the newest first."""


def version_of(document: dict[str, Any]) -> tuple[str, type[Completion[Any]]]:
    """(name, what its completions are) of a body, whether or not it is valid."""
    data = document.get("data")
    if data is None and "error" not in document and "message" not in document:
        return "v1", _V1
    listed = data.get("videos") if isinstance(data, dict) else None
    of_videos: set[str] = set()
    if isinstance(listed, list):
        of_videos = of_videos.union(*[video for video in listed if isinstance(video, dict)])
    return next((name, model) for name, matches, model in VERSIONS if matches(document, of_videos))
