"""/api/admin/webhooks: what came in, and what to do with what was not applied."""

import time
from collections import Counter
from typing import Annotated, Literal

from aiohttp import web
from pydantic import BaseModel, Field

from app.appkeys import RECEIVED, SETTINGS, WRITER
from app.db.dead_letters import OPEN, WholeWebhook
from app.domain import forms
from app.errors import ApiError
from app.routes import schemas
from app.routes.callers import require_admin
from app.routes.describe import OF_BODY, SIGNED_IN, describes
from app.routes.http import read_model, read_query, reply

# A page of a replay may take as long as one answer to a sender, and comes on top.
_REPLAY_SECONDS = 5.0

_REFUSALS = (401, 403, 503)

Cursor = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]


class WebhooksPage(BaseModel):
    """Which webhooks to list; `cursor` is the `next_cursor` of the page before."""

    outcome: forms.Outcome | None = None
    job_id: str | None = None
    cursor: Cursor | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 50


class Replay(BaseModel):
    """Which webhooks to replay; `cursor` goes on after an answer that said `more`."""

    outcome: Literal["dead", "parked"]
    cursor: Cursor | None = None


@describes(
    "Received webhooks, newest first",
    {200: schemas.Webhooks},
    (400, *_REFUSALS),
    query=WebhooksPage,
    who=SIGNED_IN,
)
async def webhooks(request: web.Request) -> web.Response:
    """A page of them, without what came in."""
    await require_admin(request)
    wanted = read_query(request, WebhooksPage)
    found, next_cursor = await request.app[RECEIVED].page(
        wanted.limit,
        before=wanted.cursor,
        outcomes=(wanted.outcome,) if wanted.outcome else (),
        job_id=wanted.job_id,
    )
    body: schemas.Webhooks = {"webhooks": [webhook.summary() for webhook in found], "next_cursor": next_cursor}
    return reply(body)


@describes(
    "One, with its payload, its headers, and what a replay would change",
    {200: forms.WholeWebhook},
    (404, *_REFUSALS),
    who=SIGNED_IN,
)
async def webhook(request: web.Request) -> web.Response:
    """`replay`, of a dead or parked one alone, is found by trying it in a transaction that is rolled back."""
    await require_admin(request)
    found = await _found(request)
    body = found.detail()
    if found.outcome in OPEN:
        body["replay"] = await request.app[RECEIVED].preview(found)
    return reply(body)


@describes("Try a dead or parked webhook again", {200: forms.Replayed}, (404, *_REFUSALS), who=SIGNED_IN)
async def replay(request: web.Request) -> web.Response:
    """Answered once it is committed, or queued; any other webhook is left as it is, and the answer says so."""
    await require_admin(request)
    return reply(await request.app[RECEIVED].replay(await _found(request), request.app[WRITER]))


@describes(
    "Try all dead, or all parked, again",
    {200: schemas.ReplayedMany},
    (*OF_BODY, *_REFUSALS),
    body=(Replay,),
    who=SIGNED_IN,
)
async def replay_many(request: web.Request) -> web.Response:
    """As many as a few seconds are enough for; `more` tells that the cursor has to be sent for the rest."""
    await require_admin(request)
    wanted = await read_model(request, Replay, request.app[SETTINGS].max_body_bytes)
    deadline = time.monotonic() + _REPLAY_SECONDS
    outcomes: Counter[str] = Counter()
    after = wanted.cursor
    while True:
        answers, after = await request.app[RECEIVED].replay_some(request.app[WRITER], (wanted.outcome,), after)
        outcomes.update(answer["outcome"] for answer in answers)
        if after is None or time.monotonic() > deadline:
            break
    body: schemas.ReplayedMany = {
        "replayed": outcomes.total(),
        "outcomes": outcomes,
        "more": after is not None,
        "next_cursor": after,
    }
    return reply(body)


@describes("Give a dead or parked webhook up", {200: schemas.Discarded}, (404, *_REFUSALS), who=SIGNED_IN)
async def discard(request: web.Request) -> web.Response:
    """Any other webhook is left as it is, and the answer says so."""
    await require_admin(request)
    found = await _found(request)
    discarded = await request.app[RECEIVED].discard([found.id])
    now = await _found(request)
    body: schemas.Discarded = {"webhook_id": now.id, "changed": bool(discarded), "outcome": now.outcome}
    if not discarded:
        body["message"] = f"It is {now.outcome} already: nothing was changed."
    return reply(body)


async def _found(request: web.Request) -> WholeWebhook:
    found = await request.app[RECEIVED].get(request.match_info["id"])
    if found is None:
        raise ApiError(404, "not_found", "There is no such webhook.")
    return found
