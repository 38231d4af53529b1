"""The bus: what this process commits is told to all others at once, through Redis or Valkey.

It is a wake-up, never the record. Whatever it loses, repeats or brings in another order, the follower mends from the
log. So it keeps little, waits for nobody, and drops what would make it do either.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any, Literal

import orjson
import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from app.backoff import backoff
from app.domain.event import LogEvent

log = structlog.get_logger(__name__)

# Seconds. After so much silence the server is asked whether it is there; so long it may take for any answer.
_QUIET = 1.0
_PATIENCE = 2.0

_BACKOFF_MIN, _BACKOFF_MAX = 0.05, 2.0

_EVENT_BYTES = 256
"""What an event takes beside its data: its ids, its owner."""

_Id = Annotated[int, Field(gt=0, lt=1 << 63)]
_Name = Annotated[str, Field(max_length=191)]
_Kind = Annotated[str, Field(pattern=r"^[a-z]{1,16}$")]
_Digits = Annotated[str, Field(pattern=r"^[0-9a-f]{1,32}$")]
_Data = Annotated[str, Field(pattern=r"^\{[^\r\n]*\}$")]  # a line end would begin another field of the stream


def check_url(url: str) -> None:
    """Raises ValueError, with a sentence that holds no password."""
    try:
        Redis.from_url(url).connection_pool.make_connection()  # type: ignore[no-untyped-call]
    except (TypeError, ValueError):
        raise ValueError(
            "REDIS_URL must look like redis://user:password@host:6379, rediss://… for TLS, or unix:///path, "
            "with special characters percent-encoded."
        ) from None


class News(BaseModel):
    """A message: events, in the order of their ids, and the digits of each; or, when they are too many, none but the
    `last` of those ids. Digits stand beside the events, where versions without them pass over them; what such a version
    says is no more than the `last` of its ids."""

    model_config = ConfigDict(strict=True, frozen=True)

    sender: str
    version: Literal[1]
    last: _Id
    events: list[tuple[_Id, _Name, _Name, _Name | None, _Kind, _Data]]
    digits: list[_Digits] = []


def encode(sender: str, last: int, events: list[LogEvent]) -> bytes:
    """A message. `sender` comes first, so that a process knows its own by their beginning."""
    rows = [(e.id, e.job_id, e.author_id, e.organization_id, e.event, e.data.decode()) for e in events]
    digits = [e.digits for e in events]
    return orjson.dumps({"sender": sender, "version": 1, "last": last, "events": rows, "digits": digits})


def decode(message: bytes) -> tuple[int, list[LogEvent]]:
    """(`last`, events). Raises ValueError when it is none of ours."""
    try:
        news = News.model_validate_json(message)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    rows = zip(news.events, news.digits, strict=True) if len(news.events) == len(news.digits) else ()
    return news.last, [LogEvent(*row[:5], row[5].encode(), digits) for row, digits in rows]


class Bus:
    """`on_news` gets the events of other processes, or `on_more` the last id of some; `on_link` is told whether they
    come in, also each time that they come in anew.

    At most about `buffer_max` bytes wait to be sent, and a message has about `message_max`.
    """

    def __init__(
        self,
        url: str,
        *,
        on_news: Callable[[list[LogEvent]], None],
        on_more: Callable[[int], None],
        on_link: Callable[[bool], None],
        buffer_max: int,
        message_max: int,
    ) -> None:
        self.connected = False
        self._url = url
        self._on_news = on_news
        self._on_more = on_more
        self._on_link = on_link
        self._buffer_max = buffer_max
        self._message_max = message_max
        self._name = secrets.token_hex(8)
        self._mine = b'{"sender":"%s"' % self._name.encode()
        self._waiting: list[LogEvent] = []
        self._size = 0
        # The greatest id of those events that are told by it alone; 0 if there are none.
        self._dropped = 0
        self._due = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._malformed = False

    def publish(self, events: list[LogEvent]) -> None:
        """Tells the others soon. Returns at once, whatever state Redis is in."""
        self._waiting += events
        self._size += sum(_size(event) for event in events)
        if self._size > self._buffer_max:
            self._drop(self._waiting)
            self._waiting, self._size = [], 0
        self._idle.clear()
        self._due.set()

    def _drop(self, events: list[LogEvent]) -> None:
        self._dropped = max(self._dropped, *(event.id for event in events))

    async def flush(self, seconds: float = 1.0) -> None:
        """Until everything is sent, or that time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()

    async def tell(self, channel: str) -> None:
        """Sends what is published. Runs until cancelled."""
        failures = 0
        while True:
            try:
                async with self._client() as client:
                    while True:
                        await self._due.wait()
                        await self._send(client, channel)
                        failures = 0
            except Exception as error:  # noqa: BLE001 - whatever it was, the next try may succeed
                if not failures:
                    log.warning("redis_not_told", error=_shown(error))
                failures += 1
            await asyncio.sleep(backoff(failures + 1, _BACKOFF_MIN, _BACKOFF_MAX, jitter=0.5))

    async def _send(self, client: Redis, channel: str) -> None:
        while self._waiting or self._dropped:
            events, dropped = self._waiting, self._dropped
            self._waiting, self._size, self._dropped = [], 0, 0
            try:
                async with asyncio.timeout(_PATIENCE):
                    await _publish(client, channel, self._messages(events, dropped))
            except BaseException:
                # Later their ids will do: by then the others have looked into the log.
                self._dropped = max(self._dropped, dropped)
                if events:
                    self._drop(events)
                raise
        self._due.clear()
        self._idle.set()

    def _messages(self, events: list[LogEvent], dropped: int) -> Iterator[bytes]:
        if dropped:
            yield encode(self._name, dropped, [])
        for part in _parts(events, self._message_max):
            fits = len(part) > 1 or _size(part[0]) <= self._message_max
            yield encode(self._name, max(event.id for event in part), part if fits else [])

    async def hear(self, channel: str) -> None:
        """Passes on what others publish. Runs until cancelled."""
        failures = 0
        while True:
            try:
                async with self._client() as client, client.pubsub() as pubsub:
                    async with asyncio.timeout(_PATIENCE):
                        await pubsub.subscribe(channel)
                    async for message in _heard(pubsub):
                        self._take_in(message)
                        failures = 0
            except Exception as error:  # noqa: BLE001 - whatever it was, the next try may succeed
                if not failures:
                    log.warning("redis_away", error=_shown(error))
                failures += 1
            finally:
                if self.connected:
                    self.connected = False
                    self._on_link(False)
            await asyncio.sleep(backoff(failures + 1, _BACKOFF_MIN, _BACKOFF_MAX, jitter=0.5))

    def _take_in(self, message: dict[str, Any]) -> None:
        if message["type"] == "subscribe":
            # The client may have connected again by itself, and says so by nothing but this.
            self.connected = True
            log.info("redis_connected")
            self._on_link(True)
        elif message["type"] == "message" and not message["data"].startswith(self._mine):
            self._pass_on(message["data"])

    def _pass_on(self, message: bytes) -> None:
        try:
            last, events = decode(message)
        except ValueError as error:
            if not self._malformed:
                log.warning("redis_message_ignored", error=str(error), bytes=len(message))
            self._malformed = True
            return
        self._malformed = False
        if events:
            self._on_news(events)
        else:
            self._on_more(last)

    def _client(self) -> Redis:
        # Every failure is to be seen here, so the client tries nothing again by itself.
        return Redis.from_url(
            self._url,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=_PATIENCE,
            socket_connect_timeout=_PATIENCE,
            driver_info=None,
        )


async def _publish(client: Redis, channel: str, messages: Iterator[bytes]) -> None:
    pipeline = client.pipeline(transaction=False)
    for message in messages:
        pipeline.publish(channel, message)
    # Raised in there, an error would quote the message.
    for answer in await pipeline.execute(raise_on_error=False):
        if isinstance(answer, Exception):
            raise answer


async def _heard(pubsub: PubSub) -> AsyncIterator[dict[str, Any]]:
    """Raises TimeoutError when the server says nothing, not even when asked."""
    while True:
        message = await pubsub.get_message(timeout=_QUIET)
        if message is None:
            async with asyncio.timeout(_PATIENCE):
                await pubsub.ping()
            message = await pubsub.get_message(timeout=_PATIENCE)
        if message is None:
            raise TimeoutError(f"no answer within {_PATIENCE:.0f} s")
        yield message


def _parts(events: list[LogEvent], size_max: int) -> Iterator[list[LogEvent]]:
    """As many at once as have about that size, at least one."""
    part: list[LogEvent] = []
    room = size_max
    for event in events:
        if part and _size(event) > room:
            yield part
            part, room = [], size_max
        part.append(event)
        room -= _size(event)
    if part:
        yield part


def _size(event: LogEvent) -> int:
    return len(event.data) + _EVENT_BYTES


def _shown(error: Exception) -> str:
    return str(error) or type(error).__name__
