"""The composition root: what there is, how it is joined, and where each path goes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiohttp import web

from app.db.log import Log
from app.db.pool import Pool
from app.db.videos import Videos
from app.db.writer import Writer
from app.generator import Generator, HttpGenerator, SimulatedGenerator
from app.keys import FOLLOWER, GENERATOR, HUB, LOG, POOL, SETTINGS, TYPICAL, VIDEOS, WRITER
from app.push.follower import Follower
from app.push.hub import Hub
from app.routes import ops, pages, streams, videos, webhooks
from app.routes.cors import cross_origin
from app.routes.errors import errors_as_json
from app.settings import Settings
from app.wire import Typical


def create_app(settings: Settings, database_url: str) -> web.Application:
    """The whole server against a migrated database. It serves on `settings.port`, which the simulated
    generator must know."""
    app = web.Application(middlewares=[cross_origin, errors_as_json], client_max_size=settings.max_image_body_bytes)
    app[SETTINGS] = settings
    app[POOL] = Pool(database_url, settings.db_pool_size, settings.db_timeout)
    app[LOG] = Log(app[POOL])
    app[VIDEOS] = Videos(app[POOL], settings.app_language)
    app[TYPICAL] = Typical()
    app[HUB] = Hub(
        max_connections=settings.max_connections,
        max_per_user=settings.max_connections_per_user,
        heartbeat=settings.stream_heartbeat,
        ping=settings.websocket_ping,
        max_buffer=settings.stream_max_buffer,
        max_lag=settings.stream_max_lag,
        end_completed=settings.stream_end_completed,
        end_failed=settings.stream_end_failed,
    )
    app[FOLLOWER] = Follower(app[LOG], app[HUB], poll=settings.log_poll, ring_size=settings.ring_size)
    app[WRITER] = Writer(
        database_url,
        language=settings.app_language,
        typical=app[TYPICAL],
        on_commit=app[FOLLOWER].offer,
        batch_max=settings.batch_max,
        batch_max_bytes=settings.batch_max_bytes,
        pending_max=settings.max_pending_webhooks,
        budget=settings.answer_budget,
        wait=settings.db_timeout,
    )
    app.cleanup_ctx.extend([_reading, _following, _writing, _generating])
    # Streams end before connections are waited for; in cleanup it would be too late by minutes.
    app.on_shutdown.append(_end_streams)
    app.router.add_routes(_routes())
    return app


def _routes() -> list[web.RouteDef]:
    return [
        web.post(webhooks.PATH, webhooks.receive),
        web.get(webhooks.PATH, webhooks.health),
        web.get("/events", streams.events, allow_head=False),
        web.get("/events/{job_id:[^/]+}", streams.events, allow_head=False),
        web.get("/ws", streams.socket, allow_head=False),
        web.get("/ws/{job_id:[^/]+}", streams.socket, allow_head=False),
        web.post("/api/videos", videos.register),
        web.post("/api/videos/generate", videos.generate),
        web.get("/api/videos/user", videos.gallery),
        web.get("/api/videos/{job_id:[^/]+}", videos.detail),
        web.get("/healthz", ops.healthz),
        web.get("/readyz", ops.readyz),
        web.get("/", pages.index),
        web.get("/static/{path:.+}", pages.static),
    ]


async def _reading(app: web.Application) -> AsyncIterator[None]:
    app[TYPICAL].observe(await app[VIDEOS].typical_seconds())
    yield
    app[POOL].close()


async def _following(app: web.Application) -> AsyncIterator[None]:
    await app[FOLLOWER].start()
    tasks = [asyncio.create_task(app[FOLLOWER].run()), asyncio.create_task(app[HUB].sweep())]
    yield
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _writing(app: web.Application) -> AsyncIterator[None]:
    app[WRITER].start()
    yield
    await app[WRITER].stop()


async def _generating(app: web.Application) -> AsyncIterator[None]:
    app[GENERATOR] = generator = _generator(app[SETTINGS])
    yield
    await generator.close()


def _generator(settings: Settings) -> Generator:
    if settings.generator_url is not None:
        return HttpGenerator(settings.generator_url, settings.generator_timeout)
    secret = settings.webhook_secrets[0] if settings.webhook_secrets else None
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    size = (pages.STATIC / "simulated.mp4").stat().st_size
    url = f"http://{host}:{settings.port}{webhooks.PATH}"
    return SimulatedGenerator(url, secret, settings.simulated_step, size)


async def _end_streams(app: web.Application) -> None:
    app[HUB].shut()
