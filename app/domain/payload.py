"""The body of a webhook, in any of its versions, to a `StatusUpdate`. Pure. What the versions are: `versions`."""

import hashlib
from dataclasses import fields
from math import floor
from operator import attrgetter
from typing import Any, NamedTuple

import orjson
from pydantic import ValidationError

from app import errors, lenient
from app.domain import named, partial
from app.domain.fields import SECONDS_MAX, is_false, seconds_or_none, words
from app.domain.job import ERROR_MAX, StatusUpdate, VideoFile
from app.domain.named import COLUMN_MAX
from app.domain.versions import Completion, Envelope, VideoV1, version_of
from app.redaction import beginning


class Named(NamedTuple):
    """What an invalid webhook names all the same, where it is legible: it is looked for by that."""

    job_id: str | None
    status: str | None
    version: str | None


class InvalidPayloadError(Exception):
    """The body is not a webhook. `details` is a list of {"field", "message"}; str() is a sentence.

    `named` is None where nothing in the body can be read.
    """

    def __init__(self, details: list[errors.Problem], named: Named | None = None) -> None:
        self.details = details
        self.named = named
        super().__init__(errors.sentence(details))


DEPTH_MAX = 200
"""Levels of nesting. orjson reads 1,024 and writes 254, and what was read may have to be written."""

VALUES_MAX = 10_000_000
"""Values of a body: as many as the longest one can have."""


def parse(body: bytes, max_depth: int = DEPTH_MAX, max_values: int = VALUES_MAX) -> StatusUpdate:
    """The update a webhook's raw body stands for. Raises InvalidPayloadError.

    `max_depth` is at most `DEPTH_MAX`: how many objects and lists may stand one in another, the body itself being one.
    `max_values` is how many values there may be, as `lenient.has_more_values` counts them.
    """
    if lenient.has_more_values(body, max_values):
        message = f"the body has more than {max_values} values"
        raise InvalidPayloadError([{"field": "", "message": message}], _named(*named.in_text(body)))
    try:
        document = lenient.read(body)
    except orjson.JSONDecodeError as error:
        message = f"the body is not JSON ({error})"
        raise InvalidPayloadError([{"field": "", "message": message}], _named(*named.in_text(body))) from None
    if not isinstance(document, dict):
        message = "the body must be a JSON object"
        raise InvalidPayloadError([{"field": "", "message": message}], _named(*named.in_text(body)))
    try:
        # Few brackets cannot be deep.
        may_be_deep = len(body) > 2 * max_depth and body.count(b"{") + body.count(b"[") > max_depth
        if may_be_deep and _is_deeper(document, max_depth):
            message = f"the body is nested more than {max_depth} levels deep"
            raise InvalidPayloadError([{"field": "", "message": message}])
        return _upgrade(document)
    except InvalidPayloadError as error:
        found = _named(*named.in_object(document), version_of(document)[0])
        raise InvalidPayloadError(error.details, found) from None
    except ValidationError as error:
        found = _named(*named.in_object(document), version_of(document)[0])
        raise InvalidPayloadError(errors.details(error), found) from None
    except Exception as error:
        message = f"the body cannot be read ({type(error).__name__})"
        found = _named(*named.in_object(document), None)
        raise InvalidPayloadError([{"field": "", "message": message}], found) from error


def _named(job_id: str | None, status: str | None, version: str | None = None) -> Named | None:
    return Named(job_id, status, version) if job_id or status or version else None


def order(body: bytes) -> dict[str, Any]:
    """What a webhook tells of its job's order; read only when it makes the job. `body` has been parsed before.

    `prompt`, empty if it tells none, and of `config_used` the fields that a job can have.
    """
    data = lenient.read(body)["data"]
    metadata = data.get("metadata")
    if not isinstance(metadata, dict):
        metadata = {}
    order = {"prompt": _text(metadata.get("prompt_used")) or _text(data.get("prompt")) or ""}
    config = metadata.get("config_used")
    if isinstance(config, dict):
        order |= {name: config[name] for name, fits in _CONFIG.items() if fits(config.get(name))}
    return order


def _is_deeper(document: dict[str, Any], max_depth: int) -> bool:
    level: list[Any] = [document]
    for _ in range(max_depth):
        inner = (node.values() if isinstance(node, dict) else node for node in level)
        level = [value for values in inner for value in values if isinstance(value, dict | list)]
        if not level:
            return False
    return True


def dedup_key(webhook_id: str | None, update: StatusUpdate | None, body: bytes, *, asked: bool = False) -> str:
    """32 hex digits, equal for what counts as the same webhook.

    The sender's `webhook-id`; without one, what the update says, in whatever version; for a body that is not a webhook,
    the body itself. `asked` tells what the backend said when it was asked: that is never the same as what it sent.
    """
    if webhook_id is not None:
        kind, content = b"id", webhook_id.encode("utf-8", "surrogateescape")
    elif update is not None:
        kind = b"asked" if asked else b"content"
        content = orjson.dumps((*_content(update), update.brought))
    else:
        kind, content = b"body", body
    return hashlib.blake2b(content, digest_size=16, person=kind).hexdigest()


_content = attrgetter(
    *(
        field.name
        for field in fields(StatusUpdate)
        if field.init and field.name not in ("version", "files", "metadata", "partial")
    )
)

_JSON_DEPTH = 31  # levels, what MariaDB's JSON takes
# Bytes of metadata, each file's counted: a transaction goes in one packet, and MariaDB takes 16 MiB unless told other.
_COPIES_MAX = 4 * 1024 * 1024


def _upgrade(document: dict[str, Any]) -> StatusUpdate:
    envelope = Envelope.model_validate(document)
    version, completion = version_of(document)
    data = envelope.data or {}
    update = StatusUpdate(
        envelope.job_id,
        envelope.status,
        version,
        timestamp=envelope.timestamp,
        has_data=_has_data(envelope),
        error=_reason(envelope.error) or _reason(envelope.message),
    )
    if data:
        update.user_id = _owner(data.get("user_id"))
    if update.status == "completed" and update.has_data:
        _add_files(update, data, completion)
    elif update.status == "failed":
        metadata = data.get("metadata")
        update.prompt_used = _text(metadata.get("prompt_used")) if isinstance(metadata, dict) else None
    return update


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= COLUMN_MAX


def _is_span(value: object) -> bool:
    return type(value) is int and 0 < value <= SECONDS_MAX


_CONFIG = {"aspect_ratio": _is_name, "duration_seconds": _is_span, "person_generation": _is_name}


def _owner(user_id: object) -> str | None:
    """Text, or a whole number as its digits: a number is what an id is to many a sender."""
    if user_id is None or user_id == "":
        return None
    if isinstance(user_id, int) and not isinstance(user_id, bool):
        return str(user_id)
    if not isinstance(user_id, str) or len(user_id) > COLUMN_MAX or lenient.whole(user_id) != user_id:
        message = f"must be text of at most {COLUMN_MAX} characters, or a whole number"
        raise InvalidPayloadError([{"field": "data.user_id", "message": message}])
    return user_id


def _has_data(envelope: Envelope) -> bool:
    """Files that came, and word that none will come, are never passed over, even beside `has_data: false`."""
    data = envelope.data
    if envelope.has_data is False:
        return bool(data and (data.get("videos") or is_false(data.get("success"))))
    if envelope.has_data and data is None and envelope.status == "completed":
        raise InvalidPayloadError([{"field": "data", "message": "has_data is true, but data is missing"}])
    return data is not None


def _add_files(update: StatusUpdate, data: dict[str, Any], completion: type[Completion[Any]]) -> None:
    if is_false(data.get("success")):
        data = data | {"videos": []}
    body = completion.model_validate({"data": data}).data
    files = {video.key: _file(video) for video in body.videos}
    update.files = tuple([files[key] for key in sorted(files)])
    update.generated_at = body.generated_at
    if metadata := body.metadata:
        model, version = words(metadata.get("model_name")), words(metadata.get("model_version"))
        update.model = model and model[:COLUMN_MAX]
        update.model_version = version and version[:COLUMN_MAX]
        update.processing_time = seconds_or_none(metadata.get("processing_time"))
        update.generation_time = seconds_or_none(metadata.get("generation_time"))
        update.download_time = seconds_or_none(metadata.get("download_time"))
        update.metadata = _kept(metadata, len(files))
    if files:
        update.partial = partial.read(data, len(files))
    else:
        update.error = update.error or partial.withheld(data) or None


def _kept(metadata: dict[str, Any], files: int) -> dict[str, Any] | None:
    """What is stored with each file: nothing where the database would refuse that, and the paid-for files with it."""
    text = orjson.dumps(metadata)
    if len(text) * files > _COPIES_MAX:
        return None
    brackets = text.count(b"{") + text.count(b"[")
    return None if brackets > _JSON_DEPTH and _is_deeper(metadata, _JSON_DEPTH) else metadata


def _file(video: VideoV1) -> VideoFile:
    return VideoFile(
        s3_key=video.key,
        filename=video.filename,
        url=video.link(),
        path=video.path(),
        size=video.size,
        format=video.format,
        duration_seconds=floor(video.duration + 0.5),
        aspect_ratio=video.aspect_ratio,
        width=video.dimensions.width,
        height=video.dimensions.height,
        created_at=video.created_at,
    )


def _reason(value: object) -> str | None:
    """As long as it is stored, and without the secrets that libraries tell in their errors."""
    text = _text(value)
    return text and beginning(text, ERROR_MAX)


def _text(value: object) -> str | None:
    if value is None or value == "":
        return None
    return value if isinstance(value, str) else orjson.dumps(value).decode()
