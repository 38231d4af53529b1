"""The peer by the book: aiohttp-sse as its own examples have it, a queue and a task for each client.

`GET /sub/JOB` streams what `POST /pub/JOB` brings, from then on.
"""

import asyncio
import resource
from collections import defaultdict

from aiohttp import web
from aiohttp_sse import sse_response

from bench.peers.body import serve

_OPEN_FILES = 30_000


def create_app() -> web.Application:
    """Return the application."""
    app = web.Application()
    clients: defaultdict[str, set[asyncio.Queue[str]]] = defaultdict(set)

    async def subscribe(request: web.Request) -> web.StreamResponse:
        queue: asyncio.Queue[str] = asyncio.Queue()
        listening = clients[request.match_info["job"]]
        async with sse_response(request, sep="\n") as response:
            await response.send("here", event="ready")
            listening.add(queue)
            try:
                while response.is_connected():
                    await response.send(await queue.get(), event="progress")
            finally:
                listening.discard(queue)
        return response

    async def publish(request: web.Request) -> web.Response:
        data = await request.text()
        for queue in clients[request.match_info["job"]]:
            queue.put_nowait(data)
        return web.Response(status=201)

    async def healthy(_request: web.Request) -> web.Response:
        return web.Response(text="ok")

    app.router.add_get("/sub/{job}", subscribe)
    app.router.add_post("/pub/{job}", publish)
    app.router.add_get("/healthz", healthy)
    return app


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    enough = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))
    serve(create_app())
