"""What is taken over from a file comes once, or stays for whoever can take it."""

import sqlite3
from pathlib import Path

import pytest

from app.db.spool.files import following, take_over
from app.db.spool.spool import Spool, SpoolError
from tests.spools import MUCH, broken_disk, delivery, everything, files, killed


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
