"""The other workers of `rushes serve --workers N`, on this machine: each tells the others what it is asked for.

By sockets in a folder that nobody else may enter: what is told there needs no proof.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

# A worker that does not answer in so many seconds is left out.
_PATIENCE = 1.0


class Siblings(NamedTuple):
    """`workers` of them, at places from 0 on; this one is at `place`. Without a folder nobody is asked or told."""

    folder: str | None
    place: int
    workers: int

    @asynccontextmanager
    async def telling(self, tell: Callable[[], Awaitable[bytes]]) -> AsyncIterator[None]:
        """Whoever asks is told, as long as the block lasts. Raises OSError where that cannot be."""

        async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(OSError):
                writer.write(await tell())
                await writer.drain()
            writer.close()

        if self.folder is None:
            yield
            return
        server = await asyncio.start_unix_server(answer, _path(self.folder, self.place))
        try:
            yield
        finally:
            server.close()

    async def told(self) -> dict[str, bytes]:
        """What each of the others tells, by its place. One that is not there, or does not answer, is left out; what one
        tells that is killed meanwhile is not whole."""
        if self.folder is None:
            return {}
        others = [place for place in range(self.workers) if place != self.place]
        answers = await asyncio.gather(*(_ask(_path(self.folder, place)) for place in others))
        return {str(place): answer for place, answer in zip(others, answers, strict=True) if answer}


async def _ask(path: str) -> bytes:
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                return await reader.read()
            finally:
                writer.close()
    return b""


def _path(folder: str, place: int) -> str:
    return str(Path(folder) / str(place))
