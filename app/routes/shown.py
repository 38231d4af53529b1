"""Jobs in the forms that the API answers them in."""

from app.db.videos import Generation
from app.domain.estimate import Estimates
from app.routes import schemas
from app.times import now, rfc3339


def generation_of(job: Generation) -> schemas.Generation:
    """As lists of finished videos have it."""
    return {
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
        "videos": job.videos,
        "num_videos": job.num_videos,
    }


def job_of(job: Generation, estimates: Estimates) -> schemas.Job:
    """As a job in any state is told of. `estimates` are the ground for its own."""
    estimate = estimates.at(now(), job.kind, job.state, job.status, job.since)
    return {
        **generation_of(job),
        "eta_seconds": estimate.seconds,
        "eta_p90_seconds": estimate.p90,
        "state": job.state,
        "progress": job.progress,
        "message": job.message,
        "error": job.error,
    }
