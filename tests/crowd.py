"""Many clients at once, each no more than a socket and what it has received."""

import asyncio
from typing import cast
from urllib.parse import urlsplit

_UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: cnVzaGVzcnVzaGVzcnVzaA==\r\n"
)


class Listener(asyncio.Protocol):
    """One open stream, or the refusal of one."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.received = bytearray()
        self.ended = asyncio.Event()
        self._news = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # as it is of a socket

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()
        self._news.set()

    async def until(self, wanted: bytes, seconds: float = 30) -> None:
        """Returns once `wanted` was received; fails when the connection ends first."""
        async with asyncio.timeout(seconds):
            while wanted not in self.received:
                assert not self.ended.is_set(), bytes(self.received)
                self._news.clear()
                await self._news.wait()


async def listen(url: str, path: str, *, websocket: bool = False) -> Listener:
    """Connects and sends the request."""
    loop, address = asyncio.get_running_loop(), urlsplit(url)
    assert address.hostname is not None
    assert address.port is not None
    transport, listener = await loop.create_connection(Listener, address.hostname, address.port)
    transport.write(b"GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n" % (path.encode(), _UPGRADE if websocket else b""))
    return listener


async def gather(count: int, url: str, path: str, until: bytes, *, websocket: bool = False) -> list[Listener]:
    """So many listeners, each of which has received `until`, some of them connecting at a time."""
    found: list[Listener] = []
    while len(found) < count:
        some = [listen(url, path, websocket=websocket) for _ in range(min(200, count - len(found)))]
        listeners = await asyncio.gather(*some)
        await asyncio.gather(*(listener.until(until) for listener in listeners))
        found += listeners
    return found
