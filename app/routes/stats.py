"""/api/admin/stats: what came in and what became of it, by the hour or day of a time zone, and what there is now."""

import asyncio
import re
from collections.abc import Sequence
from itertools import islice
from typing import Annotated, cast
from zoneinfo import ZoneInfo

from aiohttp import web
from pydantic import AfterValidator, Field

from app import times
from app.appkeys import FOLLOWER, GENERATIONS, HUB, LOG, POOL, PROCESSES, READING, SPOOL, STANDINGS
from app.db import statistics, traces
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
from app.routes.moments import Span, refuse_empty

BUCKETS_MAX = 10_000

# Buckets that are made in some milliseconds; then others get their turn.
_IN_A_ROW = 200

_DAY_US = 24 * 3600 * 1_000_000

# Of longer windows it is not told: what was traced would be as many rows more.
_TRACED_DAYS = 100

_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,32}(?:/[A-Za-z0-9_+-]{1,32}){0,2}")


def _known_zone(name: str) -> str:
    try:
        if _ZONE.fullmatch(name):
            ZoneInfo(name)
            return name
    except (ValueError, OSError, LookupError):  # a folder of zones is none, and other files lie there too
        pass
    raise ValueError("must be a time zone of the IANA's, like Europe/Paris")


Zone = Annotated[str, AfterValidator(_known_zone), Field(max_length=100)]


class Wanted(Span):
    """Which buckets: those that have any of `from` <= t < `to`, by default of the last 24 hours."""

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
        total, handed, shown, buckets = Rollup(), Sketch(), Sketch(), []
        at, traced = iter(edges), traces.spans(request.app[POOL], edges, _TRACED_DAYS * _DAY_US, handed)
        async for rollup in statistics.spans(request.app[POOL], edges):
            on_screens = await anext(traced)
            total.add(rollup)
            shown.add(on_screens)
            buckets.append(schemas.Bucket(start=times.rfc3339(next(at)), **_figures(rollup, on_screens)))
            if len(buckets) % _IN_A_ROW == 0:
                await asyncio.sleep(0)
        kept_from = await request.app[GENERATIONS].kept_from()
        body: schemas.Stats = {
            "from": times.rfc3339(edges[0]),
            "to": times.rfc3339(edges[-1]),
            "bucket": wanted.bucket,
            "timezone": wanted.timezone,
            "buckets": buckets,
            "totals": cast("schemas.Totals", _figures(total, shown)),
            "now": await _now(request.app),
            "kept_from": None if kept_from is None else times.rfc3339(kept_from),
            "may_act": not who.only_looks,
        }
        if handed.count:
            body["totals"]["handed_ms"] = _times(handed, 1_000)
    return reply(body)


def _edges(wanted: Wanted) -> list[int]:
    """The starts of all buckets, and the end of the last one. Raises ApiError."""
    zone = ZoneInfo(wanted.timezone)
    now = times.now()
    last = wanted.ends(zone)
    if last is None:
        *_, last = starts(now, now + 1, wanted.bucket, zone)
    first = wanted.begins(zone)
    if first is None:
        first = last - _DAY_US
    refuse_empty(first, last)
    found = [*islice(starts(first, last, wanted.bucket, zone), BUCKETS_MAX + 2)]
    if len(found) > BUCKETS_MAX + 1:
        said = f"These are more than {BUCKETS_MAX:,} buckets: ask for less at once, or for days."
        raise ApiError(400, "too_many_buckets", said)
    return found


def _figures(rollup: Rollup, shown: Sketch) -> schemas.Figures:
    finished, failed = rollup.finished, rollup.failed.total()
    figures: schemas.Figures = {
        "webhooks": {outcome: rollup.webhooks[outcome] for outcome in OUTCOMES},
        "finished": finished,
        "failed": failed,
        "failed_by_kind": dict(sorted(rollup.failed.items())),
        "success_rate": finished / (finished + failed) if finished or failed else None,
        "job_seconds": _times(rollup.job_times, 1_000_000),
        "webhook_ms": _times(rollup.webhook_times, 1_000),
    }
    if shown.count:
        figures["shown_ms"] = _times(shown, 1_000)
    return figures


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
    sse, websocket = app[HUB].by_transport()
    return Has(await lag(app), sse, websocket, app[SPOOL].pending)


async def lag(app: web.Application) -> int:
    """Committed events that this process has not handed on yet. Raises DatabaseAwayError."""
    head = await app[LOG].head()
    return max(0, head.number - app[FOLLOWER].last_id)
