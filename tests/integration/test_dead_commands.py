"""Webhooks that were not applied: seen, tried again, laid to rest from a terminal."""

import asyncio
import os
import pty
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from app.db.url import parameters
from tests.client import Client
from tests.databases import Sql
from tests.dead_letters import conflict, everything
from tests.processes import environment, run, stdout
from tests.rows import store
from tests.webhooks import webhook
from tests.writing import add_jobs


async def test_dead_list_shows_what_was_wrong_and_steers_no_terminal(
    tmp_path: Path, sql: Sql, database_url: str
) -> None:
    dead, other = store(sql, webhook("j\x1b[2J1", "generating"), webhook("[red]j2", "generating"))
    (parked,) = store(sql, webhook("j3", "generating"), outcome="parked")
    store(sql, webhook("j4", "generating"), outcome="applied")
    code, out, err = await run(tmp_path, "dead", "list", DATABASE_URL=database_url)
    assert code == 0, err
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [parked, other, dead]
    assert "[red]j2" in lines[2]
    assert "\\x1b[2J" in lines[3]
    assert "\x1b" not in out
    assert "apply_failed: for a test" in lines[1]
    code, out, _ = await run(tmp_path, "dead", "list", "--outcome", "dead", "--job-id", "j3", DATABASE_URL=database_url)
    assert (code, out) == (0, "nothing of that job is dead or parked\n")


async def test_dead_list_tells_all_of_it_in_a_terminal_of_80_columns(
    tmp_path: Path, sql: Sql, database_url: str
) -> None:
    (webhook_id,) = store(sql, webhook("a-job-of-a-usual-length-2w3e4r", "generating"))
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app", "dead", "list", cwd=tmp_path, stdout=theirs,
        env=environment(DATABASE_URL=database_url, TERM="xterm", COLUMNS="80"),
    )  # fmt: skip
    os.close(theirs)
    drawn = await asyncio.to_thread(drain, ours)
    assert await process.wait() == 0
    first, second = [line.rstrip() for line in drawn.splitlines()]
    assert re.fullmatch(rf"{webhook_id}  \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ  dead       tries 1", first)
    assert second == "  a-job-of-a-usual-length-2w3e4r  apply_failed: for a test"


async def test_dead_show_tells_payload_headers_error_and_what_a_replay_would_change(
    server: Client, tmp_path: Path, sql: Sql, database_url: str
) -> None:
    webhook_id = await conflict(server, sql)
    before = everything(sql)
    code, out, err = await run(tmp_path, "dead", "show", webhook_id, DATABASE_URL=database_url)
    assert code == 0, err
    for told in (
        "s3_key k/1 already belongs to owner", "content-type: application/json", '"job_id": "j2"',
        "a replay would leave it applied", "PENDING → COMPLETED", "new file         k/2",
    ):  # fmt: skip
        assert told in out
    assert everything(sql) == before


async def test_dead_replay_applies_the_named_ones_and_tells_what_became_of_each(
    tmp_path: Path, sql: Sql, database_url: str
) -> None:
    add_jobs(sql, "j1")
    good, lost, bad = store(sql, webhook("j1", "generating"), webhook("nowhere", "pending"), b"{")
    code, out, err = await run(tmp_path, "dead", "replay", good, lost, DATABASE_URL=database_url)
    assert (code, out.splitlines()) == (
        0,
        [
            f"{good}  applied", f"{lost}  parked  VideoGeneration not found",
            "2 replayed: 1 applied, 1 parked",
        ],
    ), err  # fmt: skip
    assert sql("SELECT progress FROM video_generations") == ((50,),)
    assert sql("SELECT COUNT(*) FROM rushes_events") == ((1,),)
    code, out, _ = await run(tmp_path, "dead", "replay", good, DATABASE_URL=database_url)
    assert (code, out) == (0, f"{good}  applied  It is applied already: nothing was changed.\n")
    code, out, _ = await run(tmp_path, "dead", "replay", bad, DATABASE_URL=database_url)
    assert (code, out.splitlines()[-1]) == (1, "1 replayed: 1 dead")


async def test_dead_replay_all_passes_over_none_of_300_dead_and_parked_and_shows_a_progress_bar(
    tmp_path: Path, sql: Sql, database_url: str
) -> None:
    jobs = [f"j{n}" for n in range(300)]
    add_jobs(sql, *jobs)
    store(sql, *(webhook(job, "generating") for job in jobs))
    sql("UPDATE rushes_webhooks SET outcome = 'parked' WHERE CRC32(job_id) % 2 = 0")
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app", "dead", "replay", "--all", cwd=tmp_path, stdout=asyncio.subprocess.PIPE,
        stderr=theirs, env=environment(DATABASE_URL=database_url, TERM="xterm", COLUMNS="100"),
    )  # fmt: skip
    os.close(theirs)
    out, drawn = await asyncio.gather(stdout(process).read(), asyncio.to_thread(drain, ours))
    assert (await process.wait(), out) == (0, b"300 replayed: 300 applied\n"), drawn
    assert "replaying" in drawn
    assert "300/300" in drawn
    assert sql("SELECT DISTINCT outcome FROM rushes_webhooks") == (("applied",),)


def drain(terminal: int) -> str:
    drawn = b""
    try:
        while data := os.read(terminal, 65536):
            drawn += data
    except OSError:  # the other end is closed
        pass
    os.close(terminal)
    return drawn.decode()


async def test_dead_discard_asks_first_unless_told_not_to(tmp_path: Path, sql: Sql, database_url: str) -> None:
    one, *rest = store(sql, *(webhook(f"j{n}", "generating") for n in range(600)))
    store(sql, webhook("p", "generating"), outcome="parked")
    code, _, err = await run(tmp_path, "dead", "discard", one, DATABASE_URL=database_url)
    assert code == 1
    assert "Aborted" in err
    assert sql("SELECT COUNT(*) FROM rushes_webhooks WHERE outcome = 'discarded'") == ((0,),)
    code, out, err = await run(tmp_path, "dead", "discard", one, "--yes", DATABASE_URL=database_url)
    assert (code, out) == (0, "1 discarded\n"), err
    code, out, err = await run(tmp_path, "dead", "discard", one, "--yes", DATABASE_URL=database_url)
    assert (code, out) == (1, "0 discarded\n")
    assert "neither dead nor parked" in err
    code, out, _ = await run(
        tmp_path, "dead", "discard", "--all", "--outcome", "dead", "--yes", DATABASE_URL=database_url
    )
    assert (code, out) == (0, f"{len(rest)} discarded\n")
    assert sql("SELECT outcome, COUNT(*) FROM rushes_webhooks GROUP BY outcome ORDER BY 1") == (
        ("discarded", 600), ("parked", 1),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("show", "nonsense"), 1, "there is no webhook nonsense"),
        (("replay", "0" * 32), 1, "there is no webhook 000"),
        (("discard", "0" * 32, "--yes"), 1, "there is no webhook 000"),
        (("replay",), 2, "by their ids, or say --all"),
        (("discard", "0" * 32, "--all"), 2, "by their ids, or say --all"),
        (("list", "--outcome", "applied"), 2, "Invalid value for '--outcome'"),
    ],
)
async def test_dead_told_something_wrong_says_so_in_a_sentence(
    tmp_path: Path, database_url: str, arguments: tuple[str, ...], code: int, told: str
) -> None:
    found, out, err = await run(tmp_path, "dead", *arguments, DATABASE_URL=database_url)
    assert (found, out) == (code, "")
    assert told in err
    assert "Traceback" not in err


async def test_dead_without_a_database_or_without_our_tables_says_so_in_a_sentence(
    tmp_path: Path, mariadb: dict[str, Any], database_url: str
) -> None:
    away = "mysql://root:hush@127.0.0.1:1/x"
    empty = database_url.replace(parameters(database_url)["db"], "mysql")
    for url, told in ((away, "cannot connect to the database"), (empty, "run `rushes migrate`"), ("x:y", "mysql://")):
        for arguments in (("list",), ("replay", "--all")):
            code, out, err = await run(tmp_path, "dead", *arguments, DATABASE_URL=url)
            assert (code, out, err.count("\n")) == (1, "", 1), err
            assert told in err
            assert "hush" not in err
