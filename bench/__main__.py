"""The benchmarks: `python -m bench`, a table each."""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from app.db.local import LocalDatabaseError
from bench.crowd import crowds
from bench.estimate import replay
from bench.fanout import fan_out
from bench.gallery import GalleryError, gallery
from bench.ingest import Options, ingest
from bench.load import LoadError
from bench.received import listed
from bench.report import (
    crowd_table,
    estimate_table,
    fan_out_table,
    faults,
    gallery_faults,
    gallery_table,
    growth_table,
    ingest_table,
    listed_faults,
    listed_table,
    stats_table,
    storm_table,
)
from bench.servers import ServerError
from bench.stats import ask
from bench.storm import storms

RESULTS = Path(__file__).with_name("results")


async def run_ingest(options: Options, console: Console) -> bool:
    """Run the benchmark and print its table; return whether every run counts."""
    with console.status("starting") as status:
        runs = await ingest(options, status.update)
    console.print(ingest_table(runs))
    console.print(
        f"Median of {options.rounds} rounds of {options.seconds} s."
        " * The site's figures were recorded elsewhere, not measured here.",
        highlight=False,
    )
    _keep("ingest", [run.as_json() for run in runs])
    return _none(faults(runs), console)


async def run_gallery(options: Options, console: Console) -> bool:
    """Read a user's gallery and print how fast that was; return whether every run counts."""
    with console.status("starting") as status:
        runs = await gallery(options, status.update)
    console.print(gallery_table(runs))
    console.print(f"Median of {options.rounds} rounds of {options.seconds} s.", highlight=False)
    if len({run.rows for run in runs}) > 1:
        console.print(growth_table(runs))
    _keep("gallery", [run.as_json() for run in runs])
    return _none(gallery_faults(runs), console)


def _none(found: list[str], console: Console) -> bool:
    for fault in found:
        console.print(f"DOES NOT COUNT: {fault}", style="bold red", highlight=False)
    return not found


async def run_streams(name: str, options: Options, console: Console) -> bool:
    """Run one of the benchmarks of streams and print its table; return whether nothing was lost."""
    measure, table = STREAMS[name]
    with console.status("starting") as status:
        runs = await measure(options.rounds, status.update)
    console.print(table(runs))
    console.print(f"One core for the server. Median of {options.rounds} rounds.", highlight=False)
    _keep(name, [run.as_json() for run in runs])
    return not any(run.lost for run in runs)


async def run_estimate(_: Options, console: Console) -> bool:
    """Replay a made history and print how good each way to tell the time left was."""
    ways = replay()
    console.print(estimate_table(ways))
    _keep("estimate", [way.as_json() for way in ways])
    return True


async def run_stats(options: Options, console: Console) -> bool:
    """Ask for the statistics of a month and print how long they took."""
    with console.status("starting") as status:
        runs = await ask(options.webhooks, status.update)
    console.print(stats_table(runs))
    _keep("stats", [run.as_json() for run in runs])
    return True


async def run_received(_: Options, console: Console) -> bool:
    """List and count received webhooks, and print how long that took; return whether every answer was right."""
    with console.status("starting") as status:
        runs = await listed(status.update)
    console.print(listed_table(runs))
    _keep("received", [run.as_json() for run in runs])
    return _none(listed_faults(runs), console)


def _keep(name: str, runs: list[dict[str, Any]]) -> None:
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(runs, indent=1))


STREAMS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "fanout": (fan_out, fan_out_table),
    "storm": (storms, storm_table),
    "crowd": (crowds, crowd_table),
}
BENCHMARKS: dict[str, Callable[[Options, Console], Any]] = {
    "ingest": run_ingest,
    "estimate": run_estimate,
    **{name: partial(run_streams, name) for name in STREAMS},
    "gallery": run_gallery,
    "stats": run_stats,
    "received": run_received,
}


async def run_all(names: list[str], options: Options) -> bool:
    """Run the named benchmarks one after the other; SIGTERM ends them as Ctrl-C does."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    console = Console()
    console.width = 200  # a row of the table is not to be folded, wherever it goes
    return all([await BENCHMARKS[name](options, console) for name in names])


def _rows(given: str) -> int:
    rows = int(given)
    if rows < 200 or rows % 100:
        raise argparse.ArgumentTypeError("a multiple of 100, at least 200")
    return rows


def main() -> int:
    """Run what the command line names, everything without a name; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Benchmarks, side by side with peers.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(BENCHMARKS)}; all by default")
    parser.add_argument("--seconds", type=int, default=5, help="each run's length (5)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each run is repeated (3)")
    parser.add_argument("--connections", type=int, nargs="+", default=[], help="1 16 64; of the gallery 1 16")
    parser.add_argument("--rows", type=_rows, nargs="+", default=[], help="generations in the gallery's table (20000)")
    parser.add_argument("--webhooks", type=int, default=500_000, help="received before statistics are asked (500,000)")
    parser.add_argument("--quick", action="store_true", help="one round of 2 s runs: a rough look")
    args = parser.parse_args()
    names = args.names or list(BENCHMARKS)
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"no benchmark named {', '.join(sorted(unknown))}")
    seconds, rounds = (2, 1) if args.quick else (args.seconds, args.rounds)
    with suppress(asyncio.CancelledError, KeyboardInterrupt):
        try:
            options = Options(seconds, rounds, tuple(args.connections), tuple(args.rows), args.webhooks)
            return 0 if asyncio.run(run_all(names, options)) else 1
        except (GalleryError, LoadError, LocalDatabaseError, ServerError) as error:
            print(error, file=sys.stderr)
            return 2
    return 130


if __name__ == "__main__":
    sys.exit(main())
