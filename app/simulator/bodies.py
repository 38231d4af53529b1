"""The webhooks of the simulated backend, in each version of the payload. Pure."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from app.simulator import films
from app.simulator.films import SECONDS_MAX, TAKES_MAX
from app.simulator.words import Script, Version
from app.times import rfc3339

_FILTERED = "A video was filtered by our policies. Support codes: 42237218"


class Order(BaseModel):
    """What rushes asks for; other fields, as the image, are passed over."""

    job_id: Annotated[str, Field(min_length=1, max_length=191)]
    user_id: Annotated[str, Field(max_length=191)] | None = None
    prompt: Annotated[str, Field(max_length=10_000)]
    aspect_ratio: Annotated[str, Field(max_length=191)] = "16:9"
    number_of_videos: Annotated[int, Field(ge=1, le=TAKES_MAX)] = 1
    duration_seconds: Annotated[int, Field(ge=1, le=SECONDS_MAX)] = 8


def update(order: Order, status: str, at: int, **fields: Any) -> dict[str, Any]:
    """A webhook on what happened `at` that moment; `fields` are `data` and `error`, where there are any."""
    return {
        "job_id": order.job_id,
        "status": status,
        "content_type": "video",
        "timestamp": rfc3339(at),
        "has_data": fields.get("data") is not None,
        "data": None,
        "environment": "development",
    } | fields


def completion(order: Order, script: Script, began: int, at: int, place: str) -> dict[str, Any]:
    """The data of a completion. `place` is what the addresses of films begin with."""
    count = 0 if script.empty else max(0, order.number_of_videos - script.missing)
    taken = (at - began) / 1e6
    metadata = {
        "model_name": "simulated",
        "model_version": "1.0",
        "processing_time": round(taken, 1),
        "generation_time": round(taken * 0.6, 1),
        "download_time": round(taken * 0.3, 1),
        "prompt_used": order.prompt,
    }
    if script.missing:
        withheld = {
            "raiMediaFilteredCount": order.number_of_videos - count,
            "raiMediaFilteredReasons": [_FILTERED],
        }
        metadata |= {
            "num_videos_requested": order.number_of_videos,
            "num_videos_generated": count,
            "generateVideoResponse": withheld,
        }
    data = {
        "job_id": order.job_id,
        "status": "completed",
        "videos": [_video(order, script.version, take, at, place) for take in range(1, count + 1)],
        "metadata": metadata,
        "generated_at": rfc3339(at),
        "success": count > 0,
        "num_videos": count,
    }
    return data | ({"user_id": order.user_id} if script.version == "v3" and order.user_id else {})


def as_asked(data: dict[str, Any], order: Order, at: int, place: str) -> list[dict[str, Any]]:
    """The videos of a completion as they are told when asked for: in the first version's form, whatever was sent."""
    return [_video(order, "v1", take, at, place) for take in range(1, len(data["videos"]) + 1)]


def _video(order: Order, version: Version, take: int, at: int, place: str) -> dict[str, Any]:
    name = films.name_of(order.aspect_ratio, order.duration_seconds, take)
    film = films.film(order.aspect_ratio, order.duration_seconds, take)
    key, address = f"simulated/{order.job_id}/video_{take}.mp4", f"{place}/{name}"
    video: dict[str, Any] = {
        "filename": f"video_{take}.mp4",
        "created_at": rfc3339(at),
        "format": "mp4",
        "aspect_ratio": order.aspect_ratio,
        "dimensions": {"width": film.width, "height": film.height},
    }
    if version == "v3":
        length = f"{order.duration_seconds}s"
        return video | {"s3_key": key, "s3_url": address, "size_bytes": film.size, "duration": length}
    video |= {"file_size": film.size, "duration_seconds": order.duration_seconds}
    if version == "v2":
        return video | {"s3_key": key, "url": address, "file_url": None}
    return video | {"file_path": key, "file_url": address}
