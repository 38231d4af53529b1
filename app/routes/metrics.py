"""/metrics: what Prometheus reads."""

import asyncio
import hmac
from contextlib import suppress

from aiohttp import web
from prometheus_client.core import Metric

from app import metrics
from app.appkeys import HUB, METRICS, PROCESSES, SETTINGS, SIBLINGS, SPOOL, STANDINGS
from app.db.errors import DatabaseError
from app.db.standing import Standing
from app.metrics import counter, gauge
from app.routes import ops, stats
from app.routes.callers import is_from_here
from app.routes.describe import describes
from app.routes.senders import refusal

# Seconds that the database has for a figure of one process: another worker, which may be asking, waits twice as long.
_SOON = 0.5


@describes("Figures for Prometheus", {200: "text/plain"}, (401, 429), who=[{}, {"metrics": []}])
async def scrape(request: web.Request) -> web.Response:
    """Of all workers of this server, and what the database has for all servers. For programs of this machine, or with
    `Authorization: Bearer METRICS_TOKEN`."""
    if not is_from_here(request) and not _knows_token(request):
        raise refusal(request, "Unauthorized: send Authorization: Bearer and METRICS_TOKEN.")
    app = request.app
    siblings = app[SIBLINGS]
    families, shared, others = await asyncio.gather(of_process(app), _of_all(app), _of_others(app))
    if siblings is not None:
        told = {str(siblings.place): metrics.packed(families)} | others
        families = await asyncio.to_thread(metrics.joined, dict(sorted(told.items())))
    body = await asyncio.to_thread(metrics.text, [*families, *shared])
    return web.Response(body=body, headers={"Content-Type": metrics.CONTENT_TYPE, "Cache-Control": "no-store"})


def _knows_token(request: web.Request) -> bool:
    token = request.app[SETTINGS].metrics_token
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    if token is None or kind.lower() != "bearer":
        return False
    return hmac.compare_digest(given.strip().encode(errors="surrogateescape"), token.get_secret_value().encode())


async def of_process(app: web.Application) -> list[Metric]:
    """What this process has, and has counted."""
    hub = app[HUB]
    sse, websocket = hub.by_transport()
    return [
        # It looks at each open file, and at each series: what it finds is safe to read beside us.
        *await asyncio.to_thread(app[METRICS].families),
        gauge("rushes_build_info", "The version that runs.", {app[PROCESSES].version: 1}, "version"),
        gauge("rushes_streams", "Open streams, by transport.", {"sse": sse, "websocket": websocket}, "transport"),
        counter("rushes_streams_ended", "Streams that ended, by why.", hub.ended, "why"),
        counter("rushes_events_handed_on", "Events of the log handed to whoever listens.", {None: hub.published}),
        counter("rushes_stream_writes", "Events written to a stream.", {None: hub.writes}),
        gauge(
            "rushes_spooled_webhooks", "Webhooks on disk, to be written to the database.", {None: app[SPOOL].pending}
        ),
        *await _lag(app),
    ]


async def _lag(app: web.Application) -> list[Metric]:
    """Nothing while the database is away: nobody knows then."""
    with suppress(DatabaseError, TimeoutError):
        async with asyncio.timeout(_SOON):
            return [gauge("rushes_lag_events", "Committed events not yet handed on.", {None: await stats.lag(app)})]
    return []


async def _of_others(app: web.Application) -> dict[str, bytes]:
    """What the other workers have, packed, by their places."""
    siblings = app[SIBLINGS]
    return {} if siblings is None else await siblings.told()


async def _of_all(app: web.Application) -> list[Metric]:
    """What is the same whichever process is asked."""
    up = {name: said == ops.OK for name, said in (await ops.dependencies(app)).items()}
    found = [gauge("rushes_dependency_up", "Whether it can be used: 1 or 0.", up, "dependency")]
    if not up["database"]:
        return found  # what was counted before is there still, and may be long untrue
    with suppress(DatabaseError, TimeoutError):
        async with asyncio.timeout(app[SETTINGS].health_timeout):
            found += _as_it_stands(await app[STANDINGS].now())
    return found


def _as_it_stands(standing: Standing) -> list[Metric]:
    waiting = {"dead": standing.dead, "parked": standing.parked, "set_aside": standing.set_aside}
    oldest = standing.oldest_unfinished
    return [
        gauge("rushes_jobs", "Jobs, by state.", standing.jobs, "state"),
        gauge(
            "rushes_stalled_jobs",
            "Unfinished jobs of which nothing was heard for STALL_AFTER.",
            {None: standing.stalled},
        ),
        gauge("rushes_waiting_webhooks", "Webhooks that were not applied, by why.", waiting, "outcome"),
        gauge(
            "rushes_oldest_unfinished_job_timestamp_seconds",
            "When the oldest unfinished job was made; not there without one.",
            {} if oldest is None else {None: oldest / 1e6},
        ),
    ]
