"""Turns: of each user one at a time, so that nobody's many take the place of others' few."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class Turns:
    """In the order in which they are asked for."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def take(self, who: str, within: float | None = None) -> Callable[[], None]:
        """Waits for a turn, for so many seconds at most; gives what ends it. Raises TimeoutError."""
        lock = self._locks.setdefault(who, asyncio.Lock())
        async with asyncio.timeout(within):
            await lock.acquire()
        return lock.release

    @asynccontextmanager
    async def of(self, who: str) -> AsyncIterator[None]:
        """A turn that lasts as long as the block; it is waited for however long that takes."""
        end = await self.take(who)
        try:
            yield
        finally:
            end()
