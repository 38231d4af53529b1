"""The way of an event to the screen: what browsers tell of it, and how far it came, for admins."""

import re
from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, Field

from app import errors, times
from app.appkeys import TRACED, TRACES
from app.domain.trace import Painted
from app.errors import ApiError
from app.push.traces import TooManyReportsError
from app.routes import schemas
from app.routes.callers import identify, require_admin
from app.routes.describe import LISTENER, OF_BODY, SIGNED_IN, describes
from app.routes.http import read_model, reply

_BYTES_MAX = 4096

_ID = re.compile(r"(?P<number>[0-9]{1,19})-(?P<digits>[0-9a-f]{8})", re.ASCII)

# A report names the newest of what was shown since the last one.
_OLDEST, _LONGEST_TRIP, _LONGEST_STREAM = 60_000, 10_000, 31_536_000_000

EventName = Annotated[str, Field(pattern=f"^{_ID.pattern.replace('?P<number>', '').replace('?P<digits>', '')}$")]


class Seen(BaseModel):
    """An event that was painted `age` ms before the report was sent."""

    id: EventName
    age: Annotated[float, Field(ge=0, le=_OLDEST, allow_inf_nan=False, strict=True)]


class Report(BaseModel):
    """What a browser has painted of a stream that `process` sends it, which it opened `opened` ms before; a request to
    the server and back takes it `trip` ms. All by its own monotonic clock."""

    process: Annotated[str, Field(pattern="^[0-9a-f]{12}$")]
    opened: Annotated[float, Field(ge=0, le=_LONGEST_STREAM, allow_inf_nan=False, strict=True)]
    trip: Annotated[float, Field(ge=0, le=_LONGEST_TRIP, allow_inf_nan=False, strict=True)]
    seen: Annotated[list[Seen], Field(max_length=20)]


@describes(
    "Tell what a stream's events were painted",
    {200: schemas.Taken},
    (*OF_BODY, 401, 403, 409, 429, 503),
    body=(Report,),
    who=LISTENER,
)
async def shown(request: web.Request) -> web.Response:
    """By whom a stream asks for it in its first comment. Taken are events that the caller can have been sent just now,
    each once; the others are passed over without a word."""
    at = times.now()
    who = await identify(request, ticket=True, looks=True)
    traces = request.app[TRACES]
    if not traces.is_on:
        raise ApiError(409, "not_traced", "Nothing is traced here.")
    try:
        traces.count_in(who.user_id)
    except TooManyReportsError:
        raise ApiError(429, "too_many_reports", "That is told too often.", retry_after=errors.RETRY_AFTER) from None
    report = await read_model(request, Report, _BYTES_MAX)
    half = int(report.trip * 500)
    opened_at = at - half - int(report.opened * 1000)
    taken = 0
    for seen in report.seen:
        number, digits = _read(seen.id)
        painted = Painted(number, report.process, at - half - int(seen.age * 1000), opened_at, half)
        taken += traces.told(painted, digits, who.user_id, who.may_see)
    body: schemas.Taken = {"success": True, "taken": taken}
    return reply(body)


def _read(event_id: str) -> tuple[int, str]:
    """Raises ApiError 404 for what is no id of an event."""
    found = _ID.fullmatch(event_id)
    if found is None:
        raise ApiError(404, "not_found", "There is no such event.")
    return int(found["number"]), found["digits"]


@describes("How far an event came", {200: schemas.Trace}, (401, 403, 404, 503), who=SIGNED_IN)
async def trace(request: web.Request) -> web.Response:
    """Of the events that are traced: all while they are few. 404 `not_traced` of the others, and after two days."""
    await require_admin(request)
    event_id = request.match_info["event_id"]
    way = await request.app[TRACED].way(*_read(event_id))
    if way is None:
        raise ApiError(404, "not_traced", "That event is not traced, or not any more.")
    body: schemas.Trace = {
        "event_id": event_id,
        "committed_at": None if way.committed_at is None else times.rfc3339(way.committed_at),
        "handed_at": times.rfc3339(way.handed_at),
        "handed_last_at": times.rfc3339(way.handed_last_at),
        "sockets": way.sockets,
        "shown_at": None if way.shown_at is None else times.rfc3339(way.shown_at),
        "shown": way.shown,
    }
    return reply(body)
