"""The composition root: what there is, how it is joined, and where each path goes."""

from collections.abc import Callable
from functools import partial

import structlog
from aiohttp import web

from app import lifecycle, values
from app.appkeys import (
    ACTS,
    ANSWERS,
    BUS,
    COMMITTED,
    ESTIMATES,
    FAILURES,
    FOLLOWER,
    FOLLOWING,
    GALLERY,
    HUB,
    LEADER,
    LISTINGS,
    LOG,
    ORDERS,
    PARKED,
    PEOPLE,
    POOL,
    PROCESSES,
    READINESS,
    READING,
    RECEIVED,
    REFUSALS,
    REGISTRAR,
    RENDERED,
    SAMPLES,
    SETTINGS,
    SNAPSHOTS,
    SPOOL,
    STANDINGS,
    STORAGE,
    STREAMS,
    TICKETS,
    TOKENS,
    UNPROVEN,
    UPLOADS,
    VIDEOS,
    WRITER,
)
from app.auth.proxies import FailureLimit
from app.auth.refusals import Refusals
from app.auth.tickets import Tickets
from app.auth.tokens import Tokens
from app.db.acts import Acts
from app.db.dead_letters import ReceivedWebhooks
from app.db.gallery import Gallery
from app.db.log import Log
from app.db.people import People, reference_of
from app.db.pool import Pool
from app.db.processes import Processes
from app.db.register import Registrar
from app.db.samples import Samples
from app.db.snapshots import Snapshots
from app.db.spool.spool import Spool
from app.db.standing import Standings
from app.db.ticket_key import TicketKey
from app.db.videos import Videos
from app.db.writer.writer import Writer
from app.deliver import PATH as WEBHOOKS
from app.domain.estimate import Estimates
from app.domain.event import LogEvent
from app.push.bus import Bus
from app.push.follower import Follower
from app.push.hub import Hub
from app.push.stream import Streams
from app.push.subscriber import Limits
from app.readiness import Readiness
from app.rendered import Rendered
from app.routes import acts, admin, openapi, ops, orders, pages, polling, stats, streams, tickets, videos, webhooks
from app.routes.cors import cross_origin
from app.routes.errors import errors_as_json
from app.routes.http import name_server
from app.settings import Settings
from app.shares import Shares
from app.snapshot import snapshot
from app.storage import Storage
from app.turns import Together, Turns
from app.upkeep.leader import Leader
from app.upkeep.parked import Parked

log = structlog.get_logger(__name__)


def create_app(settings: Settings, database_url: str) -> web.Application:
    """The whole server. It serves on `settings.port`, which the simulated generator must know.

    Its start-up raises RefusedError or NotMigratedError when the database is there and cannot be used.
    """
    app = web.Application(middlewares=[cross_origin, errors_as_json], client_max_size=settings.max_image_body_bytes)
    app[SETTINGS] = settings
    app[POOL] = Pool(database_url, settings.db_pool_size, settings.db_timeout)
    app[READINESS] = Readiness(
        database_url, app[POOL], wait=settings.db_timeout, may_migrate=settings.app_env == "development"
    )
    app[LOG] = Log(app[POOL])
    app[ESTIMATES] = Estimates()
    app[VIDEOS] = Videos(app[POOL])
    app[STORAGE] = lifecycle.storage_of(settings)
    app[GALLERY] = Gallery(app[POOL], settings.list_max_bytes, settings.retention_days, app[STORAGE].longest)
    app[SNAPSHOTS] = Snapshots(app[POOL], settings.snapshot_max, settings.snapshot_max_bytes)
    app[REGISTRAR] = Registrar(app[POOL], settings.app_language, settings.max_unfinished_per_user, app[ESTIMATES])
    app[ACTS] = Acts(app[POOL], settings.app_language)
    app[RECEIVED] = ReceivedWebhooks(
        app[POOL],
        settings.app_language,
        create_unknown=settings.unknown_job == "create",
        users=reference_of(settings.auth_user_lookup),
        max_files=settings.max_files_per_job,
    )
    app[STANDINGS] = Standings(app[POOL], stall_after=settings.stall_after)
    app[PROCESSES] = Processes(app[POOL])
    app[TOKENS] = _tokens(settings)
    app[PEOPLE] = _people(app[POOL], settings)
    app[TICKETS] = Tickets(TicketKey(app[POOL]), settings.ticket_ttl)
    app[REFUSALS] = Refusals()
    app[FAILURES] = FailureLimit(settings.auth_failures_per_minute)
    _share(app, settings)
    app[READING], app[LISTINGS] = Turns(), Together()
    app[RENDERED] = Rendered(settings.list_cache_bytes)
    app[HUB] = _hub(settings, app[STORAGE])
    # A session of its own: it starts before the pool opens, and pages that are slow do not hold it up.
    app[FOLLOWING] = Pool(database_url, 1, settings.db_timeout)
    app[SAMPLES] = Samples(app[FOLLOWING], app[ESTIMATES])
    app[FOLLOWER] = Follower(
        Log(app[FOLLOWING]),
        app[HUB],
        poll=settings.log_poll,
        poll_with_bus=settings.log_poll_with_redis,
        ring_size=settings.ring_size,
        ring_max_bytes=settings.ring_max_bytes,
        on_event=app[SAMPLES].note,
    )
    app[STREAMS] = Streams(app[HUB], app[FOLLOWER], app[LOG], partial(snapshot, app[SNAPSHOTS], app[ESTIMATES]))
    app[BUS] = _bus(settings, app[FOLLOWER])
    app[COMMITTED] = _committed(app[FOLLOWER], app[BUS])
    app[SPOOL] = Spool(settings.data_dir / "spool", settings.spool_max_bytes)
    app[WRITER] = _writer(app, database_url)
    app[LEADER] = Leader(database_url, wait=settings.db_timeout)
    app[PARKED] = Parked(
        app[POOL], app[WRITER], app[LEADER], poll=settings.parked_poll, per_round=settings.parked_per_round
    )
    lifecycle.attend(app)
    app.on_response_prepare.append(name_server)
    app.router.add_routes(_routes())
    return app


def _share(app: web.Application, settings: Settings) -> None:
    """What users and strangers have shares of: bytes on their way, orders under way. No share is too small for one."""
    longest = max(settings.max_body_bytes, settings.max_image_body_bytes)
    unproven = max(settings.max_unproven_bytes, longest)
    app[UNPROVEN] = Shares(unproven, max(unproven // 4, longest))
    app[UPLOADS] = Shares(max(settings.max_upload_bytes, longest), max(settings.max_upload_bytes_per_user, longest))
    app[ORDERS] = Shares(settings.max_orders, settings.max_orders_per_user)
    answer = videos.longest_answer(settings)
    app[ANSWERS] = Shares(max(settings.max_answer_bytes, answer), max(settings.max_answer_bytes_per_user, answer))


def _routes() -> list[web.RouteDef]:
    """In the order in which openapi.json has them. Which of them a path means does not depend on it."""
    return [
        web.post(WEBHOOKS, webhooks.receive),
        web.get(WEBHOOKS, ops.health),
        web.get("/events", streams.events, allow_head=False),
        web.get("/events/{job_id:[^/]+}", streams.events_of_job, allow_head=False),
        web.get("/ws", streams.socket, allow_head=False),
        web.get("/ws/{job_id:[^/]+}", streams.socket, allow_head=False),
        web.post("/api/videos/generate", orders.generate),
        web.post("/api/videos", orders.register),
        web.get("/api/videos/user", videos.gallery),
        web.get("/api/videos/{job_id:[^/]+}", videos.detail),
        web.get("/api/videos/{job_id:[^/]+}/status", polling.status),
        web.get("/api/videos/{job_id:[^/]+}/result", polling.result),
        web.get("/api/videos/{job_id:[^/]+}/download", videos.download),
        web.get("/api/videos/{job_id:[^/]+}/files/{file_id:[^/]+}/download", videos.download),
        web.delete("/api/videos/{job_id:[^/]+}", acts.delete),
        web.post("/api/videos/{job_id:[^/]+}/retry", orders.retry),
        web.post("/api/videos/{job_id:[^/]+}/cancel", acts.cancel),
        web.post("/api/videos/{job_id:[^/]+}/dismiss", acts.dismiss),
        web.post("/api/videos/{job_id:[^/]+}/restore", acts.restore),
        web.post("/api/stream-tickets", tickets.buy),
        web.get("/api/admin/webhooks", admin.webhooks),
        web.get("/api/admin/webhooks/{id:[^/]+}", admin.webhook),
        web.post("/api/admin/webhooks/{id:[^/]+}/replay", admin.replay),
        web.post("/api/admin/webhooks/{id:[^/]+}/discard", admin.discard),
        web.post("/api/admin/webhooks/replay", admin.replay_many),
        web.get("/api/admin/stats", stats.stats),
        web.get("/healthz", ops.healthz),
        web.get("/readyz", ops.readyz),
        web.get("/openapi.json", openapi.whole),
        web.get("/docs", pages.docs),
        web.get("/", pages.index),
        web.get("/static/{path:.+}", pages.static),
    ]


def _hub(settings: Settings, storage: Storage) -> Hub:
    return Hub(
        max_connections=settings.max_connections,
        max_per_user=settings.max_connections_per_user,
        limits=Limits(
            heartbeat=settings.stream_heartbeat,
            ping=settings.websocket_ping,
            dead_after=settings.stream_dead_after,
            max_messages=settings.websocket_max_messages,
        ),
        max_buffer=settings.stream_max_buffer,
        max_lag=settings.stream_max_lag,
        end_completed=settings.stream_end_completed,
        end_failed=settings.stream_end_failed,
        last_words=settings.stream_last_words,
        outgoing=storage.outgoing,
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

    def pass_on(events: list[LogEvent]) -> None:
        follower.offer(events)
        bus.publish(events)

    return pass_on


def _writer(app: web.Application, database_url: str) -> Writer:
    settings = app[SETTINGS]
    return Writer(
        database_url,
        language=settings.app_language,
        estimates=app[ESTIMATES],
        on_commit=app[COMMITTED],
        batch_max=settings.batch_max,
        batch_max_bytes=settings.batch_max_bytes,
        pending_max=settings.max_pending_webhooks,
        budget=settings.answer_budget,
        wait=settings.db_timeout,
        spool=app[SPOOL],
        spool_tries=settings.spool_tries,
        create_unknown=settings.unknown_job == "create",
        users=reference_of(settings.auth_user_lookup),
        max_files=settings.max_files_per_job,
    )


def _people(pool: Pool, settings: Settings) -> People:
    admins = settings.auth_admin_lookup
    return People(
        pool,
        users=reference_of(settings.auth_user_lookup),
        members=reference_of(settings.auth_org_lookup),
        admins=values.condition(admins)[1:] if admins else None,
        max_age=settings.auth_lookup_max_age,
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
