"""What the benchmark of galleries believes, and what it does not."""

import copy
import json
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from bench.gallery import CaseName, Read, compared, difference, unfit
from bench.load import Answers
from bench.report import gallery_faults, gallery_table, growth_table

ROOT = Path(__file__).parents[2]

FILE = {
    "id": "f1", "filename": "a.mp4", "file_url": None, "file_path": "/a.mp4", "file_size": 5, "format": "mp4",
    "duration_seconds": 8, "aspect_ratio": "16:9", "dimensions": {"width": 1, "height": 2},
    "created_at": "2026-01-01T00:00:00Z",
}  # fmt: skip
VIDEO = {
    "id": "j1", "prompt": "the sea", "status": "completed", "created_at": "2026-01-01T00:00:00Z", "completed_at": None,
    "model": "veo", "model_version": "2", "processing_time": 1.5, "generation_time": None, "download_time": None,
    "aspect_ratio": "16:9", "num_videos": 2, "videos": [FILE, FILE | {"id": "f2"}],
}  # fmt: skip


def page(**changes: Any) -> dict[str, Any]:
    return {"generations": [copy.deepcopy(VIDEO) | changes]}


def answers(**changes: Any) -> Answers:
    return replace(Answers(100, refused=0, broken=0, bytes=9_000_000, seconds=2.0, p50=0.02, p99=0.05), **changes)


def run(
    server: str = "rushes",
    case: CaseName = "at rest",
    rows: int = 20_000,
    cpu: float = 0.01,
    fault: str | None = None,
    **changes: Any,
) -> Read:
    return Read(0, server, case, rows, 1, answers(**changes), cpu, fault)


def printed(table: Table) -> list[str]:
    file = StringIO()
    Console(width=200, file=file).print(table)
    return [line for line in file.getvalue().splitlines() if "|" in line]


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.split("|")[1:-1]]


def test_two_servers_that_show_the_same_in_their_own_way_do_not_differ() -> None:
    other = page(created_at="2026-01-01T01:00:00.000+01:00", videos=[FILE | {"id": "f2"}, FILE], failure=None)
    assert difference(compared(page()), compared(other)) is None


@pytest.mark.parametrize(
    "other",
    [
        page(prompt="the see"),
        page(created_at="2026-01-01T00:00:01Z"),
        page(videos=[FILE]),
        page(videos=[FILE, FILE | {"id": "f2", "file_size": 6}]),
        page(id="j2"),
        {"generations": []},
    ],
)
def test_whatever_two_servers_do_not_both_show_is_told(other: dict[str, Any]) -> None:
    assert difference(compared(page()), compared(other)) is not None
    assert difference(compared(other), compared(page())) is not None


@pytest.mark.parametrize(
    ("changes", "expected", "reason"),
    [
        ({}, 90_000, None),
        ({"refused": 1}, 90_000, "1 refused"),
        ({"broken": 1}, 90_000, "1 broken"),
        ({"answers": 0, "bytes": 0}, 90_000, "0 answers"),
        ({"bytes": 30_000}, 90_000, "300 bytes an answer"),  # 304s
        ({"bytes": 30_000}, 0, None),
        ({}, 0, "90,000 bytes an answer"),
    ],
)
def test_answers_count_only_if_all_came_and_were_of_the_size_of_what_was_asked_for(
    changes: dict[str, int], expected: int, reason: str | None
) -> None:
    found = unfit(answers(**changes), 1, expected)
    assert found is None if reason is None else reason in str(found)


def test_rates_are_compared_with_the_sites_and_those_of_304s_with_the_sites_full_answers() -> None:
    runs = [run("site"), run(answers=600, cpu=0.002), run(case="304", answers=3000)]
    at_rest, in_turn, unchanged, inserted = printed(gallery_table(runs))[2:]
    waits = "20.00 / 50.00"
    assert cells(at_rest)[3:] == ["50", waits, "10.00", "300", waits, "2.00", "6.00", "1.00", "0.20"]
    assert cells(unchanged)[3:] == ["", "", "", "1,500", waits, "10.00", "30.00", "1.00", "1.00"]
    assert cells(inserted)[3:] == cells(in_turn)[3:] == ["–"] * 9


def test_figures_of_a_run_that_does_not_count_are_not_shown() -> None:
    runs = [run("site"), run(fault="it did not show the newest videos")]
    row = printed(gallery_table(runs))[2]
    assert "ERROR" in row
    assert row.count("–") == 5
    assert gallery_faults(runs) == [
        "rushes, at rest, 20,000 rows, 1 connections, round 1: it did not show the newest videos"
    ]


def test_growth_is_that_of_the_largest_table_to_the_smallest() -> None:
    runs = [run(rows=1_000_000, p50=0.03), run(rows=20_000, p50=0.02)]
    assert cells(printed(growth_table(runs))[2]) == ["at rest", "1", "rushes", "20.00", "30.00", "1.50"]


@pytest.mark.parametrize("folder", [".", "bench/peers/site"])
def test_lock_file_pins_what_is_wanted_and_names_no_registry(folder: str) -> None:
    wanted = json.loads((ROOT / folder / "package.json").read_text())
    locked = json.loads((ROOT / folder / "package-lock.json").read_text())["packages"]
    for name, version in (wanted["dependencies"] | wanted["devDependencies"]).items():
        assert locked[f"node_modules/{name}"]["version"] == version
    assert [name for name, package in locked.items() if "resolved" in package] == []
    assert [name for name, package in locked.items() if name and not package.get("integrity")] == []
