"""The spool: accepted webhooks on local disk, until the database has them."""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import ParamSpec, TypeVar

import structlog

from app.db.spool import files
from app.domain.delivery import Delivery

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_SALVAGE_ROWS = 50

_ROW_BYTES = 256
"""What a row takes beside its headers and body: its ids, its indexes."""


class SpoolError(Exception):
    """The disk failed."""


class SpoolFullError(SpoolError):
    """The limit of the spool is reached."""


_IDS = "(SELECT value FROM json_each(?))"

_INSERT = f"INSERT INTO deliveries ({files.COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
_MEASURE = f"SELECT count(*), coalesce(sum(length(headers) + length(body) + {_ROW_BYTES}), 0) FROM deliveries"
# One that is set aside is told by its failure: the code, a line end.
_ASIDE = "substr(coalesce(failure, ''), 1, 10) = 'set_aside' || char(10)"
_OLDEST = f"""
SELECT {files.COLUMNS} FROM deliveries WHERE NOT {_ASIDE} AND id NOT IN {_IDS} ORDER BY received_at, seq LIMIT ?
"""
_PUT_ASIDE = f"UPDATE deliveries SET failure = 'set_aside' || char(10) WHERE id = ? AND NOT {_ASIDE}"
_PUT_BACK = f"UPDATE deliveries SET failure = NULL WHERE id = ? AND {_ASIDE}"
_TWINS = f"""
SELECT id FROM deliveries WHERE {_ASIDE} AND id <> ? AND dedup_key = (SELECT dedup_key FROM deliveries WHERE id = ?)
"""
_REMOVE = f"DELETE FROM deliveries WHERE id IN {_IDS}"


class Spool:
    """Accepted webhooks on local disk: one file a process, and those of dead processes taken over.

    At most about `max_bytes` lie here, as `bytes` counts them; what was taken over is let in beyond that. `pending`
    wait for the database; `set_aside` are the ids of those that will never be written, and only lie here.
    All work with files is done in one thread. A method that is cancelled may still do its work.

    When the disk fails (other than by being full), the file is given up like that of a dead process: its rows are
    out of sight until `adopt` brings them back, and the next use makes a new file. A failed fsync says nothing about
    what the disk has, so rows are trusted again only once they were written anew.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.pending = 0
        self.bytes = 0
        self.set_aside: set[str] = set()
        self._folder = folder
        self._max_bytes = max_bytes
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._own: files.File | None = None
        self._dead: files.File | None = None
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

    async def oldest(self, limit: int, max_bytes: int, but: Collection[str] = ()) -> list[Delivery]:
        """Up to `limit`, with up to `max_bytes` of bodies, in the order of receipt; at least one if any is here.

        None whose id is in `but`. They stay until they are removed. Raises SpoolError.
        """
        return await self._run(self._oldest, limit, max_bytes, {*but})

    async def remove(self, ids: list[str]) -> None:
        """Forgets those that the database has. Raises SpoolError when the disk refuses; they are not handed out
        again all the same, unless this process dies first, and the next call tries again."""
        await self._run(self._remove, ids)

    async def put_aside(self, webhook_id: str) -> list[str]:
        """Sets one aside: it is handed out no more, and stays. Older ones with the same content make room for it: their
        ids."""
        return await self._run(self._put_aside, webhook_id)

    async def put_back(self, webhook_id: str) -> None:
        """Has one that was set aside handed out again."""
        await self._run(self._put_back, webhook_id)

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
            if files.code(error) not in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_CONSTRAINT}:
                self._give_up()
            raise SpoolError(f"the disk refuses the spool: {error}") from error

    def _opened(self) -> files.File:
        own = self._own
        if own is not None and not own.is_there():
            log.error("spool_vanished", file=own.path.name, pending=self.pending)
            self._give_up()
        if self._own is None:
            self._own = files.make(self._folder)
        return self._own

    def _give_up(self) -> None:
        if self._own is not None:
            log.warning("spool_given_up", file=self._own.path.name, pending=self.pending)
            self._own.close(delete=self._is_empty)
        self._own = None
        self.pending = self.bytes = 0
        self.set_aside.clear()

    @property
    def _is_empty(self) -> bool:
        return not self.pending and not self.set_aside

    def _ready(self) -> None:
        with self._disk():
            pass

    def _close(self) -> None:
        if self._dead is not None:
            self._dead.close()
        if self._own is not None:
            self._own.close(delete=self._is_empty)
        self._dead = self._own = None

    def _put(self, rows: list[files.Row]) -> None:
        if self.bytes + sum(map(_size, rows)) > self._max_bytes:
            count = self.pending + len(self.set_aside)
            raise SpoolFullError(f"{count} webhooks lie on local disk: its limit is reached")
        with self._disk() as db:
            self._insert(db, rows)

    def _insert(self, db: sqlite3.Connection, rows: Iterable[files.Row]) -> int:
        """How many were new."""
        with files.transaction(db):
            new = [row for row in rows if db.execute(_INSERT, row).rowcount]
        aside = {row.id for row in new if _is_aside(row)}
        self.set_aside |= aside
        self.pending += len(new) - len(aside)
        self.bytes += sum(map(_size, new))
        return len(new)

    def _oldest(self, limit: int, max_bytes: int, but: set[str]) -> list[Delivery]:
        with self._disk() as db:
            found = map(files.Row._make, db.execute(_OLDEST, (json.dumps([*self._gone, *but]), limit)))
            rows = files.take(found, max_bytes, files.size)
        return [_delivery(row) for row in rows]

    def _remove(self, ids: list[str]) -> None:
        new = set(ids) - self._gone
        self._gone |= new
        with self._disk() as db:
            count, size = db.execute(f"{_MEASURE} WHERE id IN {_IDS}", (json.dumps([*new]),)).fetchone()
            self.pending -= count - len(self.set_aside & new)
            self.set_aside -= new
            self.bytes -= size
            with files.transaction(db):
                db.execute(_REMOVE, (json.dumps([*self._gone]),))
            self._gone.clear()
            if count and self._is_empty:
                # Gives the disk back what the outage took. The removal stands, whether this works or not.
                with suppress(sqlite3.Error):
                    db.execute("VACUUM")
                    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _put_aside(self, webhook_id: str) -> list[str]:
        with self._disk() as db:
            twins = [twin_id for (twin_id,) in db.execute(_TWINS, (webhook_id, webhook_id))]
            with files.transaction(db):
                changed = db.execute(_PUT_ASIDE, (webhook_id,)).rowcount
            self.pending -= changed
            self.set_aside |= {webhook_id} if changed else set()
        self._remove(twins)
        return twins

    def _put_back(self, webhook_id: str) -> None:
        with self._disk() as db:
            with files.transaction(db):
                changed = db.execute(_PUT_BACK, (webhook_id,)).rowcount
            self.pending += changed
            self.set_aside.discard(webhook_id)

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
                self._dead = files.take_over(path)
            except (OSError, sqlite3.Error) as error:
                log.warning("spool_unreadable", file=path.name, error=str(error))
        dead = self._dead
        try:
            return self._move(dead)
        except BaseException:
            dead.close()
            self._dead = None
            raise

    def _move(self, dead: files.File) -> int:
        try:
            steps = files.following(dead)
        except sqlite3.Error as error:
            return self._damaged(dead, error)
        if not steps:
            log.info("spool_adopted", file=dead.path.name)
            dead.close(delete=True)
            self._dead = None
            return 0
        with self._disk() as db:
            came = self._insert(db, (step.row for step in steps if step.row.id not in self._gone))
        dead.position = steps[-1].position
        # Should the rest fail, these do not come a second time.
        with suppress(sqlite3.Error):
            dead.db.execute(files.MOVED, (dead.position,))
        return came

    def _damaged(self, dead: files.File, error: sqlite3.Error) -> int:
        if files.code(error) not in files.CORRUPT:
            # The disk may read it another time.
            log.warning("spool_unreadable", file=dead.path.name, error=str(error))
            dead.close()
            self._dead = None
            return 0
        came = 0
        salvaged = files.salvage(dead.db)
        while rows := list(islice(salvaged, _SALVAGE_ROWS)):
            with self._disk() as db:
                came += self._insert(db, (row for row in rows if row.id not in self._gone))
        log.error("spool_corrupt", file=dead.path.name, salvaged=came, error=str(error))
        dead.db.close()
        files.set_aside(dead.path)
        dead.close()
        self._dead = None
        return came


def _row(delivery: Delivery) -> files.Row:
    return files.Row(
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


def _is_aside(row: files.Row) -> bool:
    return (row.failure or "").startswith("set_aside\n")


def _size(row: files.Row) -> int:
    return files.size(row) + _ROW_BYTES


def _delivery(row: files.Row) -> Delivery:
    webhook_id, dedup_key, received_at, headers, body, version, failure, origin = row
    try:
        delivery = Delivery.from_body(
            body, id=webhook_id, dedup_key=dedup_key, received_at=received_at, headers=headers, origin=origin
        )
    except Exception as error:  # noqa: BLE001 - it was accepted: it becomes a dead letter at worst
        why = "invalid_payload", str(error)
        delivery = Delivery(webhook_id, dedup_key, received_at, headers, body, failure=why, origin=origin)
    delivery.version = version
    if failure is not None:
        code, _, sentence = failure.partition("\n")
        delivery.failure = code, sentence
    return delivery
