"""Liveness and readiness."""

from aiohttp import web

from app.db.pool import DatabaseAwayError
from app.keys import LOG
from app.routes.http import reply


async def healthz(_request: web.Request) -> web.Response:
    return reply({"status": "alive"})


async def readyz(request: web.Request) -> web.Response:
    try:
        await request.app[LOG].head()
    except DatabaseAwayError:
        return reply({"status": "degraded", "database": "out of reach"}, 503)
    return reply({"status": "ready", "database": "ok"})
