"""What starts with the server, runs beside it and ends with it, in this order."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog
from aiohttp import web

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
    READINESS,
    SAMPLES,
    SETTINGS,
    SPOOL,
    STANDINGS,
    STORAGE,
    WRITER,
)
from app.db import processes
from app.db.errors import PassingError
from app.db.pool import Pool
from app.db.spool.spool import SpoolError
from app.deliver import PATH
from app.domain.event import EVENT_MAX
from app.generator import Generator, HttpGenerator, NoGenerator
from app.push.bus import Bus
from app.routes import pages, stats
from app.settings import Settings
from app.sigv4 import Credentials
from app.simulator import SimulatedGenerator
from app.storage import Storage
from app.upkeep.leader import Leader
from app.upkeep.objects import Objects
from app.upkeep.reconcile import Reconciler
from app.upkeep.retention import Retention
from app.upkeep.rollups import RollupRounds

log = structlog.get_logger(__name__)


def attend(app: web.Application) -> None:
    """Has the application start and end with all that it holds."""
    app.cleanup_ctx.extend([_reading, _hearing, _writing, _generating, _opening])
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
    async with _running(_exchange(app, bus)):
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
        await app[PEOPLE].check(app[FOLLOWING])
        await app[SAMPLES].begin()
        app[WRITER].drain()

    await app[READINESS].start(begin)
    async with _running(app[HUB].sweep(), _keep_up(app)):
        yield
    await app[READINESS].stop()
    app[LEADER].close()


async def _keep_up(app: web.Application) -> None:
    """What is done again and again: the log followed, and by one process of all parked webhooks, stalled jobs and old
    rows looked after. Runs until cancelled."""
    await app[READINESS].opened.wait()
    upkeep = [app[PARKED].run(), _reconciler(app).run(), _retention(app).run(), _rollups(app).run()]
    if app[PEOPLE].is_asked:
        upkeep.append(_part_with_strangers(app))
    async with _running(app[FOLLOWER].run(), app[SAMPLES].run(), app[READINESS].health.watch(), _say_so(app), *upkeep):
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


async def _part_with_strangers(app: web.Application) -> None:
    """Ends the streams of those whom the site's tables let see no more what they listen to. Runs until cancelled."""
    while True:
        await asyncio.sleep(app[SETTINGS].auth_lookup_max_age / 3)
        with suppress(PassingError):  # they stay open while nobody knows
            await app[HUB].look_again(app[PEOPLE].find_now)


def _rollups(app: web.Application) -> RollupRounds:
    return RollupRounds(app[POOL], app[LEADER], every=app[SETTINGS].rollups_poll)


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
    return Retention(pool, leader, days=settings.retention_days, remove=remove)


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


def _generator(settings: Settings) -> Generator:
    if settings.generator_url is not None:
        return HttpGenerator(settings.generator_url, settings.generator_timeout, settings.app_language)
    if settings.app_env == "production":
        return NoGenerator(settings.app_language)
    size = (pages.STATIC / "simulated.mp4").stat().st_size
    return SimulatedGenerator(settings.local_url + PATH, settings.sending_secret, settings.simulated_step, size)


async def _end_streams(app: web.Application) -> None:
    # The other half is for requests that wait for a slow backend.
    await app[HUB].shut(app[SETTINGS].shutdown_grace / 2)
