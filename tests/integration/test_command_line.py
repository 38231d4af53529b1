"""The command line at its edges: what it refuses, and that each refusal is one sentence and no traceback."""

import asyncio
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.databases import Sql
from tests.processes import ROOT, environment, run
from tests.rows import store
from tests.webhooks import webhook

SHORT = "sixteen-letters."


async def test_version_is_the_one_of_the_project(tmp_path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert await run(tmp_path, "--version") == (0, f"rushes {project['version']}\n", "")


VERIFY = """
import asyncio, sys
from app.auth.tokens import Tokens
tokens = Tokens(secret=sys.argv[1], jwks_url=None, jwks_max_age=1, jwks_cool_down=1)
print(asyncio.run(tokens.verify(sys.argv[2])).user_id)
"""


async def test_short_secret_makes_and_verifies_tokens_without_a_warning_of_a_library(tmp_path: Path) -> None:
    code, token, err = await run(tmp_path, "token", "--user", "ada", AUTH_JWT_SECRET=SHORT)
    assert (code, err, token.count("\n")) == (0, "", 1)
    verified = await asyncio.create_subprocess_exec(
        sys.executable, "-c", VERIFY, SHORT, token.strip(), env=environment(),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert await verified.communicate() == (b"ada\n", b"")


@pytest.mark.parametrize(
    "who", [("--user", ""), ("--user", " ada"), ("--user", "ada", "--org", ""), ("--user", "a" * 192)]
)
async def test_token_that_no_server_would_accept_is_not_made(tmp_path: Path, who: tuple[str, ...]) -> None:
    code, out, err = await run(tmp_path, "token", *who, AUTH_JWT_SECRET=SHORT)
    assert (code, out, err.count("\n")) == (1, "", 1), err
    assert err.startswith("rushes: ")


async def test_file_of_settings_that_cannot_be_read_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xff\xfe=1\n")
    code, out, err = await run(tmp_path, "token", "--user", "ada", AUTH_JWT_SECRET=SHORT)
    assert (code, out, err) == (1, "", "rushes: the file .env cannot be read: it is not text in UTF-8.\n")


def shell(folder: Path, command: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Runs it with the shell's `rushes` being ours."""
    script = f'rushes() {{ "{sys.executable}" -m app "$@"; }}; {command}'
    return subprocess.run(
        ["bash", "-c", script],
        check=False,
        cwd=folder,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("command", ["--help", "--version", "token --user ada", "send --help"])
def test_output_that_nobody_reads_or_that_has_no_room_is_no_traceback(tmp_path: Path, command: str) -> None:
    def told(how: str) -> tuple[int, str]:
        done = shell(tmp_path, f"rushes {command} {how}", AUTH_JWT_SECRET=SHORT)
        return done.returncode, done.stderr

    assert told("| true")[1] == ""
    assert told(">&-") == (0, "")
    assert told(">/dev/full") == (1, "rushes: No space left on device\n")


async def test_replay_of_what_nobody_holds_any_more_says_so_and_fails(
    tmp_path: Path, sql: Sql, database_url: str
) -> None:
    (lost,) = store(sql, webhook("j1", "generating"), outcome="dead")
    sql("UPDATE rushes_webhooks SET error_code = 'set_aside', payload = ''")
    for which in ((lost,), ("--all",)):
        code, out, err = await run(tmp_path, "dead", "replay", *which, DATABASE_URL=database_url)
        assert (code, err) == (1, "")
        assert "No server that holds it answers, and its payload was not kept." in out
