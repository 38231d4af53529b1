"""Completions that bring fewer videos than were asked for: a part was withheld, or was not made. Pure."""

import re
from typing import Any, NamedTuple

import orjson

from app.domain.failure import OTHER, PARTIAL, Failure, recognise
from app.redaction import beginning

_COUNT_MAX = 10_000
_REASON_MAX = 4000  # characters
_WITHHELD = re.compile(r"rai_?media_?filtered_?(?:count|reasons)", re.IGNORECASE)


class Partial(NamedTuple):
    """What such a completion said; `reason` may be empty."""

    requested: int
    generated: int
    reason: str

    def as_json(self) -> str:
        return orjson.dumps(list(self)).decode()

    @property
    def failure(self) -> Failure:
        found = recognise(self.reason)
        return PARTIAL if found == OTHER else found


def partial_of(stored: object) -> Partial | None:
    """What `as_json` made, as a column holds it; None for anything else."""
    if not isinstance(stored, str):
        return None
    try:
        requested, generated, reason = orjson.loads(stored)
        return Partial(int(requested), int(generated), str(reason))
    except (ValueError, TypeError):
        return None


def read(data: dict[str, Any], files: int) -> Partial | None:
    """By the `data` of a completion that brings so many files; None where it brings all, or does not say how many."""
    metadata = data.get("metadata")
    said = metadata if isinstance(metadata, dict) else {}
    requested, generated = _count(said.get("num_videos_requested")), _count(said.get("num_videos_generated"))
    if requested is None or requested <= (files if generated is None else generated):
        return None
    return Partial(requested, files if generated is None else generated, withheld(data))


def _count(value: object) -> int | None:
    """A number of videos; what is none is passed over: it only describes."""
    return value if type(value) is int and 0 <= value <= _COUNT_MAX else None


def withheld(data: dict[str, Any]) -> str:
    """Why the provider has withheld videos, in the words of its own answer, which senders pass on at several places;
    empty where it has not."""
    metadata = data.get("metadata")
    places = [data, metadata if isinstance(metadata, dict) else {}]
    places += [inner for place in places if isinstance(inner := place.get("generateVideoResponse"), dict)]
    found = {name: value for place in places for name, value in place.items() if _WITHHELD.fullmatch(name)}
    return beginning(orjson.dumps(found).decode(), _REASON_MAX) if any(found.values()) else ""
