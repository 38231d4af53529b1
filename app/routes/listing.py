"""A page of a list as it is answered, and its entity tag."""

import hashlib
import time
from collections.abc import Hashable, Sequence
from functools import cached_property
from typing import NamedTuple

import orjson

from app.db.redo_log import Moment
from app.db.session import Server
from app.rendered import Kept, Piece
from app.routes import schemas

# Seconds for which a page is told again at most: how long a failed job is listed depends on the time too.
_KEPT_SECONDS = 60.0


def piece_of(job: schemas.Generation | schemas.Job) -> Piece:
    """A job as JSON, with a digest of what of it is not of the moment."""
    made = orjson.dumps(job)
    if "eta_seconds" not in job:
        return Piece.of(made)
    return Piece(made, Piece.of(orjson.dumps(_lasting(job))).digest)


def _lasting(job: schemas.Generation | schemas.Job) -> dict[str, object]:
    return {**job, "eta_seconds": None, "eta_p90_seconds": None}


class Listing:
    """`shown` is the page but for its jobs, which are `jobs`. `whose` tells two that say the same to different readers
    apart, and `server` is the one that it was read from. One that `lasts` says the same as long as nothing is changed:
    the time that is left of a job that goes on moves by itself."""

    def __init__(
        self, jobs: Sequence[Piece], shown: schemas.Gallery, whose: str, server: Server, *, lasts: bool
    ) -> None:
        self._jobs = jobs
        self._shown = shown
        self._whose = whose
        self.server = server
        self.lasts = lasts

    @cached_property
    def tag(self) -> str:
        """Of all that the page shows, whoever wrote it, but for what is of the moment: where the log is, which only
        moves on, and the time that is left. Addresses are among it, and so is the half of their life that it is."""
        active = [_lasting(job) for job in self._shown["active"]]
        beside = orjson.dumps([self._whose, {**self._shown, "last_event_id": "", "active": active}])
        digests = b"".join(job.digest for job in self._jobs)
        return f'"{hashlib.blake2b(digests + beside, digest_size=16).hexdigest()}"'

    @cached_property
    def body(self) -> bytes:
        return orjson.dumps({**self._shown, "generations": [orjson.Fragment(job.made) for job in self._jobs]})


class Told(NamedTuple):
    """A page as it was told, read after `moment`, with addresses of that `window`; for nobody after `until`."""

    moment: Moment
    window: int
    until: float
    tag: str
    body: bytes


def told_before(kept: Kept[Told], key: Hashable, window: int, moment: Moment | None) -> Told | None:
    """The page as it is at `moment`, if that is known: nothing has been committed since it was read. A key says what
    was asked for, by whom and in which language; a window for how long addresses of files are good."""
    told = kept.find(key)
    if told is None or moment is None or told.window != window or told.until < time.monotonic():
        return None
    return told if moment.is_same(told.moment) else None


def keep(kept: Kept[Told], key: Hashable, window: int, moment: Moment | None, listing: Listing) -> None:
    """`listing` was read after `moment`."""
    if moment is not None and moment.settled and moment.server == listing.server and listing.lasts:
        told = Told(moment, window, time.monotonic() + _KEPT_SECONDS, listing.tag, listing.body)
        kept.keep(key, told, len(told.body) + len(repr(key)))  # organizations may be many
