"""The payload as the peers read it, and how they are served: the same server settings as rushes has."""

import os
from typing import Any, Literal

import orjson
import uvloop
from aiohttp import web
from pydantic import AwareDatetime, BaseModel

from bench import payload


class Dimensions(BaseModel):
    """Pixels."""

    width: int
    height: int


class Video(BaseModel):
    """A file that a completion brings."""

    filename: str
    file_path: str
    file_url: str | None
    file_size: int
    format: str
    duration_seconds: float
    aspect_ratio: str
    dimensions: Dimensions
    created_at: AwareDatetime


class Metadata(BaseModel):
    """What the generation says about itself."""

    model_name: str = "veo-2.0-generate-001"
    model_version: str = "2.0"
    processing_time: float | None = None
    generation_time: float | None = None
    download_time: float | None = None


class Completion(BaseModel):
    """The data of a completed job."""

    videos: list[Video]
    metadata: Metadata
    generated_at: AwareDatetime
    success: bool


class Webhook(BaseModel):
    """Payload v1."""

    job_id: str
    status: Literal["generating", "completed"]
    content_type: Literal["video"]
    timestamp: AwareDatetime
    data: Completion | None = None


def answer(webhook: Webhook, webhook_id: str) -> web.Response:
    """Return the answer to an applied webhook, in the form and size that rushes gives."""
    body: dict[str, Any] = {"success": True, "job_id": webhook.job_id, "webhook_id": webhook_id}
    if webhook.data is None:
        body |= {
            "message": "Video generation status updated: generating",
            "status": "generating",
            "progress": 50,
        }
    else:
        body |= {
            "message": "Video generation webhook processed successfully",
            "num_videos": len(webhook.data.videos),
            "processing_time_ms": 1.234,
        }
    return web.Response(body=orjson.dumps(body), content_type="application/json")


async def healthy(_request: web.Request) -> web.Response:
    """Say that the server is up."""
    return web.json_response({"status": "healthy"})


def serve(app: web.Application) -> None:
    """Serve on 127.0.0.1 at `PORT` until SIGTERM, on uvloop, without an access log."""
    app.router.add_get(payload.PATH, healthy)
    web.run_app(
        app,
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        access_log=None,
        print=None,
        backlog=4096,
        loop=uvloop.new_event_loop(),
    )
