"""Several processes on one port: a worker that dies is replaced, and nobody loses anything by it."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import ClientSession

from tests.databases import Sql
from tests.gate import Gate
from tests.hopping import Choose, Hopper, send, verify
from tests.processes import (
    databases_of,
    environment,
    free_port,
    let_go,
    run,
    serving,
    start,
    stderr,
    stdout,
    workers_of,
)
from tests.redis import RedisServer, redis_server
from tests.streams import events
from tests.waiting import until

JOBS = [f"j{number}" for number in range(5)]
ROUNDS = 10


def connections_of(pid: int, port: int) -> int:
    """Established connections to `port` that the process holds."""
    here = f":{port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ours = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(here) and row[3] == "01"}
    held = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            held += str(descriptor.readlink()) in ours
    return held


def ended(pid: int) -> Callable[[], bool]:
    """Whether the process is gone; one that nobody has waited for counts as gone."""

    def look() -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

    return look


@asynccontextmanager
async def connecting(url: str) -> AsyncIterator[Choose]:
    """Chooses the server's address each time. No connection is used twice: each request may meet another worker."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=30)) as session:
        yield lambda: (session, url)


async def _post(session: ClientSession, url: str, document: dict[str, Any]) -> int:
    async with session.post(url, json=document) as answer:
        return answer.status


async def register(choose: Choose) -> None:
    session, url = choose()
    for job_id in JOBS:
        # A worker that finds the database slow at its start serves before it has opened, and says so with 503.
        async with asyncio.timeout(20):
            while (status := await _post(session, f"{url}/api/videos", {"job_id": job_id, "prompt": "p"})) == 503:
                await asyncio.sleep(0.1)
        assert status == 201


async def play(choose: Choose, disturb: Callable[[int], Awaitable[object]] | None = None, hoppers: int = 6) -> None:
    """Updates of all jobs while clients hop; `disturb(round)` happens in between."""
    await register(choose)
    last = len(JOBS) * (ROUNDS + 1)
    hopping = [Hopper(choose, seed) for seed in range(hoppers)]
    tasks = [asyncio.create_task(hopper.run(lambda: last)) for hopper in hopping]
    await asyncio.gather(*(hopper.arrived.wait() for hopper in hopping))
    for number in range(ROUNDS):
        if disturb:
            await disturb(number)
        await asyncio.gather(*(send(choose, job_id) for job_id in JOBS))
    async with asyncio.timeout(60):
        await asyncio.gather(*tasks)
    verify(hopping, last)


@pytest.mark.parametrize("redis", ["without", "with", "killed"])
async def test_clients_that_hop_between_workers_see_each_event_once_in_order(
    tmp_path: Path, database_url: str, sql: Sql, redis: str
) -> None:
    async with redis_server(tmp_path) as server:
        settings = {"DATABASE_URL": database_url, "WORKERS": 2} | (
            {"REDIS_URL": server.url} if redis != "without" else {}
        )

        async def disturb(number: int) -> None:
            if redis == "killed" and number % 4 == 1:
                server.kill()
            if redis == "killed" and number % 4 == 3:
                await server.start()

        async with serving(tmp_path, **settings) as (_, url, _), connecting(url) as choose:
            await play(choose, disturb)
    # The middle of a webhook's id is its process.
    assert sql("SELECT COUNT(DISTINCT SUBSTR(id, 15, 12)) FROM rushes_webhooks") == ((2,),)


async def test_killed_worker_is_replaced_and_clients_lose_nothing(tmp_path: Path, database_url: str) -> None:
    async with serving(tmp_path, DATABASE_URL=database_url, WORKERS=2) as (process, url, _), connecting(url) as choose:
        killed = []

        async def disturb(number: int) -> None:
            if number % 3 == 1:
                victim = workers_of(process)[0]
                os.kill(victim, signal.SIGKILL)
                killed.append(victim)

        await play(choose, disturb)
        await until(lambda: len(workers_of(process)) == 2)
        assert len(killed) == 3
        assert not set(killed) & set(workers_of(process))


async def test_connections_are_shared_among_workers(tmp_path: Path, database_url: str) -> None:
    async with serving(tmp_path, DATABASE_URL=database_url, WORKERS=2) as (process, url, _):
        port = int(url.rsplit(":", 1)[1])
        async with aiohttp.ClientSession() as session:
            open_ = [await session.get(f"{url}/events") for _ in range(40)]
            held = [connections_of(pid, port) for pid in workers_of(process)]
            for response in open_:
                response.close()
        assert sum(held) == 40
        assert min(held) >= 4


async def test_commit_in_one_worker_reaches_the_clients_of_all_through_redis_alone(
    tmp_path: Path, database_url: str
) -> None:
    async with redis_server(tmp_path) as redis:
        settings = {"REDIS_URL": redis.url, "LOG_POLL": 3600, "LOG_POLL_WITH_REDIS": 3600}
        async with serving(tmp_path, DATABASE_URL=database_url, WORKERS=2, **settings) as (_, url, _):
            await subscribed(redis, 2)
            async with connecting(url) as choose, AsyncExitStack() as stack:
                await register(choose)
                session = await stack.enter_async_context(aiohttp.ClientSession())
                open_ = [await stack.enter_async_context(events(session, f"{url}/events/j0")) for _ in range(20)]
                for source in open_:
                    await source.next()
                await send(choose, "j0")
                assert {(await source.next()).id for source in open_} == {len(JOBS) + 1}


async def subscribed(redis: RedisServer, count: int) -> None:
    """Until so many processes listen."""
    async with redis.client() as client, asyncio.timeout(15):
        while True:
            channels = await client.pubsub_channels("rushes/*")
            if channels and (await client.pubsub_numsub(*channels))[0][1] == count:
                return
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_signal_drains_every_worker(tmp_path: Path, how: signal.Signals) -> None:
    async with serving(tmp_path, WORKERS=2) as (process, url, _):
        workers = workers_of(process)
        # Ctrl-C on a terminal goes to all processes of a session: it is for the supervisor alone.
        assert os.getsid(process.pid) not in map(os.getsid, workers)
        async with connecting(url) as choose, aiohttp.ClientSession() as session:
            await register(choose)
            open_ = [await session.get(f"{url}/events") for _ in range(20)]
            process.send_signal(how)
            for response in open_:
                assert (await response.read()).endswith(b"\n\n")
        async with asyncio.timeout(15):
            assert await process.wait() == 0
        assert all(ended(pid)() for pid in workers)
    assert databases_of(tmp_path) == []


async def test_killed_supervisor_leaves_nothing_behind(tmp_path: Path) -> None:
    async with serving(tmp_path, WORKERS=2) as (process, _, _):
        left = [*workers_of(process), *databases_of(tmp_path)]
        assert len(left) == 3
        os.kill(left[0], signal.SIGSTOP)  # one that can do nothing for its own end
        process.kill()
        await process.wait()
        for pid in left:
            await until(ended(pid))
    async with serving(tmp_path, WORKERS=2):
        pass


async def test_server_that_drains_refuses_connections_instead_of_letting_them_wait(
    tmp_path: Path, database_url: str
) -> None:
    async with serving(tmp_path, DATABASE_URL=database_url, WORKERS=2) as (process, url, _):
        port = int(url.rsplit(":", 1)[1])
        _, slow = await asyncio.open_connection("127.0.0.1", port)
        slow.write(b"POST /api/videos HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n")
        slow.write(b"Content-Length: 100\r\n\r\n{")
        try:
            await until(lambda: sum(connections_of(pid, port) for pid in workers_of(process)) == 1)
            process.terminate()
            async with asyncio.timeout(5):
                while await is_listening(port):
                    await asyncio.sleep(0.01)
            assert process.returncode is None
        finally:
            slow.transport.abort()


async def is_listening(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionError:  # refused; or reset, for it came just as the socket was closed
        return False
    writer.transport.abort()
    return True


async def test_worker_that_hangs_does_not_hold_up_the_end_for_long(tmp_path: Path, database_url: str) -> None:
    settings = {"DATABASE_URL": database_url, "WORKERS": 2, "SHUTDOWN_GRACE": 1}
    async with serving(tmp_path, **settings) as (process, _, _):
        os.kill(workers_of(process)[0], signal.SIGSTOP)
        process.terminate()
        async with asyncio.timeout(7):  # 2 s more than the grace
            assert await process.wait() == 0
        assert b"workers_killed" in await stderr(process).read()


async def test_workers_that_end_as_soon_as_they_start_end_the_server_with_a_reason(
    tmp_path: Path, database_url: str
) -> None:
    process = await start(tmp_path, "serve", DATABASE_URL=database_url, WORKERS=2, PORT=free_port())
    async with asyncio.timeout(60):
        while process.returncode is None:
            for pid in workers_of(process):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.01)
        err = (await stderr(process).read()).decode()
    assert process.returncode == 1
    assert "rushes: workers end as soon as they start (" in err
    assert "SIGKILL" in err
    assert "Traceback" not in err
    let_go(process)


async def test_one_worker_that_keeps_dying_does_not_end_the_others(tmp_path: Path, database_url: str) -> None:
    async with serving(tmp_path, DATABASE_URL=database_url, WORKERS=2) as (process, url, _):
        stays, *_ = workers_of(process)
        for _ in range(6):
            await until(lambda: len(workers_of(process)) == 2)
            [victim] = set(workers_of(process)) - {stays}
            os.kill(victim, signal.SIGKILL)
            await until(ended(victim))
        async with aiohttp.ClientSession() as session, session.get(f"{url}/healthz") as answer:
            assert answer.status == 200
        assert stays in workers_of(process)
        assert process.returncode is None


async def test_what_a_dead_worker_had_queued_on_disk_is_applied_by_another(
    tmp_path: Path, database_url: str, sql: Sql
) -> None:
    gate = Gate(database_url)
    await gate.open()
    async with serving(tmp_path, DATABASE_URL=gate.url, WORKERS=2) as (process, url, _), connecting(url) as choose:
        await register(choose)
        await gate.shut()
        for _ in range(4):
            assert await asyncio.gather(*(send(choose, job_id) for job_id in JOBS)) == [202] * len(JOBS)
        os.kill(workers_of(process)[0], signal.SIGKILL)
        await gate.open()
        await until(lambda: sql("SELECT COUNT(*) FROM rushes_webhooks") == ((20,),))
        await until(lambda: len(workers_of(process)) == 2)
    await gate.shut()
    outcomes: dict[str, int] = dict(sql("SELECT outcome, COUNT(*) FROM rushes_webhooks GROUP BY outcome"))
    # Two workers apply what is on disk side by side: of a job, what came first may find what came last there already.
    assert sum(outcomes.values()) == 20
    assert outcomes.keys() <= {"applied", "stale"}
    last = "SELECT job_id, MAX(received_at) AS at FROM rushes_webhooks GROUP BY job_id"
    of_the_last = f"SELECT outcome FROM rushes_webhooks JOIN ({last}) last USING (job_id) WHERE received_at = at"
    assert sql(of_the_last) == (("applied",),) * len(JOBS)


async def test_start_tells_of_a_worker_that_cannot_use_the_database_yet_also_when_the_last_one_can(
    tmp_path: Path, database_url: str
) -> None:
    class FirstRefused(Gate):
        def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if self._writers:
                super()._accept(reader, writer)
            else:
                self._writers.append(writer)
                writer.close()

    gate = FirstRefused(database_url)
    await gate.open()
    async with serving(tmp_path, DATABASE_URL=gate.url, WORKERS=2) as (_, _, printed):
        pass
    await gate.shut()
    assert "Webhooks wait on disk" in printed
    assert "watch the bar" not in printed


async def test_workers_serve_the_code_of_their_supervisor_wherever_it_was_started(
    tmp_path: Path, database_url: str
) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text("raise SystemExit('another program')")
    settings = environment(DATABASE_URL=database_url, WORKERS=2, PORT=free_port())
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("rushes"), "serve", cwd=tmp_path, env=settings, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(30):
        while b"Rushes is at" not in (line := await stdout(process).readline()):
            assert line, "it ended before it served"
        process.terminate()
        assert await process.wait() == 0
    let_go(process)


async def test_second_server_on_the_port_of_workers_is_told_that_it_is_taken(tmp_path: Path, database_url: str) -> None:
    async with serving(tmp_path, DATABASE_URL=database_url, WORKERS=2) as (_, url, _):
        port = url.rsplit(":", 1)[1]
        for workers in (1, 2):
            code, _, err = await run(tmp_path, "serve", DATABASE_URL=database_url, WORKERS=workers, PORT=port)
            assert code == 1
            assert err.startswith(f"rushes: port {port} is taken; ")


async def test_number_of_workers_that_makes_no_sense_is_told(tmp_path: Path) -> None:
    assert "WORKERS is not usable" in (await run(tmp_path, "serve", WORKERS=0))[2]
    assert (await run(tmp_path, "serve", "--workers", "0"))[0] == 2
