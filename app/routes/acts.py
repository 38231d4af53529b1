"""What users do to their jobs: cancel, dismiss, delete, restore."""

from collections.abc import Awaitable

from aiohttp import web

from app import errors
from app.appkeys import ACTS, COMMITTED, PARKED
from app.auth.tokens import Identity
from app.db.acts import Refusal, RefusedActError
from app.domain.audit import Actor
from app.domain.event import LogEvent
from app.errors import ApiError
from app.routes import schemas
from app.routes.callers import actor, identify
from app.routes.describe import SIGNED_IN, describes
from app.routes.http import reply

_SENTENCES: dict[Refusal, str] = {
    "finished": "That job is finished; it can only be deleted.",
    "not_finished": "That job goes on; cancel it first.",
    "not_failed": "That job has not failed.",
}

_FAILURES = (401, 403, 404, 409, 503)


async def to_act(request: web.Request, *, on_deleted: bool = False) -> tuple[Identity, str]:
    """Who asks, and the job. Raises ApiError 404 where he may not see it, 403 where he may only look at it."""
    who, job_id = await identify(request), request.match_info["job_id"]
    found = await request.app[ACTS].find(job_id)
    if found is None or found.deleted != on_deleted or not who.may_see(found.author_id, found.organization_id):
        raise errors.not_found()
    if not who.may_act(found.author_id):
        raise ApiError(403, "not_yours", "Only its author or an admin may do that.", job_id=job_id)
    return who, job_id


def admin(who: Identity) -> Actor | None:
    """Who is written down with what he does: an admin, also with a job of his own."""
    return actor(who) if who.admin else None


async def _done(request: web.Request, job_id: str, act: Awaitable[list[LogEvent]]) -> web.Response:
    try:
        events = await act
    except RefusedActError as error:
        if error.code == "not_found":
            raise errors.not_found() from None
        raise ApiError(409, error.code, _SENTENCES[error.code], job_id=job_id) from None
    request.app[COMMITTED](events)
    body: schemas.Acted = {"success": True, "job_id": job_id, "changed": bool(events)}
    return reply(body)


@describes("Cancel a job that goes on", {200: schemas.Acted}, _FAILURES, who=SIGNED_IN)
async def cancel(request: web.Request) -> web.Response:
    """It has failed then, of kind `cancelled`, and nothing that is told of it later counts. The backend is not asked to
    stop. 409 `finished` for one that has ended."""
    who, job_id = await to_act(request)
    return await _done(request, job_id, request.app[ACTS].cancel(job_id, admin(who)))


@describes("Take a failed job off the list", {200: schemas.Acted}, _FAILURES, who=SIGNED_IN)
async def dismiss(request: web.Request) -> web.Response:
    """It is there still, and `failed` lists it no more."""
    who, job_id = await to_act(request)
    return await _done(request, job_id, request.app[ACTS].dismiss(job_id, admin(who)))


@describes("Delete a finished job", {200: schemas.Acted}, _FAILURES, who=SIGNED_IN)
async def delete(request: web.Request) -> web.Response:
    """From then on it is 404 for everybody, until it is restored. After `RETENTION_DAYS` its rows go."""
    who, job_id = await to_act(request)
    return await _done(request, job_id, request.app[ACTS].delete(job_id, who.user_id, admin(who)))


@describes("Restore a deleted job", {200: schemas.Acted}, _FAILURES, who=SIGNED_IN)
async def restore(request: web.Request) -> web.Response:
    """As long as its rows are there. What was told of it meanwhile is applied before the answer."""
    who, job_id = await to_act(request, on_deleted=True)
    answer = await _done(request, job_id, request.app[ACTS].restore(job_id, admin(who)))
    await request.app[PARKED].apply_for(job_id)
    return answer
