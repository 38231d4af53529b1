"""`rushes serve`: database, migrations, server, and a clean end."""

import asyncio
import errno
import fcntl
import gc
import os
import resource
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import click
import structlog
from aiohttp import web

from app import logs
from app.appkeys import READINESS
from app.commands.console import Failure, drop_output, run_async, settings_or_failure
from app.commands.database import database
from app.commands.supervisor import Workers, WorkersError
from app.db.durable import make_folder
from app.deliver import PATH
from app.main import create_app
from app.push.bus import check_url
from app.refusals import refuse_unsafe
from app.server import Runner
from app.settings import Settings, SettingsError
from app.siblings import Siblings

log = structlog.get_logger(__name__)

_BACKLOG = 4096
_OTHER_FILES = 200  # the database, Redis, the spool, static files


@click.command()
@click.option("--workers", type=click.IntRange(min=1), help="Processes on the one port; default WORKERS, or 1.")
def serve(workers: int | None) -> None:
    """Serve, on a private database unless DATABASE_URL names another."""
    settings = settings_or_failure()
    settings.workers = workers or settings.workers
    run_async(_serve(settings))


async def _serve(settings: Settings) -> int:
    """Until a signal that ends us. The address comes first: a second server must not touch the first one's database."""
    try:
        refuse_unsafe(settings)
        if settings.redis_url is not None:
            check_url(settings.redis_url.get_secret_value())
    except (SettingsError, ValueError) as error:
        raise Failure(str(error)) from None
    stop = asyncio.Event()

    def end() -> None:
        click.echo("rushes: stopping", err=True)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in ending_signals():
        loop.add_signal_handler(number, end)
    logs.configure(settings.log_level)
    taken = _bind(settings)
    settings.port = taken.getsockname()[1]
    try:
        async with _data_dir(settings), database(settings, waits=True) as url:
            welcome = partial(_welcome, settings)
            if settings.workers > 1:
                await Workers(settings, url, taken, welcome).run(stop)
            else:
                await run_server(settings, url, taken, stop, on_ready=welcome)
    except WorkersError as error:
        raise Failure(str(error)) from None
    finally:
        taken.close()
    return 0


def ending_signals() -> list[signal.Signals]:
    """Those that end a server. A terminal that is closed sends SIGHUP; under nohup that is ignored, and stays so."""
    hung_up = [] if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else [signal.SIGHUP]
    return [signal.SIGINT, signal.SIGTERM, *hung_up]


@asynccontextmanager
async def _data_dir(settings: Settings) -> AsyncIterator[None]:
    """Marks DATA_DIR as in use by a server, for as long as this process lives.

    A second server would lose the private database when the first one ends: that is a Failure. The spool alone may be
    shared, since each process has a file of its own there: that is told. Workers of one server are one here.
    """
    try:
        make_folder(settings.data_dir, 0o700)
        marked = (settings.data_dir / "server.lock").open("a+")
    except OSError:
        # The private database will say so; without it the server does what it can.
        yield
        return
    with marked:
        try:
            fcntl.flock(marked, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            marked.seek(0)
            process = marked.read().strip()
            if settings.database_url is None:
                raise Failure(
                    f"another server (process {process}) uses the private database in {settings.data_dir}: "
                    "stop it, or name another folder with DATA_DIR"
                ) from None
            log.warning("data_dir_shared", process=int(process or 0), hint="the spools are apart; on purpose?")
        else:
            marked.truncate(0)
            marked.write(f"{os.getpid()}\n")
            marked.flush()
        yield


async def run_server(
    settings: Settings,
    database_url: str,
    listening: socket.socket,
    stop: asyncio.Event,
    *,
    on_ready: Callable[[str | None], Any],
    siblings: Siblings | None = None,
) -> None:
    """Serves in this process until `stop`, then ends cleanly. `on_ready` is given what the database said, if it cannot
    be used yet. `siblings` are the other workers, if this is one."""
    _make_room(settings)
    app = create_app(settings, database_url, siblings)
    runner = Runner(app, shutdown_timeout=settings.shutdown_grace)
    try:
        await runner.setup()
        await web.SockSite(runner, listening, backlog=_BACKLOG).start()
        readiness = app[READINESS]
        on_ready(None if readiness.opened.is_set() else readiness.logged)
        # What start-up made stays; looking through it again and again would hold the loop.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        await stop.wait()
    finally:
        await runner.cleanup()


def _make_room(settings: Settings) -> None:
    """Each connection is an open file, of which a process may have few unless it asks."""
    needed = settings.max_connections + settings.max_http_connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if settings.app_env == "production" and hard != resource.RLIM_INFINITY and hard < needed:
        log.warning("few_open_files", allowed=hard, needed=needed, hint="raise `ulimit -n`, or lower MAX_CONNECTIONS")
    wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _bind(settings: Settings) -> socket.socket:
    found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # Of a name with both kinds of address the one that all clients can use.
    family, _, _, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    taken = socket.socket(family, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind(address)
        if settings.workers == 1:
            taken.listen(_BACKLOG)
    except OSError as error:
        taken.close()
        if error.errno == errno.EADDRINUSE:
            raise Failure(
                f"port {settings.port} is taken; stop what uses it, or choose another one: "
                f"PORT={settings.port + 1} make run"
            ) from None
        raise Failure(f"cannot listen on {settings.host}:{settings.port}: {os.strerror(error.errno or 0)}") from None
    return taken


def _welcome(settings: Settings, trouble: str | None) -> None:
    """Whoever may be reading: that nobody is does not end the server."""
    address = settings.local_url
    lines = [f"\n  Rushes is at {address}/   (Ctrl-C stops it)\n"]
    if trouble is not None:
        lines.append(
            f"  {trouble}\n  Webhooks wait on disk, and jobs cannot be read, until the database can be used.\n"
        )
    elif settings.app_env == "development":
        lines += [
            "  Open the page, then paste this into another terminal and watch the bar move:\n",
            (
                f"  curl -X POST {address}/api/videos/generate -H 'Content-Type: application/json' "
                """-d '{"prompt": "A sunset over the ocean"}'\n"""
            ),
        ]
    if settings.app_env == "development":
        lines.append(f"  Webhooks go to {address}{PATH}\n")
    try:
        click.echo("\n".join(lines))
    except OSError:
        drop_output()
