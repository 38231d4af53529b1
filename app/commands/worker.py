"""One worker of `rushes serve --workers N`: `python -m app.commands.worker CHANNEL ADDRESS`, two inherited descriptors.

Over the channel comes what it is to serve; back goes one byte when it does, with what the database said if it cannot be
used yet. Its end is that of the supervisor.
"""

import asyncio
import os
import pickle
import signal
import socket
import sys

import structlog

from app import logs
from app.commands.console import run_async
from app.commands.serve import ending_signals, run_server
from app.commands.supervisor import READY, SAID_MAX, listen
from app.db.errors import DatabaseAwayError
from app.settings import Settings
from app.siblings import Siblings

log = structlog.get_logger(__name__)


def main() -> None:
    _die_with_parent()
    channel, address = (socket.socket(fileno=int(descriptor)) for descriptor in sys.argv[1:])
    with channel.makefile("rb") as sent:
        settings, database_url, siblings = pickle.load(sent)  # noqa: S301 - from the process that started us
    logs.configure(settings.log_level, worker=os.getpid())
    run_async(_work(settings, database_url, siblings, channel, listen(address)))


async def _work(
    settings: Settings, database_url: str, siblings: Siblings, channel: socket.socket, listening: socket.socket
) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in ending_signals():
        loop.add_signal_handler(number, stop.set)

    def orphaned() -> None:
        loop.remove_reader(channel)
        stop.set()

    loop.add_reader(channel, orphaned)

    def ready(trouble: str | None) -> None:
        channel.send(READY + (trouble or "").encode()[:SAID_MAX])

    try:
        await run_server(settings, database_url, listening, stop, on_ready=ready, siblings=siblings)
    except DatabaseAwayError as error:
        log.error("worker_not_started", error=str(error))  # noqa: TRY400 - that is all there is to say
        return 1
    return 0


def _die_with_parent() -> None:
    """Where the kernel can do that. As the private database, which dies by the same signal: a worker that hangs must
    not keep the port. What was answered is durable."""
    if sys.platform == "linux":
        import ctypes

        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


if __name__ == "__main__":
    main()
