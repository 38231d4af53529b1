"""Jobs for pages that still ask every few seconds, in the form in which the generation backend answered them."""

from aiohttp import web

from app.appkeys import STORAGE, VIDEOS
from app.domain.failure import redacted, redacted_within
from app.domain.job import FINISHED
from app.errors import ApiError
from app.routes import schemas
from app.routes.describe import SIGNED_IN, describes
from app.routes.http import reply
from app.routes.videos import visible
from app.times import rfc3339

_REFUSALS = (401, 403, 404, 503)


@describes("Where a job is, for pages that poll", {200: schemas.Polled}, _REFUSALS, who=SIGNED_IN)
async def status(request: web.Request) -> web.Response:
    """In any state. 404 also for a job that is not the caller's to see."""
    return reply(await _polled(request))


@describes("What a job has ended in, for pages that poll", {200: schemas.Polled}, (*_REFUSALS, 409), who=SIGNED_IN)
async def result(request: web.Request) -> web.Response:
    """409 `not_finished` before the end."""
    return reply(await _polled(request, finished=True))


async def _polled(request: web.Request, *, finished: bool = False) -> schemas.Polled:
    _, job = await visible(request)
    if finished and job.state not in FINISHED:
        raise ApiError(409, "not_finished", "That job goes on.", job_id=job.id)
    done = job.state == "COMPLETED"
    return {
        "job_id": job.id,
        "status": "completed" if done else job.status,
        "message": redacted(job.message),
        "progress": job.progress,
        "videos": [request.app[STORAGE].shown(file) for file in job.videos] if done else [],
        "generation_metadata": redacted_within(await request.app[VIDEOS].metadata(job.id)) if done else None,
        "error": redacted(job.error),
        "created_at": rfc3339(job.created_at),
        "updated_at": rfc3339(job.updated_at),
        "completed_at": None if job.completed_at is None else rfc3339(job.completed_at),
    }
