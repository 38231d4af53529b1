"""The tail of received webhooks: changes get their numbers, and whoever follows them is told that there are more."""

import asyncio
import contextlib
from collections.abc import Iterator

import structlog

from app.db.changes import Changes
from app.db.errors import PassingError
from app.upkeep.leader import Leader

log = structlog.get_logger(__name__)

# Seconds between two looks of the process that leads, where nobody follows; and times it looks before it deletes old
# ones.
_EVERY = 1.0
_FORGET_EVERY = 60


class Tail:
    """Looks every `poll` seconds while somebody follows here. Each process numbers for itself: nobody waits for the one
    that leads, which does so for what nobody follows."""

    def __init__(self, changes: Changes, leader: Leader, *, poll: float) -> None:
        self._changes = changes
        self._leader = leader
        self._poll = poll
        self._followers = 0
        self._wanted = asyncio.Event()
        self._news = asyncio.Event()
        self._looks = 0
        self.head = 0
        self.stopping = False

    async def run(self) -> None:
        """Numbers changes also where nobody follows, and deletes old ones, in the process that leads. Runs until
        cancelled."""
        await self._leader.repeat("changes", self._round, _EVERY)

    async def _round(self) -> None:
        await self._changes.number()
        self._looks += 1
        if self._looks % _FORGET_EVERY == 1:
            await self._changes.forget()

    async def watch(self) -> None:
        """Looks for those who follow. Runs until cancelled."""
        while True:
            await self._wanted.wait()
            try:
                await self._changes.number()
                head = await self._changes.head()
                if head != self.head:
                    self.head = head
                    self._tell()
            except PassingError as error:
                log.info("changes_not_read", error=str(error))
            await asyncio.sleep(self._poll)

    @contextlib.contextmanager
    def following(self) -> Iterator[None]:
        """Somebody follows, as long as the block lasts."""
        self._followers += 1
        self._wanted.set()
        try:
            yield
        finally:
            self._followers -= 1
            if not self._followers:
                self._wanted.clear()

    async def news(self, within: float) -> None:
        """Waits until there is something new, or the end, for so many seconds at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._news.wait()

    def stop(self) -> None:
        """Ends all who follow."""
        self.stopping = True
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
