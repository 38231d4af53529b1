"""Names of hosts looked up, where anybody may have chosen the name.

A name server that never answers takes the thread that asks it for half a minute, however soon the caller gives up. The
loop has few, which files and all other names need too. So these have threads of their own, and no more than so many.
"""

import asyncio
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

MOST = 64
"""Names that are looked up at once."""

THREAD = "lookup"

_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV

Found = Sequence[tuple[Any, ...]]


class Lookups(AbstractResolver):
    """For a connector of aiohttp. Its threads keep no process from ending."""

    def __init__(self) -> None:
        self._free = threading.BoundedSemaphore(MOST)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises OSError, also while too many names are being looked up."""
        loop = asyncio.get_running_loop()
        found: asyncio.Future[Found] = loop.create_future()
        if not self._free.acquire(blocking=False):
            raise OSError("too many names are being looked up")
        ask = threading.Thread(target=self._ask, args=(loop, found, host, port, family), name=THREAD, daemon=True)
        try:
            ask.start()
        except RuntimeError:
            self._free.release()
            raise OSError("no thread to look the name up") from None
        return [
            ResolveResult(hostname=host, host=to[0], port=to[1], family=kind, proto=protocol, flags=_NUMERIC)
            for kind, _, protocol, _, to in await found
            if kind == socket.AF_INET or not to[3]  # no address that is good on one of our own links alone
        ]

    def _ask(
        self,
        loop: asyncio.AbstractEventLoop,
        found: "asyncio.Future[Found]",
        host: str,
        port: int,
        family: socket.AddressFamily,
    ) -> None:
        answer: Found | OSError
        try:
            answer = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        except OSError as error:
            answer = error
        except UnicodeError:
            answer = OSError("no name of a host")
        finally:
            self._free.release()
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(_tell, found, answer)

    async def close(self) -> None:
        """Whoever still looks for a name ends by himself."""


def _tell(found: "asyncio.Future[Found]", answer: Found | OSError) -> None:
    if found.done():  # nobody waits any more
        return
    if isinstance(answer, OSError):
        found.set_exception(answer)
    else:
        found.set_result(answer)
