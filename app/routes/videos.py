"""Jobs as the pages read them."""

import asyncio
import hashlib
from typing import Annotated, Literal

import orjson
from aiohttp import web
from pydantic import BaseModel, Field

from app import errors, times
from app.appkeys import ANSWERS, GALLERY, LISTINGS, LOG, READING, REDO_LOG, RENDERED, SETTINGS, STORAGE, TOLD, VIDEOS
from app.auth.tokens import Identity
from app.db.gallery import ListedState, Wanted
from app.db.log import Step
from app.db.rows import text
from app.db.unread import Unread
from app.db.videos import BadCursorError, Generation
from app.domain.event import EventId, whole
from app.errors import ApiError
from app.rendered import Piece
from app.routes import schemas
from app.routes.callers import identify
from app.routes.describe import SIGNED_IN, describes
from app.routes.http import UNREAD, hand_out, holding, language_of, read_query
from app.routes.listing import Listing, Told, keep, piece_of, told_before
from app.routes.shown import generation_of, job_of
from app.routes.whole import JSON_HEADERS, VARY
from app.settings import Settings
from app.turns import in_turns

# Of a job's timeline.
_STEPS_MAX = 200

# So many addresses of files are signed in some milliseconds; then others get their turn.
_SIGNED_IN_A_ROW = 200


def longest_answer(settings: Settings) -> int:
    """Bytes for which any answer counts at most: two lists."""
    return 2 * settings.list_max_bytes


class GalleryPage(BaseModel):
    """Which jobs to list: the caller's own, or those of his organization; those that are finished, have failed, or go
    on; those whose prompts say `q`. `cursor` is the `next_cursor` of the page before; `page` counts from 1 instead."""

    limit: Annotated[int, Field(ge=1, le=100)] = 12
    cursor: str | None = None
    page: Annotated[int, Field(ge=1, le=1000)] | None = None
    scope: Literal["own", "organization"] = "own"
    state: ListedState = "completed"
    q: Annotated[str, Field(min_length=1, max_length=100)] | None = None


class JobPage(BaseModel):
    """Which files of a job to show: those that follow the one of that id."""

    files_after: Annotated[str, Field(min_length=1, max_length=191)] | None = None


@describes(
    "Jobs a page at a time, newest first; on the first page also those that go on, and those that failed",
    {200: schemas.Gallery, 304: None},
    (400, 401, 403, 429, 503),
    query=GalleryPage,
    who=SIGNED_IN,
    headers=("If-None-Match",),
)
async def gallery(request: web.Request) -> web.StreamResponse:
    """A page, of one read view of the log. It returns once the client has taken it, and until then counts against what
    he may leave unread: as the longest there may be while it is made."""
    who = await identify(request)
    wanted = _wanted(who, read_query(request, GalleryPage))
    moment = await request.app[REDO_LOG].moment()
    key, window = (wanted, language_of(request)), request.app[STORAGE].window
    longest = longest_answer(request.app[SETTINGS])
    with holding(request.app[ANSWERS], who.user_id, UNREAD) as take:

        async def make() -> Listing:
            take(longest)
            try:
                listing = await _listing(request, who, wanted)
            finally:
                take(-longest)
            keep(request.app[TOLD], key, window, moment, listing)
            return listing

        listing: Listing | Told | None = told_before(request.app[TOLD], key, window, moment)
        if listing is None:
            listing = await request.app[LISTINGS].get(key, request.app[READING].of(who.user_id), make)
        if listing.tag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=JSON_HEADERS | {"ETag": listing.tag})
        body = listing.body
        take(min(len(body), longest))
        return await hand_out(request, body, {"ETag": listing.tag})


async def _listing(request: web.Request, who: Identity, wanted: Wanted) -> Listing:
    try:
        page = await request.app[GALLERY].page(wanted)
    except BadCursorError as error:
        raise ApiError(400, "invalid_request", f"{error}.") from None
    body: schemas.Gallery = {
        "generations": [],
        "next_cursor": page.next_cursor,
        "active": [job_of(request, job) async for job in in_turns(page.active)],
        "failed": [job_of(request, job) async for job in in_turns(page.failed)],
        "last_event_id": str(page.head),
        "channel": _channel(who),
    }
    if page.active_more:
        body["active_more"] = True
    if page.failed_more:
        body["failed_more"] = True
    if page.total is not None:
        body["total"] = page.total
    if page.searched is not None:
        body["searched"] = page.searched
    pieces, signed = [], 0
    for job in page.jobs:
        signed += len(job.sent) if isinstance(job, Unread) else len(job.videos)
        if signed > _SIGNED_IN_A_ROW:
            signed = 0
            await asyncio.sleep(0)
        pieces.append(_piece(request, job))
    lasts = wanted.state != "active" and not page.active
    return Listing(pieces, body, f"{who.user_id}/{language_of(request)}", page.server, lasts=lasts)


def _piece(request: web.Request, job: Unread | Generation) -> Piece:
    """A job as JSON, made anew only when something of it has changed, or the time that its addresses are good for."""
    if isinstance(job, Generation):
        return piece_of(_listed(request, job))
    key, rendered = (job.sent, language_of(request), request.app[STORAGE].window), request.app[RENDERED]
    piece = rendered.find(key)
    if piece is None:
        piece = Piece.of(orjson.dumps(_listed(request, job.read())))
        rendered.keep(key, piece, job.size + len(piece.made))
    return piece


def _wanted(who: Identity, wanted: GalleryPage) -> Wanted:
    if wanted.page is not None and wanted.cursor is not None:
        raise ApiError(400, "invalid_request", "page and cursor are two ways to ask for the same: give one.")
    organizations = None if wanted.scope == "own" else who.seen
    return Wanted(who.user_id, wanted.limit, wanted.cursor, wanted.page, organizations, wanted.state, wanted.q)


def _listed(request: web.Request, job: Generation) -> schemas.Generation | schemas.Job:
    if job.state == "COMPLETED":
        return {**generation_of(request, job), "status": "completed"}
    return job_of(request, job)


@describes(
    "One job in any state",
    {200: schemas.JobAsSeen},
    (400, 401, 403, 404, 429, 503),
    query=JobPage,
    who=SIGNED_IN,
)
async def detail(request: web.Request) -> web.StreamResponse:
    """404 also for a job that is not the caller's to see. As `gallery`, it returns once the client has taken it."""
    who = await identify(request)
    wanted = read_query(request, JobPage)
    head, job = await _visible(request, who)
    if wanted.files_after is not None:
        try:
            job = await request.app[VIDEOS].with_files_after(job, wanted.files_after)
        except BadCursorError as error:
            raise ApiError(400, "invalid_request", f"{error}.") from None
    ordered = await request.app[VIDEOS].ordered(job.id)
    steps = await request.app[LOG].timeline(job.id, job.author_id, job.created_at, job.updated_at, _STEPS_MAX)
    seen: schemas.JobAsSeen = {
        **job_of(request, job),
        "number_of_videos": job.kind.number,
        "duration_seconds": job.kind.seconds,
        "person_generation": ordered.persons,
        "input_image": ordered.image,
        "events": [step for one in steps if (step := _step(one)) is not None],
        "last_event_id": str(head),
        "channel": _channel(who),
        "own": job.author_id == who.user_id,
        "may_act": who.may_act(job.author_id),
    }
    body = orjson.dumps(seen)
    with holding(request.app[ANSWERS], who.user_id, UNREAD) as take:
        take(min(len(body), longest_answer(request.app[SETTINGS])))
        return await hand_out(request, body)


def _step(one: Step) -> schemas.Step | None:
    """None of an event that another program wrote, if it does not say when it occurred."""
    said = one.said
    try:
        occurred_at = times.read(said.get("occurred_at"))
    except ValueError:
        occurred_at = None
    if occurred_at is None:
        return None
    return {
        "id": str(one.event_id),
        "event": one.event,
        "status": str(said.get("status", "")),
        "state": str(said.get("state", "")),
        "progress": whole(said.get("progress")),
        "message": text(said.get("message")),
        "occurred_at": times.rfc3339(occurred_at),
    }


@describes("Save a file of a job under its name", {302: None}, (401, 403, 404, 503), who=SIGNED_IN)
async def download(request: web.Request) -> web.StreamResponse:
    """A redirect to where the file lies: the one that is named, or the job's first. 404 also for what lies nowhere that
    a browser may be sent to."""
    _, job = await visible(request)
    file = await request.app[VIDEOS].file(job.id, request.match_info.get("file_id"))
    address = None if file is None else request.app[STORAGE].download(file)
    if address is None:
        raise ApiError(404, "no_file", "There is no such file to save.", job_id=job.id)
    return web.Response(status=302, headers={"Location": address, "Cache-Control": "private, no-store", "Vary": VARY})


def _channel(who: Identity) -> str:
    """The same for two answers if they are for the same user: then tabs may share a stream."""
    return hashlib.blake2s(who.user_id.encode(), digest_size=8).hexdigest()


async def visible(request: web.Request) -> tuple[EventId, Generation]:
    """The log's head and the job that the path names. Raises ApiError 404 where the caller may not see it."""
    return await _visible(request, await identify(request))


async def _visible(request: web.Request, who: Identity) -> tuple[EventId, Generation]:
    head, job = await request.app[VIDEOS].with_head(request.match_info["job_id"])
    if job is None or not who.may_see(job.author_id, job.organization_id):
        raise errors.not_found()
    return head, job
