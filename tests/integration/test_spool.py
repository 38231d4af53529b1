"""The spool on a real disk: what was put is there until it is removed, and what a full or failing disk takes."""

import asyncio
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import cast

import pytest

from app.db.spool.spool import Spool, SpoolError, SpoolFullError
from app.domain import payload
from app.domain.delivery import Delivery
from tests.spools import MUCH, broken_disk, delivery, everything, files, killed
from tests.webhooks import completion, video, webhook


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB, with a folder for the spool."""
    if os.geteuid() != 0 or sys.platform != "linux":
        pytest.skip("mounts a disk of its own, which takes root on Linux; the next test fails a disk without")
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(place)], check=True)
    yield place
    # -l: a test that failed may have left files open.
    subprocess.run(["umount", "-l", str(place)], check=True)


async def test_what_was_put_is_there_after_the_process_is_killed(tmp_path: Path) -> None:
    put = killed(tmp_path, rows=20)
    spool = Spool(tmp_path, MUCH)
    await spool.open()
    assert await everything(spool) == put
    assert spool.pending == 20
    await spool.close()


async def test_a_delivery_comes_back_as_it_went(spool: Spool) -> None:
    body = json.dumps(completion("job", video("a"), video("b"))).encode()
    update = payload.parse(body)
    good = Delivery("1", "key1", 1, b'{"a":"b"}', body, "v1", update, origin="reconciled")
    refused = Delivery("2", "key2", 2, b"{}", body, "v1", update, failure=("key_conflict", "two\nlines, é, \0"))
    await spool.put([good, refused])
    assert await spool.oldest(10, MUCH) == [good, refused]


async def test_a_body_that_is_not_text_comes_back_byte_for_byte(spool: Spool) -> None:
    body = bytes(range(256)) * 3
    invalid = Delivery.from_body(body, id="1", dedup_key="key", received_at=1, headers=b"{}")
    assert invalid.failure is not None
    await spool.put([invalid])
    assert await spool.oldest(10, MUCH) == [invalid]


async def test_an_invalid_webhook_still_names_its_job_after_its_time_on_disk(spool: Spool) -> None:
    body = json.dumps(webhook("inv", "Exploded")).encode()
    with pytest.raises(payload.InvalidPayloadError) as error:
        payload.parse(body)
    failure = ("invalid_payload", str(error.value))
    await spool.put([Delivery("1", "key", 1, b"{}", body, "v1", failure=failure, named=error.value.named)])
    (back,) = await spool.oldest(10, MUCH)
    assert (back.named, back.version, back.failure) == (("inv", "exploded", "v1"), "v1", failure)


async def test_a_body_that_no_longer_parses_becomes_a_dead_letter_and_holds_up_nothing(spool: Spool) -> None:
    await spool.put([Delivery("1", "key1", 1, b"{}", b'{"an": "older form"}', "v0"), delivery("job", 2)])
    first, second = await spool.oldest(10, MUCH)
    assert first.update is None
    assert first.failure is not None
    assert first.failure[0] == "invalid_payload"
    assert second.update is not None
    assert second.update.job_id == "job"


async def test_the_oldest_come_first_and_equal_ones_in_the_order_they_came(spool: Spool) -> None:
    late, early, tie1, tie2 = delivery("a", 30), delivery("b", 10), delivery("c", 20), delivery("d", 20)
    tie1.id, tie2.id = "z", "a"
    await spool.put([late])
    await spool.put([tie1, tie2, early])
    assert await everything(spool) == [early.id, "z", "a", late.id]
    assert [d.id for d in await spool.oldest(2, MUCH)] == [early.id, "z"]


async def test_no_more_is_read_at_once_than_was_asked_for_but_always_something(spool: Spool) -> None:
    put = [delivery("job", n, padding=1000) for n in range(5)]
    await spool.put(put)
    assert [d.id for d in await spool.oldest(10, 3000)] == [d.id for d in put[:2]]
    assert [d.id for d in await spool.oldest(10, 1)] == [put[0].id]
    assert len(await spool.oldest(3, MUCH)) == 3


async def test_a_row_stays_until_it_is_removed(spool: Spool) -> None:
    put = [delivery("job", n) for n in range(3)]
    await spool.put(put)
    assert await everything(spool) == await everything(spool) == [d.id for d in put]
    await spool.remove([put[0].id, put[2].id, "unknown"])
    assert await everything(spool) == [put[1].id]
    assert spool.pending == 1
    await spool.remove([put[0].id, put[1].id])
    assert await everything(spool) == []
    assert (spool.pending, spool.bytes) == (0, 0)


async def test_a_put_is_all_or_nothing(spool: Spool) -> None:
    before, first, second = delivery("job", 1), delivery("job", 2), delivery("job", 3)
    await spool.put([before])
    second.dedup_key = cast("str", None)  # what the table refuses
    with pytest.raises(SpoolError):
        await spool.put([first, second])
    assert await everything(spool) == [before.id]
    assert spool.pending == 1


async def test_streams_go_on_while_the_disk_works(spool: Spool) -> None:
    putting = asyncio.create_task(spool.put([delivery("job", n, padding=20_000) for n in range(300)]))
    turns = 0
    while not putting.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 3


async def test_a_full_spool_says_so_and_stores_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", 10_000)
    await spool.open()
    fits = delivery("job", 1, padding=5000)
    await spool.put([fits])
    with pytest.raises(SpoolFullError):
        await spool.put([delivery("job", 2), delivery("job", 3, padding=5000)])
    assert await everything(spool) == [fits.id]
    await spool.remove([fits.id])
    await spool.put([delivery("job", 4, padding=5000)])
    assert spool.pending == 1
    await spool.close()


async def test_a_full_disk_refuses_drains_and_takes_again_when_there_is_room(small_disk: Path) -> None:
    spool = Spool(small_disk / "spool", MUCH)
    await spool.open()
    kept = [delivery("job", n) for n in range(3)]
    await spool.put(kept)
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1024))
    with pytest.raises(SpoolError):
        await spool.put([delivery("job", 10), delivery("job", 11, padding=100_000)])
    assert await everything(spool) == [d.id for d in kept]
    # The database is back, the disk still full.
    with suppress(SpoolError):
        await spool.remove([kept[0].id])
    assert await everything(spool) == [d.id for d in kept[1:]]
    filler.unlink()
    more = delivery("job", 20)
    await spool.put([more])
    await spool.remove([kept[1].id])
    assert await everything(spool) == [kept[2].id, more.id]
    assert spool.pending == 2
    await spool.close()
    again = Spool(small_disk / "spool", MUCH)
    await again.open()
    assert await everything(again) == [kept[2].id, more.id]
    await again.close()


async def test_a_disk_that_failed_is_used_again_when_it_works_and_nothing_is_lost(spool: Spool) -> None:
    before, refused, after = delivery("job", 1), delivery("job", 2), delivery("job", 3)
    await spool.put([before])
    with broken_disk():
        for _ in range(3):
            with pytest.raises(SpoolError):
                await spool.put([refused])
    await spool.put([after])
    assert await spool.adopt() == 1
    assert await everything(spool) == [before.id, after.id]
    assert len(files(spool._folder, ".lock")) == len(files(spool._folder, ".sqlite3")) == 1


async def test_a_removal_that_the_disk_refuses_is_not_undone(spool: Spool) -> None:
    first, second = delivery("job", 1), delivery("job", 2)
    await spool.put([first, second])
    with broken_disk(), pytest.raises(SpoolError):
        await spool.remove([first.id])
    await spool.adopt()
    assert await everything(spool) == [second.id]
    assert spool.pending == 1


async def test_a_spool_that_could_not_be_opened_works_once_the_disk_does(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", MUCH)
    with broken_disk(), pytest.raises(SpoolError):
        await spool.open()
    await spool.put([delivery("job")])
    assert spool.pending == 1
    await spool.close()


async def test_a_spool_whose_files_were_deleted_does_not_pretend_to_store(spool: Spool) -> None:
    await spool.put([delivery("job", 1)])
    for path in spool._folder.iterdir():
        path.unlink()
    put = delivery("job", 2)
    await spool.put([put])
    (path,) = files(spool._folder, ".sqlite3")
    assert path.stat().st_size > 0
    assert await everything(spool) == [put.id]


async def test_the_folder_and_its_files_are_for_their_owner_only(spool: Spool) -> None:
    await spool.put([delivery("job")])
    assert stat.S_IMODE(spool._folder.stat().st_mode) == 0o700
    modes = {p.suffix: stat.S_IMODE(p.stat().st_mode) for p in spool._folder.iterdir()}
    assert modes == {".lock": 0o600, ".sqlite3": 0o600, ".sqlite3-wal": 0o600}


async def test_an_empty_spool_leaves_nothing_and_another_is_there_for_the_next(tmp_path: Path) -> None:
    spool = Spool(tmp_path, MUCH)
    await spool.open()
    put = delivery("job")
    await spool.put([put])
    await spool.close()
    second = Spool(tmp_path, MUCH)
    await second.open()
    assert await everything(second) == [put.id]
    await second.remove([put.id])
    await second.close()
    assert list(tmp_path.iterdir()) == []


async def test_the_disk_is_given_back_when_the_outage_is_over(spool: Spool) -> None:
    put = [delivery("job", n, padding=10_000) for n in range(300)]
    await spool.put(put)
    await spool.remove([d.id for d in put])
    assert sum(p.stat().st_size for p in spool._folder.iterdir()) < 100_000
