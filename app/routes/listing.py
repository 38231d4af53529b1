"""A page of a list as it is answered, and its entity tag."""

import hashlib
from collections.abc import Sequence
from functools import cached_property

import orjson

from app.rendered import Piece
from app.routes import schemas


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
    apart."""

    def __init__(self, jobs: Sequence[Piece], shown: schemas.Gallery, whose: str) -> None:
        self._jobs = jobs
        self._shown = shown
        self._whose = whose

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
