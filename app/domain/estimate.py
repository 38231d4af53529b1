"""How long a generation still takes, judged by those that succeeded lately. Pure.

A generation passes through stages, and each of them is judged by itself: of the times that this stage took others,
those count that are longer than it has lasted here already. So a job that is late is never told what a punctual one
would be, and nothing is told where nothing is known.
"""

from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Sequence
from itertools import pairwise
from math import ceil
from statistics import median
from typing import NamedTuple

from app.domain.job import FINISHED

STAGES = ("pending", "processing", "generating", "downloading", "completed")
"""Senders' words for them, in order. `completed` is the wait for files that a completion did not bring."""

FEWEST = 5
"""Samples without which nothing is said."""

_KEPT = 50
_RINGS_MAX = 2000
_WEEK = 7 * 86400.0
_P90, _P95 = 0.90, 0.95


class Kind(NamedTuple):
    """What makes two generations alike: the model, the seconds of video, and how many videos."""

    model: str
    seconds: int
    number: int


Sample = Sequence[float | None]
"""The seconds that one generation spent in each of `STAGES`; None where it was not seen in one."""


class Estimate(NamedTuple):
    """Whole seconds to go, half of all take longer; and those that nine of ten do not exceed. Both None while unknown,
    both 0 for what takes longer than nearly all did."""

    seconds: int | None
    p90: int | None


UNKNOWN = Estimate(None, None)
LATE = Estimate(0, 0)


class Estimates:
    """The newest successes, `_KEPT` of each kind, of each model, and of all; the narrowest that has enough is asked."""

    def __init__(self) -> None:
        self._rings: OrderedDict[Kind | str | None, _Ring] = OrderedDict()

    def observe(self, kind: Kind, sample: Sample) -> None:
        """Takes in what a generation took. One that says what cannot be, by a clock that was set, says nothing."""
        seen = [seconds for seconds in sample if seconds is not None]
        if not seen or min(seen) < 0 or not 0 < sum(seen) < _WEEK:
            return
        for key in (kind, kind.model, None):
            ring = self._rings.setdefault(key, _Ring())
            self._rings.move_to_end(key)
            ring.add(sample)
        while len(self._rings) > _RINGS_MAX:
            self._rings.popitem(last=False)

    @property
    def any_known(self) -> bool:
        """Whether anything can be told of any; each webhook asks."""
        return bool(self._rings)

    def of(self, kind: Kind, status: str, elapsed: float) -> Estimate:
        """For a job that has been at `status` for `elapsed` seconds."""
        if status not in STAGES:
            return UNKNOWN
        stage = STAGES.index(status)
        for key in (kind, kind.model, None):
            ring = self._rings.get(key)
            found = None if ring is None else ring.stage(stage)
            if found is not None:
                return found.estimate(max(0.0, elapsed))
        return UNKNOWN

    def at(self, now: int, kind: Kind, state: str, status: str, since: int) -> Estimate:
        """For a job that is at its status since then; nothing for one that has ended. Times are in microseconds."""
        return UNKNOWN if state in FINISHED else self.of(kind, status, (now - since) / 1e6)


class _Ring:
    """The newest samples, and what was worked out of them since the last came."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=_KEPT)
        self._stages: dict[int, _Stage | None] = {}

    def add(self, sample: Sample) -> None:
        self._samples.append(sample)
        self._stages.clear()

    def stage(self, stage: int) -> "_Stage | None":
        """None where fewer than `FEWEST` were seen in it."""
        if stage not in self._stages:
            seen = [sample for sample in self._samples if sample[stage] is not None]
            self._stages[stage] = _Stage(seen, stage) if len(seen) >= FEWEST else None
        return self._stages[stage]


class _Stage:
    """One stage, made ready to be asked many times: each event asks."""

    def __init__(self, samples: Sequence[Sample], stage: int) -> None:
        rest = [[seconds or 0.0 for seconds in sample[stage:]] for sample in samples]
        rest.sort(key=lambda seconds: seconds[0])
        self._times = [seconds[0] for seconds in rest]
        self._later = sum(median(column) for column in list(zip(*rest, strict=True))[1:])
        self._late = _at(self._times, _P95)
        # From each of them on: what nine of ten took to their end.
        whole = [sum(seconds) for seconds in rest]
        self._p90 = [_at(sorted(whole[start:]), _P90) for start in range(len(whole))]

    def estimate(self, elapsed: float) -> Estimate:
        if elapsed >= self._late:
            return LATE
        start = bisect_right(self._times, elapsed)
        seconds = ceil(median(self._times[start:]) - elapsed + self._later)
        return Estimate(seconds, max(seconds, ceil(self._p90[start] - elapsed)))


def _at(ordered: Sequence[float], part: float) -> float:
    """The smallest of them that `part` of all do not exceed."""
    return ordered[max(0, ceil(part * len(ordered)) - 1)]


class Step(NamedTuple):
    """One event of a job's log: the sender's word, whether the job had its files then, when that occurred by the
    sender's clock, and when it was committed by ours, in microseconds since 1970."""

    status: str
    done: bool
    at: int
    committed_at: int


def sample_of(created_at: int, steps: Sequence[Step]) -> Sample | None:
    """What a generation took, by its steps in the log's order; None where it has not succeeded.

    Of several tries the last counts, of one stage's steps the first. The times between two are the sender's, since what
    it sent may have waited on its way. The wait for the first word began by our clock, and so it ends by it.
    """
    end = next((place for place, step in enumerate(steps) if step.done), None)
    if end is None:
        return None
    before = steps[:end]
    failed = [place for place, step in enumerate(before) if step.status == "failed"]
    tried = before[failed[-1] + 1 :] if failed else before
    entered: list[tuple[int, Step]] = []
    for step in tried:
        stage = STAGES.index(step.status) if step.status in STAGES else 0
        if stage > (entered[-1][0] if entered else 0):
            entered.append((stage, step))
    entered.append((len(STAGES), steps[end]))
    sample: list[float | None] = [None] * len(STAGES)
    if not failed:
        sample[0] = (entered[0][1].committed_at - created_at) / 1e6
    for (stage, step), (_, following) in pairwise(entered):
        sample[stage] = (following.at - step.at) / 1e6
    return sample
