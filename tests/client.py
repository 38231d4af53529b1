"""The server as tests run it, in their own process, and the client that asks it what tests ask again and again."""

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestClient, get_port_socket
from pydantic_settings import PydanticBaseSettingsSource

from app.appkeys import READINESS
from app.main import create_app
from app.server import Runner
from app.settings import Settings
from app.upkeep.leader import Leader
from tests.contract import contract
from tests.processes import FOR_GOOD
from tests.streams import Source, events
from tests.webhooks import webhook

WEBHOOKS = "/api/webhooks/video-completion"


class GivenSettings(Settings):
    """By arguments alone: what the environment and a `.env` here say is no matter of tests, and takes 10 ms to ask."""

    @classmethod
    def settings_customise_sources(cls, *_: Any, **sources: Any) -> tuple[PydanticBaseSettingsSource, ...]:
        return (sources["init_settings"],)


class OwnServer(BaseTestServer):
    """An application of ours on a free port of the address `at`, as `rushes serve` runs it.

    What the contract finds makes `close` fail.
    """

    def __init__(self, database_url: str, *, at: str = "127.0.0.1", **settings: Any) -> None:
        super().__init__(host=at)
        self._folder = tempfile.TemporaryDirectory()
        self._listening = get_port_socket(at, 0, socket.AF_INET)
        self.socket_factory = lambda *_: self._listening
        defaults = {"port": self._listening.getsockname()[1], "log_level": "error", "data_dir": Path(self._folder.name)}
        defaults |= {name.lower(): days for name, days in FOR_GOOD.items()}
        try:
            self.app = create_app(GivenSettings(**(defaults | settings)), database_url)
        except BaseException:
            self._let_go()
            raise
        self._broken: list[str] = []
        self.app.middlewares.insert(0, contract(self._broken))

    async def _make_runner(self, **kwargs: Any) -> Runner:
        # aiohttp's test server has handlers cancelled when their client goes; the real one finishes them.
        return Runner(self.app, shutdown_timeout=5, **(kwargs | {"handler_cancellation": False}))

    async def start_server(self, loop: Any = None, **kwargs: Any) -> None:
        try:
            await super().start_server(loop, **kwargs)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        try:
            await super().close()
        finally:
            self._let_go()
        broken, self._broken = self._broken, []
        assert broken == []

    def _let_go(self) -> None:
        self._listening.close()
        self._folder.cleanup()


class Client(TestClient[web.Request, web.Application]):
    """A client of it. Its addresses are paths; those of `session` are whole."""

    url = ""

    async def start_server(self) -> None:
        try:
            await super().start_server()
        except BaseException:
            await self.session.close()
            raise
        self.url = str(self.make_url("/")).rstrip("/")

    async def register(self, job_id: str, **fields: Any) -> dict[str, Any]:
        order = {"job_id": job_id, "prompt": "the sea"} | fields
        async with self.post("/api/videos", json=order) as answer:
            assert answer.status in (200, 201), await answer.text()
            job: dict[str, Any] = await answer.json()
            return job

    async def send(self, body: Any, headers: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
        """A webhook's status and answer."""
        kind = {"data": body} if isinstance(body, bytes) else {"json": body}
        merged = {"Content-Type": "application/json"} | (headers or {})
        async with self.post(WEBHOOKS, **kind, headers=merged) as answer:
            return answer.status, await answer.json()

    async def read(self, path: str, **kwargs: Any) -> tuple[int, dict[str, Any]]:
        """The status and the answer, as JSON."""
        async with self.get(path, **kwargs) as answer:
            return answer.status, await answer.json()

    @asynccontextmanager
    async def events(
        self, path: str = "/events", last_id: int | str | None = None, **kwargs: Any
    ) -> AsyncIterator[Source]:
        async with events(self.session, self.url + path, last_id, **kwargs) as source:
            yield source


async def opened(client: Client) -> Client:
    """Once it uses its database. A server starts without, where that does not answer in time: on a busy machine too."""
    await asyncio.wait_for(client.app[READINESS].opened.wait(), 15)
    return client


@asynccontextmanager
async def running(database_url: str, **settings: Any) -> AsyncIterator[Client]:
    """A server for as long as the block lasts, and its client."""
    async with Client(OwnServer(database_url, **settings)) as client:
        yield client


@asynccontextmanager
async def leaving_parked_alone(database_url: str, **settings: Any) -> AsyncIterator[Client]:
    """The same, of a server that leaves parked webhooks alone, since another process leads."""
    another = Leader(database_url)
    assert await another.leads()
    async with running(database_url, **settings) as client:
        yield client
    another.close()


async def slow_socket(server: Client) -> socket.socket:
    """Connected to the server, with little room: what is not read from it waits at the server soon."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.setblocking(False)
    address = urlsplit(server.url)
    await asyncio.get_running_loop().sock_connect(made, (address.hostname, address.port))
    return made


async def moved(server: Client, job_id: str, *statuses: str) -> None:
    for status in statuses:
        code, body = await server.send(webhook(job_id, status))
        assert code == 200, body


async def order(
    server: Client, path: str = "/api/videos", headers: dict[str, str] | None = None, **fields: Any
) -> tuple[int, dict[str, Any]]:
    async with server.session.post(server.url + path, json={"prompt": "the sea"} | fields, headers=headers) as answer:
        return answer.status, await answer.json()
