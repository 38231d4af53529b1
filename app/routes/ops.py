"""Liveness and readiness."""

from aiohttp import web

from app.db.pool import DatabaseAwayError
from app.keys import BUS, LOG, OPENING
from app.routes.http import reply

_OK, _AWAY = "ok", "out of reach"


async def healthz(_request: web.Request) -> web.Response:
    return reply({"status": "alive"})


async def readyz(request: web.Request) -> web.Response:
    """503 while the database is away. Without Redis events are late by `LOG_POLL` at most: that is still ready."""
    bus = request.app[BUS]
    found = {"database": await _database(request.app)}
    if bus is not None:
        found["redis"] = _OK if bus.connected else _AWAY
    status = "ready" if set(found.values()) == {_OK} else "degraded"
    return reply({"status": status} | found, 200 if found["database"] == _OK else 503)


async def _database(app: web.Application) -> str:
    try:
        await app[LOG].head()
    except DatabaseAwayError:
        return app[OPENING].why or _AWAY
    return _OK
