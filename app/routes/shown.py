"""Jobs in the forms that the API answers them in."""

from app.db.videos import Generation
from app.domain.event import Typical
from app.routes import schemas
from app.times import rfc3339


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


def job_of(job: Generation, typical: Typical) -> schemas.Job:
    """As a job in any state is told of. `typical` is the ground for its estimate."""
    return {
        **generation_of(job),
        "eta_seconds": typical.eta(job.state, job.progress),
        "state": job.state,
        "progress": job.progress,
        "message": job.message,
        "error": job.error,
    }
