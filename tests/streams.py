"""A client of the streams, as strict as a browser: it reads what comes and keeps it in order."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientResponse, ClientSession


@dataclass
class Event:
    """`id` is the number of the event's id, `full_id` all of it."""

    id: int | None
    event: str | None
    data: Any
    full_id: str | None = None


def number_of(event_id: str) -> int:
    """Of an id as the server gives it: 1042 of 1042-7f3a1b22."""
    number, digits = re.fullmatch(r"([0-9]+)-([0-9a-f]+)", event_id).groups()
    assert (number == "0") == (digits == "0")
    return int(number)


@dataclass
class Source:
    """One SSE connection. `last_id` is what a browser would send to resume."""

    response: ClientResponse
    last_id: str | None = None
    comments: list[str] = field(default_factory=list)
    retry: int | None = None

    async def next(self, seconds: float = 10) -> Event | None:
        """The next block that has an id or an event; None at the end of the stream."""
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
                    return Event(full_id and number_of(full_id), fields.get("event"), data, full_id)
            return None

    async def take(self, count: int) -> list[Event]:
        found = [await self.next() for _ in range(count)]
        assert None not in found, f"the stream ended after {found}"
        return found

    async def rest(self) -> list[Event]:
        """Everything to the end of the stream."""
        found = []
        while (event := await self.next()) is not None:
            found.append(event)
        return found


@asynccontextmanager
async def events(session: ClientSession, url: str, last_id: int | str | None = None, **kwargs) -> AsyncIterator[Source]:
    headers = kwargs.pop("headers", {}) | ({} if last_id is None else {"Last-Event-ID": str(last_id)})
    async with session.get(url, headers=headers, timeout=None, **kwargs) as response:
        assert response.status == 200, await response.text()
        yield Source(response, None if last_id is None else str(last_id))


async def later(session: ClientSession, url: str, **kwargs) -> str:
    """Why a stream cannot be opened now, told in the one way after which an EventSource comes back."""
    async with events(session, url, **kwargs) as source:
        assert source.response.headers["Content-Type"] == "text/event-stream"
        assert source.response.headers["Cache-Control"] == "no-store, no-transform"
        assert (await source.rest(), source.last_id) == ([], None)
        assert 2000 <= source.retry <= 5000
        [comment] = source.comments
        return comment.removeprefix(": later ")
