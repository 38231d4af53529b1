"""What starts with the server, runs beside it and ends with it, in this order."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Any

import structlog
from aiohttp import UnixConnector, web

from app.appkeys import (
    BUS,
    FOLLOWER,
    FOLLOWING,
    GENERATOR,
    HUB,
    LEADER,
    LOG,
    PARKED,
    PEOPLE,
    POOL,
    PROCESSES,
    PUSH,
    READINESS,
    RECEIVED,
    RECONCILER,
    REPLAYS,
    SAMPLES,
    SETTINGS,
    SIBLINGS,
    SPOOL,
    STANDINGS,
    STORAGE,
    SUBSCRIPTIONS,
    TAIL,
    TRACED,
    TRACES,
    VIDEOS,
    WEBHOOK_LIST,
    WRITER,
)
from app.backoff import backoff
from app.db import processes
from app.db.errors import PassingError
from app.db.notices import Notices
from app.db.pool import Pool
from app.db.spool.spool import SpoolError
from app.deliver import PATH
from app.domain.event import EVENT_MAX
from app.generator import Generator, HttpGenerator, NoGenerator
from app.metrics import packed
from app.push import traces
from app.push.bus import Bus
from app.routes import metrics, stats
from app.settings import Settings
from app.sigv4 import Credentials
from app.simulator.backend import Backend
from app.simulator.web import FILMS, on_socket
from app.storage import Storage
from app.upkeep.leader import Leader
from app.upkeep.notify import Notifier
from app.upkeep.objects import Objects
from app.upkeep.reconcile import Reconciler
from app.upkeep.replays import ReplayRounds
from app.upkeep.retention import Retention
from app.upkeep.rollups import RollupRounds
from app.webpush import WebPush

log = structlog.get_logger(__name__)

Loop = Callable[[], Coroutine[Any, Any, None]]

# Seconds before a loop that failed begins again: the first time, after many in a row.
_PAUSE_MIN, _PAUSE_MAX = 1.0, 60.0
_JITTER = 0.25


def attend(app: web.Application) -> None:
    """Has the application start and end with all that it holds."""
    app.cleanup_ctx.extend([_reading, _hearing, _writing, _generating, _opening, _telling])
    # Streams end before connections are waited for; in cleanup it would be too late by minutes.
    app.on_shutdown.append(_end_streams)


async def _reading(app: web.Application) -> AsyncIterator[None]:
    yield
    await app[STANDINGS].close()
    app[POOL].close()
    app[FOLLOWING].close()


async def _hearing(app: web.Application) -> AsyncIterator[None]:
    bus = app[BUS]
    if bus is None:
        yield
        return
    async with _running(partial(_exchange, app, bus)):
        yield
        await bus.flush()


async def _exchange(app: web.Application, bus: Bus) -> None:
    """Tells and hears over the bus, once the database has said which log it is about. Runs until cancelled."""
    await app[READINESS].opened.wait()
    while True:
        try:
            channel = f"rushes/{await app[LOG].name()}"
            break
        except PassingError:
            await asyncio.sleep(app[SETTINGS].log_poll)
    async with _running(partial(bus.hear, channel), partial(bus.tell, channel)):
        await asyncio.Event().wait()


@asynccontextmanager
async def _running(*loops: Loop) -> AsyncIterator[None]:
    """Tasks that run beside the server, and are cancelled with it."""
    tasks = [asyncio.create_task(_again(loop)) for loop in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _again(loop: Loop) -> None:
    """Runs it until cancelled. Each knows what may go wrong with it; what nobody thought of is logged, and it begins
    again: else a server would look well whose heartbeats, upkeep or figures have stopped for good."""
    failures = 0
    while True:
        began = time.monotonic()
        try:
            await loop()
        except Exception as error:
            failures = 1 if time.monotonic() - began > _PAUSE_MAX else failures + 1
            what = getattr(loop, "func", loop).__qualname__
            log.warning("background_work_failed", what=what, error=str(error), exc_info=True)
        else:
            return
        await asyncio.sleep(backoff(failures, _PAUSE_MIN, _PAUSE_MAX, jitter=_JITTER))


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
    async with _generator(app[SETTINGS]) as generator:
        app[GENERATOR] = generator
        app[RECONCILER] = _reconciler(app)
        yield


async def _opening(app: web.Application) -> AsyncIterator[None]:
    """Webhooks are taken from the first moment; all else begins once the database can be used."""

    async def begin() -> None:
        # Streams are let in after this, so none can join before the follower knows where it is.
        await app[FOLLOWER].start()
        await app[PEOPLE].check(app[FOLLOWING])
        await app[SAMPLES].begin()
        app[WRITER].drain()

    await app[READINESS].start(begin)
    async with _running(app[HUB].sweep, partial(_keep_up, app)):
        yield
    await app[READINESS].stop()
    app[LEADER].close()


async def _telling(app: web.Application) -> AsyncIterator[None]:
    """The other workers are told this one's figures, to whichever of them Prometheus comes."""
    siblings = app[SIBLINGS]
    if siblings is None:
        yield
        return

    async def tell() -> bytes:
        return packed(await metrics.of_process(app))

    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(siblings.telling(tell))
        except OSError as error:
            log.warning("figures_not_shared", error=str(error))
        yield


async def _keep_up(app: web.Application) -> None:
    """What is done again and again: the log followed, and by one process of all parked webhooks, stalled jobs, old
    rows and Web Push looked after. Runs until cancelled."""
    await app[READINESS].opened.wait()
    upkeep: list[Loop] = [
        app[PARKED].run,
        app[RECONCILER].run,
        _retention(app).run,
        _rollups(app).run,
        _replays(app).run,
        app[TAIL].run,
        app[TAIL].watch,
    ]
    if app[TRACES].is_on:
        upkeep.append(partial(_trace, app))
    if app[PEOPLE].is_asked:
        upkeep.append(partial(_part_with_strangers, app))
    if (push := app[PUSH]) is not None:
        upkeep.append(_notifier(app, push).run)
    async with _running(
        app[FOLLOWER].run, app[SAMPLES].run, app[READINESS].health.watch, partial(_say_so, app), *upkeep
    ):
        await asyncio.Event().wait()


async def _say_so(app: web.Application) -> None:
    """Says in the database that this process is there. Runs until cancelled, and says that it ends."""
    try:
        while True:
            with suppress(PassingError):
                await app[PROCESSES].say(await stats.has(app))
            await asyncio.sleep(processes.EVERY)
    finally:
        with suppress(PassingError, TimeoutError):
            async with asyncio.timeout(1):
                await app[PROCESSES].leave()


async def _trace(app: web.Application) -> None:
    """Writes down what is traced, a batch at a time. Runs until cancelled."""
    while True:
        await asyncio.sleep(traces.EVERY)
        await write_traces(app)


async def write_traces(app: web.Application) -> None:
    """What is known by now. What fails is lost: it is a sample."""
    batch = app[TRACES].take()
    if batch.handed or batch.painted:
        with suppress(PassingError):
            app[TRACES].put_back(await app[TRACED].save(*batch))


async def _part_with_strangers(app: web.Application) -> None:
    """Ends the streams of those whom the site's tables let see no more what they listen to. Runs until cancelled."""
    while True:
        await asyncio.sleep(app[SETTINGS].auth_lookup_max_age / 3)
        with suppress(PassingError):  # they stay open while nobody knows
            await app[HUB].look_again(app[PEOPLE].find_now)


def _notifier(app: web.Application, push: WebPush) -> Notifier:
    settings = app[SETTINGS]
    return Notifier(
        push,
        app[SUBSCRIPTIONS],
        Notices(app[POOL]),
        app[VIDEOS],
        app[PEOPLE],
        app[LEADER],
        every=settings.push_poll,
        ttl=settings.push_ttl,
        max_age=settings.retention_days * 86_400,
    )


def _rollups(app: web.Application) -> RollupRounds:
    return RollupRounds(app[POOL], app[LEADER], every=app[SETTINGS].rollups_poll)


def _replays(app: web.Application) -> ReplayRounds:
    return ReplayRounds(
        app[REPLAYS],
        app[WEBHOOK_LIST],
        app[RECEIVED],
        app[WRITER],
        app[LEADER],
        per_second=app[SETTINGS].replays_per_second,
    )


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
    return retention_of(app[SETTINGS], app[POOL], app[LEADER], app[STORAGE])


def retention_of(settings: Settings, pool: Pool, leader: Leader, storage: Storage) -> Retention:
    """The same for the server and for `rushes purge`."""
    remove = Objects(pool, storage).remove if settings.s3_delete else None
    return Retention(pool, leader, days=settings.retention_days, audit_days=settings.audit_days, remove=remove)


def storage_of(settings: Settings) -> Storage:
    key_id, secret, token = settings.aws_access_key_id, settings.aws_secret_access_key, settings.aws_session_token
    credentials = None
    if key_id is not None and secret is not None:
        credentials = Credentials(key_id, secret.get_secret_value(), token.get_secret_value() if token else None)
    return Storage(
        bucket=settings.s3_bucket,
        endpoint=settings.s3_endpoint_url,
        region=settings.aws_region,
        credentials=credentials,
        ttl=settings.s3_url_ttl,
        event_max=EVENT_MAX,
    )


@asynccontextmanager
async def _generator(settings: Settings) -> AsyncIterator[Generator]:
    """The backend, for as long as the block lasts. The simulated one is asked over HTTP too: by a socket that nobody
    else can reach, since it proves its webhooks with our secret."""
    wait, language = settings.generator_timeout, settings.app_language
    async with AsyncExitStack() as stack:
        generator: Generator
        if settings.generator_url is not None:
            generator = HttpGenerator(settings.generator_url, wait, language)
        elif not settings.generates:
            log.warning("no_generator", hint="orders fail, and the page has no form for them: set GENERATOR_URL")
            generator = NoGenerator(language)
        else:
            backend = await stack.enter_async_context(_simulated(settings))
            connector = UnixConnector(await stack.enter_async_context(on_socket(backend)), limit=0)
            generator = HttpGenerator("http://simulated", wait, language, connector)
        stack.push_async_callback(generator.close)
        yield generator


def _simulated(settings: Settings) -> Backend:
    webhooks, step = settings.local_url + PATH, settings.simulated_step
    return Backend(webhooks, settings.sending_secret, step=step, films=FILMS)


async def _end_streams(app: web.Application) -> None:
    app[TAIL].stop()
    # The other half is for requests that wait for a slow backend.
    await app[HUB].shut(app[SETTINGS].shutdown_grace / 2)
