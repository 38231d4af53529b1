"""scripts/setup: whoever waits sees that it goes on, and what failed tells its own lines."""

import re
import subprocess
from pathlib import Path

from tests.matching import found

SETUP = Path(__file__).parents[2] / "scripts/setup"


def step(folder: Path, command: str, every: str = "0.05") -> subprocess.CompletedProcess[str]:
    """Runs one step of set-up, as the script has it, after another one that had much to say."""
    step = found(r"^step\(\) \{.*?^\}", SETUP.read_text(), re.DOTALL | re.MULTILINE)
    (folder / "log").write_text("".join(f"earlier {n}\n" for n in range(40)))
    script = f"set -euo pipefail; log=log; every={every}; {step[0]}\n{command}"
    return subprocess.run(["bash", "-c", script], check=False, cwd=folder, capture_output=True, text=True, timeout=30)


def test_step_that_failed_shows_its_own_lines_and_none_of_the_step_before(tmp_path: Path) -> None:
    done = step(tmp_path, "step 'Bringing it' bash -c 'echo one; echo two >&2; exit 3'", "5")
    assert done.returncode == 1
    assert [line.strip() for line in done.stdout.splitlines() if line.strip()] == [
        "Bringing it … failed", "one", "two", "(the whole log: log)",
    ]  # fmt: skip
    assert "earlier 39" in (tmp_path / "log").read_text()


def test_step_that_failed_after_many_lines_shows_the_last_of_them(tmp_path: Path) -> None:
    done = step(tmp_path, "step It bash -c 'seq 100; exit 1'")
    assert "    100\n" in done.stdout
    assert "    50\n" not in done.stdout


def test_step_that_takes_long_shows_that_it_goes_on_and_leaves_nothing_running(tmp_path: Path) -> None:
    done = step(tmp_path, "step 'Slow thing' sleep 0.5; jobs -p")
    assert re.fullmatch(r"  Slow thing … \.{3,} \d s\n", done.stdout), done.stdout
    assert (done.returncode, done.stderr) == (0, "")


def test_step_that_is_quick_shows_no_progress(tmp_path: Path) -> None:
    assert re.fullmatch(r"  Quick … \d s\n", step(tmp_path, "step Quick true", "5").stdout)
