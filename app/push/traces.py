"""Which events are traced to the screen, and what this process knows of them: in memory, until it is written down.

All are while they are few. Of many, those are whose numbers a power of two divides: all processes follow one log, so
they choose the same ones without a word. Who is asked to tell what his browser shows, and how often he may, is bounded.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from app import times
from app.domain.event import LogEvent
from app.domain.trace import LONGEST, Handed, Painted
from app.push.subscriber import Owner, Subscriber

EVERY = 5.0
"""Seconds after which what is known is written down."""

# Streams that are asked at once, of all and of one user; and microseconds after which one is not counted among them of
# whose user nothing was heard: most clients that are not live.js never answer, and stay for days.
_ASKED, _ASKED_OF_USER = 20, 3
_SILENCE = 10 * 60 * 1_000_000
# Reports in a minute, of all and of one user; and the users that one event is told of by.
_REPORTS, _REPORTS_OF_USER = 600, 30
_TELLERS = 20
_MINUTE = 60 * 1_000_000
# Events that are known at once, and reports that wait.
_NOTES, _WAITING = 2_000, 1_000


class TooManyReportsError(Exception):
    """This user, or all, have told too much in this minute."""


class Batch(NamedTuple):
    """What is to be written down."""

    handed: list[Handed]
    painted: list[Painted]


class Sampling:
    """Takes about `most` events between two turns at most."""

    def __init__(self, most: int) -> None:
        self.step = 1
        self._most = most
        self._taken = 0

    def meets(self, event_id: int) -> bool:
        return event_id & (self.step - 1) == 0

    def takes(self, event_id: int) -> bool:
        """As `meets`, and counts it."""
        if event_id & (self.step - 1):
            return False
        if self._taken >= self._most:
            # Of those that were taken so far, half would have been.
            self.step, self._taken = self.step * 2, self._taken // 2
            return self.takes(event_id)
        self._taken += 1
        return True

    def turn(self) -> None:
        if self.step > 1 and self._taken * 4 <= self._most:
            self.step //= 2
        self._taken = 0


@dataclass(slots=True)
class _Asked:
    subscriber: Subscriber
    heard_at: int


@dataclass(slots=True)
class _Note:
    digits: str
    owner: Owner
    handed_at: int
    tellers: set[str] = field(default_factory=set)


class Traces:
    """Of `per_second` events at most, over a while; of none if it is 0. Nothing here waits."""

    def __init__(self, per_second: int) -> None:
        self.is_on = per_second > 0
        self._sampling = Sampling(int(per_second * EVERY))
        self._committed: dict[int, int] = {}
        self._notes: dict[int, _Note] = {}
        self._handed: list[Handed] = []
        self._painted: list[Painted] = []
        self._asked: list[_Asked] = []
        self._minute = 0
        self._reports: Counter[str] = Counter()

    def committed(self, events: Iterable[LogEvent]) -> None:
        """This process has committed them just now."""
        if self.is_on:
            at = 0
            for event in events:
                if self._sampling.meets(event.id) and len(self._committed) < _NOTES:
                    at = at or times.now()
                    self._committed[event.id] = at

    def chooses(self, event_id: int) -> bool:
        """Whether the event is traced, and counts it."""
        return self.is_on and self._sampling.takes(event_id)

    def handed(self, event: LogEvent, sockets: int, at: int) -> None:
        """One that was chosen was written to so many sockets, from then until now."""
        committed_at = self._committed.pop(event.id, None)
        if len(self._notes) >= _NOTES:
            del self._notes[next(iter(self._notes))]
        self._notes[event.id] = _Note(event.digits, event.owner, at)
        if sockets or committed_at is not None:
            self._handed.append(Handed(event.id, event.digits, committed_at, at, times.now(), sockets))

    def asks(self, subscriber: Subscriber) -> bool:
        """Whether the client of this stream, which has just begun, is asked to tell what it shows."""
        if not self.is_on:
            return False
        at = times.now()
        silent = at - _SILENCE
        self._asked = [one for one in self._asked if one.subscriber.why is None and one.heard_at > silent]
        of_user = sum(one.subscriber.user_id == subscriber.user_id for one in self._asked)
        if len(self._asked) >= _ASKED or of_user >= _ASKED_OF_USER:
            return False
        self._asked.append(_Asked(subscriber, at))
        return True

    def count_in(self, user_id: str) -> None:
        """One more report of his. Raises TooManyReportsError."""
        at = times.now()
        minute = at // _MINUTE
        if minute != self._minute:
            self._minute = minute
            self._reports.clear()
        if self._reports.total() >= _REPORTS or self._reports[user_id] >= _REPORTS_OF_USER:
            raise TooManyReportsError
        self._reports[user_id] += 1
        for one in self._asked:
            if one.subscriber.user_id == user_id:
                one.heard_at = at

    def told(self, painted: Painted, digits: str, user_id: str, may_see: Callable[[str, str | None], bool]) -> bool:
        """Takes what a browser of this user tells; false of an event that is not traced, that it cannot have been sent,
        or that he has told of."""
        note = self._notes.get(painted.event_id)
        if note is None or note.digits != digits or not may_see(*note.owner):
            return False
        if user_id in note.tellers or len(note.tellers) >= _TELLERS or len(self._painted) >= _WAITING:
            return False
        note.tellers.add(user_id)
        self._painted.append(painted)
        return True

    def take(self) -> Batch:
        """What is to be written down now, and turns to what comes next. What browsers tell stays until what they tell
        of is written down, by whichever process has sent it: for one turn more."""
        self._sampling.turn()
        old = times.now() - LONGEST
        self._notes = {event_id: note for event_id, note in self._notes.items() if note.handed_at >= old}
        # What never came by here, as after the log was taken back.
        self._committed = {event_id: at for event_id, at in self._committed.items() if at >= old}
        handed, self._handed = self._handed, []
        painted, self._painted = self._painted, []
        return Batch(handed, painted)

    def put_back(self, painted: list[Painted]) -> None:
        """These are to be tried again at the next turn."""
        self._painted += painted[: _WAITING - len(self._painted)]
