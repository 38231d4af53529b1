"""GET /events, /events/{job_id}, /ws and /ws/{job_id}."""

import asyncio

from aiohttp import web

from app import errors
from app.auth import NotSignedInError, identify, is_own_origin
from app.db.videos import Generation
from app.errors import ApiError
from app.keys import FOLLOWER, HUB, LOG, TYPICAL, VIDEOS
from app.push import sse, websocket
from app.push.frames import Wire
from app.push.hub import LimitError, Subscriber, job_channel, user_channel
from app.push.stream import Scope, Snapshot, Stream, resume_from
from app.routes import cors
from app.times import now
from app.tokens import Identity

_TOO_MANY, _NO_SUCH_JOB, _NOT_SIGNED_IN = 4429, 4404, 4401


async def events(request: web.Request) -> web.StreamResponse:
    """Server-Sent Events of all the caller's jobs, or of one."""
    who = await identify(request, ticket=True)
    app = request.app
    scope = _scope(request, who)
    first = await scope.snapshot()
    raw = request.headers.get("Last-Event-ID") or request.query.get("last_event_id")
    last_id = await resume_from(raw, app[FOLLOWER], app[LOG]) if raw else None
    if last_id is not None and await _is_over(request, scope, first, last_id):
        return web.Response(status=204)
    transport = request.transport
    if transport is None:
        return web.Response(status=204)
    subscriber = _subscriber(transport, sse.wire_of(request), who, scope)
    try:
        app[HUB].admit(subscriber)
    except LimitError as error:
        status, code = (503, "too_many_connections") if error.whole else (429, "too_many_connections")
        raise ApiError(status, code, f"There are {error}.", retry_after=5) from None
    try:
        sse.bound_socket(request)
        response = await sse.open_stream(request, cors.allowed(request))
        stream = Stream(subscriber, scope, app[HUB], app[FOLLOWER], app[LOG], response.write)
        why = await stream.run(first, last_id, reset=bool(raw) and last_id is None)
        await sse.end_stream(response, subscriber, why)
    finally:
        app[HUB].dismiss(subscriber, scope.channel)
    return response


async def socket(request: web.Request) -> web.StreamResponse:
    """The same over WebSocket. What is wrong is told by a close code, once the socket is open."""
    app = request.app
    _check_origin(request)
    response = websocket.response()
    if not response.can_prepare(request):
        raise ApiError(426, "upgrade_required", "Connect with a WebSocket client, or use /events.")
    try:
        who = await identify(request, ticket=True)
        scope = _scope(request, who)
        first = await scope.snapshot()
    except NotSignedInError:
        return await _refuse(request, response, _NOT_SIGNED_IN, "not signed in")
    except ApiError as error:
        return await _refuse(request, response, _NO_SUCH_JOB, str(error))
    raw = request.query.get("last_event_id")
    last_id = await resume_from(raw, app[FOLLOWER], app[LOG]) if raw else None
    await response.prepare(request)
    transport = request.transport
    if transport is None:
        return response
    subscriber = _subscriber(transport, Wire.WEBSOCKET, who, scope)
    try:
        app[HUB].admit(subscriber)
    except LimitError as error:
        await response.close(code=_TOO_MANY, message=str(error).encode())
        return response
    sse.bound_socket(request)
    listener = asyncio.create_task(websocket.listen(response, subscriber))
    try:
        stream = Stream(
            subscriber,
            scope,
            app[HUB],
            app[FOLLOWER],
            app[LOG],
            lambda data: response.send_str(data.decode()),
        )
        why = await stream.run(first, last_id, reset=bool(raw) and last_id is None)
        subscriber.close(why)
        await websocket.end(response, subscriber, listener, why)
    finally:
        listener.cancel()
        app[HUB].dismiss(subscriber, scope.channel)
    return response


def _scope(request: web.Request, who: Identity) -> Scope:
    videos, typical = request.app[VIDEOS], request.app[TYPICAL]
    job_id = request.match_info.get("job_id")
    if job_id is None:

        async def of_user() -> Snapshot:
            head, jobs = await videos.unfinished_with_head(who.user_id)
            return Snapshot(head, [job.event(typical) for job in jobs])

        return Scope(user_channel(who.user_id), of_user, author_id=who.user_id)

    async def of_job() -> Snapshot:
        head, job = await videos.with_head(job_id)
        if job is None or not _may_see(who, job):
            raise errors.not_found()
        return Snapshot(head, [job.event(typical)], max(0, now() - job.moved_at) / 1e6)

    return Scope(job_channel(job_id), of_job, job_id=job_id)


def _subscriber(transport: asyncio.Transport, wire: Wire, who: Identity, scope: Scope) -> Subscriber:
    expires_in = None if who.expires_at is None else who.expires_at - now() / 1e6
    return Subscriber(transport, wire, who.user_id, ends=scope.job_id is not None, expires_in=expires_in)


def _may_see(who: Identity, job: Generation) -> bool:
    return who.may_see(job.author_id, job.organization_id)


async def _is_over(request: web.Request, scope: Scope, first: Snapshot, last_id: int) -> bool:
    """Whether the job's stream has ended and there is nothing to tell since: 204 stops an EventSource."""
    if scope.job_id is None:
        return False
    left = request.app[HUB].grace_left(first.events[-1], first.moved_ago)
    return left == 0 and not await request.app[LOG].after(last_id, 1, job_id=scope.job_id)


async def _refuse(request: web.Request, response: web.WebSocketResponse, code: int, why: str) -> web.StreamResponse:
    await response.prepare(request)
    await response.close(code=code, message=why.encode())
    return response


def _check_origin(request: web.Request) -> None:
    """Browsers send cookies with a WebSocket from any page, so the page's origin must be one of ours."""
    origin = request.headers.get("Origin")
    if origin is not None and not is_own_origin(request, origin):
        raise ApiError(403, "origin_not_allowed", "This page may not open streams here; see CORS_ORIGINS.")
