"""The composition root: what there is, how it is joined, and where each path goes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import structlog
from aiohttp import web

from app.clients import FailureLimit
from app.db.errors import DatabaseAwayError
from app.db.leader import Leader
from app.db.log import Log
from app.db.pool import Pool
from app.db.received import ReceivedWebhooks
from app.db.register import Registrar
from app.db.retention import Retention
from app.db.snapshots import Snapshots
from app.db.spool import Spool, SpoolError
from app.db.ticket_key import TicketKey
from app.db.videos import Videos
from app.db.writer import Writer
from app.generator import Generator, HttpGenerator, NoGenerator, SimulatedGenerator
from app.keys import (
    ANSWERS,
    BUS,
    COMMITTED,
    FAILURES,
    FOLLOWER,
    FOLLOWING,
    GENERATOR,
    HUB,
    LEADER,
    LOG,
    OPENING,
    ORDERS,
    PARKED,
    POOL,
    READING,
    RECEIVED,
    REFUSALS,
    REGISTRAR,
    SETTINGS,
    SNAPSHOTS,
    SPOOL,
    STREAMS,
    TICKETS,
    TOKENS,
    TYPICAL,
    UNPROVEN,
    UPLOADS,
    VIDEOS,
    WRITER,
)
from app.opening import Opening
from app.parked import Parked
from app.push.follower import Follower
from app.push.hub import Hub
from app.push.redis import Bus
from app.push.stream import Streams
from app.reconcile import Reconciler
from app.refusals import Refusals
from app.routes import admin, openapi, ops, pages, streams, tickets, videos, webhooks
from app.routes.cors import cross_origin
from app.routes.errors import errors_as_json
from app.routes.http import name_server
from app.settings import Settings
from app.shares import Shares
from app.tickets import Tickets
from app.tokens import Tokens
from app.turns import Turns
from app.wire import LogEvent, Typical

log = structlog.get_logger(__name__)


def create_app(settings: Settings, database_url: str) -> web.Application:
    """The whole server. It serves on `settings.port`, which the simulated generator must know.

    Its start-up raises RefusedError or NotMigratedError when the database is there and cannot be used.
    """
    app = web.Application(middlewares=[cross_origin, errors_as_json], client_max_size=settings.max_image_body_bytes)
    app[SETTINGS] = settings
    app[POOL] = Pool(database_url, settings.db_pool_size, settings.db_timeout)
    app[OPENING] = Opening(
        database_url, app[POOL], wait=settings.db_timeout, may_migrate=settings.app_env == "development"
    )
    app[LOG] = Log(app[POOL])
    app[VIDEOS] = Videos(app[POOL], settings.list_max_bytes)
    app[SNAPSHOTS] = Snapshots(app[POOL], settings.snapshot_max, settings.snapshot_max_bytes)
    app[REGISTRAR] = Registrar(app[POOL], settings.app_language, settings.max_unfinished_per_user)
    app[RECEIVED] = ReceivedWebhooks(
        app[POOL],
        settings.app_language,
        create_unknown=settings.unknown_job == "create",
        max_files=settings.max_files_per_job,
    )
    app[TYPICAL] = Typical()
    app[TOKENS] = _tokens(settings)
    app[TICKETS] = Tickets(TicketKey(app[POOL]), settings.ticket_ttl)
    app[REFUSALS] = Refusals()
    app[FAILURES] = FailureLimit(settings.auth_failures_per_minute)
    longest = max(settings.max_body_bytes, settings.max_image_body_bytes)
    unproven = max(settings.max_unproven_bytes, longest)
    app[UNPROVEN] = Shares(unproven, max(unproven // 4, longest))
    app[UPLOADS] = Shares(max(settings.max_upload_bytes, longest), max(settings.max_upload_bytes_per_user, longest))
    app[ORDERS] = Shares(settings.max_orders, settings.max_orders_per_user)
    answer = videos.longest_answer(settings)
    app[ANSWERS] = Shares(max(settings.max_answer_bytes, answer), max(settings.max_answer_bytes_per_user, answer))
    app[READING] = Turns()
    app[HUB] = _hub(settings)
    # A session of its own: it starts before the pool opens, and pages that are slow do not hold it up.
    app[FOLLOWING] = Pool(database_url, 1, settings.db_timeout)
    app[FOLLOWER] = Follower(
        Log(app[FOLLOWING]),
        app[HUB],
        poll=settings.log_poll,
        poll_with_bus=settings.log_poll_with_redis,
        ring_size=settings.ring_size,
        ring_max_bytes=settings.ring_max_bytes,
    )
    app[STREAMS] = Streams(app[HUB], app[FOLLOWER], app[LOG], partial(streams.snapshot, app[SNAPSHOTS], app[TYPICAL]))
    app[BUS] = _bus(settings, app[FOLLOWER])
    app[COMMITTED] = _committed(app[FOLLOWER], app[BUS])
    app[SPOOL] = Spool(settings.data_dir / "spool", settings.spool_max_bytes)
    app[WRITER] = _writer(app, database_url)
    app[LEADER] = Leader(database_url, wait=settings.db_timeout)
    app[PARKED] = Parked(
        app[POOL], app[WRITER], app[LEADER], poll=settings.parked_poll, per_round=settings.parked_per_round
    )
    app.cleanup_ctx.extend([_reading, _hearing, _writing, _generating, _opening])
    # Streams end before connections are waited for; in cleanup it would be too late by minutes.
    app.on_shutdown.append(_end_streams)
    app.on_response_prepare.append(name_server)
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
        web.get("/api/admin/webhooks", admin.webhooks),
        web.post("/api/admin/webhooks/replay", admin.replay_many),
        web.get("/api/admin/webhooks/{id:[^/]+}", admin.webhook),
        web.post("/api/admin/webhooks/{id:[^/]+}/replay", admin.replay),
        web.post("/api/admin/webhooks/{id:[^/]+}/discard", admin.discard),
        web.post("/api/stream-tickets", tickets.buy),
        web.get("/healthz", ops.healthz),
        web.get("/readyz", ops.readyz),
        web.get("/openapi.json", openapi.whole),
        web.get("/docs", pages.docs),
        web.get("/", pages.index),
        web.get("/static/{path:.+}", pages.static),
    ]


async def _reading(app: web.Application) -> AsyncIterator[None]:
    yield
    app[POOL].close()
    app[FOLLOWING].close()


async def _hearing(app: web.Application) -> AsyncIterator[None]:
    bus = app[BUS]
    if bus is None:
        yield
        return
    async with _running(_exchange(app, bus)):
        yield
        await bus.flush()


async def _exchange(app: web.Application, bus: Bus) -> None:
    """Tells and hears over the bus, once the database has said which log it is about. Runs until cancelled."""
    await app[OPENING].opened.wait()
    while True:
        try:
            channel = f"rushes/{await app[LOG].name()}"
            break
        except DatabaseAwayError:
            await asyncio.sleep(app[SETTINGS].log_poll)
    async with _running(bus.hear(channel), bus.tell(channel)):
        await asyncio.Event().wait()


@asynccontextmanager
async def _running(*loops: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Tasks that run beside the server, and are cancelled with it."""
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _writing(app: web.Application) -> AsyncIterator[None]:
    try:
        await app[SPOOL].open()
    except SpoolError as error:
        # Each use of it tries again; the database may never go away meanwhile.
        log.warning("spool_not_open", error=str(error))
    app[WRITER].start(away=True)
    yield
    await app[WRITER].stop()
    await app[SPOOL].close()


async def _generating(app: web.Application) -> AsyncIterator[None]:
    app[GENERATOR] = generator = _generator(app[SETTINGS])
    yield
    await generator.close()


async def _opening(app: web.Application) -> AsyncIterator[None]:
    """Webhooks are taken from the first moment; all else begins once the database can be used."""

    async def begin() -> None:
        # Streams are let in after this, so none can join before the follower knows where it is.
        await app[FOLLOWER].start()
        app[TYPICAL].observe(await Videos(app[FOLLOWING], app[SETTINGS].list_max_bytes).typical_seconds())
        app[WRITER].drain()

    await app[OPENING].start(begin)
    async with _running(app[HUB].sweep(), _keep_up(app)):
        yield
    await app[OPENING].stop()
    app[LEADER].close()


async def _keep_up(app: web.Application) -> None:
    """What is done again and again: the log followed, and by one process of all parked webhooks, stalled jobs and old
    rows looked after. Runs until cancelled."""
    await app[OPENING].opened.wait()
    upkeep = (app[PARKED].run(), _reconciler(app).run(), _retention(app).run())
    async with _running(app[FOLLOWER].run(), app[OPENING].health.watch(), *upkeep):
        await asyncio.Event().wait()


def _reconciler(app: web.Application) -> Reconciler:
    settings = app[SETTINGS]
    return Reconciler(
        app[POOL],
        app[WRITER],
        app[GENERATOR],
        app[LEADER],
        language=settings.app_language,
        stall_after=settings.stall_after,
        give_up_after=settings.give_up_after,
    )


def _retention(app: web.Application) -> Retention:
    return Retention(app[POOL], app[LEADER], days=app[SETTINGS].retention_days)


def _hub(settings: Settings) -> Hub:
    return Hub(
        max_connections=settings.max_connections,
        max_per_user=settings.max_connections_per_user,
        heartbeat=settings.stream_heartbeat,
        ping=settings.websocket_ping,
        max_buffer=settings.stream_max_buffer,
        max_lag=settings.stream_max_lag,
        end_completed=settings.stream_end_completed,
        end_failed=settings.stream_end_failed,
        last_words=settings.stream_last_words,
        dead_after=settings.stream_dead_after,
        max_messages=settings.websocket_max_messages,
    )


def _bus(settings: Settings, follower: Follower) -> Bus | None:
    if settings.redis_url is None:
        return None
    return Bus(
        settings.redis_url.get_secret_value(),
        on_news=follower.offer,
        on_more=follower.expect,
        on_link=follower.rely_on_bus,
        buffer_max=settings.redis_buffer_max,
        message_max=settings.redis_message_max,
    )


def _committed(follower: Follower, bus: Bus | None) -> Callable[[list[LogEvent]], None]:
    """Where the events of each commit go."""
    if bus is None:
        return follower.offer

    def told(events: list[LogEvent]) -> None:
        follower.offer(events)
        bus.publish(events)

    return told


def _writer(app: web.Application, database_url: str) -> Writer:
    settings = app[SETTINGS]
    return Writer(
        database_url,
        language=settings.app_language,
        typical=app[TYPICAL],
        on_commit=app[COMMITTED],
        batch_max=settings.batch_max,
        batch_max_bytes=settings.batch_max_bytes,
        pending_max=settings.max_pending_webhooks,
        budget=settings.answer_budget,
        wait=settings.db_timeout,
        spool=app[SPOOL],
        spool_tries=settings.spool_tries,
        create_unknown=settings.unknown_job == "create",
        max_files=settings.max_files_per_job,
    )


def _tokens(settings: Settings) -> Tokens | None:
    if not settings.signs_in:
        return None
    return Tokens(
        secret=settings.auth_jwt_secret.get_secret_value() if settings.auth_jwt_secret else None,
        jwks_url=settings.auth_jwks_url,
        jwks_max_age=settings.jwks_max_age,
        jwks_cool_down=settings.jwks_cool_down,
        issuer=settings.auth_jwt_issuer,
        audience=settings.auth_jwt_audience,
        parties=settings.auth_authorized_parties,
        admins=settings.admin_users,
        admin_claim=settings.admin_claim,
    )


def _generator(settings: Settings) -> Generator:
    if settings.generator_url is not None:
        return HttpGenerator(settings.generator_url, settings.generator_timeout, settings.app_language)
    if settings.app_env == "production":
        return NoGenerator(settings.app_language)
    size = (pages.STATIC / "simulated.mp4").stat().st_size
    return SimulatedGenerator(
        settings.local_url + webhooks.PATH, settings.sending_secret, settings.simulated_step, size
    )


async def _end_streams(app: web.Application) -> None:
    # The other half is for requests that wait for a slow backend.
    await app[HUB].shut(app[SETTINGS].shutdown_grace / 2)
