"""What the kernel is told of the connections that we serve, and where sockets are that have a path."""

import asyncio
import contextlib
import socket
import sys
import tempfile
from collections.abc import Iterator

# Without it the kernel hides megabytes of a frozen client's backlog from our own limits.
_SEND_BUFFER = 64 * 1024

_PATH_MAX = 100  # bytes of a socket's address, on any system


@contextlib.contextmanager
def folder() -> Iterator[str]:
    """One that nobody else may enter, with room for a short name in a socket's address; gone after the block."""
    short = len(tempfile.gettempdir().encode()) < _PATH_MAX - 40
    with tempfile.TemporaryDirectory(prefix="rushes-", dir=None if short else "/tmp") as made:  # noqa: S108 - 0700
        yield made


def bound(transport: asyncio.BaseTransport, dead_after: float) -> None:
    """Makes the kernel keep little for this client, and give it up when its machine acknowledges nothing for so long,
    in seconds."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        if sys.platform == "linux":
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(dead_after * 1000))
