"""A wrong DATABASE_URL, a user with too few rights, tables that are gone: told at once, with what to do."""

import asyncio
import re
import socket
import threading
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from app.appkeys import READINESS
from app.db import migrate
from app.db.connection import connect
from app.db.errors import UnreachableError
from tests.client import running
from tests.databases import Sql
from tests.processes import free_port, run, start, stdout

COMMANDS = (("migrate",), ("purge",), ("dead", "list"), ("dead", "replay", "--all"), ("dead", "discard", "--all"))
OTHERS = {"silent": b"", "ssh": b"SSH-2.0-OpenSSH_9.2\r\n", "packet": b"\x05\x00\x00\x00hello", "bye": None}


@contextmanager
def other_server(said: bytes | None) -> Iterator[int]:
    """The port of a server that is no database: it says this and waits, or hangs up when it has nothing to say."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        held = []

        def answer() -> None:
            while True:
                try:
                    one, _ = listening.accept()
                except OSError:
                    return
                held.append(one)
                with suppress(OSError):  # whoever asked may be gone
                    one.sendall(said or b"")
                    if said is None:
                        one.close()

        answering = threading.Thread(target=answer, daemon=True)
        answering.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        answering.join()
        for one in held:
            one.close()


async def refusals(url: str) -> list[str]:
    """What both of our clients say of an address."""
    found = []
    attempts: list[Awaitable[object]] = [connect(url, 10, patience=0.5)]
    if "socket" not in url:  # PyMySQL leaves one that it cannot connect for the garbage collector to warn of
        attempts.append(asyncio.to_thread(migrate.apply, url, patience=0.5))
    for attempt in attempts:
        with pytest.raises(UnreachableError) as refused:
            await attempt
        found.append(refused.value.sentence)
    return found


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("mysql://u:hush@127.0.0.1:{free}/x", "cannot connect to the database at 127.0.0.1:{free}: Connection refused"),
        ("mysql://u:hush@[::1]:{free}/x", r"cannot connect to the database at \[::1\]:{free}: .+"),
        ("mysql://u:hush@nowhere.invalid/x", r"cannot connect to the database at nowhere.invalid:3306: .*not known"),
        ("mysql://u:hush@h/x?socket=/nope/s", "cannot connect to the database at /nope/s: No such file or directory"),
    ],
)
async def test_place_where_no_database_is_is_named_with_the_reason(url: str, told: str) -> None:
    port = free_port()
    for sentence in await refusals(url.format(free=port)):
        assert re.fullmatch(told.replace("{free}", str(port)), sentence), sentence


@pytest.mark.parametrize("other", sorted(OTHERS))
@pytest.mark.parametrize("asked", ["", "?ssl=true"])
async def test_server_that_is_no_database_is_told_in_time(other: str, asked: str) -> None:
    with other_server(OTHERS[other]) as port:
        for sentence in await refusals(f"mysql://u:hush@127.0.0.1:{port}/x{asked}"):
            assert sentence.startswith(f"cannot connect to the database at 127.0.0.1:{port}: ")
            assert len(sentence.partition(f"{port}: ")[2]) > 5
            assert "hush" not in sentence


async def test_every_command_tells_a_database_that_says_nothing_within_seconds(tmp_path: Path) -> None:
    with other_server(b"") as port:
        began = asyncio.get_running_loop().time()
        told = await asyncio.gather(
            *(run(tmp_path, *arguments, DATABASE_URL=f"mysql://u:hush@127.0.0.1:{port}/x") for arguments in COMMANDS)
        )
        assert asyncio.get_running_loop().time() - began < 9  # 2 s and the start; less than DB_TIMEOUT
    sentence = f"rushes: cannot connect to the database at 127.0.0.1:{port}: no answer in time\n"
    assert told == [(1, "", sentence)] * len(COMMANDS)


@pytest.mark.parametrize("workers", [1, 2])
async def test_server_whose_database_does_not_answer_says_so_instead_of_asking_to_watch_the_bar(
    tmp_path: Path, workers: int
) -> None:
    with other_server(b"") as port:
        url = f"mysql://u:hush@127.0.0.1:{port}/x"
        process = await start(tmp_path, "serve", PORT=free_port(), DATABASE_URL=url, WORKERS=workers)
        said = ""
        async with asyncio.timeout(30):
            while "Webhooks" not in said:
                said += (await stdout(process).readline()).decode()
        process.terminate()
        await process.communicate()
    assert f"cannot connect to the database at 127.0.0.1:{port}: no answer in time" in said
    assert "watch the bar" not in said
    assert "hush" not in said


def user_with(sql: Sql, mariadb: dict[str, Any], rights: str, name: str) -> str:
    """The address of the test's database for a user of its own."""
    (database,) = sql("SELECT DATABASE()")[0]
    sql(f"CREATE USER IF NOT EXISTS '{name}'@'localhost'")
    sql(f"REVOKE ALL, GRANT OPTION FROM '{name}'@'localhost'")
    sql(f"GRANT {rights} ON `{database}`.* TO '{name}'@'localhost'")
    return f"mysql://{name}@localhost/{database}?unix_socket={quote(mariadb['unix_socket'], safe='')}"


ALL = ("SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP", "INDEX", "REFERENCES")


@pytest.mark.parametrize("lacks", ALL)
async def test_right_that_migrate_lacks_is_named_and_nobody_is_told_to_run_it(
    tmp_path: Path, empty_url: str, sql: Sql, mariadb: dict[str, Any], lacks: str
) -> None:
    url = user_with(sql, mariadb, ", ".join(right for right in ALL if right != lacks), "nearly")
    code, _, err = await run(tmp_path, "migrate", DATABASE_URL=url)
    if lacks in ("DROP", "INDEX", "REFERENCES") and code == 0:
        return  # not needed for tables that we make
    assert (code, err.count("\n")) == (1, 1), err
    assert lacks in err
    assert "`rushes migrate`" not in err
    sql("GRANT ALL ON *.* TO 'nearly'@'localhost'")
    code, _, err = await run(tmp_path, "migrate", DATABASE_URL=url)
    assert code == 0, err


@pytest.mark.parametrize("table", ["rushes_events", "rushes_ticket_key", "video_files", "rushes_counter"])
async def test_table_that_is_gone_is_named_with_what_brings_it_back(
    tmp_path: Path, database_url: str, sql: Sql, table: str
) -> None:
    async with running(database_url) as server:
        sql("SET FOREIGN_KEY_CHECKS = 0")
        sql(f"DROP TABLE {table}")
        server.app[READINESS].health._until = 0.0
        code, told = await server.read("/readyz")
        assert code == 503
        assert f"the table {table} is gone" in told["database"]
    code, out, err = await run(tmp_path, "migrate", DATABASE_URL=database_url)
    assert (code, err.count("\n")) == (1, 1), out + err
    assert f"the table {table} is gone" in err
    (statement,) = re.findall("`(DELETE[^`]+)`", err)
    sql(statement)
    code, out, err = await run(tmp_path, "migrate", DATABASE_URL=database_url)
    assert code == 0, out + err
    async with running(database_url, app_env="production", webhook_secret="a secret that senders have") as server:
        assert (await server.read("/readyz"))[0] == 200
