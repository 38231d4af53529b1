"""/api/admin/generations: those that have ended, one by one, as the statistics count them."""

from typing import Annotated

from aiohttp import web
from pydantic import Field

from app import times
from app.appkeys import GENERATIONS, READING
from app.db.generations import Cursor, Ended
from app.domain import forms
from app.routes import schemas
from app.routes.callers import require_admin
from app.routes.describe import SIGNED_IN, describes
from app.routes.http import read_query, reply
from app.routes.moments import Span, refuse_empty


class GenerationsPage(Span):
    """Which to list: all that is named must be so, in the quarters of an hour that have any of `from` <= t < `to`.
    `ended` is how: "failed" is of any kind. `timed` ones alone: of which it is known how long they took. `cursor` is
    the `next_cursor` of the page before."""

    ended: forms.Ending | None = None
    timed: bool = False
    cursor: Annotated[str | None, Field(pattern=r"^[0-9]{1,9}-[0-9]{1,18}$")] = None
    limit: Annotated[int, Field(ge=1, le=100)] = 50

    def meant(self) -> Ended:
        """Raises ApiError 400."""
        since, until = self.begins() or 0, self.ends()
        refuse_empty(since, until)
        return Ended.between(since, times.now() + 1 if until is None else until, self.ended, timed=self.timed)

    def before(self) -> Cursor | None:
        return None if self.cursor is None else Cursor(*map(int, self.cursor.split("-")))


@describes(
    "Generations that have ended, the last one first",
    {200: schemas.EndedGenerations},
    (400, 401, 403, 503),
    query=GenerationsPage,
    who=SIGNED_IN,
)
async def generations(request: web.Request) -> web.Response:
    """What a figure of the statistics counts, in the time in which their ends were committed. Without `ended` whatever
    completed or failed; cancelled ones where that is asked for. `count`, on the first page, is of all pages."""
    who = await require_admin(request)
    wanted = read_query(request, GenerationsPage)
    meant, before = wanted.meant(), wanted.before()
    listed = request.app[GENERATIONS]
    async with request.app[READING].of(who.user_id):
        found, following = await listed.page(meant, wanted.limit, before)
        body: schemas.EndedGenerations = {
            "generations": found,
            "next_cursor": None if following is None else f"{following.quarter}-{following.event_id}",
            "filter": meant.form(),
        }
        if before is None:
            body["count"] = await listed.count(meant)
    return reply(body)
