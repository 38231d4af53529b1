"""/api/admin/webhooks: what came in, and what to do with what was not applied."""

import json
from collections.abc import AsyncIterator
from typing import Annotated

import structlog
from aiohttp import web
from pydantic import Field

from app.appkeys import READING, RECEIVED, SETTINGS, WEBHOOK_LIST, WRITER
from app.db.dead_letters import REPLAYABLE
from app.db.webhook_list import Filter
from app.db.webhook_rows import WholeWebhook
from app.domain import forms
from app.errors import ApiError
from app.routes import cors, csv_rows, schemas
from app.routes.callers import actor, require_admin
from app.routes.describe import SIGNED_IN, describes
from app.routes.filters import FilterQuery
from app.routes.http import read_query, reply
from app.routes.whole import JSON_HEADERS

log = structlog.get_logger(__name__)

_REFUSALS = (401, 403, 503)

_CSV_HEADERS = JSON_HEADERS | {
    "Content-Type": f"{csv_rows.MEDIA_TYPE}; charset=utf-8",
    "Content-Disposition": 'attachment; filename="webhooks.csv"',
}

Cursor = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]


class WebhooksPage(FilterQuery):
    """Which webhooks to list; `cursor` is the `next_cursor` of the page before."""

    cursor: Cursor | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 50


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
    meant = wanted.filter()
    found, next_cursor = await request.app[WEBHOOK_LIST].page(meant, wanted.limit, wanted.cursor)
    body: schemas.Webhooks = {
        "webhooks": [webhook.summary() for webhook in found],
        "next_cursor": next_cursor,
        "filter": meant.form(),
    }
    return reply(body)


@describes("How many there are", {200: schemas.WebhookCount}, (400, *_REFUSALS), query=FilterQuery, who=SIGNED_IN)
async def count(request: web.Request) -> web.Response:
    """By the same filter as the list. One at a time of each admin's is counted."""
    who = await require_admin(request)
    meant = read_query(request, FilterQuery).filter()
    async with request.app[READING].of(who.user_id):
        number, more = await request.app[WEBHOOK_LIST].count(meant)
    body: schemas.WebhookCount = {"count": number, "filter": meant.form()}
    if more:
        body["more"] = True
    return reply(body)


@describes(
    "The same list as CSV, whole", {200: csv_rows.MEDIA_TYPE}, (400, *_REFUSALS), query=FilterQuery, who=SIGNED_IN
)
async def webhooks_csv(request: web.Request) -> web.StreamResponse:
    """Newest first, with a header line; the header `X-Filter` says which, as JSON. Rows are read as they are taken: one
    that is cut short has no end, so that nobody takes it for all."""
    who = await require_admin(request)
    meant = read_query(request, FilterQuery).filter()
    response = web.StreamResponse(headers=_CSV_HEADERS | cors.allowed(request))
    response.headers["X-Filter"] = json.dumps(meant.form())
    # Beside what else he reads, which does not wait for this.
    async with request.app[READING].of(f"{who.user_id}\n{csv_rows.MEDIA_TYPE}"):
        try:
            async for lines in _lines(request, meant):
                await response.prepare(request)  # what fails before this is answered as an error
                await response.write(lines)
        except Exception as error:
            if not response.prepared:
                raise
            log.warning("csv_cut_short", error=str(error))
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError from error
    await response.write_eof()
    return response


async def _lines(request: web.Request, meant: Filter) -> AsyncIterator[bytes]:
    head = csv_rows.line(forms.Webhook.__annotations__)
    async for ids in request.app[WEBHOOK_LIST].walk(meant):
        found = await request.app[WEBHOOK_LIST].rows(ids)
        yield head + b"".join(csv_rows.line(webhook.summary().values()) for webhook in found)
        head = b""


@describes(
    "One, with its payload, its headers, and what a replay would change",
    {200: forms.WholeWebhook},
    (404, *_REFUSALS),
    who=SIGNED_IN,
)
async def webhook(request: web.Request) -> web.Response:
    """`replay`, of a dead or parked one alone, is found by trying it in a transaction that is rolled back."""
    who = await require_admin(request)
    found = await _found(request)
    hides = who.only_looks and request.app[SETTINGS].admin_hide_payloads
    body = found.without_payload() if hides else found.detail()
    if found.outcome in REPLAYABLE:
        preview = await request.app[RECEIVED].preview(found)
        # Columns and files are what the payload says.
        body["replay"] = _outcome_alone(preview) if hides else preview
    return reply(body)


def _outcome_alone(preview: forms.Preview) -> forms.Preview:
    return {"outcome": preview["outcome"], "code": preview["code"], "error": preview["error"]}


@describes("Try a dead, parked or discarded webhook again", {200: forms.Replayed}, (404, *_REFUSALS), who=SIGNED_IN)
async def replay(request: web.Request) -> web.Response:
    """Answered once it is committed; any other webhook is left as it is, and the answer says so."""
    by = actor(await require_admin(request))
    return reply(await request.app[RECEIVED].replay(await _found(request), request.app[WRITER], by))


@describes("Give a dead or parked webhook up", {200: schemas.Discarded}, (404, *_REFUSALS), who=SIGNED_IN)
async def discard(request: web.Request) -> web.Response:
    """Any other webhook is left as it is, and the answer says so."""
    who = await require_admin(request)
    found = await _found(request)
    discarded = await request.app[RECEIVED].discard([found.id], actor(who))
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
