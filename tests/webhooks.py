"""Bodies of webhooks, as the backend sends them."""

import itertools
import time
from typing import Any

from app.auth.signature import sign
from app.times import rfc3339

_EIGHT_O_CLOCK = 1_761_206_400_000_000
_times = itertools.count(1)


def webhook(job_id: str, status: str, *, at: str | None = None, data: dict[str, Any] | None = None) -> dict[str, Any]:
    """Without `at`, each has a later time than the one before."""
    return {
        "job_id": job_id,
        "status": status,
        "content_type": "video",
        "timestamp": at or rfc3339(_EIGHT_O_CLOCK + next(_times) * 1000),
        "has_data": data is not None,
        "data": data,
    }


def video(key: str, **fields: Any) -> dict[str, Any]:
    return {
        "filename": key.rsplit("/", 1)[-1] + ".mp4",
        "file_path": key,
        "file_url": f"https://files.example/{key}",
        "file_size": 15728640,
        "format": "mp4",
        "duration_seconds": 8,
        "aspect_ratio": "16:9",
        "dimensions": {"width": 1920, "height": 1080},
        "created_at": "2025-10-23T14:30:00Z",
    } | fields


def completion(job_id: str, *videos: dict[str, Any], at: str | None = None) -> dict[str, Any]:
    data = {
        "job_id": job_id,
        "videos": list(videos),
        "metadata": {
            "model_name": "veo-3",
            "model_version": "3.0",
            "processing_time": 120.5,
            "generation_time": 90.2,
            "download_time": 30.3,
            "prompt_used": "la mer",
        },
        "generated_at": "2025-10-23T14:30:00Z",
        "success": True,
        "num_videos": len(videos),
    }
    return webhook(job_id, "completed", at=at or "2025-10-23T14:30:00Z", data=data)


WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def signed(body: bytes, *, secret: str = WHSEC, ago: int = 0, webhook_id: str = "msg_1") -> dict[str, str]:
    at = int(time.time()) - ago
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(at),
        "webhook-signature": sign(webhook_id, at, body, secret),
    }
