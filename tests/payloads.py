"""Bodies of webhooks, in each version of the payload, and what becomes of them."""

import copy
import json
from typing import Any

import orjson
import pytest

from app.domain import payload
from app.domain.payload import InvalidPayloadError

V1: dict[str, Any] = {
    "job_id": "cm123abc456",
    "status": "completed",
    "content_type": "video",
    "timestamp": "2025-10-23T14:30:00Z",
    "has_data": True,
    "data": {
        "job_id": "cm123abc456",
        "videos": [
            {
                "filename": "sunset.mp4",
                "file_path": "/videos/sunset.mp4",
                "file_url": "https://files/sunset.mp4",
                "file_size": 15728640,
                "format": "mp4",
                "duration_seconds": 8,
                "aspect_ratio": "16:9",
                "dimensions": {"width": 1920, "height": 1080},
                "created_at": "2025-10-23T14:30:00Z",
            }
        ],
        "metadata": {"model_name": "veo-2.0-generate-001", "processing_time": 120.5, "prompt_used": "Un coucher"},
        "generated_at": "2025-10-23T14:30:00Z",
        "success": True,
    },
    "environment": "development",
}

V2_VIDEO = {
    "filename": "sunset.mp4",
    "s3_key": "k/sunset.mp4",
    "url": "https://files/2",
    "file_url": None,
    "file_size": 5,
    "format": "mp4",
    "duration_seconds": 8,
    "aspect_ratio": "16:9",
    "dimensions": {"width": 1920, "height": 1080},
}

V3_VIDEO = {"filename": "sunset.mp4", "s3_key": "k/sunset.mp4", "s3_url": "https://files/3", "size_bytes": 5}


def body(document: dict[str, Any]) -> bytes:
    return orjson.dumps(document)


def changed(path: str, value: object = ..., document: dict[str, Any] = V1) -> dict[str, Any]:
    """A copy with the field at a.b.0.c set, or taken out."""
    made = copy.deepcopy(document)
    *parents, last = [int(p) if p.isdigit() else p for p in path.split(".")]
    at: Any = made
    for part in parents:
        at = at[part]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return made


def with_video(video: dict[str, Any], **data: Any) -> dict[str, Any]:
    return V1 | {"data": {"videos": [video], "success": True} | data}


def webhook_of_a_step(**data: Any) -> dict[str, Any]:
    return {"job_id": "j", "status": "generating", "content_type": "video", "data": data}


def refused(document: dict[str, Any]) -> list[str]:
    with pytest.raises(InvalidPayloadError) as error:
        payload.parse(body(document))
    return [detail["field"] for detail in error.value.details]


HALF = json.dumps("caf\u00e9 " + chr(0xD83D)).encode()


def key(document: dict[str, Any], webhook_id: str | None = None) -> str:
    raw = body(document)
    return payload.dedup_key(webhook_id, payload.parse(raw), raw)
