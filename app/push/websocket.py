"""The same streams over WebSocket: what clients send is read, answered where the protocol says so, and ignored."""

import asyncio
import contextlib
import time

from aiohttp import WSMsgType, web

from app.push.hub import Closing, Subscriber

_MAX_MESSAGE = 4096


def response() -> web.WebSocketResponse:
    # No compression: it would cost a context and a copy of each frame for every client.
    return web.WebSocketResponse(autoping=False, autoclose=False, compress=False, max_msg_size=_MAX_MESSAGE)


async def listen(socket: web.WebSocketResponse, subscriber: Subscriber) -> None:
    """Reads until the client is gone, then closes the subscriber."""
    with contextlib.suppress(ConnectionError):
        async for message in socket:
            if message.type is WSMsgType.PING:
                await socket.pong(message.data)
            elif message.type is WSMsgType.PONG:
                subscriber.ponged_at = time.monotonic()
            elif message.type is WSMsgType.ERROR:
                break
    subscriber.close(Closing.GONE)


async def end(
    socket: web.WebSocketResponse, subscriber: Subscriber, listener: asyncio.Task[None], why: Closing
) -> None:
    """The hub has sent the close frame; this waits a little for the client's own, which ends the listener."""
    transport = subscriber.transport
    if why is Closing.GONE:
        transport.abort()
    else:
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(2):
                await asyncio.shield(listener)
    listener.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await listener
    if not transport.is_closing():
        await socket.close()
