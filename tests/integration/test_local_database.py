"""The private MariaDB: without it a newcomer has no `make run`, and a crash loses what was committed."""

import asyncio
import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pymysql
import pytest

from app.db import local
from app.db.local import LocalDatabaseError, private_database

needs_parent_death_signal = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the signal")

# Another process that owns the database, under the loop that the service uses.
OWNER = """
import asyncio, sys
from pathlib import Path
import uvloop
from app.db.local import private_database

async def main():
    async with private_database(Path(sys.argv[1])) as url:
        print(url, flush=True)
        await asyncio.Event().wait()

uvloop.run(main())
"""


def query(url: str, statement: str) -> tuple[tuple[Any, ...], ...]:
    parts = urlsplit(url)
    [unix_socket] = parse_qs(parts.query)["unix_socket"]
    connection = pymysql.connect(unix_socket=unix_socket, user=parts.username, database=parts.path[1:], autocommit=True)
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def start_owner(data_dir: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", OWNER, str(data_dir)], stdout=subprocess.PIPE, text=True)


def kill(owner: "subprocess.Popen[str]") -> None:
    with owner:
        owner.kill()


def url_of(owner: "subprocess.Popen[str]") -> str:
    assert owner.stdout is not None
    return owner.stdout.readline().strip()


@pytest.fixture
def owner(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    process = start_owner(tmp_path)
    yield process
    kill(process)


def database_pid(data_dir: Path) -> int:
    return int((data_dir / "mysql.pid").read_text())


def wait_for_end(pidfd: int) -> None:
    readable, _, _ = select.select([pidfd], [], [], 10)
    os.close(pidfd)
    assert readable, "the process is still there after 10 s"


async def sentence_of_failure(data_dir: Path) -> str:
    with pytest.raises(LocalDatabaseError) as failure:
        async with private_database(data_dir):
            pass
    sentence = str(failure.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


async def test_what_was_committed_is_there_after_a_quick_second_start(tmp_path: Path) -> None:
    async with private_database(tmp_path) as url:
        query(url, "CREATE TABLE kept (word VARCHAR(20))")
        query(url, "INSERT INTO kept VALUES ('été 🎬')")
    before = time.monotonic()
    async with private_database(tmp_path) as url:
        assert time.monotonic() - before < 2
        assert query(url, "SELECT word FROM kept") == (("été 🎬",),)


async def test_it_keeps_every_commit_opens_no_port_and_lets_only_its_user_in(tmp_path: Path) -> None:
    async with private_database(tmp_path) as url:
        settings = "@@innodb_flush_log_at_trx_commit, @@skip_networking, @@character_set_database, @@time_zone"
        assert query(url, f"SELECT {settings}") == ((1, 1, "utf8mb4", "+00:00"),)
        [socket] = parse_qs(urlsplit(url).query)["unix_socket"]
        assert Path(socket).parent.stat().st_mode & 0o777 == 0o700


async def test_ctrl_c_reaches_the_service_but_not_its_database(tmp_path: Path) -> None:
    async with private_database(tmp_path):
        assert os.getsid(database_pid(tmp_path)) != os.getsid(0)


@needs_parent_death_signal
async def test_a_killed_owner_leaves_no_database_and_the_next_start_has_every_commit(
    tmp_path: Path, owner: "subprocess.Popen[str]"
) -> None:
    url = url_of(owner)
    query(url, "CREATE TABLE kept (number INT)")
    query(url, "INSERT INTO kept VALUES (1)")
    database = os.pidfd_open(database_pid(tmp_path))
    kill(owner)
    wait_for_end(database)
    async with private_database(tmp_path) as url:
        assert query(url, "SELECT number FROM kept") == ((1,),)


@needs_parent_death_signal
async def test_a_kill_while_the_files_are_made_does_not_spoil_the_next_start(
    tmp_path: Path, owner: "subprocess.Popen[str]"
) -> None:
    while not (tmp_path / "mysql.new" / "ibdata1").exists():
        assert owner.poll() is None
    kill(owner)
    assert not (tmp_path / "mysql").exists()
    async with private_database(tmp_path) as url:
        assert query(url, "SELECT 1") == ((1,),)


async def test_a_start_right_after_a_kill_waits_for_the_old_database(
    tmp_path: Path, owner: "subprocess.Popen[str]"
) -> None:
    url_of(owner)
    kill(owner)
    async with private_database(tmp_path) as url:
        assert query(url, "SELECT 1") == ((1,),)


async def test_a_database_that_outlived_its_owner_is_ended_first(tmp_path: Path) -> None:
    with (tmp_path / "mysql.alive").open("ab") as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)
        orphan = await asyncio.create_subprocess_exec("sleep", "100", pass_fds=(alive.fileno(),))
    (tmp_path / "mysql.pid").write_text(f"{orphan.pid}\n")
    async with private_database(tmp_path) as url:
        assert query(url, "SELECT 1") == ((1,),)
    assert await orphan.wait() == -signal.SIGTERM


async def test_a_second_command_uses_the_running_database_and_leaves_it_running(
    tmp_path: Path, owner: "subprocess.Popen[str]"
) -> None:
    running = url_of(owner)
    async with private_database(tmp_path) as url:
        assert url == running
        assert query(url, "SELECT 1") == ((1,),)
    assert query(running, "SELECT 1") == ((1,),)


async def test_two_that_start_at_once_share_one_database(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        starts = [stack.enter_async_context(private_database(tmp_path)) for _ in range(2)]
        first, second = await asyncio.gather(*starts)
        assert first == second
        assert query(first, "SELECT 1") == ((1,),)


async def test_whoever_waits_for_a_silent_database_takes_over_when_its_owner_ends(
    tmp_path: Path, owner: "subprocess.Popen[str]"
) -> None:
    url_of(owner)
    os.kill(database_pid(tmp_path), signal.SIGSTOP)
    asyncio.get_running_loop().call_later(0.2, owner.kill)
    async with private_database(tmp_path) as url:
        assert query(url, "SELECT 1") == ((1,),)


async def test_a_database_that_has_died_does_not_keep_the_service_from_stopping(tmp_path: Path) -> None:
    async with private_database(tmp_path):
        os.kill(database_pid(tmp_path), signal.SIGKILL)


async def test_a_data_folder_too_deep_for_a_socket_works(tmp_path: Path) -> None:
    deep = tmp_path / ("un dossier très profond/" * 5)
    async with private_database(deep) as url:
        assert query(url, "SELECT 1") == ((1,),)
        [socket] = parse_qs(urlsplit(url).query)["unix_socket"]
        assert Path(socket).parent.stat().st_mode & 0o777 == 0o700
    Path(socket).parent.rmdir()


async def test_a_socket_folder_that_somebody_else_put_there_is_refused(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "run").symlink_to(elsewhere)
    assert f"{tmp_path}/run is not a folder of yours" in await sentence_of_failure(tmp_path)


async def test_a_folder_that_cannot_be_written_says_which_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    sentence = await sentence_of_failure(tmp_path / "file" / "data")
    assert f"{tmp_path}/file/data" in sentence
    assert "DATA_DIR" in sentence


async def test_without_a_server_program_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(local, "_PLACES", ())
    sentence = await sentence_of_failure(tmp_path / "data")
    assert "make install" in sentence
    assert "mariadb-server-core" in sentence


async def test_damaged_files_give_the_databases_own_words_and_its_log(tmp_path: Path) -> None:
    async with private_database(tmp_path):
        pass
    (tmp_path / "mysql" / "ibdata1").write_bytes(b"not a database" * 100_000)
    sentence = await sentence_of_failure(tmp_path)
    assert "InnoDB" in sentence
    assert str(tmp_path / "mysql.log") in sentence


async def test_a_program_that_cannot_run_gives_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "mariadbd"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'libaio.so.1: cannot open shared object file'\nexit 127\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    assert "libaio.so.1: cannot open" in await sentence_of_failure(tmp_path / "data")
    assert not (tmp_path / "data" / "mysql").exists()


def test_set_up_looks_for_the_program_where_the_service_does() -> None:
    setup = (Path(__file__).parents[2] / "scripts" / "setup").read_text()
    for place in local._PLACES:
        assert place.removeprefix(f"{Path(__file__).parents[2]}/") in setup


async def test_its_temporary_files_are_not_where_another_server_deletes_them(tmp_path: Path) -> None:
    async with private_database(tmp_path) as url:
        assert query(url, "SELECT @@tmpdir") == ((str(tmp_path / "tmp"),),)
