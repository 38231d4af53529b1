"""What the kernel is told of the connections that we serve."""

import asyncio
import contextlib
import socket
import sys

# Without it the kernel hides megabytes of a frozen client's backlog from our own limits.
_SEND_BUFFER = 64 * 1024


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
