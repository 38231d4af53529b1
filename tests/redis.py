"""A real Redis, to be started, killed, frozen and flushed."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

PROGRAM = shutil.which("redis-server") or shutil.which("valkey-server") or "redis-server"


class RedisServer:
    """Listens on a socket in `folder` alone, unless options say otherwise; keeps nothing on disk.

    `prefix` is a command that runs it.
    """

    def __init__(self, folder: Path, *options: str, prefix: tuple[str, ...] = ()) -> None:
        self.url = f"unix://{folder}/redis.sock"
        self._command = [
            *prefix, PROGRAM, "--unixsocket", f"{folder}/redis.sock",
            "--save", "", "--appendonly", "no", "--dir", str(folder),
            *(options or ("--port", "0")),
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)  # noqa: ASYNC220 - it takes a moment
        async with asyncio.timeout(10):
            while not await self._answers():
                assert self._process.poll() is None
                await asyncio.sleep(0.01)

    async def _answers(self) -> bool:
        with contextlib.suppress(RedisError, OSError):
            async with self.client() as client:
                return bool(await client.ping())
        return False

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """As a network that swallows everything and says nothing."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def client(self) -> Redis:
        return Redis.from_url(self.url, protocol=2)


@asynccontextmanager
async def redis_server(folder: Path, *options: str, prefix: tuple[str, ...] = ()) -> AsyncIterator[RedisServer]:
    server = RedisServer(folder, *options, prefix=prefix)
    await server.start()
    try:
        yield server
    finally:
        server.kill()
