"""How good an estimate of the time left is: a made history is replayed, and each word of it is asked how long."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import NamedTuple

from app.domain.estimate import STAGES, Estimates, Kind

DAYS = 3
_KINDS = [Kind("veo-3.0", 8, 1), Kind("veo-3.0", 8, 4), Kind("veo-2.0", 8, 1), Kind("veo-2.0", 16, 2)]
_ASKED_EVERY = 5.0  # seconds


class Generation(NamedTuple):
    """What one took, in each stage."""

    kind: Kind
    started_at: float
    stages: list[float | None]


def history(seed: int, count: int) -> Iterator[Generation]:
    """Generations as providers make them: a long tail, slower by day than by night and after each hour's rush, stages
    that are skipped, and a second kind that takes three times as long."""
    chance = random.Random(seed)
    at = 0.0
    for _ in range(count):
        at += chance.expovariate(count / (DAYS * 86_400))
        load = 1 + 0.5 * math.sin(at / 86_400 * 2 * math.pi) + (0.6 if at % 3600 < 600 else 0)
        kind = chance.choices(_KINDS, [6, 2, 3, 1])[0]
        size = kind.number**0.5 * kind.seconds / 8 * (1.6 if kind.model == "veo-2.0" else 1)
        queue = chance.expovariate(1 / (4 * load))
        generating = size * load * chance.lognormvariate(math.log(55), 0.35)
        if chance.random() < 0.03:
            generating *= 6  # a provider's hiccup
        processing = None if chance.random() < 0.1 else chance.lognormvariate(math.log(3), 0.4)
        yield Generation(kind, at, [queue, processing, generating, chance.lognormvariate(math.log(9), 0.5), None])


class RunningMean:
    """The peer that most services are: the mean of all totals, smoothed, less what has passed."""

    def __init__(self) -> None:
        self._mean: float | None = None

    def observe(self, total: float) -> None:
        self._mean = total if self._mean is None else 0.8 * self._mean + 0.2 * total

    def left(self, passed: float) -> float | None:
        return None if self._mean is None else max(0.0, self._mean - passed)


class LastThree:
    """The mean of the last three totals, less what has passed."""

    def __init__(self) -> None:
        self._last: list[float] = []

    def observe(self, total: float) -> None:
        self._last = [*self._last[-2:], total]

    def left(self, passed: float) -> float | None:
        return max(0.0, fmean(self._last) - passed) if self._last else None


@dataclass
class Accuracy:
    """How one way to estimate did. `covered` counts the times that its p90 was not exceeded."""

    name: str
    errors: list[float] = field(default_factory=list)
    answers: int = 0
    silent: int = 0
    p90s: int = 0
    covered: int = 0

    def note(self, told: float | None, left: float, p90: float | None = None) -> None:
        self.answers += 1
        if told is None:
            self.silent += 1
            return
        self.errors.append(abs(told - left) / left)
        if p90 is not None:
            self.p90s += 1
            self.covered += left <= p90

    def as_json(self) -> dict[str, float | str | None]:
        return {
            "name": self.name,
            "median_error": round(median(self.errors), 3),
            "covered": round(self.covered / self.p90s, 3) if self.p90s else None,
            "silent": round(self.silent / self.answers, 3),
        }


def replay(seed: int = 1, count: int = 4000) -> list[Accuracy]:
    """Each generation is asked every five seconds how long it still takes, by what ended before it began."""
    ours, mean, three = Accuracy("per stage"), Accuracy("running mean"), Accuracy("mean of the last three")
    estimates, running, last = Estimates(), RunningMean(), LastThree()
    ended: list[tuple[float, Generation]] = []
    for generation in history(seed, count):
        for end, other in sorted(e for e in ended if e[0] <= generation.started_at):
            ended.remove((end, other))
            estimates.observe(other.kind, other.stages)
            total = sum(seconds or 0 for seconds in other.stages)
            running.observe(total)
            last.observe(total)
        total = sum(seconds or 0 for seconds in generation.stages)
        ended.append((generation.started_at + total, generation))
        for passed, status, elapsed in _moments(generation):
            estimate = estimates.of(generation.kind, status, elapsed)
            # Where it says "longer than usual", no number is told.
            late = estimate.seconds == 0
            ours.note(None if late else estimate.seconds, total - passed, None if late else estimate.p90)
            mean.note(running.left(passed), total - passed)
            three.note(last.left(passed), total - passed)
    return [ours, mean, three]


def _moments(generation: Generation) -> Iterator[tuple[float, str, float]]:
    """(seconds since its start, status, seconds at that status), every five seconds."""
    began = 0.0
    for status, seconds in zip(STAGES, generation.stages, strict=True):
        elapsed = 0.0
        while elapsed < (seconds or 0.0):
            yield began + elapsed, status, elapsed
            elapsed += _ASKED_EVERY
        began += seconds or 0.0
