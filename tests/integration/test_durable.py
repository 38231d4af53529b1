"""What was acknowledged is there after a power cut: this much of it can be seen without pulling the plug."""

import os
import stat
from pathlib import Path

import pytest

from app.db.local import private_database
from app.db.spool import Spool

MUCH = 1 << 30


@pytest.fixture
def flushed(monkeypatch) -> list[str]:
    """Folders whose entries were made durable, in order, by the one call that does that."""
    found: list[str] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        fsync(descriptor)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            found.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))

    monkeypatch.setattr(os, "fsync", noted)
    return found


async def test_folders_above_a_spool_are_durable_before_it_takes_a_webhook(tmp_path, flushed):
    folder = tmp_path / "new" / "data" / "spool"
    spool = Spool(folder, MUCH)
    await spool.open()
    # Each folder holds the entry of the next one.
    assert {str(folder), str(folder.parent), str(folder.parent.parent), str(tmp_path)} <= set(flushed)
    for pragma, value in (("synchronous", 2), ("journal_mode", "wal")):  # FULL: a commit returns once it is on the disk
        assert await spool._run(lambda p=pragma: spool._own.db.execute(f"PRAGMA {p}").fetchone()) == (value,)
    await spool.close()


async def test_files_of_a_private_database_are_durable_before_it_takes_a_row(tmp_path, flushed):
    data = tmp_path / "new" / "data"
    async with private_database(data):
        assert {str(data), str(data.parent), str(tmp_path)} <= set(flushed)
        assert str(data / "mysql.new") in flushed
