"""Turns: of each user one at a time, so that nobody's many take the place of others' few."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Generic, Protocol, TypeVar
from weakref import WeakValueDictionary

V = TypeVar("V")

# Characters that are looked through in about ten milliseconds, and jobs that are told in as long.
_CHARACTERS_IN_A_ROW = 10_000
_JOBS_IN_A_ROW = 100


class Said(Protocol):
    """A job, of which what was said is looked through when it is told."""

    @property
    def message(self) -> str | None: ...
    @property
    def error(self) -> str | None: ...


J = TypeVar("J", bound=Said)


async def in_turns(jobs: Iterable[J]) -> AsyncIterator[J]:
    """The jobs, and now and then a turn for others."""
    told = 0
    for job in jobs:
        told += _CHARACTERS_IN_A_ROW // _JOBS_IN_A_ROW + len(job.message or "") + len(job.error or "")
        if told > _CHARACTERS_IN_A_ROW:
            told = 0
            await asyncio.sleep(0)
        yield job


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


class Together(Generic[V]):
    """What several ask for while they wait for their turn: made once for all of them, after each has asked."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, asyncio.Future[V | None]] = {}

    async def get(self, key: Hashable, turn: AbstractAsyncContextManager[None], make: Callable[[], Awaitable[V]]) -> V:
        """What `make` gives in its turn. Raises what it raises, to who makes it: the others try themselves."""
        while (made_for_all := self._waiting.get(key)) is not None:
            made = await asyncio.shield(made_for_all)
            if made is not None:
                return made
        mine = self._waiting[key] = asyncio.get_running_loop().create_future()
        made = None
        try:
            async with turn:
                del self._waiting[key]  # who asks from now on may have seen what was committed after this begins
                made = await make()
                return made
        finally:
            if self._waiting.get(key) is mine:
                del self._waiting[key]
            mine.set_result(made)
