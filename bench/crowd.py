"""How long an event takes from its webhook to those who read, alone and beside a crowd of slow and hostile clients.

The server has one core; the clients and the database share the other. The crowd: readers of the same job who stop
reading, connections that say nothing, and WebSocket clients that send pings as fast as they can, again and again.
"""

import asyncio
import contextlib
import struct
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from statistics import quantiles
from typing import Any
from urllib.parse import urlsplit

from bench import payload
from bench.fanout import Listeners, Rushes, listeners, rushes

READERS = 500
EVENTS, A_SECOND = 1000, 40
_FLOOD = 60  # pings, more than a client may send at once
_FLOOD_EVERY = 0.05
_PING = struct.pack("!BB4s", 0x89, 0x80, b"mask")


@dataclass(frozen=True, slots=True)
class Case:
    """So many who stop reading, and so many who say nothing; `floods` tells whether there are those too."""

    name: str
    frozen: int
    silent: int
    floods: bool


CASES = (
    Case("alone", 0, 0, floods=False),
    Case("beside 1,000 frozen, 1,000 silent, 20 floods a second", 1000, 1000, floods=True),
)


@dataclass(frozen=True, slots=True)
class Crowd:
    """One case. Times are in seconds, from the sending of the webhook to a reader; `lost` is what did not come."""

    round: int
    case: str
    deliveries: int
    lost: int
    p50: float
    p99: float
    longest: float
    dropped: int
    floods: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


async def crowds(rounds: int, tell: Callable[[str], None]) -> list[Crowd]:
    """Measure every case; `tell` hears how far."""
    runs = []
    for number in range(rounds):
        for case in CASES:
            tell(f"round {number + 1}/{rounds}: {case.name}")
            async with AsyncExitStack() as stack:
                server = await stack.enter_async_context(rushes())
                readers, frozen = [await stack.enter_async_context(listeners()) for _ in range(2)]
                await server.prepare(1)
                runs.append(await _measure(number, case, server, readers, frozen))
    return runs


async def _measure(number: int, case: Case, server: Rushes, readers: Listeners, frozen: Listeners) -> Crowd:
    address = urlsplit(server.url)
    where = {"host": "127.0.0.1", "port": address.port, "blocks": server.first_blocks}
    await readers.do(open=[server.path(1)] * READERS, **where)
    await frozen.do(open=[server.path(1)] * case.frozen, receive_buffer=4096, **where)
    await frozen.do(say_nothing=case.silent)
    heard = asyncio.create_task(readers.do(expect=READERS * EVENTS, within=2 * EVENTS / A_SECOND, times=True))
    flooding = asyncio.create_task(
        _flood(address.port or 80, server.path(1, websocket=True)) if case.floods else _none()
    )
    sent = await _publish(address.port or 80)
    came = await heard
    flooding.cancel()
    floods = (await asyncio.gather(flooding, return_exceptions=True))[0]
    # Every reader has them in order, so the arrivals of one event are the next READERS of all, sorted.
    times = sorted(came["times"])
    waits = [at - sent[place // READERS] for place, at in enumerate(times)]
    cuts = quantiles(waits, n=100)
    lost = READERS * EVENTS - came["blocks"]
    dropped = (await frozen.do(lose=5))["open"] if case.frozen else 0
    return Crowd(
        number, case.name, came["blocks"], lost, cuts[49], cuts[98], max(waits), case.frozen - dropped,
        floods if isinstance(floods, int) else 0,
    )  # fmt: skip


async def _publish(port: int) -> list[float]:
    """Posts one webhook after the other; when each was sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    template, start, sent = payload.template("generating"), time.monotonic(), []
    for n in range(EVENTS):
        await asyncio.sleep(max(0.0, start + n / A_SECOND - time.monotonic()))
        at = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=n)).isoformat()
        body = template.replace(payload.JOB, payload.job_id("fan-", 1)).replace(payload.AT, at).encode()
        sent.append(time.monotonic())
        writer.write(
            b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (payload.PATH.encode(), len(body), body)
        )
        await reader.readuntil(b'"progress":50}')
    writer.close()
    return sent


async def _flood(port: int, path: str) -> int:
    """How many floods there were until it was cancelled."""
    count = 0
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: cnVzaGVzcnVzaGVzcnVzaA==\r\n\r\n".encode()
            )
            await reader.readuntil(b"\r\n\r\n")
            writer.write(_PING * _FLOOD)
            with contextlib.suppress(ConnectionError):
                await reader.read()
            writer.close()
            count += 1
            await asyncio.sleep(_FLOOD_EVERY)
    return count


async def _none() -> int:
    return 0
