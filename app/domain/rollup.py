"""What is counted of a quarter of an hour, and how quarters make more. Pure."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple, get_args

import orjson

from app.domain.failure import KINDS
from app.domain.forms import Outcome
from app.domain.sketch import LONGEST, Sketch
from app.domain.spans import quarter_of

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

COMPLETED, CANCELLED, OTHER = "completed", "cancelled", "other"

_AHEAD = 5 * 60 * 1_000_000  # microseconds that a sender's clock may be ahead of ours


class End(NamedTuple):
    """How a generation ended: "completed", or the kind of its failure. `event_id` tells it in the log, `quarter` when
    it was committed; `took` is in microseconds, None where that is not known."""

    event_id: int
    quarter: int
    ended: str
    took: int | None

    @classmethod
    def of_event(cls, event_id: int, name: str, kind: str | None, committed_at: int, took: int | None) -> "End":
        """Of an event "completed" or "failed". A kind that is not ours is any other."""
        ended = COMPLETED if name == COMPLETED else kind if kind in KINDS else OTHER
        return cls(event_id, quarter_of(committed_at), str(ended), took if ended == COMPLETED else None)

    def follows(self, before: "End | None") -> bool:
        """Whether this is how the generation has ended now. A completion that only adds files is no other end; one that
        failed may still complete, or fail anew."""
        if before is None:
            return True
        return self.event_id > before.event_id and not self.ended == before.ended == COMPLETED


def took(created_at: int | None, completed_at: int | None, committed_at: int) -> int | None:
    """How long a generation took, in microseconds as its times are. Its end is what its sender says, where that can be:
    it was made before, and we had it then."""
    if created_at is None:
        return None
    said = completed_at is not None and created_at <= completed_at <= committed_at + _AHEAD
    ended_at = completed_at if said and completed_at is not None else committed_at
    return min(max(ended_at - created_at, 0), LONGEST)


@dataclass(slots=True, eq=True)
class Rollup:
    """Webhooks by outcome, generations that finished, and those that failed by kind; what both took. `cancelled` ones
    are in neither."""

    webhooks: Counter[str] = field(default_factory=Counter)
    finished: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    job_times: Sketch = field(default_factory=Sketch)
    webhook_times: Sketch = field(default_factory=Sketch)

    @classmethod
    def unpack(cls, counts: bytes, job_times: bytes, webhook_times: bytes) -> "Rollup":
        """Of what is stored of one: `counts`, and what `Sketch.pack` gave."""
        made = cls()
        made.take(counts, job_times, webhook_times)
        return made

    def take(self, counts: bytes, job_times: bytes, webhook_times: bytes) -> None:
        """Takes in one as it is stored; as `add`, for very many."""
        said = orjson.loads(counts)
        self.finished += said["finished"]
        for outcome, number in said["webhooks"].items():
            self.webhooks[outcome] += number
        for kind, number in said["failed"].items():
            self.failed[kind] += number
        self.job_times.take(job_times)
        self.webhook_times.take(webhook_times)

    @property
    def counts(self) -> str:
        """As JSON, the same of the same."""
        said = {"webhooks": self.webhooks, "finished": self.finished, "failed": self.failed}
        return orjson.dumps(said, option=orjson.OPT_SORT_KEYS).decode()

    @property
    def is_empty(self) -> bool:
        return not (self.webhooks or self.finished or self.failed)

    def add(self, other: "Rollup") -> None:
        self.webhooks.update(other.webhooks)
        self.finished += other.finished
        self.failed.update(other.failed)
        self.job_times.add(other.job_times)
        self.webhook_times.add(other.webhook_times)
