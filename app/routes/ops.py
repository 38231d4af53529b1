"""Liveness and readiness."""

import asyncio

from aiohttp import web

from app.db.errors import DatabaseAwayError
from app.errors import RETRY_AFTER
from app.keys import BUS, LOG, OPENING, SETTINGS, TOKENS
from app.routes.http import reply

OK, _AWAY = "ok", "out of reach"


async def healthz(_request: web.Request) -> web.Response:
    return reply({"status": "alive"})


async def readyz(request: web.Request) -> web.Response:
    """503 while the database is away, or while nobody can sign in since no keys were ever fetched. Without Redis events
    are late by `LOG_POLL` at most: that is still ready."""
    bus, tokens = request.app[BUS], request.app[TOKENS]
    found = {"database": await database(request.app)}
    if tokens is not None and tokens.keys is not None:
        found["jwks"] = OK if await tokens.keys.there() else _AWAY
    ready = set(found.values()) == {OK}
    if bus is not None:
        found["redis"] = OK if bus.connected else _AWAY
    status = "ready" if set(found.values()) == {OK} else "degraded"
    response = reply({"status": status} | found, 200 if ready else 503)
    if not ready:
        response.headers["Retry-After"] = str(RETRY_AFTER)
    return response


async def database(app: web.Application) -> str:
    """OK, or why not: whoever asks is not kept waiting by a database that hangs."""
    try:
        async with asyncio.timeout(app[SETTINGS].health_timeout):
            await app[LOG].head()
    except (DatabaseAwayError, TimeoutError):
        return app[OPENING].why or _AWAY
    return OK
