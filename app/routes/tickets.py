"""POST /api/stream-tickets: what an EventSource or a WebSocket of a browser carries instead of a token."""

from aiohttp import web

from app import times
from app.appkeys import TICKETS, TOKENS
from app.errors import ApiError
from app.routes.callers import identify
from app.routes.http import reply


async def buy(request: web.Request) -> web.Response:
    who = await identify(request)
    if request.app[TOKENS] is None:
        raise ApiError(409, "no_ticket_needed", "Nobody signs in here: open the stream without a ticket.")
    ticket, expires_at = await request.app[TICKETS].make(who)
    return reply({"ticket": ticket, "expires_at": times.rfc3339(int(expires_at * 1_000_000))})
