"""The spool: accepted webhooks on local disk, until the database has them.

What lies in its folder (mode 0700), for each process:

    <random>.lock             locked (flock) as long as the process lives; SIGKILL frees it too
    <random>.sqlite3          its webhooks, and SQLite's -wal beside it
    <random>.sqlite3.corrupt  one that could not be read to its end; nobody opens it again

The lock is a file of its own: SQLite's locks belong to a process and an inode, and are lost as soon as any descriptor
of that inode closes. Who has the lock of a file may open it, nobody else. A lock file is made first and removed last.
"""

import asyncio
import fcntl
import json
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import structlog

from app import payload
from app.db.webhooks import Delivery
from app.video import StatusUpdate

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
Row = tuple[Any, ...]

# What one step of an adoption holds in memory, and how long a put may wait behind it.
_STEP_ROWS = 500
_STEP_BYTES = 4 * 1024 * 1024
_SALVAGE_ROWS = 50

_ROW_BYTES = 256
"""What a row takes beside its headers and body: its ids, its indexes."""


class SpoolError(Exception):
    """The disk failed."""


class SpoolFullError(SpoolError):
    """The limit of the spool is reached."""


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

_COLUMNS = "id, dedup_key, received_at, headers, body, version, failure, origin"
_IDS = "(SELECT value FROM json_each(?))"

_INSERT = f"INSERT INTO deliveries ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
_MEASURE = f"SELECT count(*), coalesce(sum(length(headers) + length(body) + {_ROW_BYTES}), 0) FROM deliveries"
_OLDEST = f"SELECT {_COLUMNS} FROM deliveries WHERE id NOT IN {_IDS} ORDER BY received_at, seq LIMIT ?"
_REMOVE = f"DELETE FROM deliveries WHERE id IN {_IDS}"

_FOLLOWING = f"SELECT {_COLUMNS}, seq FROM deliveries WHERE seq > ? ORDER BY seq LIMIT ?"
_MOVED = "DELETE FROM deliveries WHERE seq <= ?"
_ONE = f"SELECT {_COLUMNS} FROM deliveries WHERE seq = ?"

_WAYS_TO_ROWS = (
    "SELECT seq FROM deliveries ORDER BY seq",
    "SELECT seq FROM deliveries ORDER BY seq DESC",
    "SELECT seq FROM deliveries INDEXED BY by_age ORDER BY received_at",
    "SELECT seq FROM deliveries INDEXED BY by_age ORDER BY received_at DESC",
)
"""Both ends of both trees: each leads up to the first damaged page on its way."""


@dataclass(slots=True, eq=False)
class _File:
    """A spool file whose lock is ours. `position` is the last row that an adoption took from it."""

    path: Path
    lock: int
    db: sqlite3.Connection
    position: int = 0

    def close(self, *, delete: bool = False) -> None:
        """Whatever the disk says: the lock is free afterwards."""
        with suppress(sqlite3.Error):
            self.db.close()
        with suppress(OSError):
            if delete:
                _unlink(self.path)
        os.close(self.lock)


class Spool:
    """Accepted webhooks on local disk: one file a process, and those of dead processes taken over.

    At most about `max_bytes` wait here, as `pending_bytes` counts them; what was taken over is let in beyond that.
    All work with files is done in one thread. A method that is cancelled may still do its work.

    When the disk fails (other than by being full), the file is given up like that of a dead process: its rows are
    out of sight until `adopt` brings them back, and the next use makes a new file. A failed fsync says nothing about
    what the disk has, so rows are trusted again only once they were written anew.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.pending = 0
        self.pending_bytes = 0
        self._folder = folder
        self._max_bytes = max_bytes
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._own: _File | None = None
        self._dead: _File | None = None
        # Removed, but the disk would not have it yet.
        self._gone: set[str] = set()

    async def open(self) -> None:
        """Makes our file and adopts what dead processes left.

        Raises SpoolError when the disk refuses our file. The spool can be used all the same: each use tries again.
        """
        await self._run(self._ready)
        await self.adopt()

    async def close(self) -> None:
        """Removes our file if it is empty, else leaves it for the next process. Nothing may be called afterwards."""
        try:
            await self._run(self._close)
        finally:
            self._thread.shutdown(wait=False)

    async def put(self, deliveries: list[Delivery]) -> None:
        """Returns once all of them are safely on disk, whatever happens to the process or the machine.

        Raises SpoolFullError and SpoolError: none of them counts as stored. (After a failed fsync they may turn up
        with the next adoption nonetheless.) One that is here already is left as it is.
        """
        await self._run(self._put, [_row(d) for d in deliveries])

    async def oldest(self, limit: int, max_bytes: int) -> list[Delivery]:
        """Up to `limit`, with up to `max_bytes` of bodies, in the order of receipt; at least one if any is here.

        They stay until they are removed. Raises SpoolError.
        """
        return await self._run(self._oldest, limit, max_bytes)

    async def remove(self, ids: list[str]) -> None:
        """Forgets those that the database has. Raises SpoolError when the disk refuses; they are not handed out
        again all the same, unless this process dies first, and the next call tries again."""
        await self._run(self._remove, ids)

    async def adopt(self) -> int:
        """Takes over the files of dead processes; returns how many rows came.

        A row is durable here before it leaves its old file: a crash in between leaves it in both, with one id.
        What cannot be adopted now stays where it is, and the log says so: our own webhooks are not to wait for it.
        """
        total = 0
        try:
            names = await self._run(self._names)
            while (came := await self._run(self._adopt_some, names)) is not None:
                total += came
        except (SpoolError, sqlite3.Error, OSError) as error:
            log.warning("spool_not_adopted", error=str(error))
        return total

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(work, *args, **kwargs))

    # From here on: in the thread.

    @contextmanager
    def _disk(self) -> Iterator[sqlite3.Connection]:
        """Our file's connection. What the disk refuses is a SpoolError."""
        try:
            yield self._opened().db
        except (sqlite3.Error, OSError) as error:
            # These leave all as it was before; after anything else nothing is sure.
            if _code(error) not in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_CONSTRAINT}:
                self._give_up()
            raise SpoolError(f"the disk refuses the spool: {error}") from error

    def _opened(self) -> _File:
        own = self._own
        if own is not None and not (_is(own.lock, _lock_of(own.path)) and own.path.exists()):
            log.error("spool_vanished", file=own.path.name, pending=self.pending)
            self._give_up()
        if self._own is None:
            self._own = _make(self._folder)
        return self._own

    def _give_up(self) -> None:
        if self._own is not None:
            log.warning("spool_given_up", file=self._own.path.name, pending=self.pending)
            self._own.close(delete=self.pending == 0)
        self._own = None
        self.pending = self.pending_bytes = 0

    def _ready(self) -> None:
        with self._disk():
            pass

    def _close(self) -> None:
        if self._dead is not None:
            self._dead.close()
        if self._own is not None:
            self._own.close(delete=self.pending == 0)
        self._dead = self._own = None

    def _put(self, rows: list[Row]) -> None:
        if self.pending_bytes + sum(map(_size, rows)) > self._max_bytes:
            raise SpoolFullError(f"{self.pending} webhooks wait on local disk: its limit is reached")
        with self._disk() as db:
            self._insert(db, rows)

    def _insert(self, db: sqlite3.Connection, rows: Iterable[Row]) -> int:
        """How many were new."""
        with _transaction(db):
            new = [_size(row) for row in rows if db.execute(_INSERT, row).rowcount]
        self.pending += len(new)
        self.pending_bytes += sum(new)
        return len(new)

    def _oldest(self, limit: int, max_bytes: int) -> list[Delivery]:
        with self._disk() as db:
            rows = _take(db.execute(_OLDEST, (json.dumps([*self._gone]), limit)), max_bytes)
        return [_delivery(row) for row in rows]

    def _remove(self, ids: list[str]) -> None:
        new = set(ids) - self._gone
        self._gone |= new
        with self._disk() as db:
            count, size = db.execute(f"{_MEASURE} WHERE id IN {_IDS}", (json.dumps([*new]),)).fetchone()
            self.pending -= count
            self.pending_bytes -= size
            with _transaction(db):
                db.execute(_REMOVE, (json.dumps([*self._gone]),))
            self._gone.clear()
            if count and not self.pending:
                # Gives the disk back what the outage took. The removal stands, whether this works or not.
                with suppress(sqlite3.Error):
                    db.execute("VACUUM")
                    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _names(self) -> list[str]:
        """Of all spool files and of locks without one, ours and those of the living too."""
        with suppress(FileNotFoundError):
            return sorted({p.stem for p in self._folder.iterdir() if p.suffix in {".sqlite3", ".lock"}}, reverse=True)
        return []

    def _adopt_some(self, names: list[str]) -> int | None:
        """One step: rows that came, None at the end. Takes names from the list."""
        while self._dead is None:
            if not names:
                return None
            path = self._folder / f"{names.pop()}.sqlite3"
            try:
                self._dead = _take_over(path)
            except (OSError, sqlite3.Error) as error:
                log.warning("spool_unreadable", file=path.name, error=str(error))
        dead = self._dead
        try:
            return self._move(dead)
        except BaseException:
            dead.close()
            self._dead = None
            raise

    def _move(self, dead: _File) -> int:
        try:
            rows = _following(dead)
        except sqlite3.Error as error:
            return self._damaged(dead, error)
        if not rows:
            log.info("spool_adopted", file=dead.path.name)
            dead.close(delete=True)
            self._dead = None
            return 0
        with self._disk() as db:
            came = self._insert(db, (row[:-1] for row in rows if row[0] not in self._gone))
        dead.position = rows[-1][-1]
        # Should the rest fail, these do not come a second time.
        with suppress(sqlite3.Error):
            dead.db.execute(_MOVED, (dead.position,))
        return came

    def _damaged(self, dead: _File, error: sqlite3.Error) -> int:
        if _code(error) not in _CORRUPT:
            # The disk may read it another time.
            log.warning("spool_unreadable", file=dead.path.name, error=str(error))
            dead.close()
            self._dead = None
            return 0
        came = 0
        salvaged = _salvage(dead.db)
        while rows := list(islice(salvaged, _SALVAGE_ROWS)):
            with self._disk() as db:
                came += self._insert(db, (row for row in rows if row[0] not in self._gone))
        log.error("spool_corrupt", file=dead.path.name, salvaged=came, error=str(error))
        dead.db.close()
        _set_aside(dead.path)
        dead.close()
        self._dead = None
        return came


_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, None}
"""What SQLite and its Python module (None: text that is no UTF-8) say of a file that is not as we wrote it."""


def _code(error: Exception) -> int | None:
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


def _make(folder: Path) -> _File:
    """A new, empty file of ours. Raises OSError and sqlite3.Error."""
    folder.mkdir(parents=True, exist_ok=True)
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
            for created in (folder, folder.parent):
                _flush(created)
        except BaseException:
            db.close()
            raise
    except BaseException:
        with suppress(OSError):
            _unlink(path)
        os.close(lock)
        raise
    return _File(path, lock, db)


def _take_over(path: Path) -> _File | None:
    """A dead process's file; None if its process lives, somebody else took it, or there is nothing in it."""
    lock = _lock(_lock_of(path))
    if lock is None:
        return None
    try:
        if path.exists():
            return _File(path, lock, _connect(path))
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


def _flush(folder: Path) -> None:
    """Makes the folder's entries durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unlink(path: Path) -> None:
    """The file, what SQLite put beside it, its lock: the lock last."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    _lock_of(path).unlink(missing_ok=True)


def _set_aside(path: Path) -> None:
    for suffix in ("", "-wal", "-journal"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(path.with_name(f"{path.name}.corrupt{suffix}"))
    _unlink(path)


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            if db.in_transaction:
                db.execute("ROLLBACK")
        raise


def _take(rows: Iterable[Row], max_bytes: int) -> list[Row]:
    """The first of them, as many as `max_bytes` hold, but one at least."""
    taken: list[Row] = []
    for row in rows:
        max_bytes -= len(row[3]) + len(row[4])
        if taken and max_bytes < 0:
            break
        taken.append(row)
    return taken


def _following(dead: _File) -> list[Row]:
    if not dead.db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        return []  # its process died while it made the file
    return _take(_sound(dead.db.execute(_FOLLOWING, (dead.position, _STEP_ROWS))), _STEP_BYTES)


def _sound(rows: Iterable[Row]) -> Iterator[Row]:
    for row in rows:
        if not _is_sound(row):
            raise sqlite3.DatabaseError("a row holds what nobody put there")
        yield row


def _salvage(db: sqlite3.Connection) -> Iterator[Row]:
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
            yield from filter(_is_sound, db.execute(_ONE, (seq,)).fetchall())


_KINDS = (str, str, int, bytes, bytes, str | None, str | None, str)


def _is_sound(row: Row) -> bool:
    return all(isinstance(value, kind) for value, kind in zip(row, _KINDS, strict=False))


def _row(delivery: Delivery) -> Row:
    return (
        delivery.id,
        delivery.dedup_key,
        delivery.received_at,
        delivery.headers,
        delivery.body,
        delivery.version,
        # Its code, a line end, its sentence. MySQL takes no lone surrogates either.
        "\n".join(delivery.failure).encode("utf-8", "replace").decode() if delivery.failure else None,
        delivery.origin,
    )


def _size(row: Row) -> int:
    return len(row[3]) + len(row[4]) + _ROW_BYTES


def _delivery(row: Row) -> Delivery:
    webhook_id, dedup_key, received_at, headers, body, version, failure, origin = row
    kept: tuple[str, str] | None = None
    if failure is not None:
        code, _, sentence = failure.partition("\n")
        kept = code, sentence
    update: StatusUpdate | None = None
    try:
        update = payload.parse(body)
    except Exception as error:  # noqa: BLE001 - it was accepted: it becomes a dead letter at worst
        kept = kept or ("invalid_payload", str(error))
    return Delivery(webhook_id, dedup_key, received_at, headers, body, version, update, kept, origin)
