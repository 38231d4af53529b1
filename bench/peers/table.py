"""The peer that lists received webhooks as one writes it first: one statement with all that was asked, over rushes' own
table.

It has the same index to use, and the same columns to tell; what the database makes of it is the database's.
"""

import os
from collections.abc import AsyncIterator
from typing import Any

import aiomysql
import orjson
from aiohttp import web

from app.db.url import parameters
from bench.peers.body import serve

POOL = web.AppKey("pool", aiomysql.Pool)

COLUMNS = "id, received_at, origin, job_id, status, version, outcome, attempts, duration_ms, error_code, error"
NAMED = ("outcome", "status", "job_id")


def create_app() -> web.Application:
    """Return the application."""
    app = web.Application()
    app.cleanup_ctx.append(_pool)
    app.router.add_get("/api/admin/webhooks", listed)
    app.router.add_get("/api/admin/webhooks/count", count)
    return app


async def _pool(app: web.Application) -> AsyncIterator[None]:
    app[POOL] = await aiomysql.create_pool(**parameters(os.environ["DATABASE_URL"]), charset="utf8mb4", autocommit=True)
    yield
    app[POOL].close()
    await app[POOL].wait_closed()


async def _rows(request: web.Request, select: str, end: str) -> list[Any]:
    values = [request.query[name] for name in NAMED if name in request.query]
    conditions = [f"{name} = %s" for name in NAMED if name in request.query]
    if "q" in request.query:
        conditions.append("(LOWER(error_code) LIKE %s OR LOWER(error) LIKE %s)")
        values += [f"%{request.query['q'].lower()}%"] * 2
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    async with request.app[POOL].acquire() as connection, connection.cursor(aiomysql.DictCursor) as cursor:
        await cursor.execute(f"SELECT {select} FROM rushes_webhooks {where} {end}", values)
        rows: list[Any] = await cursor.fetchall()
        return rows


async def listed(request: web.Request) -> web.Response:
    """Answer the newest fifty."""
    rows = await _rows(request, COLUMNS, "ORDER BY id DESC LIMIT 50")
    return web.Response(body=orjson.dumps({"webhooks": rows}), content_type="application/json")


async def count(request: web.Request) -> web.Response:
    """Answer how many there are."""
    ((number),) = [row["n"] for row in await _rows(request, "COUNT(*) AS n", "")]
    return web.json_response({"count": number})


if __name__ == "__main__":
    serve(create_app())
