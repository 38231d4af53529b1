"""Waiting until something is so, where nothing else says when."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from app.appkeys import SPOOL


async def until(condition: Callable[[], Any], seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def quickest(run: Callable[[], Awaitable[float]], bound: float, tries: int = 3) -> float:
    """Seconds that it took the first time that it kept within the bound; else the least of all tries. What a program
    takes too long for it takes too long for each time; what the machine does besides, it does not."""
    took = await run()
    while took >= bound and tries > 1:
        tries -= 1
        took = min(took, await run())
    return took


async def drained(server: Any) -> None:
    """Until nothing waits in the server's spool any more."""
    await until(lambda: not server.app[SPOOL].pending)
