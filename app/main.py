"""The composition root: what there is, and how it is joined."""

from collections.abc import Callable
from functools import partial

import structlog
from aiohttp import web

from app import lifecycle, values
from app.appkeys import (
    ACTS,
    ANSWERS,
    AUDIT,
    BUS,
    CHANGES,
    COMMITTED,
    ESTIMATES,
    FAILURES,
    FOLLOWER,
    FOLLOWING,
    GALLERY,
    GENERATIONS,
    HUB,
    LEADER,
    LISTINGS,
    LOG,
    METRICS,
    ORDERS,
    PARKED,
    PEOPLE,
    POOL,
    PROCESSES,
    PUSH,
    READINESS,
    READING,
    RECEIVED,
    REDO_LOG,
    REFUSALS,
    REGISTRAR,
    RENDERED,
    REPLAYS,
    SAMPLES,
    SETTINGS,
    SIBLINGS,
    SNAPSHOTS,
    SPOOL,
    STANDINGS,
    STORAGE,
    STREAMS,
    SUBSCRIPTIONS,
    TAIL,
    TICKETS,
    TOKENS,
    TOLD,
    TRACED,
    TRACES,
    UNPROVEN,
    UPLOADS,
    VIDEOS,
    WEBHOOK_LIST,
    WRITER,
)
from app.auth.proxies import FailureLimit
from app.auth.refusals import Refusals
from app.auth.tickets import Tickets
from app.auth.tokens import Tokens
from app.db.acts import Acts
from app.db.audit import Audit
from app.db.changes import Changes
from app.db.dead_letters import ReceivedWebhooks
from app.db.gallery import Gallery
from app.db.generations import Generations
from app.db.log import Log
from app.db.people import People, reference_of
from app.db.pool import Pool
from app.db.processes import Processes
from app.db.redo_log import RedoLog
from app.db.register import Registrar
from app.db.replays import Replays
from app.db.samples import Samples
from app.db.snapshots import Snapshots
from app.db.spool.spool import Spool
from app.db.standing import Standings
from app.db.subscriptions import Subscriptions
from app.db.ticket_key import TicketKey
from app.db.traces import TracedEvents
from app.db.videos import Videos
from app.db.webhook_list import WebhookList
from app.db.writer.writer import Writer
from app.domain.estimate import Estimates
from app.domain.event import LogEvent
from app.domain.rollup import OUTCOMES
from app.metrics import Metrics
from app.push.bus import Bus
from app.push.follower import Follower
from app.push.hub import Hub
from app.push.stream import Streams
from app.push.subscriber import Limits
from app.push.traces import Traces
from app.readiness import Readiness
from app.rendered import Kept
from app.routes import videos
from app.routes.cors import cross_origin
from app.routes.errors import errors_as_json
from app.routes.table import routes
from app.settings import Settings
from app.shares import Shares
from app.siblings import Siblings
from app.snapshot import snapshot
from app.storage import Storage
from app.turns import Together, Turns
from app.upkeep.leader import Leader
from app.upkeep.parked import Parked
from app.upkeep.tail import Tail
from app.webpush import WebPush

log = structlog.get_logger(__name__)


def create_app(settings: Settings, database_url: str, siblings: Siblings | None = None) -> web.Application:
    """The whole server, or one worker of it. It serves on `settings.port`, which the simulated generator must know.

    Its start-up raises RefusedError or NotMigratedError when the database is there and cannot be used.
    """
    app = web.Application(middlewares=[cross_origin, errors_as_json], client_max_size=settings.max_image_body_bytes)
    app[SETTINGS] = settings
    app[METRICS], app[SIBLINGS] = Metrics(OUTCOMES), siblings
    app[POOL] = Pool(database_url, settings.db_pool_size, settings.db_timeout)
    app[READINESS] = Readiness(
        database_url, app[POOL], wait=settings.db_timeout, may_migrate=settings.app_env == "development"
    )
    _add_stored(app)
    _add_admission(app)
    _add_way_out(app, database_url)
    _add_way_in(app, database_url)
    lifecycle.attend(app)
    app.router.add_routes(routes())
    return app


def _add_stored(app: web.Application) -> None:
    """What requests read and write in the database, and what is kept of it in memory."""
    settings = app[SETTINGS]
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
    app[REPLAYS] = Replays(app[POOL])
    app[AUDIT] = Audit(app[POOL])
    app[GENERATIONS] = Generations(app[POOL])
    app[WEBHOOK_LIST] = WebhookList(app[POOL])
    app[STANDINGS] = Standings(app[POOL], stall_after=settings.stall_after)
    app[PROCESSES] = Processes(app[POOL])
    app[SUBSCRIPTIONS] = Subscriptions(app[POOL], settings.push_max_per_user)
    app[CHANGES] = Changes(app[POOL])
    app[READING], app[LISTINGS] = Turns(), Together()
    app[REDO_LOG] = RedoLog(app[POOL])
    app[RENDERED], app[TOLD] = Kept(settings.list_cache_bytes), Kept(settings.list_cache_bytes)


def _add_admission(app: web.Application) -> None:
    """Who somebody is, and how much he may do at once."""
    settings = app[SETTINGS]
    app[TOKENS] = _tokens(settings)
    app[PEOPLE] = _people(app[POOL], settings)
    app[TICKETS] = Tickets(TicketKey(app[POOL]), settings.ticket_ttl)
    app[REFUSALS] = Refusals()
    app[FAILURES] = FailureLimit(settings.auth_failures_per_minute)
    _share(app, settings)


def _add_way_out(app: web.Application, database_url: str) -> None:
    """What brings each event of the log to whoever listens."""
    settings = app[SETTINGS]
    app[TRACES], app[TRACED] = Traces(settings.trace_per_second), TracedEvents(app[POOL])
    app[HUB] = _hub(settings, app[STORAGE], app[TRACES])
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
    app[COMMITTED] = _committed(app[TRACES], app[FOLLOWER], app[BUS])


def _add_way_in(app: web.Application, database_url: str) -> None:
    """What takes webhooks, and the rounds that one process makes for all."""
    settings = app[SETTINGS]
    app[SPOOL] = Spool(settings.data_dir / "spool", settings.spool_max_bytes)
    app[WRITER] = _writer(app, database_url)
    app[LEADER] = Leader(database_url, wait=settings.db_timeout)
    app[PARKED] = Parked(
        app[POOL], app[WRITER], app[LEADER], poll=settings.parked_poll, per_round=settings.parked_per_round
    )
    app[PUSH] = _push(settings)
    app[TAIL] = Tail(app[CHANGES], app[LEADER], poll=settings.log_poll)


def _share(app: web.Application, settings: Settings) -> None:
    """What users and strangers have shares of: bytes on their way, orders under way. No share is too small for one."""
    longest = max(settings.max_body_bytes, settings.max_image_body_bytes)
    unproven = max(settings.max_unproven_bytes, longest)
    app[UNPROVEN] = Shares(unproven, max(unproven // 4, longest))
    app[UPLOADS] = Shares(max(settings.max_upload_bytes, longest), max(settings.max_upload_bytes_per_user, longest))
    app[ORDERS] = Shares(settings.max_orders, settings.max_orders_per_user)
    answer = videos.longest_answer(settings)
    app[ANSWERS] = Shares(max(settings.max_answer_bytes, answer), max(settings.max_answer_bytes_per_user, answer))


def _hub(settings: Settings, storage: Storage, traces: Traces) -> Hub:
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
        traces=traces,
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


def _committed(traces: Traces, follower: Follower, bus: Bus | None) -> Callable[[list[LogEvent]], None]:
    """Where the events of each commit go."""

    def pass_on(events: list[LogEvent]) -> None:
        traces.committed(events)
        follower.offer(events)
        if bus is not None:
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
        recorded=app[METRICS].recorded,
    )


def _push(settings: Settings) -> WebPush | None:
    """None where Web Push is off."""
    if settings.vapid_private_key is None or settings.vapid_subject is None:
        return None
    return WebPush(
        settings.vapid_private_key.get_secret_value(),
        settings.vapid_subject,
        wait=settings.push_timeout,
        allow_loopback=settings.push_allow_loopback,
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
        viewers=settings.viewer_users,
        viewer_claim=settings.viewer_claim,
    )
