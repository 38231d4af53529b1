"""How a stream comes from its snapshot or replay to live, on any wire.

The subscriber joins the hub in the same turn of the loop in which it has everything up to the follower's
last id. So nothing falls between replay and live, and nothing is kept for it meanwhile: what it misses
while it is replayed is read from the log again.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import structlog

from app.domain.event import EventId, LogEvent
from app.push.follower import Follower, LogReader
from app.push.frames import event_frame, id_frame, reset_frame
from app.push.hub import Hub
from app.push.subscriber import Closing, Subscriber

log = structlog.get_logger(__name__)

# Without digits, as earlier versions gave them. The number fits 63 bits.
_ID = re.compile(r"([0-9]{1,18})(?:-([0-9a-f]{1,32}))?")

_REPLAY = 200
_LITTLE = 4096  # bytes
_RESTARTS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Snapshot:
    """State at the log's `head`: of a job, if there is one, or of a user's unfinished jobs.

    `moved_ago` tells how long the job has been in its state, in seconds.
    """

    head: EventId
    events: list[LogEvent]
    moved_ago: float = 0.0


class Streams:
    """Brings subscribers to live, and back to it after the log was taken back.

    `snapshot` reads the present state of a job, or else of a user: it is called with (job_id, user_id).
    """

    def __init__(
        self,
        hub: Hub,
        follower: Follower,
        reader: LogReader,
        snapshot: Callable[[str | None, str], Awaitable[Snapshot]],
    ) -> None:
        self._hub = hub
        self._follower = follower
        self._reader = reader
        self._snapshot = snapshot
        self._restarting: set[asyncio.Task[None]] = set()
        hub.restart = self._restart

    async def resume_from(self, raw: str | None) -> int | None:
        """The id to go on after, or None when the log cannot tell what came since: not an id, ahead, purged, or that of
        an event that the log has lost, and given its number to another.

        Ahead is judged by the log itself: this process may not have followed so far yet.
        """
        found = _ID.fullmatch(raw or "")
        if found is None:
            return None
        number, digits = int(found[1]), found[2]
        if number <= self._follower.last_id and self._follower.since(number, 1) is not None:
            sent = self._follower.digits_of(number)
            if digits is None or sent is not None:
                return number if digits in (None, sent) else None
        there, floor, head = await self._reader.look_up(number)
        fits = digits is None or digits == there
        return number if fits and floor <= number <= head.number else None

    async def begin(self, subscriber: Subscriber, first: Snapshot, last_id: int | None, *, reset: bool) -> None:
        """Brings a subscriber to live, or closes it. `last_id` is where it goes on; `reset` says that it cannot."""
        try:
            await self._catch_up(subscriber, first, last_id, reset=reset)
        except (ConnectionError, TimeoutError):
            subscriber.close(Closing.GONE)
        except Exception as error:  # noqa: BLE001 - no error page fits into an open stream: the client comes back
            log.warning("stream_broken", job_id=subscriber.job_id, error=str(error))
            subscriber.close(Closing.GONE)
        except BaseException:
            subscriber.close(Closing.GONE)
            raise

    async def _catch_up(self, subscriber: Subscriber, first: Snapshot, last_id: int | None, *, reset: bool) -> None:
        while True:
            if last_id is None:
                last_id = await self._show(subscriber, first, reset=reset)
            elif first.events:
                self._hub.note_end(subscriber, first.events[-1], first.moved_ago)
            if subscriber.job_id is not None:
                subscriber.owner = first.events[-1].owner
            if await self._replay(subscriber, last_id, first.head.number) and subscriber.epoch == self._hub.epoch:
                break
            again = await self._start_over(subscriber)
            if again is None:
                return
            first, last_id, reset = again, None, True
        if subscriber.ends_at is not None and subscriber.ends_at <= time.monotonic():
            subscriber.close(Closing.FINISHED)
        else:
            self._hub.join(subscriber)

    async def _show(self, subscriber: Subscriber, snapshot: Snapshot, *, reset: bool) -> int:
        wire = subscriber.wire
        if reset:
            await subscriber.send(reset_frame(wire))
        last = len(snapshot.events) - 1
        for place, event in enumerate(snapshot.events):
            head = str(snapshot.head) if place == last else None
            await subscriber.send(event_frame(wire, event.event, self._hub.outgoing(event.data), head))
        if last < 0:
            await subscriber.send(id_frame(wire, str(snapshot.head)))
        else:
            self._hub.note_end(subscriber, snapshot.events[-1], snapshot.moved_ago)
        return snapshot.head.number

    async def _replay(self, subscriber: Subscriber, position: int, head: int) -> bool:
        """Everything after `position`, until the follower has no more. Events after `head` are news. False when some of
        it cannot be had: it was purged meanwhile, or cannot be shown.

        Of one job, nothing of an earlier one of that id that was somebody else's; if it becomes somebody else's by the
        news, and is not his to see any more, that is the end.
        """
        author_id = subscriber.user_id if subscriber.job_id is None else None
        most = _REPLAY
        while subscriber.why is None:
            if position >= self._follower.last_id:
                if subscriber.waiting() <= _LITTLE:
                    break
                # Once the stream is live, what waits is held against its client: this is the last of what is not.
                await subscriber.until_taken()
                continue
            upto = self._follower.last_id
            events = self._follower.since(position, _REPLAY, job_id=subscriber.job_id, author_id=author_id)
            more = events is not None and len(events) == _REPLAY
            if events is None:
                events, more, floor = await self._reader.after(
                    position, most, job_id=subscriber.job_id, author_id=author_id
                )
                # The log looks at as many as are asked for, of which few fit into a part if they are long.
                most = min(_REPLAY, 2 * len(events) + 1)
                if floor > position:
                    return False
            position = events[-1].id if more else max([upto, *(e.id for e in events)])
            for event in events:
                if not _is_his(subscriber, event, news=event.id > head):
                    continue
                data = self._hub.outgoing(event.data) if event.is_readable else b""
                if not data:
                    return False
                await subscriber.send(event_frame(subscriber.wire, event.event, data, event.id_text))
                if event.id > head:
                    self._hub.note_end(subscriber, event)
        subscriber.floor = max(subscriber.floor, position)
        return True

    def _restart(self, subscribers: list[Subscriber]) -> None:
        """Begins again with all of them, some at a time."""
        todo = iter(subscribers)
        for _ in range(min(_RESTARTS_AT_ONCE, len(subscribers))):
            task = asyncio.create_task(self._restart_each(todo))
            self._restarting.add(task)
            task.add_done_callback(self._restarting.discard)

    async def _restart_each(self, todo: Iterator[Subscriber]) -> None:
        for subscriber in todo:
            try:
                first = await self._start_over(subscriber)
            except Exception as error:  # noqa: BLE001 - as in begin
                log.warning("stream_broken", job_id=subscriber.job_id, error=str(error))
                subscriber.close(Closing.GONE)
            else:
                if first is not None:
                    await self.begin(subscriber, first, None, reset=True)

    async def _start_over(self, subscriber: Subscriber) -> Snapshot | None:
        """The present state; None once the job is not there any more, or not his to see: then the stream is over."""
        subscriber.epoch, subscriber.floor, subscriber.ends_at = self._hub.epoch, 0, None
        snapshot = await self._snapshot(subscriber.job_id, subscriber.user_id)
        if subscriber.job_id is not None and not (snapshot.events and subscriber.may_see(*snapshot.events[-1].owner)):
            subscriber.close(Closing.MISSING)
            return None
        return snapshot


def _is_his(subscriber: Subscriber, event: LogEvent, *, news: bool) -> bool:
    """Whether an event of the job's log is for the subscriber. News of a job that is not his to see end his stream."""
    if subscriber.why is not None:
        return False
    if subscriber.owner is None or event.owner == subscriber.owner:
        return True
    visible = subscriber.may_see(*event.owner)
    if not news:
        return visible and event.author_id == subscriber.owner[0]
    if visible:
        subscriber.owner = event.owner
    else:
        subscriber.close(Closing.MISSING)
    return visible
