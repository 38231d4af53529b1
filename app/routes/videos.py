"""Jobs as the pages read them."""

import hashlib
from typing import Annotated

import orjson
from aiohttp import web
from pydantic import BaseModel, Field

from app import errors
from app.appkeys import ANSWERS, READING, SETTINGS, STORAGE, VIDEOS
from app.auth.tokens import Identity
from app.db.videos import BadCursorError, Generation
from app.domain.event import EventId
from app.errors import ApiError
from app.routes import schemas
from app.routes.callers import identify
from app.routes.describe import SIGNED_IN, describes
from app.routes.http import VARY, TooMuch, hand_out, holding, read_query
from app.routes.shown import generation_of, job_of
from app.settings import Settings

_UNREAD = TooMuch(
    "too_much_unread",
    of_one="You have not read what you were answered; read that first.",
    of_all="Too many answers are on their way; try again shortly.",
)


def longest_answer(settings: Settings) -> int:
    """Bytes for which any answer counts at most: two lists."""
    return 2 * settings.list_max_bytes


class GalleryPage(BaseModel):
    """Which finished videos to list; `cursor` is the `next_cursor` of the page before."""

    limit: Annotated[int, Field(ge=1, le=100)] = 12
    cursor: str | None = None


class JobPage(BaseModel):
    """Which files of a job to show: those that follow the one of that id."""

    files_after: Annotated[str, Field(min_length=1, max_length=191)] | None = None


@describes(
    "The caller's finished videos, newest first, and his unfinished jobs",
    {200: schemas.Gallery},
    (400, 401, 403, 429, 503),
    query=GalleryPage,
    who=SIGNED_IN,
)
async def gallery(request: web.Request) -> web.StreamResponse:
    """A page, of one read view of the log. It returns once the client has taken it, and until then counts against what
    he may leave unread: as the longest there may be while it is made."""
    who = await identify(request)
    wanted = read_query(request, GalleryPage)
    longest = longest_answer(request.app[SETTINGS])
    with holding(request.app[ANSWERS], who.user_id, _UNREAD) as take:
        async with request.app[READING].of(who.user_id):
            take(longest)
            body = orjson.dumps(await _gallery(request, who, wanted))
            take(min(len(body), longest) - longest)
        return await hand_out(request, body)


async def _gallery(request: web.Request, who: Identity, wanted: GalleryPage) -> schemas.Gallery:
    try:
        page = await request.app[VIDEOS].gallery(who.user_id, wanted.limit, wanted.cursor)
    except BadCursorError as error:
        raise ApiError(400, "invalid_request", f"{error}.") from None
    body: schemas.Gallery = {
        "generations": [{**generation_of(request, job), "status": "completed"} for job in page.completed],
        "next_cursor": page.next_cursor,
        "active": [job_of(request, job) for job in page.active],
        "last_event_id": str(page.head),
        "channel": _channel(who),
    }
    if page.active_more:
        body["active_more"] = True
    return body


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
    head, job = await _visible(request, who, request.match_info["job_id"])
    if wanted.files_after is not None:
        try:
            job = await request.app[VIDEOS].with_files_after(job, wanted.files_after)
        except BadCursorError as error:
            raise ApiError(400, "invalid_request", f"{error}.") from None
    seen: schemas.JobAsSeen = {
        **job_of(request, job),
        "last_event_id": str(head),
        "channel": _channel(who),
        "own": job.author_id == who.user_id,
    }
    body = orjson.dumps(seen)
    with holding(request.app[ANSWERS], who.user_id, _UNREAD) as take:
        take(min(len(body), longest_answer(request.app[SETTINGS])))
        return await hand_out(request, body)


@describes("Save a file of a job under its name", {302: None}, (401, 403, 404, 503), who=SIGNED_IN)
async def download(request: web.Request) -> web.StreamResponse:
    """A redirect to where the file lies: the one that is named, or the job's first. 404 also for what lies nowhere that
    a browser may be sent to."""
    who = await identify(request)
    _, job = await _visible(request, who, request.match_info["job_id"])
    file = await request.app[VIDEOS].file(job.id, request.match_info.get("file_id"))
    address = None if file is None else request.app[STORAGE].download(file)
    if address is None:
        raise ApiError(404, "no_file", "There is no such file to save.", job_id=job.id)
    return web.Response(status=302, headers={"Location": address, "Cache-Control": "private, no-store", "Vary": VARY})


def _channel(who: Identity) -> str:
    """The same for two answers if they are for the same user: then tabs may share a stream."""
    return hashlib.blake2s(who.user_id.encode(), digest_size=8).hexdigest()


async def _visible(request: web.Request, who: Identity, job_id: str) -> tuple[EventId, Generation]:
    """The log's head and the job. Raises ApiError 404."""
    head, job = await request.app[VIDEOS].with_head(job_id)
    if job is None or not who.may_see(job.author_id, job.organization_id):
        raise errors.not_found()
    return head, job
