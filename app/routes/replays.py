"""/api/admin/replays: all webhooks that a filter means are tried again, in the background."""

import asyncio
import time
from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, Field, StrictBool

from app.appkeys import REPLAYS, SETTINGS
from app.db.dead_letters import REPLAYABLE
from app.db.replays import Replay, TooManyReplaysError
from app.db.webhook_rows import LAST_ID, is_id
from app.domain import forms
from app.errors import RETRY_AFTER, ApiError, Problem
from app.routes import schemas
from app.routes.callers import actor, require_admin
from app.routes.describe import OF_BODY, SIGNED_IN, describes
from app.routes.filters import FilterQuery
from app.routes.http import read_model, read_query, reply

# Seconds that an answer waits for the whole preview, and between two looks.
_PREVIEW_SECONDS, _LOOK = 3.0, 0.05

_REFUSALS = (401, 403, 503)

Cursor = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]


class ReplayOrder(FilterQuery):
    """Which webhooks; `dry_run` only tells what each would become."""

    name: Annotated[str, Field(max_length=191)] = ""
    dry_run: StrictBool = False


class ReplaysPage(BaseModel):
    """`cursor` is the `next_cursor` of the page before."""

    cursor: Cursor | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20


class ResultsPage(ReplaysPage):
    """Of this outcome alone, where one is named."""

    outcome: forms.ReplayOutcome | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


@describes(
    "Try all again that a filter means, or tell what that would do",
    {202: forms.Replay},
    (*OF_BODY, *_REFUSALS, 429),
    body=(ReplayOrder,),
    who=SIGNED_IN,
)
async def begin(request: web.Request) -> web.Response:
    """It goes on in the background. Without an outcome, dead and parked ones are meant. The answer waits some seconds
    for what each would become, the `preview`; of very many it has a part of it."""
    who = await require_admin(request)
    order = await read_model(request, ReplayOrder, request.app[SETTINGS].max_body_bytes)
    if order.outcome is not None and order.outcome not in REPLAYABLE:
        said = "only dead, parked or discarded webhooks can be replayed"
        problem: Problem = {"field": "outcome", "message": said}
        raise ApiError(400, "invalid_request", f"Invalid request: outcome: {said}", details=[problem])
    try:
        replay = await request.app[REPLAYS].begin(order.name, order.filter(), actor(who), dry_run=order.dry_run)
    except TooManyReplaysError:
        said = "Too many replays go on; wait until some are done, or abort one."
        raise ApiError(429, "too_many_replays", said, retry_after=RETRY_AFTER) from None
    until = time.monotonic() + _PREVIEW_SECONDS
    while True:
        body = await _form(request, replay)
        if time.monotonic() > until or (body["chosen"] and body["previewed"] == body["total"]):
            return reply(body, 202)
        await asyncio.sleep(_LOOK)
        replay = await _found(request, replay.id)


@describes("Replays, newest first", {200: schemas.Replays}, (400, *_REFUSALS), query=ReplaysPage, who=SIGNED_IN)
async def listed(request: web.Request) -> web.Response:
    """Those that go on, and those that have ended, for `RETENTION_DAYS`."""
    await require_admin(request)
    wanted = read_query(request, ReplaysPage)
    found, next_cursor = await request.app[REPLAYS].page(wanted.limit, wanted.cursor or LAST_ID)
    body: schemas.Replays = {
        "replays": [await _form(request, replay) for replay in found],
        "next_cursor": next_cursor,
    }
    return reply(body)


@describes("One replay", {200: forms.Replay}, (404, *_REFUSALS), who=SIGNED_IN)
async def one(request: web.Request) -> web.Response:
    """How far it is."""
    await require_admin(request)
    return reply(await _form(request, await _found(request, request.match_info["id"])))


@describes(
    "What became of each webhook of a replay",
    {200: schemas.ReplayResults},
    (400, 404, *_REFUSALS),
    query=ResultsPage,
    who=SIGNED_IN,
)
async def results(request: web.Request) -> web.Response:
    """In the order of receipt."""
    await require_admin(request)
    wanted = read_query(request, ResultsPage)
    replay = await _found(request, request.match_info["id"])
    found, next_cursor = await request.app[REPLAYS].results(
        replay.id, wanted.limit, wanted.cursor or "", wanted.outcome
    )
    body: schemas.ReplayResults = {"results": found, "next_cursor": next_cursor}
    return reply(body)


@describes("Abort a replay", {200: forms.Replay}, (404, *_REFUSALS), who=SIGNED_IN)
async def abort(request: web.Request) -> web.Response:
    """Those that it has tried stay as they are now. One that has ended is left as it is."""
    who = await require_admin(request)
    replay = await _found(request, request.match_info["id"])
    await request.app[REPLAYS].abort(replay.id, actor(who))
    return reply(await _form(request, await _found(request, replay.id)))


async def _found(request: web.Request, replay_id: str) -> Replay:
    found = await request.app[REPLAYS].get(replay_id) if is_id(replay_id) else None
    if found is None:
        raise ApiError(404, "not_found", "There is no such replay.")
    return found


async def _form(request: web.Request, replay: Replay) -> forms.Replay:
    return replay.form(await request.app[REPLAYS].counts(replay))
