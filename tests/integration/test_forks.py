"""What tests fork instead of starting it is to them what `rushes` is to people."""

import signal
from pathlib import Path

import pytest

from tests import forks
from tests.databases import Sql
from tests.processes import free_port, let_go, really_start, run, serving, start, stdout

pytestmark = pytest.mark.skipif(not forks.AVAILABLE, reason="everything is really started here")


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        (("--help",), {}),
        (("serve", "--help"), {}),
        (("--version",), {}),
        (("nothing",), {}),
        (("serve", "--workers", "none"), {}),
        (("serve",), {"PORT": "many"}),
        (("token", "--user", "ada", "--org", ""), {"AUTH_JWT_SECRET": "sixteen-letters."}),
        (("dead", "list"), {}),
    ],
)
async def test_command_says_the_same_and_ends_alike_forked_and_started(
    tmp_path: Path, database_url: str, arguments: tuple[str, ...], settings: dict[str, str]
) -> None:
    settings = {"DATABASE_URL": database_url} | settings
    forked, started = [await run(tmp_path, *arguments, start=how, **settings) for how in (start, really_start)]
    assert forked == started
    assert forked[1] + forked[2]


async def test_forked_process_has_its_own_folder_settings_id_and_end(tmp_path: Path, database_url: str) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / ".env").write_text(f"PORT={free_port()}\n")
    processes = [await start(tmp_path / name, "serve", DATABASE_URL=database_url) for name in ("one", "two")]
    said = [(await stdout(process).readuntil(b"(Ctrl-C")).decode() for process in processes]
    for name, text in zip(("one", "two"), said, strict=True):
        assert f":{(tmp_path / name / '.env').read_text().strip().removeprefix('PORT=')}/" in text
    processes[0].kill()
    assert await processes[0].wait() == -signal.SIGKILL
    assert processes[1].returncode is None
    with pytest.raises(ProcessLookupError):
        processes[0].kill()
    processes[1].terminate()
    _, err = await processes[1].communicate()
    assert (await processes[1].wait(), err) == (0, b"rushes: stopping\n")
    let_go(processes[0])


async def test_webhooks_of_two_forked_servers_have_no_id_in_common(tmp_path: Path, database_url: str, sql: Sql) -> None:
    """The middle of a webhook's id is drawn when a process begins."""
    for number in range(2):
        async with serving(tmp_path, DATABASE_URL=database_url) as (_, url, _):
            _, _, err = await run(tmp_path, "send", url, "--job-id", f"j{number}", "--status", "pending")
            assert "job appears" in err
    assert sql("SELECT COUNT(DISTINCT SUBSTR(id, 15, 12)) FROM rushes_webhooks") == ((2,),)
