"""GET /api/admin/events: received webhooks as they are committed and change, in the order of commits, without a gap."""

import asyncio
import time
from collections.abc import Awaitable
from contextlib import suppress

import orjson
import structlog
from aiohttp import web
from aiohttp_sse import sse_response
from pydantic import Field

from app.appkeys import CHANGES, HUB, PEOPLE, SETTINGS, TAIL, WEBHOOK_LIST
from app.auth.tokens import Identity
from app.db.changes import Change, ChangeId, newest_of_each
from app.db.errors import PassingError
from app.db.webhook_list import Filter
from app.push import sse
from app.push.hub import LimitError
from app.routes import cors
from app.routes.callers import require_admin
from app.routes.describe import LISTENER, describes
from app.routes.filters import FilterQuery
from app.routes.http import read_query
from app.routes.whole import VARY
from app.times import now

log = structlog.get_logger(__name__)

# Seconds after which a stream looks whether its client is there still.
_LOOK = 1.0
# Outcomes of rows that may have been others: with more than one try, they were.
_LATER = ("discarded", "parked")


class TailQuery(FilterQuery):
    """Which webhooks; where an earlier stream ended: the header Last-Event-ID wins."""

    last_event_id: str = ""
    of_polyfills: str = Field("", alias="lastEventId")


@describes(
    "Server-Sent Events of received webhooks, as they are committed and change",
    {200: "text/event-stream"},
    (400, 401, 403, 503),
    query=TailQuery,
    who=LISTENER,
    headers=("Last-Event-ID",),
)
async def events(request: web.Request) -> web.StreamResponse:
    """First `filter`, with the id to go on from. Then `webhook` for each that the filter means, again when it changes,
    and `gone` with its id for one that it means no more, or that is not there. `reset`: what was sent cannot be gone on
    from; read the list again."""
    who = await require_admin(request, ticket=True)
    query = read_query(request, TailQuery)
    meant = query.filter(live=True)
    given = request.headers.get("Last-Event-ID") or query.last_event_id or query.of_polyfills
    try:
        with request.app[HUB].counting(who.user_id), request.app[TAIL].following():
            return await _follow(request, who, meant, given)
    except LimitError:
        return sse.later("too_many_connections", {"Vary": VARY})


async def _follow(request: web.Request, who: Identity, meant: Filter, given: str) -> web.StreamResponse:
    app, settings = request.app, request.app[SETTINGS]
    await app[CHANGES].number()  # what was committed before this is not told again
    asked = ChangeId.parse(given) if given else None
    goes_on = asked is not None and await app[CHANGES].find(asked)
    at = asked if goes_on and asked is not None else await app[CHANGES].newest()
    if request.transport is None:
        raise ConnectionResetError
    async with sse_response(
        request,
        response_cls=sse.Tail,
        headers=cors.allowed(request) | {"Vary": VARY},
        sep="\n",
        ping_interval=settings.stream_heartbeat,
        send_timeout=app[HUB].limits.dead_after,
    ) as response:
        stream = _Stream(request, response, who, meant, at)
        try:
            if given and not goes_on:
                await stream.send("reset", {})
            await stream.send("filter", {"filter": meant.form()}, at)
            await stream.run()
        except _TooSlowError:
            await stream.end_with_reset()
        except PassingError as error:
            # It goes on from its id when it comes back.
            log.info("tail_ended", error=str(error))
    return response


class _TooSlowError(Exception):
    """The client does not take what it is sent."""


class _Stream:
    """One stream, which has been told all up to `at`. No more waits for its client than what it is sent at once."""

    def __init__(self, request: web.Request, response: sse.Tail, who: Identity, meant: Filter, at: ChangeId) -> None:
        self._request = request
        self._app = request.app
        self._response = response
        self._who = who
        self._meant = meant
        self._at = at
        self._looked_up_at = time.monotonic()

    async def run(self) -> None:
        """Until the client has gone, its token has expired, he may see this no more, or the server ends."""
        tail, changes = self._app[TAIL], self._app[CHANGES]
        while not tail.stopping and await self._may_go_on():
            news = await changes.after(self._at.number)
            if news is None:
                self._at = await changes.newest()
                await self.send("reset", {}, self._at)
            elif news:
                await self._tell(news)
            elif tail.head <= self._at.number:
                await tail.news(_LOOK)
            else:
                await asyncio.sleep(0)

    async def _tell(self, news: list[Change]) -> None:
        changes = newest_of_each(news)
        found = await self._app[WEBHOOK_LIST].look_up(self._meant, [change.webhook_id for change in changes])
        told = None
        for change in changes:
            webhook, is_meant = found.get(change.webhook_id, (None, False))
            if webhook is not None and is_meant:
                await self.send("webhook", webhook.summary(), change.id)
                told = change.id
            elif webhook is None or webhook.attempts > 1 or webhook.outcome in _LATER:
                await self.send("gone", {"id": change.webhook_id}, change.id)
                told = change.id
        self._at = news[-1].id
        if told != self._at:
            # Whoever comes back need not go over these again.
            await self._write(b"id: %b\n\n" % str(self._at).encode())

    async def send(self, event: str, data: object, at: ChangeId | None = None) -> None:
        """Raises ConnectionResetError where the client has gone, _TooSlowError where it does not read."""
        text = orjson.dumps(data).decode()
        await self._in_time(self._response.send(text, id=None if at is None else str(at), event=event))

    async def _write(self, data: bytes) -> None:
        await self._in_time(self._response.write(data))

    async def _in_time(self, sending: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(self._app[SETTINGS].stream_max_lag):
                await sending
        except TimeoutError:
            raise _TooSlowError from None

    async def end_with_reset(self) -> None:
        """What waits for the client ends with `reset`; it has some seconds to take it."""
        with suppress(TimeoutError, ConnectionResetError):
            async with asyncio.timeout(0.01):
                await self._response.write(b"event: reset\ndata: {}\n\n")
        transport = self._request.transport
        if transport is not None:
            asyncio.get_running_loop().call_later(self._app[SETTINGS].stream_last_words, transport.abort)

    async def _may_go_on(self) -> bool:
        transport = self._request.transport
        if transport is None or transport.is_closing() or not self._response.is_connected():
            return False
        if self._who.expires_at is not None and now() / 1e6 >= self._who.expires_at:
            return False
        token = self._who.token
        if token is None or time.monotonic() - self._looked_up_at < self._app[SETTINGS].auth_lookup_max_age / 3:
            return True
        self._looked_up_at = time.monotonic()
        person = (await self._app[PEOPLE].find_now([token.user_id]))[token.user_id]
        return person is not None and (person.admin or token.sees_all)
