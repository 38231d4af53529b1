"""The table at the end: medians over the rounds, and ratios of runs that stood side by side."""

from collections.abc import Callable, Sequence
from itertools import product
from statistics import median
from typing import TypeVar

from rich import box
from rich.table import Table

from bench.crowd import CASES as CROWDS
from bench.crowd import READERS, Crowd
from bench.estimate import Accuracy
from bench.fanout import CASES as FAN_OUTS
from bench.fanout import FanOut
from bench.gallery import CASES as READINGS
from bench.gallery import Read
from bench.ingest import CASES, Case, Run
from bench.received import WEBHOOKS as RECEIVED
from bench.received import Listed
from bench.stats import Asked
from bench.storm import CASES as STORMS
from bench.storm import Storm

Measured = TypeVar("Measured", Run, Read)

# Webhooks a second and p50 in ms of the site that rushes replaces: recorded elsewhere, not measured here.
# There is no figure for 64 connections; its rate did not grow with them, so the one for 16 stands in.
SITE = {("generating", 1): (163, 5.3), ("generating", 16): (340, 46.0), ("completed", 16): (240, 65.0)}


def site_rate(case: Case, connections: int) -> int | None:
    """Webhooks a second of the site, None where no figure is known."""
    figure = SITE.get((case.status, min(connections, 16)))
    return figure[0] if figure else None


def ingest_table(runs: list[Run]) -> Table:
    """One row for each case and number of connections, in Markdown, for the documentation."""
    table = Table(box=box.MARKDOWN, header_style="")
    table.add_column("webhooks", no_wrap=True)
    table.add_column("conn.", justify="right", no_wrap=True)
    for name in ("no-op", "bare", "rushes"):
        table.add_column(f"{name} /s", justify="right", no_wrap=True)
        table.add_column("p50 / p99 ms", justify="right", no_wrap=True)
    for name in ("÷ no-op", "÷ bare", "p50 ÷ bare", "÷ site*"):
        table.add_column(name, justify="right", no_wrap=True)
    for case in CASES:
        for connections in sorted({run.connections for run in runs}):
            table.add_row(case.name, str(connections), *_cells(case, connections, runs))
    return table


def estimate_table(ways: Sequence[Accuracy]) -> Table:
    """One row for each way to tell the time left."""
    table = Table(box=box.MARKDOWN, header_style="")
    table.add_column("time left, by", no_wrap=True)
    for name in ("median relative error", "within its p90", "says nothing"):
        table.add_column(name, justify="right", no_wrap=True)
    for way in (each.as_json() for each in ways):
        covered = "–" if way["covered"] is None else f"{way['covered']:.0%}"
        table.add_row(str(way["name"]), f"{way['median_error']:.0%}", covered, f"{way['silent']:.0%}")
    return table


def stats_table(runs: Sequence[Asked]) -> Table:
    """One row for each case."""
    table = Table(box=box.MARKDOWN, header_style="")
    table.add_column("30 days", no_wrap=True)
    for name in (
        "webhooks",
        "generations",
        "p50 / p95 ms",
        "longest ms",
        "server's ms",
        "KiB",
        "all counted anew in s",
    ):
        table.add_column(name, justify="right", no_wrap=True)
    for run in runs:
        table.add_row(
            run.case,
            f"{run.webhooks:,}",
            f"{run.generations:,}",
            f"{run.p50 * 1000:.0f} / {run.p95 * 1000:.0f}",
            f"{max(run.waits) * 1000:.0f}",
            f"{run.busy * 1000:.0f}",
            f"{run.size / 1024:.0f}",
            f"{run.counted_in:.0f}",
        )
    return table


def listed_table(runs: Sequence[Listed]) -> Table:
    """One row for each case: the peer, and rushes beside it."""
    table = Table(box=box.MARKDOWN, header_style="")
    table.add_column(f"of {RECEIVED:,} received webhooks", no_wrap=True)
    for name in ("", "one statement: p50 / p95 ms", "rushes: p50 / p95 ms", "p95 ÷ one statement"):
        table.add_column(name, justify="right", no_wrap=True)
    for peer, ours in zip(runs[::2], runs[1::2], strict=True):
        figures = ["ERROR" if run.fault else f"{run.p50 * 1000:.1f} / {run.p95 * 1000:.1f}" for run in (peer, ours)]
        table.add_row(ours.case, ours.what, *figures, f"{ours.p95 / peer.p95:.2f}")
    return table


def listed_faults(runs: Sequence[Listed]) -> list[str]:
    """A sentence for each answer that does not count."""
    return [f"{run.server}, {run.case}, {run.what}: {run.fault}" for run in runs if run.fault]


def fan_out_table(runs: list[FanOut]) -> Table:
    """One row for each case: deliveries a second, a client's memory, and how long a small request had to wait."""
    table = Table(box=box.MARKDOWN, header_style="")
    table.add_column("subscribers", no_wrap=True)
    for name in (
        "aiohttp-sse /s",
        "KiB a client",
        "longest wait ms",
        "Nchan /s",
        "KiB a client",
        "longest wait ms",
        "rushes /s",
        "KiB a client",
        "longest wait ms",
        "÷ aiohttp-sse",
        "÷ Nchan",
    ):
        table.add_column(name, justify="right", no_wrap=True)
    for case in FAN_OUTS:
        book, nchan, rushes = (
            [r for r in runs if (r.server, r.case) == (s, case.name)] for s in ("aiohttp-sse", "Nchan", "rushes")
        )
        if not (nchan and rushes):
            continue
        cells = []
        for group in (book, nchan, rushes):
            if not group:
                cells += ["", "", ""]
                continue
            cells.append("ERROR" if any(r.lost for r in group) else f"{median(r.rate for r in group):,.0f}")
            cells.append(f"{median(r.memory for r in group) / 1024:.1f}")
            cells.append(f"{median(r.longest for r in group) * 1000:.0f}")
        table.add_row(case.name, *cells, _faster(rushes, book), _faster(rushes, nchan))
    return table


def _faster(ours: list[FanOut], theirs: list[FanOut]) -> str:
    return f"{median(a.rate / b.rate for a, b in zip(ours, theirs, strict=True)):.2f}" if theirs else ""


def storm_table(runs: list[Storm]) -> Table:
    """One row for each case."""
    table = Table(box=box.MARKDOWN, header_style="")
    table.add_column("10,000 clients come back", no_wrap=True)
    for name in ("all back after s", "p50 / p99 ms", "longest wait ms", "statements a client"):
        table.add_column(name, justify="right", no_wrap=True)
    for case in STORMS:
        group = [r for r in runs if r.case == case.name]
        if not group:
            continue
        table.add_row(
            case.name,
            "ERROR" if any(r.lost for r in group) else f"{median(r.seconds for r in group):.1f}",
            *_waits(group),
            f"{median(r.statements / r.clients for r in group):.2f}",
        )
    return table


def crowd_table(runs: list[Crowd]) -> Table:
    """One row for each case."""
    table = Table(box=box.MARKDOWN, header_style="")
    table.add_column(f"{READERS} readers of one job", no_wrap=True)
    for name in ("deliveries", "p50 / p99 ms", "longest ms", "frozen dropped", "floods ended"):
        table.add_column(name, justify="right", no_wrap=True)
    for case in CROWDS:
        group = [r for r in runs if r.case == case.name]
        if not group:
            continue
        table.add_row(
            case.name,
            "ERROR" if any(r.lost for r in group) else f"{group[0].deliveries:,}",
            *_waits(group),
            f"{median(r.dropped for r in group):,.0f}",
            f"{median(r.floods for r in group):,.0f}",
        )
    return table


def _waits(runs: Sequence[Storm | Crowd]) -> tuple[str, str]:
    p50, p99, longest = (median(getattr(r, name) for r in runs) * 1000 for name in ("p50", "p99", "longest"))
    return f"{p50:,.1f} / {p99:,.1f}", f"{longest:.0f}"


# Of a server that galleries are read from, behind how many it answers.
_WAITED = ("p50 / p99 ms", "CPU ms")


def gallery_table(runs: list[Read]) -> Table:
    """One row for each case, size of the table and number of connections. What the site has no answer to, a 304, is
    beside its answers to the same question at rest."""
    table = Table(box=box.MARKDOWN, header_style="")
    table.add_column("a gallery of 100", no_wrap=True)
    for name in ("rows", "conn.", "site /s", *_WAITED, "rushes /s", *_WAITED, "÷ site", "p50 ÷ site", "CPU ÷ site"):
        table.add_column(name, justify="right", no_wrap=True)
    for rows, case, connections in product(_rows(runs), READINGS, sorted({run.connections for run in runs})):
        beside = "at rest" if case == "304" else case
        site, rushes = (
            [r for r in runs if (r.server, r.case, r.rows, r.connections) == (server, which, rows, connections)]
            for server, which in (("site", beside), ("rushes", case))
        )
        # Beside a 304 the site's figures are those of another row.
        cells = ("", "", "") if case == "304" else _read_figures(site)
        figures: tuple[Callable[[Read], float], ...] = (
            lambda run: run.answers.rate,
            lambda run: run.answers.p50,
            lambda run: run.cpu,
        )
        ratios = [_ratio(rushes, site, figure) for figure in figures]
        table.add_row(case, f"{rows:,}", str(connections), *cells, *_read_figures(rushes), *ratios)
    return table


def growth_table(runs: list[Read]) -> Table:
    """p50 over each size of the table, and what it is at the largest in parts of that at the smallest."""
    sizes = _rows(runs)
    table = Table(box=box.MARKDOWN, header_style="")
    table.add_column("p50 ms of a gallery", no_wrap=True)
    for name in ("conn.", "server", *(f"{size:,} rows" for size in sizes), "largest ÷ smallest"):
        table.add_column(name, justify="right", no_wrap=True)
    connections = sorted({run.connections for run in runs})
    for case, number, server in product(READINGS, connections, ("site", "rushes")):
        groups = [
            [r for r in runs if (r.server, r.case, r.rows, r.connections) == (server, case, size, number)]
            for size in sizes
        ]
        if all(groups):
            p50s = [median(run.answers.p50 for run in group) * 1000 for group in groups]
            figures = [f"{p50:.2f}" for p50 in p50s]
            table.add_row(case, str(number), server, *figures, f"{p50s[-1] / p50s[0]:.2f}")
    return table


def _rows(runs: list[Read]) -> list[int]:
    return sorted({run.rows for run in runs})


def _read_figures(runs: list[Read]) -> tuple[str, str, str]:
    if not runs or any(run.fault for run in runs):
        return ("ERROR" if runs else "–"), "–", "–"
    p50, p99 = (median(getattr(run.answers, name) for run in runs) * 1000 for name in ("p50", "p99"))
    rate, cpu = median(run.answers.rate for run in runs), median(run.cpu for run in runs) * 1000
    return f"{rate:,.0f}", f"{p50:.2f} / {p99:.2f}", f"{cpu:.2f}"


def gallery_faults(runs: list[Read]) -> list[str]:
    """A sentence for each run that does not count."""
    return [
        f"{run.server}, {run.case}, {run.rows:,} rows, {run.connections} connections, round {run.round + 1}:"
        f" {run.fault}"
        for run in runs
        if run.fault
    ]


def faults(runs: list[Run]) -> list[str]:
    """A sentence for each run that does not count."""
    return [
        f"{run.server}, {run.case}, {run.connections} connections, round {run.round + 1}: {run.fault}"
        for run in runs
        if run.fault
    ]


def _cells(case: Case, connections: int, runs: list[Run]) -> list[str]:
    def of(server: str) -> list[Run]:
        # The no-op knows no jobs: one figure for both kinds of completion.
        name = "completed, again" if server == "no-op" and case.fresh else case.name
        return [r for r in runs if (r.server, r.case, r.connections) == (server, name, connections)]

    noop, bare, rushes = of("no-op"), of("bare"), of("rushes")
    cells = [cell for group in (noop, bare, rushes) for cell in _figures(group)]
    cells.append(_ratio(rushes, noop, lambda run: run.outcome.rate))
    cells.append(_ratio(rushes, bare, lambda run: run.outcome.rate))
    cells.append(_ratio(rushes, bare, lambda run: run.outcome.p50))
    site = site_rate(case, connections)
    usable = rushes and not any(run.fault for run in rushes)
    cells.append(f"{median(run.outcome.rate for run in rushes) / site:.0f}" if site and usable else "–")
    return cells


def _figures(runs: list[Run]) -> tuple[str, str]:
    if not runs or any(run.fault for run in runs):
        return ("ERROR" if runs else "–"), "–"
    p50, p99 = (median(getattr(run.outcome, name) for run in runs) * 1000 for name in ("p50", "p99"))
    return f"{median(run.outcome.rate for run in runs):,.0f}", f"{p50:.2f} / {p99:.2f}"


def _ratio(ours: list[Measured], theirs: list[Measured], figure: Callable[[Measured], float]) -> str:
    """The median of the rounds' ratios: a machine that slows down for a round slows down both."""
    if not ours or not theirs or any(run.fault for run in ours + theirs):
        return "–"
    return f"{median(figure(a) / figure(b) for a, b in zip(ours, theirs, strict=True)):.2f}"
