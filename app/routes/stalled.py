"""Jobs that nobody reports on, for admins, and the generation backend asked for one of them now."""

from aiohttp import web

from app import errors, times
from app.appkeys import AUDIT, READING, RECONCILER, SETTINGS, VIDEOS
from app.db.asked import Job
from app.domain.audit import Entry
from app.errors import ApiError
from app.routes import schemas
from app.routes.callers import actor, require_admin
from app.routes.describe import SIGNED_IN, describes
from app.routes.http import reply

_LISTED_MAX = 100


@describes("Jobs that nobody reports on", {200: schemas.StalledJobs}, (401, 403, 503), who=SIGNED_IN)
async def stalled(request: web.Request) -> web.Response:
    """Those that the backend was asked for come first, the longest ago first of all; 100 at most. One that has just
    stalled may be missing for half a minute."""
    who = await require_admin(request)
    async with request.app[READING].of(who.user_id):
        found, more = await request.app[RECONCILER].stalled(_LISTED_MAX)
    body: schemas.StalledJobs = {
        "jobs": [
            {
                "job_id": asked.job.job_id,
                "status": asked.job.status,
                "moved_at": times.rfc3339(asked.job.moved_at),
                "tries": asked.tries,
                "unanswered": asked.silent,
                "due_at": times.rfc3339(asked.due_at),
            }
            for asked in found
        ],
        "more": more,
    }
    return reply(body)


@describes(
    "Ask the generation backend for an unfinished job now",
    {200: schemas.AskedNow},
    (401, 403, 404, 409, 429, 502, 503),
    who=SIGNED_IN,
)
async def ask(request: web.Request) -> web.Response:
    """As the server does by itself for stalled jobs, and by the same rules; answered once what it says is committed.
    502 where it does not answer. One at a time of each admin's is asked for."""
    who = await require_admin(request)
    if not request.app[SETTINGS].generates:
        raise ApiError(409, "no_generator", "There is no generation backend to ask: set GENERATOR_URL.")
    # A turn of its own: a backend that hangs holds up no list of his.
    async with request.app[READING].of(f"{who.user_id}\nask"):
        job = await _unfinished(request)
        audit = request.app[AUDIT]
        entry = await audit.begun(Entry(actor(who), "ask", job_id=job.job_id, was={"status": job.status}))
        answer = await request.app[RECONCILER].ask_now(job)
        told = {"said": answer.said, "status": answer.status, "outcome": answer.outcome}
        await audit.ended(entry, told)
    if answer.said == "silent":
        raise ApiError(502, "generator_silent", str(answer.error), job_id=job.job_id)
    body: schemas.AskedNow = {
        "job_id": job.job_id,
        "said": answer.said,
        "status": answer.status,
        "outcome": answer.outcome,
        "error": answer.error,
    }
    return reply(body)


async def _unfinished(request: web.Request) -> Job:
    """The job that the path names. Raises ApiError 404 where there is none, 409 where it has ended."""
    job_id = request.match_info["job_id"]
    job = await request.app[RECONCILER].unfinished(job_id)
    if job is not None:
        return job
    if await request.app[VIDEOS].get(job_id) is None:
        raise errors.not_found()
    raise ApiError(409, "finished", "That job is finished: there is nothing to ask.", job_id=job_id)
