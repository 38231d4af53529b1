"""The spool of a process that died is taken over, once, and as much of a damaged file as can be read."""

import asyncio
import os
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.db.spool.files import _lock, following, take_over
from app.db.spool.spool import Spool, SpoolError
from tests.spools import MUCH, broken_disk, delivery, everything, files, killed, process


def own_path(spool: Spool) -> Path:
    assert spool._own is not None
    return spool._own.path


async def test_the_spool_of_a_killed_process_is_adopted_but_not_of_a_living_one(spool: Spool) -> None:
    own = delivery("own", 1)
    await spool.put([own])
    with process(spool._folder) as (kill, put):
        assert await spool.adopt() == 0
        assert await everything(spool) == [own.id]
        kill()
        assert await spool.adopt() == 3
        assert await spool.adopt() == 0
    assert await everything(spool) == [own.id, *put]
    assert spool.pending == 4
    assert len(files(spool._folder, ".lock")) == len(files(spool._folder, ".sqlite3")) == 1


async def test_a_large_spool_is_adopted_in_steps_between_which_puts_go_through(spool: Spool) -> None:
    put = killed(spool._folder, rows=60, size=200_000)
    adopting = asyncio.create_task(spool.adopt())
    while not spool.pending:
        await asyncio.sleep(0)
    assert spool.pending < 60
    between = delivery("job", 1)
    await spool.put([between])
    assert not adopting.done()
    assert await adopting == 60
    assert await everything(spool) == [between.id, *put]


async def test_an_adoption_that_was_cut_short_goes_on_where_it_was(tmp_path: Path) -> None:
    put = killed(tmp_path, rows=60, size=200_000)
    spool = Spool(tmp_path, MUCH)
    await spool._run(spool._ready)
    adopting = asyncio.create_task(spool.adopt())
    while not spool.pending:
        await asyncio.sleep(0)
    adopting.cancel()
    await asyncio.gather(adopting, return_exceptions=True)
    came = await everything(spool)
    await spool.remove(came)
    await spool.close()
    second = Spool(tmp_path, MUCH)
    await second.open()
    assert 0 < len(came) < 60
    assert await everything(second) == put[len(came) :]
    await second.close()


async def test_two_that_adopt_at_once_get_each_row_once_in_total(tmp_path: Path) -> None:
    put = killed(tmp_path, spools=30, rows=4)
    spools = [Spool(tmp_path, MUCH) for _ in range(4)]
    for spool in spools:
        await spool._run(spool._ready)
    came = await asyncio.gather(*(spool.adopt() for spool in spools))
    assert sum(came) == 120
    assert sorted([webhook_id for spool in spools for webhook_id in await everything(spool)]) == sorted(put)
    assert sum(count > 0 for count in came) > 1
    for spool in spools:
        await spool.close()


def test_a_lock_has_one_holder_at_a_time_while_it_is_removed_and_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "file.lock"
    holders: list[int] = []
    most = 0
    end = time.monotonic() + 0.5

    def take_and_remove() -> None:
        nonlocal most
        while time.monotonic() < end:
            descriptor = _lock(path)
            if descriptor is not None:
                holders.append(descriptor)
                time.sleep(0)
                most = max(most, len(holders))
                holders.remove(descriptor)
                path.unlink(missing_ok=True)
                time.sleep(0)
                os.close(descriptor)

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(take_and_remove) for _ in range(4)]:
            done.result()
    assert most == 1


async def test_a_row_that_is_in_two_files_after_a_crash_comes_once(spool: Spool) -> None:
    (put, *_) = killed(spool._folder, rows=1)
    (dead,) = [p for p in files(spool._folder, ".sqlite3") if p != own_path(spool)]
    copy = spool._folder / "copy.sqlite3"
    for suffix in ("", "-wal"):
        copy.with_name(copy.name + suffix).write_bytes(dead.with_name(dead.name + suffix).read_bytes())
    assert await spool.adopt() == 1
    assert await everything(spool) == [put]
    assert files(spool._folder, ".sqlite3") == [own_path(spool)]


@pytest.mark.parametrize("left", [0, 100, 5000])
async def test_a_truncated_spool_is_set_aside_and_the_others_are_adopted(tmp_path: Path, left: int) -> None:
    with_room = tmp_path / "spool"
    put = killed(with_room, spools=1, rows=5)
    dead = with_room / "0000.sqlite3"
    dead.write_bytes(os.urandom(5000)[:left])
    spool = Spool(with_room, MUCH)
    await spool.open()
    assert await everything(spool) == put
    assert [p.name for p in files(with_room, ".corrupt")] == (["0000.sqlite3.corrupt"] if left else [])
    assert not dead.exists()
    await spool.close()


async def test_what_can_still_be_read_of_a_damaged_spool_is_salvaged(tmp_path: Path) -> None:
    spool = Spool(tmp_path, MUCH)
    await spool.open()
    put = [delivery("job", n, padding=n % 7 * 1000) for n in range(400)]
    await spool.put(put)
    path = own_path(spool)
    await spool.close()
    content = bytearray(path.read_bytes())
    pages = len(content) // 4096
    for page in range(pages // 2, pages // 2 + 3):
        content[page * 4096 : (page + 1) * 4096] = os.urandom(4096)
    path.write_bytes(content[: -4096 * 10])
    second = Spool(tmp_path, MUCH)
    await second.open()
    back = {d.id: d.body for d in await second.oldest(1000, MUCH)}
    assert 300 < len(back) < 400
    whole = {d.id: d.body for d in put}
    assert all(whole[key] == body for key, body in back.items())
    assert [p.name for p in files(tmp_path, ".corrupt")] == [path.name + ".corrupt"]
    await second.put([delivery("job", 1000)])
    await second.close()


async def test_a_row_of_another_type_does_not_hold_up_the_rows_beside_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path, MUCH)
    await spool.open()
    put = [delivery("job", n) for n in range(3)]
    await spool.put(put)
    path = own_path(spool)
    await spool.close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE deliveries SET body = 7 WHERE id = ?", (put[1].id,))
    db.close()
    second = Spool(tmp_path, MUCH)
    await second.open()
    assert await everything(second) == [put[0].id, put[2].id]
    assert len(files(tmp_path, ".corrupt")) == 1
    await second.close()


async def test_file_that_one_process_cannot_take_in_is_left_to_the_others(tmp_path: Path) -> None:
    failing, other = Spool(tmp_path, MUCH), Spool(tmp_path, MUCH)
    await failing.open()
    await other.open()
    put = killed(tmp_path, rows=3)
    with broken_disk():
        assert await failing.adopt() == 0
    assert await other.adopt() == 3
    assert await everything(other) == put
    await failing.close()
    await other.close()


async def test_what_was_removed_does_not_come_back_from_a_damaged_file(tmp_path: Path) -> None:
    spool = Spool(tmp_path, MUCH)
    await spool.open()
    removed, kept, damaged = (delivery("job", n) for n in range(3))
    await spool.put([removed, kept, damaged])
    with broken_disk(), pytest.raises(SpoolError):
        await spool.remove([removed.id])
    (path,) = files(tmp_path, ".sqlite3")
    with sqlite3.connect(path) as db:
        db.execute("UPDATE deliveries SET body = 7 WHERE id = ?", (damaged.id,))
    db.close()
    assert await spool.adopt() == 1
    assert await everything(spool) == [kept.id]
    assert [p.name for p in files(tmp_path, ".corrupt")] == [path.name + ".corrupt"]
    await spool.close()


@pytest.mark.parametrize(("rows", "size", "step"), [(502, 0, 500), (25, 200_000, 20)])
async def test_step_of_an_adoption_takes_500_webhooks_or_4_mebibytes(
    tmp_path: Path, rows: int, size: int, step: int
) -> None:
    spool = Spool(tmp_path, MUCH)
    await spool.open()
    put = [delivery("job", n, padding=size) for n in range(rows)]
    await spool.put(put)
    await spool.close()
    (path,) = files(tmp_path, ".sqlite3")
    dead = take_over(path)
    assert dead is not None
    assert [step.row.id for step in following(dead)] == [d.id for d in put[:step]]
    dead.close()
