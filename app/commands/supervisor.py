"""`rushes serve --workers N`: several processes that serve on one port, and this one, which looks after them.

This one holds the address and the private database. Each worker is a whole server of its own; they meet in the
database alone.

On Linux each worker listens on a socket of its own, and the kernel deals connections out evenly (SO_REUSEPORT). With
one socket for all, the worker that wakes first would get nearly every stream.
"""

import asyncio
import os
import pickle
import signal
import socket
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import structlog

from app import sockets
from app.backoff import backoff
from app.settings import Settings
from app.siblings import Siblings

log = structlog.get_logger(__name__)

# Seconds. A worker that told to stop takes longer is killed.
# Seconds beyond SHUTDOWN_GRACE, for the commit of what waits.
_GRACE = 2.0
# One that lived for less has failed; the next one of its place starts after a pause, which grows with each failure.
_SOUND = 5.0
_PAUSE_MIN, _PAUSE_MAX = 0.1, 5.0
# After so many failures in a row, while no other worker serves, there is no use in going on.
_FAILURES_MAX = 5

# What a worker says once it serves, and how many bytes of a sentence may follow.
READY = b"+"
SAID_MAX = 1000

# Elsewhere the option lets several processes listen, but does not deal connections out to them.
_DEALS = sys.platform == "linux"

_ROOT = Path(__file__).resolve().parents[1]


class WorkersError(Exception):
    """No worker can be kept alive. The message is a sentence."""


class Workers:
    """`on_ready` is called once, when every worker serves, with what one of them heard from the database, if that one
    cannot use it yet."""

    def __init__(
        self, settings: Settings, database_url: str, address: socket.socket, on_ready: Callable[[str | None], None]
    ) -> None:
        self._given = settings, database_url
        self._folder: str | None = None
        self._count = settings.workers
        self._grace = settings.shutdown_grace + _GRACE
        self._address = address
        self._on_ready = on_ready
        self._processes: set[Process] = set()
        self._serving: dict[Process, str | None] = {}  # with what is the matter with its database
        self._were_ready = False
        self._stop = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; then all are drained, in SHUTDOWN_GRACE and a little more. Raises WorkersError."""
        with ExitStack() as stack:
            try:
                self._folder = stack.enter_context(sockets.folder())
            except OSError as error:
                log.warning("figures_not_shared", error=str(error))
            await self._run(stop)

    async def _run(self, stop: asyncio.Event) -> None:
        places = [asyncio.create_task(self._keep(place)) for place in range(self._count)]
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait([stopped, *places], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        self._stop.set()
        # Where it is shared, nobody accepts from it any more: better refused than left waiting.
        self._address.close()
        self._signal(signal.SIGTERM)
        _, late = await asyncio.wait(places, timeout=self._grace)
        if late:
            log.error("workers_killed", count=len(self._processes), after_seconds=self._grace)
            self._signal(signal.SIGKILL)
        await asyncio.gather(*places)

    def _signal(self, number: signal.Signals) -> None:
        for process in self._processes:
            with suppress(ProcessLookupError):
                process.send_signal(number)

    async def _keep(self, place: int) -> None:
        """One place: a worker, and whenever it dies another one."""
        failures = 0
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                ended = await self._run_one(place)
            except OSError as error:
                ended = f"not started: {error.strerror}"
            if self._stop.is_set():
                return
            lived = time.monotonic() - began
            failures = failures + 1 if lived < _SOUND else 0
            log.error("worker_ended", how=ended, after_seconds=round(lived, 1))
            if failures >= _FAILURES_MAX and not self._serving:
                raise WorkersError(
                    f"workers end as soon as they start ({ended}, {failures} times); see what they said above."
                )
            if failures:
                with suppress(TimeoutError):
                    async with asyncio.timeout(backoff(failures, _PAUSE_MIN, _PAUSE_MAX)):
                        await self._stop.wait()

    async def _run_one(self, place: int) -> str:
        """A worker's whole life; which it was, and how it ended. Raises OSError when it cannot be started."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                process = await self._spawn(theirs)
            self._processes.add(process)
            if self._stop.is_set():
                process.kill()
            try:
                with suppress(ConnectionError):
                    await self._until_ready(ours, process, place)
                return f"process {process.pid} with {_shown(await process.wait())}"
            finally:
                self._processes.discard(process)
                self._serving.pop(process, None)

    async def _spawn(self, channel: socket.socket) -> Process:
        path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
        descriptors = (channel.fileno(), self._address.fileno())
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # no `app` of the folder we were started in
            "-m",
            "app.commands.worker",
            *map(str, descriptors),
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=descriptors,
            env=_environment() | {"PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C is for us, and we tell them
        )

    async def _until_ready(self, channel: socket.socket, process: Process, place: int) -> None:
        channel.setblocking(False)
        loop = asyncio.get_running_loop()
        siblings = Siblings(self._folder, place, self._count)
        await loop.sock_sendall(channel, pickle.dumps((*self._given, siblings)))
        said = await loop.sock_recv(channel, len(READY) + SAID_MAX)
        if not said:
            return
        self._serving[process] = said.removeprefix(READY).decode(errors="replace") or None
        if len(self._serving) == self._count and not self._were_ready:
            self._were_ready = True
            self._on_ready(next(filter(None, self._serving.values()), None))


def _environment() -> dict[str, str]:
    """Ours without the settings, of which some are secrets: a worker is told them over its channel."""
    return {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}


def listen(address: socket.socket) -> socket.socket:
    """A worker's socket, ready to listen at the address of the supervisor's."""
    if not _DEALS:
        return address
    own = socket.socket(address.family, socket.SOCK_STREAM)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    own.bind(address.getsockname())
    address.close()
    return own


def _shown(status: int) -> str:
    if status >= 0:
        return f"exit code {status}"
    with suppress(ValueError):
        return signal.Signals(-status).name
    return f"signal {-status}"
