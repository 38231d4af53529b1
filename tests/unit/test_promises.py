"""Each promise of docs/reliability.md has a test, named there or here: one without is a wish."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs/reliability.md"
_NAME = re.compile(r"`((?:tests/[\w/]+\.py)|(?:test_\w+))`")

# What the document promises without naming a test: how the row begins, and what holds it.
HELD_BY = {
    "Killed under load": {
        "the server, by SIGKILL": ["test_server_killed_at_random_under_load_loses_nothing_it_acknowledged"],
        "the database, by SIGKILL": ["test_database_killed_under_load_loses_nothing_that_was_acknowledged"],
    },
    "Deleting what is old, under load": {
        "100,000 webhooks": ["test_purge_of_very_many_rows_never_holds_up_the_writer"],
        "30,000 of 4 kB": ["test_rows_with_long_bodies_are_deleted_few_at_a_time"],
        "8,000 of 20 kB": [
            "test_rows_with_long_bodies_are_deleted_few_at_a_time",
            "test_number_of_rows_is_halved_at_once_and_grows_slowly",
        ],
    },
    "The clock is set": {
        "time-outs, retries, heartbeats": ["test_the_wall_clock_is_asked_only_where_a_date_is_meant"],
        "order of webhooks without a timestamp": [
            "test_clock_that_is_set_forward_and_back_by_hours_loses_nothing_and_turns_no_order_round",
            "test_receipts_go_on_in_order_when_the_clock_is_set_back_and_follow_one_that_was_never_right",
        ],
        "order of webhooks with one": ["test_time_too_far_ahead_of_the_clock_is_replaced_by_the_receipt"],
        "`eta_seconds`": [
            "test_what_a_clock_that_was_set_makes_of_a_generation_counts_for_nothing",
            "test_fifty_newest_count",
        ],
        "the log": [
            "test_clock_that_is_set_forward_and_back_by_hours_loses_nothing_and_turns_no_order_round",
            "test_what_is_left_of_the_log_has_no_gap_even_if_the_clock_was_wrong",
        ],
        "signatures": [
            "test_a_signature_of_the_last_or_next_five_minutes_is_accepted",
            "test_a_signature_older_or_newer_than_five_minutes_is_refused",
        ],
        "stream tickets": ["test_tickets_that_were_bought_before_the_clock_was_set_back_are_refused_until_it_is_right"],
        "`STALL_AFTER`": ["test_job_with_news_is_not_asked_for"],
        "`GIVE_UP_AFTER`, `RETENTION_DAYS`": [
            "test_job_that_the_backend_does_not_know_fails_in_time_and_not_before",
            "test_old_webhooks_of_every_outcome_go_and_young_ones_stay",
        ],
    },
}
# Its rows are the test's own parameters.
READ_WHOLE = {"Settings that are refused": "test_table_of_refused_settings_is_read_whole"}


def sections() -> dict[str, list[list[str]]]:
    """The rows of each section's tables, without their heads."""
    found = {}
    for part in DOCUMENT.read_text().split("\n## ")[1:]:
        rows = re.findall(r"^\| .* \|$", part, re.MULTILINE)
        found[part.partition("\n")[0]] = [re.split(r"(?<!\\) \| ", row.strip("| ")) for row in rows[1:]]
    return found


@cache
def known() -> set[str]:
    """Every test by its name, and every file of tests by its path."""
    found = set()
    for path in (ROOT / "tests").rglob("*.py"):
        found.add(str(path.relative_to(ROOT)))
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                found.add(node.name)
    return found


ROWS = [
    (section, row)
    for section, rows in sections().items()
    if section not in READ_WHOLE
    for row in rows
    if not row[0].startswith("-")
]


@pytest.mark.parametrize(("section", "row"), ROWS, ids=[f"{section}: {row[0][:60]}" for section, row in ROWS])
def test_promise_is_held_by_a_test_that_is_there(section: str, row: list[str]) -> None:
    listed = HELD_BY.get(section)
    if listed is None:
        # A row without a test of its own is one of those above it.
        rows = [other for other in sections()[section] if not other[0].startswith("-")]
        before = rows[: rows.index(row) + 1]
        names = next(found for other in reversed(before) if (found := _NAME.findall(" | ".join(other))))
    else:
        names = next((held for start, held in listed.items() if row[0].startswith(start)), [])
    assert names, f"no test is named for {row[0]}"
    assert set(names) <= known()


def test_no_test_is_named_for_a_promise_that_is_gone() -> None:
    for section, listed in HELD_BY.items():
        rows = [row[0] for row in sections()[section]]
        assert [start for start in listed if not any(row.startswith(start) for row in rows)] == []
    assert set(READ_WHOLE.values()) <= known()
    assert set(HELD_BY) | set(READ_WHOLE) <= set(sections())


def test_every_test_that_the_document_names_is_there() -> None:
    assert set(_NAME.findall(DOCUMENT.read_text())) - known() == set()


# Where a moment of the calendar is meant: what was received when, what others sign, tokens, what is sent to others.
_DATES = {
    "app/times.py", "app/ids.py", "app/auth/tokens.py", "app/auth/tickets.py", "app/deliver.py",
    "app/commands/token.py", "app/routes/senders.py",
}  # fmt: skip


def test_the_wall_clock_is_asked_only_where_a_date_is_meant() -> None:
    asking = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "app").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("time", "time_ns") and ast.unparse(node.value) == "time"
    }
    assert asking <= _DATES, "a time-out that is measured on the wall clock ends when somebody sets it"
