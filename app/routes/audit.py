"""/api/admin/audit: who did what."""

from typing import Annotated

from aiohttp import web
from pydantic import Field

from app.appkeys import AUDIT
from app.db.audit import NEWEST, AuditFilter
from app.domain.audit import Act
from app.routes import schemas
from app.routes.callers import require_admin
from app.routes.describe import SIGNED_IN, describes
from app.routes.http import read_query, reply
from app.routes.moments import Span, refuse_empty


class AuditPage(Span):
    """Which acts to list: all that is named must be so; `cursor` is the `next_cursor` of the page before."""

    who: str | None = None
    act: Act | None = None
    webhook_id: str | None = None
    job_id: str | None = None
    cursor: Annotated[int | None, Field(ge=1, le=NEWEST)] = None
    limit: Annotated[int, Field(ge=1, le=100)] = 50

    def filter(self) -> AuditFilter:
        """Raises ApiError 400."""
        since, until = self.begins() or 0, self.ends()
        refuse_empty(since, until)
        return AuditFilter(self.who, self.act, self.webhook_id, self.job_id, since, until)


@describes(
    "Who did what, newest first",
    {200: schemas.AuditPage},
    (400, 401, 403, 503),
    query=AuditPage,
    who=SIGNED_IN,
)
async def audit(request: web.Request) -> web.Response:
    """Of admins and commands. Each was written down in the transaction that did it."""
    await require_admin(request)
    wanted = read_query(request, AuditPage)
    meant = wanted.filter()
    found, before = await request.app[AUDIT].page(meant, wanted.limit, wanted.cursor)
    body: schemas.AuditPage = {
        "audit": found,
        "next_cursor": None if before is None else str(before),
        "filter": meant.form(),
    }
    return reply(body)
