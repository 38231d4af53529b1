"""What is set aside lies in the spool, counts against its limit, and is handed out again only when it is put back."""

from pathlib import Path

import pytest

from app.db.spool.spool import Spool, SpoolFullError
from tests.spools import MUCH, delivery, everything


async def state(spool: Spool) -> tuple[list[str], int, set[str]]:
    return await everything(spool), spool.pending, spool.set_aside


async def test_one_that_is_set_aside_is_handed_out_again_only_when_it_is_put_back(tmp_path: Path) -> None:
    spool = Spool(tmp_path, MUCH)
    await spool.open()
    first, second = delivery("job", 1), delivery("other", 2)
    await spool.put([first, second])
    for _ in range(2):
        assert await spool.put_aside(first.id) == []
        assert await state(spool) == ([second.id], 1, {first.id})
    assert await spool.put_aside("unknown") == []
    for _ in range(2):
        await spool.put_back(first.id)
        assert await state(spool) == ([first.id, second.id], 2, set())
    await spool.close()


async def test_older_ones_of_the_same_content_make_room_for_the_one_that_is_set_aside(tmp_path: Path) -> None:
    spool = Spool(tmp_path, MUCH)
    await spool.open()
    older, newer, waiting, other = delivery("job", 1), delivery("job", 2), delivery("job", 3), delivery("other", 4)
    newer.dedup_key = waiting.dedup_key = older.dedup_key
    await spool.put([older, other, newer, waiting])
    one = spool.bytes / 4
    await spool.put_aside(other.id)
    await spool.put_aside(older.id)
    assert await spool.put_aside(newer.id) == [older.id]
    assert await state(spool) == ([waiting.id], 1, {other.id, newer.id})
    assert spool.bytes == pytest.approx(3 * one, abs=2)
    await spool.close()


async def test_what_is_set_aside_outlives_its_process_and_nothing_else_of_it_is_removed(tmp_path: Path) -> None:
    spool = Spool(tmp_path, MUCH)
    await spool.open()
    aside, done = delivery("job", 1), delivery("other", 2)
    await spool.put([aside, done])
    await spool.put_aside(aside.id)
    await spool.remove([done.id])
    size = spool.bytes
    await spool.close()
    second = Spool(tmp_path, MUCH)
    await second.open()
    assert await state(second) == ([], 0, {aside.id})
    assert second.bytes == size
    await second.remove([aside.id])
    assert (second.pending, second.bytes, second.set_aside) == (0, 0, set())
    await second.close()
    assert list(tmp_path.iterdir()) == []


async def test_what_is_set_aside_takes_room_of_a_full_spool_and_is_counted_when_that_is_said(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 10_000)
    await spool.open()
    aside, *waiting = (delivery("job", n, padding=1800) for n in range(4))
    await spool.put([aside, *waiting])
    await spool.put_aside(aside.id)
    with pytest.raises(SpoolFullError, match=r"^4 webhooks"):
        await spool.put([delivery("job", 5, padding=1800)])
    await spool.remove([aside.id])
    await spool.put([delivery("job", 5, padding=1800)])
    await spool.close()
