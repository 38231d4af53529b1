"""The webhooks that the benchmarks send: bodies of payload v1, in the product document's form and size."""

import json
from typing import Final, Literal

Status = Literal["generating", "completed"]

PATH: Final = "/api/webhooks/video-completion"

# What stands in a template for the job's id and for the webhook's timestamp (see webhooks.lua).
JOB: Final = "{job}"
AT: Final = "{at}"

_PROMPT: Final = "Un coucher de soleil cinématographique sur l'océan"


def job_id(prefix: str, number: int) -> str:
    """Return the id of the benchmark's job `number`, counted from 1: `bench-00001`."""
    return f"{prefix}{number:05d}"


def default_prefix(status: Status) -> str:
    """Return the prefix of the jobs that get this status.

    They are apart because nothing but a later completion moves a job on that has its files.
    """
    return "bench-" if status == "generating" else "bench-done-"


def template(status: Status) -> str:
    """Return the body with `{job}` and `{at}` where a webhook's own values belong."""
    body: dict[str, object] = {
        "job_id": JOB,
        "status": status,
        "content_type": "video",
        "timestamp": AT,
        "has_data": status == "completed",
    }
    if status == "completed":
        body["data"] = _completion()
    return json.dumps(body | {"environment": "development"}, ensure_ascii=False)


def _completion() -> dict[str, object]:
    path = f"/videos/{JOB}/sunset-ocean.mp4"
    video = {
        "filename": "sunset-ocean.mp4",
        "file_path": path,
        "file_url": f"https://s3.amazonaws.com/sorami-videos{path}",
        "file_size": 15_728_640,
        "format": "mp4",
        "duration_seconds": 8,
        "aspect_ratio": "16:9",
        "dimensions": {"width": 1920, "height": 1080},
        "created_at": AT,
    }
    metadata = {
        "model_name": "veo-2.0-generate-001",
        "model_version": "2.0",
        "processing_time": 120.5,
        "generation_time": 90.2,
        "download_time": 30.3,
        "prompt_used": _PROMPT,
        "num_videos_requested": 1,
        "num_videos_generated": 1,
        "config_used": {"aspect_ratio": "16:9", "duration_seconds": 8, "person_generation": "ALLOW_ALL"},
    }
    return {
        "job_id": JOB,
        "status": "completed",
        "videos": [video],
        "metadata": metadata,
        "generated_at": AT,
        "success": True,
        "num_videos": 1,
        "prompt": _PROMPT,
    }
