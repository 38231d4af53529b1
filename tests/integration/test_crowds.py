"""Many clients, slow ones and hostile ones: bounded, told why, and harmless to the others."""

import asyncio
import gc
import os
import re
import resource
import signal
import socket
import struct
import sys
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from app.appkeys import HUB
from app.domain.event import LogEvent
from app.push.websocket import PING
from tests.client import Client, running
from tests.crowd import Listener, gather, listen
from tests.frames import TEXT, frame
from tests.matching import found
from tests.processes import serving
from tests.streams import events
from tests.webhooks import webhook

CHAOS = os.environ.get("RUSHES_CHAOS") == "1"
MANY = {"max_connections": 100_000, "max_connections_per_user": 100_000}


async def emptied(server: Client, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while len(server.app[HUB]):
            await asyncio.sleep(0.01)


# -- Hostile over WebSocket


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(TEXT, b"hello") * 51, 1008),
        (frame(PING, b"") * 51, 1008),
        (frame(TEXT, b"x" * 5000), 1009),
        (b"GET / HTTP/1.1\r\n\r\n", 1002),
        (b"\x81\x05hello", 1002),
    ],
)
async def test_client_that_misbehaves_is_closed_with_the_code_that_says_how(
    server: Client, sent: bytes, code: int
) -> None:
    await server.register("j1")
    async with server.session.ws_connect(f"{server.url}/ws/j1") as good:
        await good.receive_json()
        bad = await listen(server.url, "/ws/j1", websocket=True)
        await bad.until(b'"event":"progress"')
        before = len(bad.received)
        bad.transport.write(sent)
        async with asyncio.timeout(5):
            await bad.ended.wait()
        last = bytes(bad.received)[before:]
        while last[0] != 0x88:  # pongs
            last = last[2 + last[1] :]
        assert struct.unpack_from("!H", last, 2)[0] == code
        await server.send(webhook("j1", "generating"))
        assert (await good.receive_json())["data"]["progress"] == 50


async def test_flood_of_a_client_that_reads_nothing_is_not_kept_in_memory(database_url: str) -> None:
    async with running(database_url, stream_last_words=0.3) as server:
        await server.register("j1")
        flood = await listen(server.url, "/ws/j1", websocket=True)
        await flood.until(b'"event":"progress"')
        flood.transport.pause_reading()
        for _ in range(2000):
            flood.transport.write(frame(PING, b"x" * 125) * 10)
            await asyncio.sleep(0)
            if flood.transport.is_closing():
                break
        flood.transport.resume_reading()
        async with asyncio.timeout(5):
            await flood.ended.wait()
        await emptied(server)


# -- Slow


@pytest.mark.parametrize("websocket", [False, True])
async def test_frozen_readers_hold_up_nobody(database_url: str, websocket: bool) -> None:
    async with running(database_url, stream_max_buffer=64 * 1024, stream_last_words=0.2, **MANY) as server:
        await server.register("j1")
        path = "/ws/j1" if websocket else "/events/j1"
        frozen = [await listen(server.url, path, websocket=websocket) for _ in range(30)]
        for listener in frozen:
            await listener.until(b"PENDING")
            listener.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            listener.transport.pause_reading()
        good = await gather(30, server.url, path, b"PENDING", websocket=websocket)
        last = 0
        while len(server.app[HUB]) > len(good):
            last += 1
            assert last < 2000, "the frozen ones were never dropped"
            code, _ = await server.send(webhook("j1", "failed", data=None) | {"error": "x" * 4000 + f"<{last}>"})
            assert code == 200
            # Whoever reads has each event while the frozen ones still hold theirs.
            await asyncio.gather(*(listener.until(b"<%d>" % last, 5) for listener in good))
        for listener in good:
            assert [int(n) for n in re.findall(rb"x<(\d+)>", listener.received)] == list(range(1, last + 1))
        for listener in frozen:
            # Through their tiny windows, what the kernel still has for them would trickle for seconds.
            listener.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            listener.transport.resume_reading()
        async with asyncio.timeout(30):
            await asyncio.gather(*(listener.ended.wait() for listener in frozen))


async def test_frozen_readers_are_closed_after_the_fan_out_that_was_too_much_and_not_in_it(database_url: str) -> None:
    async with running(database_url, stream_max_buffer=64 * 1024, **MANY) as server:
        await server.register("j1")
        listeners = await gather(20, server.url, "/events/j1", b"PENDING")
        for listener in listeners:
            listener.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            listener.transport.pause_reading()
        hub, last = server.app[HUB], 1000
        subscribers = list(hub._open)
        while all(subscriber.live for subscriber in subscribers):
            last += 1
            await hub.publish(LogEvent(last, "j1", "dev", None, "progress", b"x" * 20_000))
        assert {subscriber.why for subscriber in subscribers} == {None}
        await emptied(server)
        assert {subscriber.why for subscriber in subscribers} == {"too slow"}
        for listener in listeners:
            listener.transport.abort()


# -- Many


async def test_burst_of_events_with_one_listener_each_lets_others_take_their_turn(server: Client) -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with events(server.session, f"{server.url}/events") as source:
        await source.next()
        waiting = asyncio.create_task(others())
        for number in range(1, 1001):
            await server.app[HUB].publish(LogEvent(number, f"j{number}", "dev", None, "progress", b"{}", "ab"))
        waiting.cancel()
        assert turns >= 10
        assert [event.id for event in await source.take(1000)] == list(range(1, 1001))


async def test_idle_streams_have_no_task_of_their_own(database_url: str) -> None:
    async with running(database_url, **MANY) as server:
        await server.register("j1")
        await gather(1, server.url, "/events/j1", b"PENDING")
        before = len(asyncio.all_tasks())
        sse = await gather(100, server.url, "/events/j1", b"PENDING")
        ws = await gather(100, server.url, "/ws/j1", b"PENDING", websocket=True)
        assert len(server.app[HUB]) == 201
        async with asyncio.timeout(5):  # what the server does besides comes and goes
            while len(asyncio.all_tasks()) > before:
                await asyncio.sleep(0.01)
        for listener in sse + ws:
            listener.transport.abort()
        await emptied_but(server, 1)


async def emptied_but(server: Client, left: int) -> None:
    async with asyncio.timeout(10):
        while len(server.app[HUB]) > left:
            await asyncio.sleep(0.01)


async def test_thousand_connections_of_one_address_are_bounded_and_told(database_url: str) -> None:
    async with running(database_url, max_connections=100, max_connections_per_user=1000) as server:
        await server.register("j1")
        listeners = [await listen(server.url, "/events/j1") for _ in range(1000)]
        await asyncio.gather(*(listener.until(b"\r\n\r\n") for listener in listeners))
        await asyncio.gather(*(listener.until(b"\nretry: ") for listener in listeners))
        told = [bytes(listener.received) for listener in listeners]
        assert all(answer.startswith(b"HTTP/1.1 200") for answer in told)
        assert (
            sum(re.search(rb": rushes( shown \w+)?\n", answer) is not None for answer in told)
            == len(server.app[HUB])
            == 100
        )
        assert sum(b": later too_many_connections\n" in answer for answer in told) == 900
        for listener in listeners:
            listener.transport.abort()
        await emptied(server)
        async with events(server.session, f"{server.url}/events/j1") as source:
            assert await source.next()


COMERS = """
import random, socket, struct, sys
host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
upgrade = (b"Connection: Upgrade\\r\\nUpgrade: websocket\\r\\nSec-WebSocket-Version: 13\\r\\n"
           b"Sec-WebSocket-Key: cnVzaGVzcnVzaGVzcnVzaA==\\r\\n")
requests = [b"GET /events/j1 HTTP/1.1\\r\\nHost: h\\r\\n\\r\\n", b"GET /events HTTP/1.0\\r\\n\\r\\n",
            b"GET /events/j1 HTTP/1.1\\r\\nHost: h\\r\\nLast-Event-ID: 1\\r\\n\\r\\n",
            b"GET /ws/j1 HTTP/1.1\\r\\nHost: h\\r\\n" + upgrade + b"\\r\\n",
            b"GET /events/nobody HTTP/1.1\\r\\nHost: h\\r\\n\\r\\n", b"GET /ws/nobo", b"rubbish\\r\\n\\r\\n"]
choose = random.Random(1)
while count > 0:
    now = min(50, count)
    count -= now
    socks = []
    for _ in range(now):
        sock = socket.create_connection((host, port))
        what = choose.choice(requests)
        sock.sendall(what)
        socks.append((sock, what))
    for sock, what in socks:
        if choose.random() < 0.7 and not what.endswith(b"nobo"):
            sock.recv(4096)
        if choose.random() < 0.3:  # as a phone that is gone
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
print("done")
"""


async def come_and_go(server: Client, count: int) -> None:
    address = urlsplit(server.url)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", COMERS, str(address.hostname), str(address.port), str(count)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert (await process.communicate())[0] == b"done\n"
    await emptied(server)


def held() -> tuple[int, int]:
    """(file descriptors, KiB of memory) of this process."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    return len(list(Path("/proc/self/fd").iterdir())), int(found(r"VmRSS:\s+(\d+)", status)[1])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.timeout(900)
async def test_those_who_came_and_went_leave_nothing_behind(
    database_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """100,000 of them with RUSHES_CHAOS=1."""
    async with running(database_url, **MANY) as server:
        await server.register("j1")
        await come_and_go(server, 2000)
        tasks, (fds, memory) = len(asyncio.all_tasks()), held()
        count = 100_000 if CHAOS else 3000
        await come_and_go(server, count)
        async with asyncio.timeout(10):
            while len(asyncio.all_tasks()) > tasks or held()[0] > fds:
                await asyncio.sleep(0.1)
        # KiB: less than 42 bytes for each of 100,000. The allocator alone moves by some.
        assert held()[1] - memory < 4096
    assert capfd.readouterr() == ("", ""), "who leaves is no error"


def room_for(files: int) -> None:
    """Lets this process, and those it starts, open so many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < files:
        pytest.skip(f"this machine lets a process open {hard} files; {files} are needed")
    if soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))


async def test_stop_with_five_thousand_open_streams_is_over_in_ten_seconds(tmp_path: Path, database_url: str) -> None:
    room_for(6000)
    many = {name.upper(): value for name, value in MANY.items()}
    async with serving(tmp_path, DATABASE_URL=database_url, **many) as (process, url, _):
        async with aiohttp.ClientSession() as session:
            async with session.post(f"{url}/api/videos", json={"job_id": "j1", "prompt": "p"}) as answer:
                assert answer.status == 201
        listeners: list[Listener] = await gather(5000, url, "/events/j1", b"PENDING")
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            await asyncio.gather(*(listener.ended.wait() for listener in listeners))
            assert await process.wait() == 0
    assert all(listener.received.endswith(b"\r\n0\r\n\r\n") for listener in listeners)
    retries = [int(found(rb"retry: (\d+)", bytes(listener.received))[1]) for listener in listeners]
    assert 2000 <= min(retries) < 2100
    assert 4900 < max(retries) <= 5000
    in_half_a_second = [sum(start <= retry < start + 500 for retry in retries) for start in range(2000, 5000, 500)]
    assert max(in_half_a_second) < 1200
