"""The newest events in memory, found by job and by user: a storm of clients that come back reads nothing."""

from bisect import bisect_right
from operator import attrgetter

from app.domain.event import LogEvent

_BY_ID = attrgetter("id")
_TRIM = 64

# What an event takes beside its data, at least.
_EVENT_BYTES = 512


def size_of(event: LogEvent) -> int:
    """Bytes of memory, about."""
    return len(event.data) + _EVENT_BYTES


class Ring:
    """Holds events with ids that follow each other: the newest, and before it at most `size` and about `max_bytes` in
    all. `bytes` is how much they take."""

    def __init__(self, size: int, max_bytes: int) -> None:
        self.bytes = 0
        self._size = size
        self._max_bytes = max_bytes
        self._events: dict[int, LogEvent] = {}
        self._of_job: dict[str, _Line] = {}
        self._of_user: dict[str, _Line] = {}

    def get(self, event_id: int) -> LogEvent | None:
        return self._events.get(event_id)

    def append(self, event: LogEvent) -> None:
        """The next one; after a gap it is the only one."""
        if self._events and event.id - 1 not in self._events:
            self._events.clear()
            self._of_job.clear()
            self._of_user.clear()
            self.bytes = 0
        self._events[event.id] = event
        self.bytes += size_of(event)
        for lines, key in ((self._of_job, event.job_id), (self._of_user, event.author_id)):
            line = lines.get(key)
            if line is None:
                line = lines[key] = _Line()
            line.events.append(event)
        while len(self._events) > self._size or (self.bytes > self._max_bytes and len(self._events) > 1):
            self._drop_oldest(event.id + 1 - len(self._events))

    def _drop_oldest(self, event_id: int) -> None:
        oldest = self._events.pop(event_id)
        self.bytes -= size_of(oldest)
        _drop_first(self._of_job, oldest.job_id)
        _drop_first(self._of_user, oldest.author_id)

    def since(self, event_id: int, limit: int, *, job_id: str | None, author_id: str | None) -> list[LogEvent] | None:
        """At most `limit` events after `event_id`, of a job or else of a user; None when not all are here any more."""
        if event_id + 1 not in self._events:
            return None
        line = self._of_user.get(author_id or "") if job_id is None else self._of_job.get(job_id)
        return [] if line is None else line.since(event_id, limit)


class _Line:
    """One job's or user's events, in order. Those before `start` are dropped, and trimmed now and then: a user may have
    all of the ring's."""

    __slots__ = ("events", "start")

    def __init__(self) -> None:
        self.events: list[LogEvent] = []
        self.start = 0

    def since(self, event_id: int, limit: int) -> list[LogEvent]:
        first = bisect_right(self.events, event_id, self.start, key=_BY_ID)
        return self.events[first : first + limit]


def _drop_first(lines: dict[str, _Line], key: str) -> None:
    line = lines[key]
    line.start += 1
    if line.start == len(line.events):
        del lines[key]
    elif line.start >= _TRIM and line.start * 2 > len(line.events):
        del line.events[: line.start]
        line.start = 0
