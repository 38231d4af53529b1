"""The way of an event from its commit to a screen, as far as it is traced. Pure.

Of a browser's clock nothing is taken but how long ago something was, and how long a request to us took: by our own
clock it was painted that long, and half of the round trip, before its report came. Times are microseconds since 1970.
"""

from typing import NamedTuple

LONGEST = 120 * 1_000_000
"""Microseconds from sockets to a screen that are believed."""


class Handed(NamedTuple):
    """An event that a process has written to so many `sockets`, from the first one to the last; `committed_at` where
    that process has committed it."""

    event_id: int
    digits: str
    committed_at: int | None
    handed_at: int
    handed_last_at: int
    sockets: int


class Painted(NamedTuple):
    """What a browser tells of an event that `process` sent it over a stream that was opened at `opened_at`. Either time
    may be `unsure` by so much."""

    event_id: int
    process: str
    painted_at: int
    opened_at: int
    unsure: int

    def after(self, handed_at: int) -> int | None:
        """How long after that it was on the screen; None where that cannot be: before it was sent, long after it, or of
        an event that was sent before the stream was there, and came when the browser came back for it."""
        took = self.painted_at - handed_at
        live = handed_at >= self.opened_at - self.unsure
        return max(took, 0) if live and -self.unsure <= took <= LONGEST else None
