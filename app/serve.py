"""`rushes serve`: database, migrations, server, and a clean end."""

import asyncio
import errno
import gc
import os
import resource
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import click
import structlog
from aiohttp import web

from app import logs
from app.cli import Failure, database
from app.keys import OPENING
from app.main import create_app
from app.push.redis import check_url
from app.routes.webhooks import PATH
from app.runner import Runner
from app.settings import Settings, SettingsError, refuse_unsafe
from app.workers import Workers, WorkersError

log = structlog.get_logger(__name__)

_BACKLOG = 4096
_OTHER_FILES = 200  # the database, Redis, the spool, static files


async def serve(settings: Settings) -> int:
    """Until SIGINT or SIGTERM. The address comes first: a second server must not touch the first one's database."""
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
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    logs.configure(settings.log_level)
    taken = _bind(settings)
    settings.port = taken.getsockname()[1]
    try:
        async with database(settings, waits=True) as url:
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


async def run_server(
    settings: Settings,
    database_url: str,
    listening: socket.socket,
    stop: asyncio.Event,
    *,
    on_ready: Callable[[str | None], Any],
) -> None:
    """Serves in this process until `stop`, then ends cleanly. `on_ready` is given what the database said, if it cannot
    be used yet."""
    _make_room(settings)
    app = create_app(settings, database_url)
    runner = Runner(app, shutdown_timeout=settings.shutdown_grace)
    try:
        await runner.setup()
        await web.SockSite(runner, listening, backlog=_BACKLOG).start()
        opening = app[OPENING]
        on_ready(None if opening.opened.is_set() else opening.told)
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
    with suppress(OSError):
        click.echo("\n".join(lines))
