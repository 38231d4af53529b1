"""/api/admin/stats: what came in and what became of it, by the hour or day of a time zone, and what there is now."""

import asyncio
import re
from collections.abc import Sequence
from datetime import date, datetime, time, tzinfo
from itertools import islice
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from aiohttp import web
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, WithJsonSchema

from app import times
from app.appkeys import FOLLOWER, HUB, LOG, POOL, PROCESSES, READING, SPOOL, STANDINGS
from app.db import statistics
from app.db.processes import Has, Process
from app.db.standing import Standing
from app.domain.rollup import OUTCOMES, Rollup
from app.domain.sketch import Sketch
from app.domain.spans import Size, starts
from app.errors import ApiError
from app.routes import schemas
from app.routes.callers import require_admin
from app.routes.describe import SIGNED_IN, describes
from app.routes.http import read_query, reply

BUCKETS_MAX = 10_000

# Buckets that are made in some milliseconds; then others get their turn.
_IN_A_ROW = 200

_DAY_US = 24 * 3600 * 1_000_000
_LAST_YEAR = 9998

_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,32}(?:/[A-Za-z0-9_+-]{1,32}){0,2}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)

_A_TIME = "a time like 2025-10-23T14:30:00Z, or a date"


def _moment(value: Any) -> int | date:
    """Microseconds since 1970, or a day of the time zone that is asked for. Raises ValueError."""
    if isinstance(value, str) and _DATE.fullmatch(value):
        found = date.fromisoformat(value)
        if not 1970 < found.year <= _LAST_YEAR:  # noqa: PLR2004
            raise ValueError("must be between the years 1971 and 9998")
        return found
    at = times.read(value)
    if at is None:
        raise ValueError(f"must be {_A_TIME}")
    return at


def _known_zone(name: str) -> str:
    try:
        if _ZONE.fullmatch(name):
            ZoneInfo(name)
            return name
    except (ValueError, OSError, LookupError):  # a folder of zones is none, and other files lie there too
        pass
    raise ValueError("must be a time zone of the IANA's, like Europe/Paris")


Moment = Annotated[
    Any, BeforeValidator(_moment), WithJsonSchema({"type": "string", "description": f"It is {_A_TIME} of `timezone`."})
]
Zone = Annotated[str, AfterValidator(_known_zone), Field(max_length=100)]


class Wanted(BaseModel):
    """Which buckets: those that have any of `from` <= t < `to`, by default of the last 24 hours."""

    since: Annotated[Moment | None, Field(alias="from")] = None
    until: Annotated[Moment | None, Field(alias="to")] = None
    bucket: Size = "hour"
    timezone: Zone = "UTC"


@describes(
    "What came in, and what became of it",
    {200: schemas.Stats},
    (400, 401, 403, 503),
    query=Wanted,
    who=SIGNED_IN,
)
async def stats(request: web.Request) -> web.Response:
    """By the hour or day of a time zone, in all, and as it stands now."""
    who = await require_admin(request)
    wanted = read_query(request, Wanted)
    edges = await asyncio.to_thread(_edges, wanted)
    async with request.app[READING].of(who.user_id):
        total, buckets = Rollup(), []
        at = iter(edges)
        async for rollup in statistics.spans(request.app[POOL], edges):
            total.add(rollup)
            buckets.append(schemas.Bucket(start=times.rfc3339(next(at)), **_figures(rollup)))
            if len(buckets) % _IN_A_ROW == 0:
                await asyncio.sleep(0)
        body: schemas.Stats = {
            "from": times.rfc3339(edges[0]),
            "to": times.rfc3339(edges[-1]),
            "bucket": wanted.bucket,
            "timezone": wanted.timezone,
            "buckets": buckets,
            "totals": _figures(total),
            "now": await _now(request.app),
        }
    return reply(body)


def _edges(wanted: Wanted) -> list[int]:
    """The starts of all buckets, and the end of the last one. Raises ApiError."""
    zone = ZoneInfo(wanted.timezone)
    now = times.now()
    last = _begin(wanted.until, zone)
    if last is None:
        *_, last = starts(now, now + 1, wanted.bucket, zone)
    first = _begin(wanted.since, zone)
    if first is None:
        first = last - _DAY_US
    if first >= last:
        raise ApiError(400, "invalid_request", "Invalid request: `from` must be before `to`.")
    found = [*islice(starts(first, last, wanted.bucket, zone), BUCKETS_MAX + 2)]
    if len(found) > BUCKETS_MAX + 1:
        said = f"These are more than {BUCKETS_MAX:,} buckets: ask for less at once, or for days."
        raise ApiError(400, "too_many_buckets", said)
    return found


def _begin(at: int | date | None, zone: tzinfo) -> int | None:
    return times.microseconds(datetime.combine(at, time(), zone)) if isinstance(at, date) else at


def _figures(rollup: Rollup) -> schemas.Figures:
    finished, failed = rollup.finished, rollup.failed.total()
    return {
        "webhooks": {outcome: rollup.webhooks[outcome] for outcome in OUTCOMES},
        "finished": finished,
        "failed": failed,
        "failed_by_kind": dict(sorted(rollup.failed.items())),
        "success_rate": finished / (finished + failed) if finished or failed else None,
        "job_seconds": _times(rollup.job_times, 1_000_000),
        "webhook_ms": _times(rollup.webhook_times, 1_000),
    }


def _times(sketch: Sketch, unit: int) -> schemas.Times:
    mean = sketch.mean
    if mean is None:
        return {"mean": None, "p50": None, "p95": None, "n": 0}
    p50, p95 = sketch.quantiles(0.5, 0.95)
    return {"mean": mean / unit, "p50": p50 / unit, "p95": p95 / unit, "n": sketch.count}


async def _now(app: web.Application) -> schemas.Now:
    standing = await app[STANDINGS].now()
    processes = await app[PROCESSES].there(await has(app))
    return _as_it_stands(standing, processes)


def _as_it_stands(standing: Standing, processes: Sequence[Process]) -> schemas.Now:
    oldest = standing.oldest_unfinished
    return {
        "jobs_by_state": standing.jobs,
        "stalled": standing.stalled,
        "oldest_unfinished_seconds": None if oldest is None else max(0.0, (times.now() - oldest) / 1e6),
        "dead": standing.dead,
        "parked": standing.parked,
        "spooled": sum(process.has.spooled for process in processes),
        "set_aside": standing.set_aside,
        "connections": {
            "sse": sum(process.has.sse for process in processes),
            "websocket": sum(process.has.websocket for process in processes),
        },
        "processes": [
            {
                "id": process.id,
                "version": process.version,
                "started_at": times.rfc3339(process.started_at),
                "lag": process.has.lag,
            }
            for process in processes
        ],
    }


async def has(app: web.Application) -> Has:
    """What this process has now. Raises DatabaseAwayError."""
    head = await app[LOG].head()
    sse, websocket = app[HUB].by_transport()
    return Has(max(0, head.number - app[FOLLOWER].last_id), sse, websocket, app[SPOOL].pending)
