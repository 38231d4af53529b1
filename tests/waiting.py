"""Waiting until something is so, where nothing else says when."""

import asyncio
from collections.abc import Callable
from typing import Any

from app.appkeys import SPOOL


async def until(condition: Callable[[], Any], seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def drained(server: Any) -> None:
    """Until nothing waits in the server's spool any more."""
    await until(lambda: not server.app[SPOOL].pending)
