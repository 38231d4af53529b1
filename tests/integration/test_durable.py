"""What was acknowledged is there after a power cut: this much of it can be seen without pulling the plug."""

import os
import stat
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from app.db.local import private_database
from app.db.spool.files import File
from app.db.spool.spool import Spool

MUCH = 1 << 30


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> set[Path]:
    """What was in a folder when its entries were made durable, by the one call that does that."""
    found: set[Path] = set()
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        fsync(descriptor)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            found.update(Path(f"/proc/self/fd/{descriptor}").readlink().iterdir())

    monkeypatch.setattr(os, "fsync", noted)
    return found


def _read(file: File, pragma: str) -> Any:
    return file.db.execute(f"PRAGMA {pragma}").fetchone()


async def test_folders_above_a_spool_are_durable_before_it_takes_a_webhook(tmp_path: Path, flushed: set[Path]) -> None:
    folder = tmp_path / "new" / "data" / "spool"
    spool = Spool(folder, MUCH)
    await spool.open()
    own = spool._own
    assert own is not None
    assert {folder, folder.parent, folder.parent.parent, own.path} <= flushed
    for pragma, value in (("synchronous", 2), ("journal_mode", "wal")):  # FULL: a commit returns once it is on the disk
        assert await spool._run(partial(_read, own, pragma)) == (value,)
    await spool.close()


async def test_files_of_a_private_database_are_durable_before_it_takes_a_row(
    tmp_path: Path, flushed: set[Path]
) -> None:
    data = tmp_path / "new" / "data"
    async with private_database(data):
        assert {data.parent, data, data / "mysql", data / "mysql.new" / "ibdata1"} <= flushed
