"""What may stand between a browser and the server: something that refuses, holds back, falls silent or answers late."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import ClientSession, ClientTimeout, WSMsgType, web

_KEPT = ("Accept", "Authorization", "Content-Type", "Cookie", "Idempotency-Key", "Last-Event-ID")


class Proxy:
    """A host of its own: `url`. A test changes its fields while it runs.

    - `refused`: what answers instead of the server, by path: status and body; `for_an_hour` with a Retry-After.
    - `lost`: paths whose requests reach the server, and whose answers do not come back.
    - `late`: answers of the server that wait, by path, until the event is set; `held` are those of nobody.
    - `given`: texts that it answers itself, by path; functions are called each time.
    - `open_to_all`: pages of any origin may read the answers.
    - `buffers`: answers are kept back until they are complete, as by proxies that know no streams.
    - `upgrades`: whether WebSockets get through. The first `dead` of them bring nothing, as those whose other end has
      vanished.
    - `passed`: set whenever a piece of a stream got through.
    - `seen`: path and headers of all requests.
    """

    url: str

    def __init__(self, behind: str) -> None:
        self.behind = behind
        self.refused: dict[str, tuple[int, Any]] = {}
        self.for_an_hour = False
        self.open_to_all = False
        self.lost: set[str] = set()
        self.late: dict[str, asyncio.Event] = {}
        self.held: dict[str, asyncio.Event] = {}
        self.given: dict[str, Any] = {}
        self.buffers = False
        self.upgrades = True
        self.dead = 0
        self.passed = asyncio.Event()
        self._silenced = 0
        self.seen: list[tuple[str, dict[str, str]]] = []

    def silence(self) -> None:
        """All streams that are open now bring nothing more, and stay open."""
        self._silenced += 1

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        self.seen.append((path, dict(request.headers)))
        if path in self.given:
            text = self.given[path]() if callable(self.given[path]) else self.given[path]
            return web.Response(text=text, content_type="text/html" if text.startswith("<") else "text/plain")
        if path in self.held:
            await self.held[path].wait()
            return web.Response(text="let go")
        if path in self.refused:
            status, body = self.refused[path]
            text = body if isinstance(body, str) else json.dumps(body)
            headers = {"Retry-After": "3600"} if self.for_an_hour else {}
            return web.Response(status=status, text=text, content_type="application/json", headers=headers)
        async with ClientSession(timeout=ClientTimeout(total=None), auto_decompress=False) as session:
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return await self._websocket(request, session)
            return await self._request(request, session)

    async def _request(self, request: web.Request, session: ClientSession) -> web.StreamResponse:
        headers = {name: request.headers[name] for name in _KEPT if name in request.headers}
        headers["Accept-Encoding"] = "identity"
        async with session.request(
            request.method, self.behind + request.path_qs, headers=headers, data=await request.read(),
            allow_redirects=False,
        ) as theirs:  # fmt: skip
            kept = {name: value for name, value in theirs.headers.items() if name.lower() in _PASSED}
            kept |= {"Access-Control-Allow-Origin": "*"} if self.open_to_all else {}
            whole = self.buffers or theirs.content_type != "text/event-stream"
            body = await theirs.read() if whole else b""
            if request.path in self.lost:
                assert request.transport is not None
                request.transport.abort()
            if waits := self.late.get(request.path):
                await waits.wait()
            if whole:
                return web.Response(status=theirs.status, body=body, headers=kept)
            ours = web.StreamResponse(status=theirs.status, headers=kept)
            await ours.prepare(request)
            began = self._silenced
            async for chunk in theirs.content.iter_any():
                if self._silenced == began:
                    await ours.write(chunk)
                    self.passed.set()
            return ours

    async def _websocket(self, request: web.Request, session: ClientSession) -> web.StreamResponse:
        if not self.upgrades:
            return web.Response(status=400)
        dead = self.dead > 0
        self.dead -= dead
        ours = web.WebSocketResponse()
        await ours.prepare(request)
        async with session.ws_connect(self.behind + request.path_qs) as theirs:
            reading = asyncio.create_task(_until_closed(ours))  # a browser that goes is seen only by who reads
            reading.add_done_callback(lambda _: asyncio.ensure_future(theirs.close()))
            async for message in theirs:
                if not dead:
                    await ours.send_str(message.data)
            await ours.close(code=theirs.close_code or 1001)
            await reading
        return ours


_PASSED = ("content-type", "content-security-policy", "cache-control", "etag", "retry-after", "location")


async def _until_closed(socket: web.WebSocketResponse) -> None:
    async for message in socket:
        assert message.type in (WSMsgType.TEXT, WSMsgType.BINARY)


@asynccontextmanager
async def proxy(behind: str, **fields: Any) -> AsyncIterator[Proxy]:
    made = Proxy(behind)
    for name, value in fields.items():
        setattr(made, name, value)
    app = web.Application(client_max_size=1 << 20)
    app.router.add_route("*", "/{path:.*}", made.answer)
    # Proxies that keep answers back do not even look whether somebody still waits for them.
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=not made.buffers)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        for event in (*made.late.values(), *made.held.values()):
            event.set()
        await runner.cleanup()
