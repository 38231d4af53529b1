"""Single reads that many ask for at once, made as one: ten thousand clients that come back cost a hundred queries."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from itertools import islice
from typing import Generic, TypeVar

from app.db.errors import DatabaseAwayError

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

# Seconds from the beginning of a read to that of the next, once they are asked for together.
_PACE = 0.01


class Loader(Generic[K, V]):
    """`read` gets at most `most` different keys, and gives a value for each of them.

    A read begins after the call that asks for it, so it shows all that was committed before. One is under way at a
    time; whoever asks meanwhile is in the next. A lone one begins at once; in a crowd they keep a pace, which gathers
    more into each.
    """

    def __init__(self, read: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]], most: int) -> None:
        self._read = read
        self._most = most
        self._asked: dict[K, asyncio.Future[V]] = {}
        self._task: asyncio.Task[None] | None = None

    async def get(self, key: K) -> V:
        """Raises what `read` raises; what is wrong with one key is not told to those who asked for others."""
        answer = self._asked.get(key)
        if answer is None:
            answer = self._asked[key] = asyncio.get_running_loop().create_future()
            answer.add_done_callback(asyncio.Future.exception)  # all who asked may have left meanwhile
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return await asyncio.shield(answer)

    async def _run(self) -> None:
        try:
            loop = asyncio.get_running_loop()
            while self._asked:
                began = loop.time()
                batch = dict(islice(self._asked.items(), self._most))
                for key in batch:
                    del self._asked[key]
                await self._answer(batch)
                if len(batch) > 1 or self._asked:
                    await asyncio.sleep(began + _PACE - loop.time())
        finally:
            self._task = None

    async def _answer(self, batch: dict[K, asyncio.Future[V]]) -> None:
        try:
            values = await self._read(list(batch))
            for key, answer in batch.items():
                answer.set_result(values[key])
        except Exception as error:  # noqa: BLE001 - it is told to those who asked
            if len(batch) > 1 and not isinstance(error, DatabaseAwayError):
                for key, answer in batch.items():
                    await self._answer({key: answer})
                return
            for answer in batch.values():
                answer.set_exception(error)
        except BaseException:
            for answer in batch.values():
                answer.cancel()
            raise
