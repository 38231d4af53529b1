"""Two machines, as two network namespaces: the link between them is cut and healed under load.

Machine A has the database and Redis. Clients and senders are on both.
"""

import asyncio
import contextlib
import ctypes
import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pymysql
import pytest
from aiohttp import AddrInfoType, ClientSession

from tests.hopping import Choose, Hopper, send, verify
from tests.processes import environment, let_go, stdout
from tests.redis import redis_server
from tests.sign_in import SECRET, token

CUTS = 10 if os.environ.get("RUSHES_CHAOS") else 1  # on each side
JOBS = [f"j{number}" for number in range(5)]
ADDRESS_OF_A = "10.231.77.1"
PORT = 8080  # each namespace has all ports for itself

# A private database that other machines reach too.
DATABASE = """
import asyncio, sys
from pathlib import Path
import pymysql
from app.db import local, migrate
from app.db.url import parameters

local._OPTIONS = (*(o for o in local._OPTIONS if o != "--skip-networking"), "--port=3306", "--bind-address=0.0.0.0")

async def main():
    async with local.private_database(Path(sys.argv[1])) as url:
        migrate.apply(url)
        arguments = parameters(url)
        with pymysql.connect(unix_socket=arguments["unix_socket"], user="root") as session, session.cursor() as cursor:
            cursor.execute("CREATE USER 'rushes'@'%' IDENTIFIED BY 'secret'")
            cursor.execute("GRANT ALL ON rushes.* TO 'rushes'@'%'")
        print(arguments["unix_socket"], flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


class Machine:
    """A network namespace, with one end of the link."""

    def __init__(self, name: str, address: str) -> None:
        self.name = f"rushes-{os.getpid()}-{name}"
        self.link = f"r{os.getpid()}{name}"
        self.prefix = ("ip", "netns", "exec", self.name)
        self._address = address

    def make(self) -> None:
        ip("netns", "add", self.name)
        ip("-n", self.name, "link", "set", "lo", "up")

    def take_link(self) -> None:
        ip("link", "set", self.link, "netns", self.name)
        ip("-n", self.name, "address", "add", f"{self._address}/24", "dev", self.link)
        self.heal()

    def cut(self) -> None:
        ip("-n", self.name, "link", "set", self.link, "down")

    def heal(self) -> None:
        ip("-n", self.name, "link", "set", self.link, "up")

    def remove(self) -> None:
        subprocess.run(["ip", "netns", "delete", self.name], check=False, capture_output=True)

    def socket(self, address: AddrInfoType | tuple[int, int, int]) -> socket.socket:
        """A socket of that machine: it stays in the namespace in which it was made."""
        family, kind, protocol, *_ = address
        with inside(f"/run/netns/{self.name}"):
            return socket.socket(family, kind, protocol)


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """This thread is in that network namespace meanwhile."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open() as here, Path(namespace).open() as there:
        enter(libc, there.fileno())
        try:
            yield
        finally:
            enter(libc, here.fileno())


def enter(libc: ctypes.CDLL, descriptor: int) -> None:
    if libc.setns(descriptor, 0x40000000):  # CLONE_NEWNET
        raise OSError(ctypes.get_errno(), "setns")


@pytest.fixture
def machines() -> Iterator[tuple[Machine, Machine]]:
    a, b = Machine("a", ADDRESS_OF_A), Machine("b", "10.231.77.2")
    if shutil.which("ip") is None:
        pytest.skip("needs the command `ip`, of iproute2")
    try:
        try:
            a.make()
            b.make()
            ip("link", "add", a.link, "type", "veth", "peer", "name", b.link)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces cannot be made here: {error.stderr.strip()}")
        a.take_link()
        b.take_link()
        yield a, b
    finally:
        a.remove()
        b.remove()


@asynccontextmanager
async def process(*command: str, ready: bytes, **options: Any) -> AsyncIterator[bytes]:
    """Runs it until it says that it is ready; gives that line."""
    started = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, **options)
    try:
        async with asyncio.timeout(60):
            while ready not in (line := await stdout(started).readline()):
                assert line, f"{command} ended"
        yield line
    finally:
        with contextlib.suppress(ProcessLookupError):
            started.terminate()
        await started.wait()
        let_go(started)


def serving(
    machine: Machine, folder: Path, database: str, redis: str | None = None, **chosen: object
) -> AbstractAsyncContextManager[bytes]:
    """A server on that machine."""
    settings = (
        {
            "DATABASE_URL": f"mysql://rushes:secret@{database}:3306/rushes",
            "PORT": PORT,
            "DATA_DIR": folder / machine.name,
            "DB_TIMEOUT": 1,
            "ANSWER_BUDGET": 2,
            "LOG_LEVEL": "error",
        }
        | chosen
        | ({"REDIS_URL": redis} if redis else {})
    )
    command = (*machine.prefix, sys.executable, "-m", "app", "serve")
    return process(*command, ready=b"Webhooks go to", cwd=folder, env=environment(**settings))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("with_redis", [False, True])
async def test_cut_link_between_two_machines_loses_and_repeats_nothing(
    tmp_path: Path, machines: tuple[Machine, Machine], with_redis: bool
) -> None:
    a, b = machines
    async with AsyncExitStack() as stack:
        line = await stack.enter_async_context(
            process(*a.prefix, sys.executable, "-c", DATABASE, str(tmp_path), ready=b".sock", env=environment())
        )
        if with_redis:
            options = ("--port", "6379", "--bind", "0.0.0.0", "--protected-mode", "no")
            await stack.enter_async_context(redis_server(tmp_path, *options, prefix=a.prefix))
        for machine, address in ((a, "127.0.0.1"), (b, ADDRESS_OF_A)):
            redis = f"redis://{address}:6379" if with_redis else None
            await stack.enter_async_context(serving(machine, tmp_path, address, redis))
        sessions = [
            await stack.enter_async_context(
                aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(limit=0, force_close=True, socket_factory=machine.socket),
                    timeout=aiohttp.ClientTimeout(total=20),
                )
            )
            for machine in machines
        ]
        sql = Sql(line.decode().strip())
        await play(machines, sessions, sql)
        sql.close()


async def test_client_whose_machine_has_vanished_is_let_go(tmp_path: Path, machines: tuple[Machine, Machine]) -> None:
    a, b = machines
    chosen: dict[str, Any] = {"HOST": "0.0.0.0", "AUTH_JWT_SECRET": SECRET, "WEBHOOK_SECRET": "hush hush hush hush",
              "MAX_CONNECTIONS": 1, "STREAM_HEARTBEAT": 0.3, "STREAM_DEAD_AFTER": 1}  # fmt: skip
    request = f"GET /events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token('u1')}\r\n\r\n".encode()

    async def opened(machine: Machine) -> tuple[bool, socket.socket]:
        """Whether a stream was opened, and not told to come later."""
        loop, client, told = asyncio.get_running_loop(), machine.socket((socket.AF_INET, socket.SOCK_STREAM, 0)), b""
        client.setblocking(False)
        await loop.sock_connect(client, (ADDRESS_OF_A, PORT))
        await loop.sock_sendall(client, request)
        while b"retry: " not in told:
            told += await loop.sock_recv(client, 4096)
        return b": later too_many_connections" not in told, client

    async with (
        process(*a.prefix, sys.executable, "-c", DATABASE, str(tmp_path), ready=b".sock", env=environment()),
        serving(a, tmp_path, "127.0.0.1", **chosen),
        asyncio.timeout(40),
    ):
        is_open, vanishing = await opened(b)
        assert is_open
        is_open, refused = await opened(a)
        assert not is_open
        refused.close()
        b.cut()
        while not is_open:
            is_open, client = await opened(a)
            client.close()
            await asyncio.sleep(0.2)
        vanishing.close()


class Sql:
    """What the database has, read on machine A."""

    def __init__(self, unix_socket: str) -> None:
        self._session = pymysql.connect(unix_socket=unix_socket, user="root", database="rushes", autocommit=True)

    def one(self, statement: str) -> int:
        return self.column(statement)[0]

    def column(self, statement: str) -> list[int]:
        with self._session.cursor() as cursor:
            cursor.execute(statement)
            return [row[0] for row in cursor.fetchall()]

    def close(self) -> None:
        self._session.close()


async def cut_again_and_again(machines: tuple[Machine, Machine], anywhere: Choose, at_b: Choose) -> int:
    """Sends all the while; how many webhooks were answered."""
    sent = 0

    async def rounds(count: int) -> None:
        nonlocal sent
        for _ in range(count):
            await asyncio.gather(*(send(anywhere, job_id) for job_id in JOBS))
            sent += len(JOBS)

    await rounds(5)
    for cut_off in machines * CUTS:
        # Cut on A's side, what B sends is lost without a word; cut on its own, it knows at once.
        under_way = asyncio.create_task(rounds(3))
        cut_off.cut()
        while await send(at_b, JOBS[0]) != 202:
            sent += 1
        sent += 1
        await rounds(3)
        cut_off.heal()
        await under_way
        await rounds(5)
    return sent


async def play(machines: tuple[Machine, Machine], sessions: list[ClientSession], sql: Sql) -> None:
    url = f"http://127.0.0.1:{PORT}"
    chance = random.Random(3)

    def anywhere() -> tuple[ClientSession, str]:
        return chance.choice(sessions), url

    def at_a() -> tuple[ClientSession, str]:
        return sessions[0], url

    def at_b() -> tuple[ClientSession, str]:
        return sessions[1], url

    for job_id in JOBS:
        async with sessions[0].post(f"{url}/api/videos", json={"job_id": job_id, "prompt": "p"}) as answer:
            assert answer.status == 201
    last: list[int] = []
    # Some go anywhere; two stay where they are, so each machine must bring everything by itself.
    hoppers = [Hopper(choose, seed) for seed, choose in enumerate([anywhere] * 6 + [at_a, at_b])]
    hopping = [asyncio.create_task(h.run(lambda: last[0] if last else None)) for h in hoppers]
    await asyncio.gather(*(hopper.arrived.wait() for hopper in hoppers))
    sent = await cut_again_and_again(machines, anywhere, at_b)
    async with asyncio.timeout(60):
        while sql.one("SELECT COUNT(dedup_key) FROM rushes_webhooks") < sent:
            await asyncio.sleep(0.1)
    last.append(sql.one("SELECT value FROM rushes_counter"))
    async with asyncio.timeout(60):
        await asyncio.gather(*hopping)
    assert sql.column("SELECT id FROM rushes_events ORDER BY id") == list(range(1, last[0] + 1))
    verify(hoppers, last[0])
    assert sum(hopper.broken for hopper in hoppers)  # the cut was felt
    sys.stderr.write(f"\nlink cut {2 * CUTS} times: {sent} acknowledged, {last[0]} events, 0 lost, 0 repeated\n")
