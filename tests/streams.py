"""A client of the streams, as strict as a browser: it reads what comes and keeps it in order."""

import asyncio
import json
import random
import re
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import ClientResponse, ClientSession
from yarl import URL


@dataclass
class Event:
    """`id` is the number of the event's id, `full_id` all of it."""

    id: int | None
    event: str | None
    data: Any
    full_id: str | None = None


def number_of(event_id: str) -> int:
    """Of an id as the server gives it: 1042 of 1042-7f3a1b22."""
    match = re.fullmatch(r"([0-9]+)-([0-9a-f]+)", event_id)
    assert match is not None, event_id
    number, digits = match.groups()
    assert (number == "0") == (digits == "0")
    return int(number)


@dataclass
class Source:
    """One SSE connection. `last_id` is what a browser would send to resume."""

    response: ClientResponse
    last_id: str | None = None
    comments: list[str] = field(default_factory=list)
    retry: int | None = None

    async def next(self, seconds: float = 10) -> Event:
        """The next block that has an id or an event, which must come."""
        event = await self.next_or_end(seconds)
        assert event is not None, "the stream ended"
        return event

    async def next_or_end(self, seconds: float = 10) -> Event | None:
        """The same; None at the end of the stream."""
        async with asyncio.timeout(seconds):
            fields: dict[str, str] = {}
            async for raw in self.response.content:
                line = raw.decode().rstrip("\n")
                if line.startswith(":"):
                    self.comments.append(line)
                elif line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif "retry" in fields:
                    self.retry = int(fields.pop("retry"))
                elif fields:
                    self.last_id = fields.get("id", self.last_id)
                    data = json.loads(fields["data"]) if "data" in fields else None
                    full_id = fields.get("id")
                    number = number_of(full_id) if full_id else None
                    return Event(number, fields.get("event"), data, full_id)
            return None

    async def take(self, count: int) -> list[Event]:
        found: list[Event] = []
        while len(found) < count:
            try:
                event = await self.next_or_end()
            except TimeoutError as error:
                raise AssertionError(f"{len(found)} came, then {self.comments}; the last were {found[-3:]}") from error
            assert event is not None, f"the stream ended after {found}"
            found.append(event)
        return found

    async def rest(self) -> list[Event]:
        """Everything to the end of the stream."""
        found = []
        while (event := await self.next_or_end()) is not None:
            found.append(event)
        return found


@asynccontextmanager
async def events(
    session: ClientSession, url: str | URL, last_id: int | str | None = None, **kwargs: Any
) -> AsyncIterator[Source]:
    headers = kwargs.pop("headers", {}) | ({} if last_id is None else {"Last-Event-ID": str(last_id)})
    async with session.get(url, headers=headers, timeout=None, **kwargs) as response:
        assert response.status == 200, await response.text()
        yield Source(response, None if last_id is None else str(last_id))


async def later(session: ClientSession, url: str, **kwargs: Any) -> str:
    """Why a stream cannot be opened now, told in the one way after which an EventSource comes back."""
    async with events(session, url, **kwargs) as source:
        assert source.response.headers["Content-Type"] == "text/event-stream"
        assert source.response.headers["Cache-Control"] == "no-store, no-transform"
        assert (await source.rest(), source.last_id) == ([], None)
        assert source.retry is not None
        assert 2000 <= source.retry <= 5000
        [comment] = source.comments
        return comment.removeprefix(": later ")


def leave_without_a_word(source: Source) -> None:
    """As a phone does that lost its network, in the middle of anything."""
    connection = source.response.connection
    assert connection is not None
    assert connection.transport is not None
    raw = connection.transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    source.response.close()


class Wanderer:
    """A client that comes and goes, now here, now there, with its last id."""

    def __init__(self, path: str, seed: int) -> None:
        self.path = path
        self.random = random.Random(seed)
        self.seen: list[int] = []
        self.last_id: str | None = None
        self.arrived = asyncio.Event()

    async def visit(self, url: Callable[[], str], until: int) -> None:
        async with aiohttp.ClientSession() as session:
            while self.last_id is None or number_of(self.last_id) < until:
                leave_after = self.random.randint(1, 6)
                async with events(session, url() + self.path, self.last_id) as source:
                    for _ in range(leave_after):
                        event = await source.next()
                        assert event.event != "reset"
                        if source.last_id is None:
                            continue  # within a snapshot, which has one id, at its end
                        if self.last_id is not None:
                            assert event.id is not None
                            self.seen.append(event.id)
                        self.last_id = source.last_id
                        self.arrived.set()
                        if number_of(self.last_id) >= until:
                            return
                    if self.random.random() < 0.3:
                        leave_without_a_word(source)
