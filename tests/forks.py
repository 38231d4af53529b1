"""`rushes` processes without the half second in which each would import the same modules.

A process of ours has imported them and forks whenever it is asked. What it forks runs `python -m app` from the first
line: a process of its own, with a process id, signals, environment, folder and output of its own. Only its start is
none: what is about that, or about what the interpreter reads at its start, begins with a real one.

Asked over a socket pair, by a datagram of JSON with three descriptors: what becomes stdout and stderr, and one over
which the process id goes back, and at the end how it ended.
"""

import asyncio
import contextlib
import importlib
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
# Python itself warns of forks on macOS, and pidfds are Linux's.
AVAILABLE = sys.platform == "linux"

_ASKED_MAX = 1 << 17  # bytes
_NUMBER = struct.Struct("i")
_COMMANDS = ("serve", "migrate", "token", "dead", "purge", "send", "smoke")


# --- Who asks ---------------------------------------------------------------------------------------------------------


class _Pipes:
    """Of a process, for those who have read enough; as the transport of asyncio's."""

    def __init__(self, *transports: asyncio.BaseTransport) -> None:
        self._transports = transports

    def close(self) -> None:
        for transport in self._transports:
            transport.close()


class _Reading(asyncio.StreamReaderProtocol):
    def eof_received(self) -> bool:
        super().eof_received()
        return False  # so that uvloop closes it, as asyncio always does


class Forked(Process):
    """What `asyncio.create_subprocess_exec` would give, as far as tests use it."""

    stdout: asyncio.StreamReader
    stderr: asyncio.StreamReader

    def __init__(
        self, pid: int, told: socket.socket, out: asyncio.StreamReader, err: asyncio.StreamReader, pipes: _Pipes
    ) -> None:
        self.pid = pid
        self.stdout = out
        self.stderr = err
        self._transport = pipes
        self._code: int | None = None
        self._told = told
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(told, self._hear)

    def _hear(self) -> None:
        self._loop.remove_reader(self._told)
        said = self._told.recv(_NUMBER.size)
        self._told.close()
        # Nothing: who forked it has been killed, and nobody knows.
        self._code = _NUMBER.unpack(said)[0] if said else -signal.SIGKILL
        self._ended.set()

    @property
    def returncode(self) -> int | None:
        return self._code

    def send_signal(self, signal: int) -> None:
        if self._code is not None:
            raise ProcessLookupError
        with contextlib.suppress(ProcessLookupError):  # it has ended, and we have not heard of it yet
            os.kill(self.pid, signal)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        await self._ended.wait()
        assert self._code is not None
        return self._code

    async def communicate(self, input: Any = None) -> tuple[bytes, bytes]:  # noqa: A002 - asyncio's name
        assert input is None
        out, err, _ = await asyncio.gather(self.stdout.read(), self.stderr.read(), self.wait())
        return out, err


class _Forker:
    """The process that forks, for as long as this one lives."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ASKED_MAX)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.forks", str(theirs.fileno())], cwd=ROOT, pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": str(ROOT)},
            )  # fmt: skip

    def ask(self, wanted: dict[str, Any], *descriptors: int) -> None:
        socket.send_fds(self._ours, [json.dumps(wanted).encode()], descriptors)

    def end(self) -> None:
        self._ours.close()
        self.process.wait()


_forker: _Forker | None = None


def end() -> None:
    """At the end of the session."""
    global _forker  # noqa: PLW0603 - one for each process of tests
    if _forker is not None:
        _forker.end()
    _forker = None


async def start(folder: Path, *arguments: str, environment: dict[str, str]) -> Forked:
    """`python -m app` with these arguments, in the folder."""
    global _forker  # noqa: PLW0603
    if _forker is None or _forker.process.poll() is not None:
        _forker = _Forker()
    loop = asyncio.get_running_loop()
    (out, theirs_out), (err, theirs_err) = os.pipe(), os.pipe()
    told, theirs_told = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs_told:
        wanted = {"folder": str(folder), "arguments": arguments, "environment": environment}
        _forker.ask(wanted, theirs_out, theirs_err, theirs_told.fileno())
    os.close(theirs_out)
    os.close(theirs_err)
    (reader, transport), (err_reader, err_transport) = [await _read(descriptor) for descriptor in (out, err)]
    told.setblocking(False)
    pid = _NUMBER.unpack(await loop.sock_recv(told, _NUMBER.size))[0]
    return Forked(pid, told, reader, err_reader, _Pipes(transport, err_transport))


async def _read(pipe: int) -> tuple[asyncio.StreamReader, asyncio.BaseTransport]:
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: _Reading(reader), os.fdopen(pipe, "rb", 0)
    )
    return reader, transport


# --- Who forks --------------------------------------------------------------------------------------------------------


def _fork_when_asked(asked: socket.socket) -> Callable[[], None] | None:
    """Forks until nobody can ask any more: None. In what was forked: what makes it what was asked for."""
    poll = select.poll()
    poll.register(asked, select.POLLIN)
    alive: dict[int, tuple[int, socket.socket]] = {}
    while True:
        for descriptor, _ in poll.poll():
            if descriptor in alive:
                poll.unregister(descriptor)
                pid, told = alive.pop(descriptor)
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                with told, contextlib.suppress(BrokenPipeError):
                    told.send(_NUMBER.pack(status))
                os.close(descriptor)
                continue
            message, descriptors, *_ = socket.recv_fds(asked, _ASKED_MAX, 3)
            if not message:
                return None
            if (pid := os.fork()) == 0:
                for _, told in alive.values():
                    told.detach()
                asked.detach()
                return lambda: _become(json.loads(message), *descriptors)
            out, err, back = descriptors
            os.close(out)
            os.close(err)
            told = socket.socket(fileno=back)
            told.send(_NUMBER.pack(pid))
            child = os.pidfd_open(pid)
            alive[child] = (pid, told)
            poll.register(child, select.POLLIN)


def _become(wanted: dict[str, Any], out: int, err: int, _told: int) -> None:
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.closerange(3, 1 << 16)
    os.chdir(wanted["folder"])
    os.environ.clear()
    os.environ.update(wanted["environment"])
    sys.path[0] = wanted["folder"]
    sys.argv = [str(ROOT / "app/__main__.py"), *wanted["arguments"]]
    # What a process draws for itself when it begins.
    importlib.reload(sys.modules["app.ids"])


if __name__ == "__main__":
    import gc

    for name in _COMMANDS:
        importlib.import_module(f"app.commands.{name}")
    gc.freeze()
    become = _fork_when_asked(socket.socket(fileno=int(sys.argv[1])))
    if become is not None:
        become()
        runpy.run_module("app", run_name="__main__", alter_sys=True)
