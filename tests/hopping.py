"""Clients that come back to another process each time, and senders that do not give up: nothing may be lost or
repeated, whatever happens between them."""

import asyncio
import itertools
import random
from collections.abc import Callable
from typing import Any

import aiohttp

from tests.streams import Source, events, leave_without_a_word, number_of
from tests.webhooks import webhook

Choose = Callable[[], tuple[aiohttp.ClientSession, str]]

_FAILURES = (aiohttp.ClientError, TimeoutError, ConnectionError)
_numbers = itertools.count(1)


class Hopper:
    """Reads `/events` a little here and a little there, and goes on from its last id."""

    def __init__(self, choose: Choose, seed: int) -> None:
        self.seen: list[int] = []
        self.last_id: str | None = None
        self.broken = 0
        self.arrived = asyncio.Event()
        self._choose = choose
        self._random = random.Random(seed)

    async def run(self, until: Callable[[], int | None]) -> None:
        """Until it has the event of that id, once there is one."""
        while (last := until()) is None or self.last_id is None or number_of(self.last_id) < last:
            session, url = self._choose()
            try:
                async with events(session, f"{url}/events", self.last_id) as source:
                    await self._read(source, self._random.randint(1, 6), until)
            except (*_FAILURES, AssertionError) as error:
                # A server that dies, or has no database at this moment, sends nobody away for good.
                assert isinstance(error, _FAILURES) or "unavailable" in str(error), error
                self.broken += 1
                await asyncio.sleep(0.02)

    async def _read(self, source: Source, count: int, until: Callable[[], int | None]) -> None:
        for _ in range(count):
            event = await source.next_or_end(0.5)
            if event is None:
                return
            assert event.event != "reset", "sent back to the start"
            if source.last_id is None:
                continue  # within a snapshot, which has one id, at its end
            if self.last_id is not None:
                assert event.id is not None
                self.seen.append(event.id)
            self.last_id = source.last_id
            self.arrived.set()
            if number_of(self.last_id) == until():
                return
        if self._random.random() < 0.3:
            leave_without_a_word(source)


async def send(choose: Choose, job_id: str, **fields: Any) -> int:
    """Posts one webhook until somebody takes it, each time to another; the status of the answer."""
    body, headers = webhook(job_id, "generating") | fields, {"webhook-id": f"hop_{next(_numbers)}"}
    while True:
        session, url = choose()
        try:
            async with session.post(f"{url}/api/webhooks/video-completion", json=body, headers=headers) as answer:
                if answer.status in (200, 202):
                    return answer.status
                assert answer.status == 503, await answer.text()
        except _FAILURES:
            pass
        await asyncio.sleep(0.02)


def verify(hoppers: list[Hopper], last: int) -> None:
    """Each saw every event since it came, once and in order."""
    for hopper in hoppers:
        assert hopper.seen == list(range(hopper.seen[0], last + 1))
