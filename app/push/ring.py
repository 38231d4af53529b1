"""The newest events in memory, found by job and by user: a storm of clients that come back reads nothing."""

from bisect import bisect_right
from operator import attrgetter

from app.wire import LogEvent

_BY_ID = attrgetter("id")


class Ring:
    """Holds events with ids that follow each other, at most `size`; the oldest gives way."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._events: dict[int, LogEvent] = {}
        self._of_job: dict[str, list[LogEvent]] = {}
        self._of_user: dict[str, list[LogEvent]] = {}

    def get(self, event_id: int) -> LogEvent | None:
        return self._events.get(event_id)

    def append(self, event: LogEvent) -> None:
        """The next one; after a gap it is the only one."""
        if self._events and event.id - 1 not in self._events:
            self.clear()
        self._events[event.id] = event
        self._of_job.setdefault(event.job_id, []).append(event)
        self._of_user.setdefault(event.author_id, []).append(event)
        oldest = self._events.pop(event.id - self._size, None)
        if oldest is not None:
            _drop_first(self._of_job, oldest.job_id)
            _drop_first(self._of_user, oldest.author_id)

    def clear(self) -> None:
        self._events.clear()
        self._of_job.clear()
        self._of_user.clear()

    def since(self, event_id: int, limit: int, *, job_id: str | None, author_id: str | None) -> list[LogEvent] | None:
        """At most `limit` events after `event_id`, of a job or else of a user; None when not all are here any more."""
        if event_id + 1 not in self._events:
            return None
        events = self._of_user.get(author_id or "", []) if job_id is None else self._of_job.get(job_id, [])
        start = bisect_right(events, event_id, key=_BY_ID)
        return events[start : start + limit]


def _drop_first(lists: dict[str, list[LogEvent]], key: str) -> None:
    events = lists[key]
    del events[0]
    if not events:
        del lists[key]
