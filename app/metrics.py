"""What Prometheus is told of a process: what it counts as things happen, and how that is put together with others'.

The figures of all workers stand in one answer, each with its `worker`, whichever of them is asked: a scrape meets any
of them, and a sum of what one has counted would jump back and forth.
"""

from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from operator import add
from typing import Any, Protocol

import orjson
from prometheus_client import ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

# Methods by name; whatever else a client makes up is one.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER = "other"

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Route(Protocol):
    """A path as the router has it."""

    @property
    def canonical(self) -> str: ...


@dataclass(slots=True)
class _Answers:
    """Of one route, method and status: how many, and of those whose times count how many took up to each of `_SECONDS`,
    or longer."""

    number: int = 0
    seconds: float = 0.0
    within: list[int] = field(default_factory=lambda: [0] * (len(_SECONDS) + 1))


class Metrics:
    """What one process counts: of each of the outcomes from 0 on, since an increase is seen from the second scrape on.

    In numbers of ours, which the library is given when somebody asks: each request and webhook is counted.
    """

    def __init__(self, outcomes: Iterable[str]) -> None:
        self._answers: dict[tuple[Route | None, str, int], _Answers] = {}
        self._outcomes = Tally(dict.fromkeys(outcomes, 0))
        self._process = ProcessCollector(registry=None)

    def answered(self, route: Route | None, method: str, status: int, seconds: float | None) -> None:
        """A request: None where its path is none of ours, or how long that took tells nothing."""
        asked = route, method if method in _METHODS else _OTHER, status
        answers = self._answers.get(asked)
        if answers is None:
            answers = self._answers[asked] = _Answers()
        answers.number += 1
        if seconds is not None:
            answers.seconds += seconds
            answers.within[bisect_left(_SECONDS, seconds)] += 1

    def recorded(self, outcomes: Iterable[str]) -> None:
        """Webhooks, whose outcomes were committed."""
        self._outcomes.update(outcomes)

    def families(self) -> list[Metric]:
        """All that was counted, and what the kernel says of the process. Any thread may ask."""
        requests: dict[tuple[str, ...], float] = {}
        times: dict[str, _Answers] = {}
        for (route, method, status), answers in list(self._answers.items()):
            path = _OTHER if route is None else route.canonical
            requests[path, method, str(status)] = answers.number
            of_route = times.setdefault(path, _Answers())
            of_route.seconds += answers.seconds
            of_route.within = [*map(add, of_route.within, answers.within)]
        outcomes = dict(self._outcomes)
        return [
            counter("rushes_http_requests", "Requests answered.", requests, "route", "method", "status"),
            _histogram(times),
            counter("rushes_webhooks", "Webhooks recorded by this process.", outcomes, "outcome"),
            *self._process.collect(),
        ]


def _histogram(times: Mapping[str, _Answers]) -> Metric:
    says = "Seconds from a request's headers to the end of its answer; of a stream, until it is live."
    family = HistogramMetricFamily("rushes_http_request_seconds", says, labels=("route",))
    for path, answers in times.items():
        up_to = zip((*map(str, _SECONDS), "+Inf"), accumulate(answers.within), strict=True)
        family.add_metric((path,), buckets=list(up_to), sum_value=answers.seconds)
    return family


def gauge(name: str, says: str, found: Mapping[Any, float], *labels: str) -> Metric:
    """Of each set of values of the labels one number; with one label, of each value; without any, of None."""
    return _filled(GaugeMetricFamily(name, says, labels=labels), found)


def counter(name: str, says: str, found: Mapping[Any, float], *labels: str) -> Metric:
    """As `gauge`, of what only grows."""
    return _filled(CounterMetricFamily(name, says, labels=labels), found)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, found: Mapping[Any, float]) -> Metric:
    for values, number in found.items():
        family.add_metric(values if isinstance(values, tuple) else () if values is None else (str(values),), number)
    return family


def packed(families: Iterable[Metric]) -> bytes:
    """For another worker."""
    return orjson.dumps(
        [
            (one.name, one.documentation, one.type, [(each.name, each.labels, each.value) for each in one.samples])
            for one in families
        ]
    )


def joined(by_worker: Mapping[str, bytes]) -> list[Metric]:
    """Of what each has packed: one family of each name, whose samples say whose they are. Who has not packed all is
    left out."""
    families: dict[str, Metric] = {}
    for worker, answer in by_worker.items():
        try:
            told = orjson.loads(answer)
        except orjson.JSONDecodeError:
            continue
        for name, says, kind, samples in told:
            family = families.setdefault(name, Metric(name, says, kind))
            family.samples += [Sample(of, {"worker": worker, **labels}, value) for of, labels, value in samples]
    return [*families.values()]


class _Found(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def text(families: Iterable[Metric]) -> bytes:
    """As Prometheus reads them, `CONTENT_TYPE`."""
    return generate_latest(_Found(families))
