"""GET /events, /events/{job_id}, /ws and /ws/{job_id}."""

import time

from aiohttp import web
from pydantic import BaseModel, Field

from app import errors, ids
from app.appkeys import ESTIMATES, HUB, LOG, SNAPSHOTS, STREAMS, TRACES
from app.auth.tokens import Identity
from app.errors import ApiError
from app.push import sse, websocket
from app.push.hub import LimitError
from app.push.stream import Snapshot
from app.push.subscriber import Subscriber, take_over
from app.routes import cors
from app.routes.callers import NotSignedInError, identify, is_own_origin
from app.routes.describe import LISTENER, describes
from app.routes.errors import as_api_error
from app.routes.whole import VARY
from app.snapshot import snapshot
from app.times import now

_TOO_MANY, _NO_SUCH_JOB, _NOT_SIGNED_IN = 4429, 4404, 4401


# Of answers that say not now.
_TOO_MANY_REQUESTS, _OURS = 429, 500


class Resume(BaseModel):
    """Where an earlier stream ended; the header Last-Event-ID wins, of the queries the greater."""

    last_event_id: str = ""
    of_polyfills: str = Field("", alias="lastEventId")


_LAST_EVENT_ID = ("Last-Event-ID",)


@describes(
    "Server-Sent Events of all the caller's jobs: what is, then each committed change",
    {200: "text/event-stream"},
    (401, 403),
    query=Resume,
    who=LISTENER,
    headers=_LAST_EVENT_ID,
)
async def events(request: web.Request) -> web.StreamResponse:
    """The snapshot, or what came since the id that the client has; then each event, until the stream ends.

    What may pass is told as `later`, by a stream that ends at once: an EventSource comes back after nothing else.
    """
    return await _events_or_later(request, None)


@describes(
    "Server-Sent Events of one job",
    {200: "text/event-stream"},
    (204, 401, 403, 404),
    query=Resume,
    who=LISTENER,
    headers=_LAST_EVENT_ID,
)
async def events_of_job(request: web.Request) -> web.StreamResponse:
    """As `events`. 204 when the job's stream has ended and the client has all of it."""
    return await _events_or_later(request, request.match_info["job_id"])


async def _events_or_later(request: web.Request, job_id: str | None) -> web.StreamResponse:
    try:
        return await _events(request, job_id)
    except (web.HTTPException, ConnectionError):
        raise
    except Exception as error:
        answer = as_api_error(error, request)
        if answer.status != _TOO_MANY_REQUESTS and answer.status < _OURS:
            raise
        return sse.later(answer.body["code"], {"Vary": VARY})


async def _events(request: web.Request, job_id: str | None) -> web.StreamResponse:
    app = request.app
    who = await identify(request, ticket=True)
    transport = request.transport
    if transport is None:
        return _to_nobody()
    subscriber = Subscriber(
        app[HUB].limits, transport, sse.wire_of(request), who.user_id, job_id, who.may_see, _expires_at(who)
    )
    subscriber.who = None if who.token is None else who
    raw = _resumed_from(request)
    try:
        with app[HUB].expecting(subscriber):
            first = await _first(request, who, job_id)
            last_id = await app[STREAMS].resume_from(raw)
            if last_id is not None and job_id is not None and await _is_over(request, job_id, first, last_id):
                return web.Response(status=204, headers={"Cache-Control": "no-store"})
            app[HUB].admit(subscriber)
            comment = f"rushes shown {ids.PROCESS}" if app[TRACES].asks(subscriber) else "rushes"
            try:
                headers = cors.allowed(request) | {"Vary": VARY}
                await sse.open_stream(request, headers, app[HUB].limits.dead_after, comment)
                take_over(request, subscriber)
            except BaseException:
                app[HUB].forget(subscriber)
                raise
    except LimitError:
        return sse.later("too_many_connections", {"Vary": VARY})
    await app[STREAMS].begin(subscriber, first, last_id, reset=bool(raw) and last_id is None)
    return _to_nobody()


@describes(
    "The same events over WebSocket",
    {101: None},
    (403, 426, 503),
    query=Resume,
    who=LISTENER,
    headers=_LAST_EVENT_ID,
)
async def socket(request: web.Request) -> web.StreamResponse:
    """The same over WebSocket, of one job where the path names it. What is wrong is told by a close code, once the
    socket is open: a page sees no status of what it could not open."""
    app = request.app
    _check_origin(request)
    response = websocket.handshake()
    if not response.can_prepare(request):
        raise ApiError(426, "upgrade_required", "Connect with a WebSocket client, or use /events.")
    job_id = request.match_info.get("job_id")
    transport = request.transport
    if transport is None:
        return _to_nobody()
    try:
        who = await identify(request, ticket=True)
        subscriber = websocket.WebSocketSubscriber(
            app[HUB].limits, transport, who.user_id, job_id, who.may_see, _expires_at(who)
        )
        subscriber.who = None if who.token is None else who
        raw = _resumed_from(request)
        with app[HUB].expecting(subscriber):
            first = await _first(request, who, job_id)
            last_id = await app[STREAMS].resume_from(raw)
            app[HUB].admit(subscriber)
            try:
                await response.prepare(request)
                take_over(request, subscriber)
            except BaseException:
                app[HUB].forget(subscriber)
                raise
    except NotSignedInError:
        return await _refuse(request, response, _NOT_SIGNED_IN, "not signed in")
    except LimitError as error:
        return await _refuse(request, response, _TOO_MANY, str(error))
    except ApiError as error:
        if error.status != 404:  # noqa: PLR2004
            raise
        return await _refuse(request, response, _NO_SUCH_JOB, str(error))
    await app[STREAMS].begin(subscriber, first, last_id, reset=bool(raw) and last_id is None)
    return _to_nobody()


async def _first(request: web.Request, who: Identity, job_id: str | None) -> Snapshot:
    first = await snapshot(request.app[SNAPSHOTS], request.app[ESTIMATES], job_id, who.user_id)
    if job_id is not None and not (first.events and who.may_see(*first.events[0].owner)):
        raise errors.not_found()
    return first


def _resumed_from(request: web.Request) -> str | None:
    """The id of the last event that the client has, as it says, None at its first connect.

    The header wins. Of queries the greatest id does: polyfills of EventSource add theirs, and repeat that of the page's
    address, which is old by then.
    """
    said = [id_ for name in ("last_event_id", "lastEventId") for id_ in request.query.getall(name, ()) if id_]
    return request.headers.get("Last-Event-ID") or max(said, key=_number, default=None)


def _number(event_id: str) -> int:
    """An id's place in the log, before the hyphen if it has one; -1 if it is no id."""
    number = event_id.partition("-")[0]
    return int(number) if number.isascii() and number.isdigit() and len(number) < 19 else -1  # noqa: PLR2004 - 63 bits


def _to_nobody() -> web.Response:
    """What a handler returns whose socket was taken over, or is closed: aiohttp finds that it cannot be sent."""
    return web.Response()


def _expires_at(who: Identity) -> float | None:
    """By the clock that does not jump."""
    return None if who.expires_at is None else time.monotonic() + who.expires_at - now() / 1e6


async def _is_over(request: web.Request, job_id: str, first: Snapshot, last_id: int) -> bool:
    """Whether the job's stream has ended and there is nothing to tell since: 204 stops an EventSource."""
    left = request.app[HUB].grace_left(first.events[-1], first.moved_ago)
    if left != 0:
        return False
    since = await request.app[LOG].after(last_id, 1, job_id=job_id, author_id=first.events[-1].author_id)
    return not since.events


async def _refuse(request: web.Request, response: web.WebSocketResponse, code: int, why: str) -> web.StreamResponse:
    await response.prepare(request)
    await response.close(code=code, message=why.encode())
    return response


def _check_origin(request: web.Request) -> None:
    """Browsers send cookies with a WebSocket from any page, so the page's origin must be one of ours."""
    origin = request.headers.get("Origin")
    if origin is not None and not is_own_origin(request, origin):
        raise ApiError(403, "origin_not_allowed", "This page may not open streams here; see CORS_ORIGINS.")
