"""The pure modules of the page, by node's own test runner. What needs a browser is tested in tests/browser."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "tests/js").glob("*.test.js"))


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)
def test_modules_of_the_page_do_what_their_tests_say(file: Path) -> None:
    command: list[str | Path] = [ROOT / "scripts/node", "--test", "--test-reporter=spec", file]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 0, run.stdout + run.stderr
