"""Liveness and readiness, of the process and of its webhooks."""

import asyncio
from typing import cast

from aiohttp import web

from app import times
from app.appkeys import BUS, LOG, POOL, READINESS, SETTINGS, TOKENS
from app.db.errors import DatabaseAwayError, DatabaseError
from app.db.writer import set_aside
from app.errors import RETRY_AFTER
from app.readiness import AWAY, why
from app.routes import schemas
from app.routes.describe import describes
from app.routes.http import reply

OK = "ok"


@describes("Whether webhooks are applied at once", {200: schemas.Health, 503: schemas.Health})
async def health(request: web.Request) -> web.Response:
    """503 while the database is away: webhooks are taken then, and queued."""
    healthy = await _database(request.app) == OK
    body: schemas.Health = {
        "status": "healthy" if healthy else "degraded",
        "webhook": "video-completion",
        "timestamp": times.rfc3339(times.now()),
    }
    return reply(body) if healthy else _not_now(body)


@describes("Whether the process lives", {200: schemas.Alive})
async def healthz(_request: web.Request) -> web.Response:
    """200 for as long as the process answers at all; it asks nobody else."""
    body: schemas.Alive = {"status": "alive"}
    return reply(body)


@describes("Whether it can do its work, each dependency named", {200: schemas.Readiness, 503: schemas.Readiness})
async def readyz(request: web.Request) -> web.Response:
    """503 while the database is away, or while nobody can sign in since no keys were ever fetched. Without Redis events
    are late by `LOG_POLL` at most, and webhooks that were set aside are lost to nobody: that is still ready."""
    app = request.app
    body = cast("schemas.Readiness", {"status": "degraded", **await dependencies(app)})
    ready = body["database"] == body.get("jwks", OK) == OK
    if not ready:
        return _not_now(body)
    if aside := await _set_aside(app):
        body["set_aside"] = aside
    elif body.get("redis", OK) == OK:
        body["status"] = "ready"
    return reply(body)


async def dependencies(app: web.Application) -> schemas.Dependencies:
    """OK of each that there is, or why not. What hangs is not waited for longer than `HEALTH_TIMEOUT`, each."""
    bus, tokens = app[BUS], app[TOKENS]
    found: schemas.Dependencies = {"database": await _database(app)}
    if tokens is not None and tokens.keys is not None:
        found["jwks"] = OK if await tokens.keys.there(app[SETTINGS].health_timeout) else AWAY
    if bus is not None:
        found["redis"] = OK if bus.connected else AWAY
    return found


def _not_now(body: schemas.Health | schemas.Readiness) -> web.Response:
    response = reply(body, 503)
    response.headers["Retry-After"] = str(RETRY_AFTER)
    return response


async def _set_aside(app: web.Application) -> int:
    """How many webhooks will never be written, of all processes."""
    try:
        async with asyncio.timeout(app[SETTINGS].health_timeout):
            return await set_aside.count(app[POOL])
    except (DatabaseError, TimeoutError):
        return 0


async def _database(app: web.Application) -> str:
    """OK, or why not: whoever asks is not kept waiting by a database that hangs."""
    readiness = app[READINESS]
    try:
        async with asyncio.timeout(app[SETTINGS].health_timeout):
            try:
                await app[LOG].head()
            except DatabaseAwayError:
                raise
            except DatabaseError:  # it answers, and not as it should
                await readiness.health.look(now=True)
                raise
            await readiness.health.look()
    except (DatabaseError, TimeoutError) as error:
        return readiness.why or why(error)
    return OK
