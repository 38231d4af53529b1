"""The files of the spool: made, locked, taken over from dead processes, read as far as they can be read.

What lies in the folder (mode 0700), for each process:

    <random>.lock             locked (flock) as long as the process lives; SIGKILL frees it too
    <random>.sqlite3          its webhooks, and SQLite's -wal beside it
    <random>.sqlite3.corrupt  one that could not be read to its end; nobody opens it again

The lock is a file of its own: SQLite's locks belong to a process and an inode, and are lost as soon as any descriptor
of that inode closes. Who has the lock of a file may open it, nobody else. A lock file is made first and removed last.
"""

import fcntl
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

from app.db.durable import flush, make_folder

T = TypeVar("T")


class Row(NamedTuple):
    """One webhook: its columns."""

    id: str
    dedup_key: str
    received_at: int
    headers: bytes
    body: bytes
    version: str | None
    failure: str | None
    origin: str


_KINDS = (str, str, int, bytes, bytes, str | None, str | None, str)


class Step(NamedTuple):
    """One webhook of a dead process's file, and where that is then."""

    position: int
    row: Row


# What one step of an adoption holds in memory, and how long a put may wait behind it.
_STEP_ROWS = 500
_STEP_BYTES = 4 * 1024 * 1024

_SCHEMA = """
CREATE TABLE IF NOT EXISTS deliveries (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  dedup_key TEXT NOT NULL,
  received_at INTEGER NOT NULL,
  headers BLOB NOT NULL,
  body BLOB NOT NULL,
  version TEXT,
  failure TEXT,
  origin TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS by_age ON deliveries (received_at);
"""

COLUMNS = ", ".join(Row._fields)

_FOLLOWING = f"SELECT seq, {COLUMNS} FROM deliveries WHERE seq > ? ORDER BY seq LIMIT ?"
MOVED = "DELETE FROM deliveries WHERE seq <= ?"
_ONE = f"SELECT {COLUMNS} FROM deliveries WHERE seq = ?"

_WAYS_TO_ROWS = (
    "SELECT seq FROM deliveries ORDER BY seq",
    "SELECT seq FROM deliveries ORDER BY seq DESC",
    "SELECT seq FROM deliveries INDEXED BY by_age ORDER BY received_at",
    "SELECT seq FROM deliveries INDEXED BY by_age ORDER BY received_at DESC",
)
"""Both ends of both trees: each leads up to the first damaged page on its way."""


@dataclass(slots=True, eq=False)
class File:
    """A spool file whose lock is ours. `position` is the last row that an adoption took from it."""

    path: Path
    lock: int
    db: sqlite3.Connection
    position: int = 0

    def is_there(self) -> bool:
        """Whether it and its lock are still where they were made."""
        return _is(self.lock, _lock_of(self.path)) and self.path.exists()

    def close(self, *, delete: bool = False) -> None:
        """Whatever the disk says: the lock is free afterwards."""
        with suppress(sqlite3.Error):
            self.db.close()
        with suppress(OSError):
            if delete:
                _unlink(self.path)
        os.close(self.lock)


CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, None}
"""What SQLite and its Python module (None: text that is no UTF-8) say of a file that is not as we wrote it."""


def code(error: Exception) -> int | None:
    """SQLite's primary result code."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _lock_of(path: Path) -> Path:
    return path.with_suffix(".lock")


def _is(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _lock(path: Path) -> int | None:
    """The locked descriptor; None if somebody else has the lock, or removed the file while we took it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is(descriptor, path):
            return descriptor
    except BlockingIOError:
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def make(folder: Path) -> File:
    """A new, empty file of ours. Raises OSError and sqlite3.Error."""
    make_folder(folder, 0o700)
    folder.chmod(0o700)
    lock = None
    while lock is None:  # an adopter may have it for a moment, until it sees that nothing is there
        path = folder / f"{secrets.token_hex(8)}.sqlite3"
        lock = _lock(_lock_of(path))
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        db = _connect(path)
        try:
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA fullfsync = ON")  # macOS: to the disk, not only to its cache
            db.execute("PRAGMA temp_store = MEMORY")
            db.execute("PRAGMA journal_mode = WAL")
            db.executescript(_SCHEMA)
            flush(folder)
        except BaseException:
            db.close()
            raise
    except BaseException:
        with suppress(OSError):
            _unlink(path)
        os.close(lock)
        raise
    return File(path, lock, db)


def take_over(path: Path) -> File | None:
    """A dead process's file; None if its process lives, somebody else took it, or there is nothing in it."""
    lock = _lock(_lock_of(path))
    if lock is None:
        return None
    try:
        if path.exists():
            return File(path, lock, _connect(path))
        _unlink(path)
    except BaseException:
        os.close(lock)
        raise
    os.close(lock)
    return None


def _connect(path: Path) -> sqlite3.Connection:
    """Reads nothing yet: what is wrong with the file shows at the first query."""
    db = sqlite3.connect(path, isolation_level=None, timeout=1)
    # Alone with the file, SQLite keeps the index of the WAL in memory and needs no third file.
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    return db


def _unlink(path: Path) -> None:
    """The file, what SQLite put beside it, its lock: the lock last."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    _lock_of(path).unlink(missing_ok=True)


def set_aside(path: Path) -> None:
    for suffix in ("", "-wal", "-journal"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(path.with_name(f"{path.name}.corrupt{suffix}"))
    _unlink(path)


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            if db.in_transaction:
                db.execute("ROLLBACK")
        raise


def size(row: Row) -> int:
    """Bytes of what the sender sent."""
    return len(row.headers) + len(row.body)


def take(things: Iterable[T], max_bytes: int, size_of: Callable[[T], int]) -> list[T]:
    """The first of them, as many as `max_bytes` hold, but one at least."""
    taken: list[T] = []
    for thing in things:
        max_bytes -= size_of(thing)
        if taken and max_bytes < 0:
            break
        taken.append(thing)
    return taken


def following(dead: File) -> list[Step]:
    ((tables,),) = dead.db.execute("SELECT count(*) FROM sqlite_schema")
    if not tables:
        return []  # its process died while it made the file
    return take(_steps(dead), _STEP_BYTES, lambda step: size(step.row))


def _steps(dead: File) -> Iterator[Step]:
    for position, *columns in dead.db.execute(_FOLLOWING, (dead.position, _STEP_ROWS)):
        if not _is_sound(columns):
            raise sqlite3.DatabaseError("a row holds what nobody put there")
        yield Step(position, Row._make(columns))


def salvage(db: sqlite3.Connection) -> Iterator[Row]:
    """The rows that can still be read."""
    with suppress(sqlite3.Error):
        db.execute("PRAGMA writable_schema = ON")  # reads a file that is shorter than it says
    found: set[int] = set()
    for way in _WAYS_TO_ROWS:
        with suppress(sqlite3.Error):
            for (seq,) in db.execute(way):
                found.add(seq)
    for seq in sorted(found):
        with suppress(sqlite3.Error):
            yield from map(Row._make, filter(_is_sound, db.execute(_ONE, (seq,)).fetchall()))


def _is_sound(columns: Sequence[object]) -> bool:
    return all(isinstance(value, kind) for value, kind in zip(columns, _KINDS, strict=True))
