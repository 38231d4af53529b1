"""Jobs in the forms that the API answers them in."""

from aiohttp import web

from app.appkeys import ESTIMATES, STORAGE
from app.db.videos import Generation
from app.domain.event import failure_of
from app.domain.failure import Failure, redacted
from app.routes import schemas
from app.routes.http import language_of
from app.texts import Language, advice
from app.times import now, rfc3339


def generation_of(request: web.Request, job: Generation) -> schemas.Generation:
    """As lists of finished videos have it."""
    shown: schemas.Generation = {
        "id": job.id,
        "prompt": job.prompt,
        "status": job.status,
        "created_at": rfc3339(job.created_at),
        "completed_at": None if job.completed_at is None else rfc3339(job.completed_at),
        "model": job.model,
        "model_version": job.model_version,
        "processing_time": job.processing_time,
        "generation_time": job.generation_time,
        "download_time": job.download_time,
        "aspect_ratio": job.aspect_ratio,
        "videos": [request.app[STORAGE].shown(file) for file in job.videos],
        "num_videos": job.num_videos,
    }
    failure = failure_of(job.state, job.error, job.partial, job.num_videos)
    if failure is not None:
        shown["failure"] = told(failure, language_of(request))
        if job.partial is not None:
            shown["requested"], shown["generated"] = job.partial.requested, job.num_videos
    return shown


def told(failure: Failure, language: Language) -> schemas.Failure:
    """With what to do about it."""
    return {
        "kind": failure.kind,
        "side": failure.side,
        "category": failure.category,
        "retryable": failure.retryable,
        "advice": advice(failure, language),
        "operator": failure.operator,
    }


def job_of(request: web.Request, job: Generation) -> schemas.Job:
    """As a job in any state is told of."""
    estimate = request.app[ESTIMATES].at(now(), job.kind, job.state, job.status, job.since)
    shown = generation_of(request, job)
    return {
        **shown,
        "failure": shown.get("failure"),
        "eta_seconds": estimate.seconds,
        "eta_p90_seconds": estimate.p90,
        "state": job.state,
        "progress": job.progress,
        "message": redacted(job.message),
        "error": redacted(job.error),
    }
