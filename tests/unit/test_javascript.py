"""The pure modules of the page, by node's own test runner. What needs a browser is tested in tests/browser."""

import json
import subprocess
from pathlib import Path

import pytest

from app.domain.failure import KINDS
from app.texts import MESSAGES

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "tests/js").glob("*.test.js"))


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)
def test_modules_of_the_page_do_what_their_tests_say(file: Path) -> None:
    command: list[str | Path] = [ROOT / "scripts/node", "--test", "--test-reporter=spec", file]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("language", MESSAGES)
def test_page_knows_what_the_server_says_of_a_running_job_by_heart(language: str) -> None:
    """It says that in its reader's language, whatever the server's is."""
    texts = (ROOT / f"static/js/{language}.js").read_text()
    said = ("pending", "processing", "generating", "downloading", "files_awaited", "completed", "failed", "cancelled")
    for name in said:
        assert f'"stage.{name}": {json.dumps(MESSAGES[language][name], ensure_ascii=False)},' in texts


@pytest.mark.parametrize("language", MESSAGES)
def test_operators_page_has_words_for_every_reason_why_a_generation_fails(language: str) -> None:
    texts = (ROOT / f"static/js/admin/{language}.js").read_text()
    assert [kind for kind in KINDS if f'"failure.{kind}": "' not in texts] == []
