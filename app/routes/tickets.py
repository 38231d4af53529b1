"""POST /api/stream-tickets: what an EventSource or a WebSocket of a browser carries instead of a token."""

from aiohttp import web

from app import times
from app.appkeys import TICKETS, TOKENS
from app.errors import ApiError
from app.routes import schemas
from app.routes.callers import identify
from app.routes.describe import SIGNED_IN, describes
from app.routes.http import reply


@describes(
    "Buy what opens a stream where no header can be set",
    {200: schemas.Ticket},
    (401, 403, 409, 503),
    who=SIGNED_IN,
)
async def buy(request: web.Request) -> web.Response:
    """A ticket good for streams of whoever asks, for `TICKET_TTL` seconds; 409 where nobody signs in."""
    who = await identify(request, looks=True)
    if request.app[TOKENS] is None:
        raise ApiError(409, "no_ticket_needed", "Nobody signs in here: open the stream without a ticket.")
    ticket, expires_at = await request.app[TICKETS].make(who)
    body: schemas.Ticket = {"ticket": ticket, "expires_at": times.rfc3339(int(expires_at * 1_000_000))}
    return reply(body)
