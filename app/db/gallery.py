"""Lists of jobs, a page at a time: of their author or of an organization, in one state, by what their prompts say."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import orjson

from app.db import files, log, unread
from app.db.charsets import AUTHOR, JOB, ORGANIZATION, each_held, held
from app.db.connection import Connection
from app.db.pool import Pool
from app.db.resultsets import TextRow, row_of
from app.db.rows import EXACTLY, KEY, LISTED, UNFINISHED, Sized, newest_unfinished, that_fit
from app.db.search import Search, search
from app.db.session import Server
from app.db.sql import Raw, bind, exact, json_bytes
from app.db.unread import Unread
from app.db.videos import COLUMNS, VIEW, BadCursorError, Generation, generations, read_files
from app.domain.event import EventId
from app.times import now, sql, sql6, stored

ListedState = Literal["completed", "failed", "active"]

_STATES: dict[ListedState, tuple[str, ...]] = {"completed": ("COMPLETED",), "failed": ("FAILED",), "active": UNFINISHED}

# What a job and its files take of an answer's bytes, beside the names of fields and the addresses of a file.
_SIZE = f"500 + {json_bytes('g.prompt')}"
_WHOLE_SIZE = f"{_SIZE} + {json_bytes('g.message')} + {json_bytes('g.error')}"
_FILE = 300

_ACTIVE_MAX, _FAILED_MAX = 200, 50

# The newest failed jobs of those that were made as long ago as what is purged: these are looked at, some went on long.
_OLD_FAILED_MAX = 200

# Jobs that are counted at most.
_COUNTED_MAX = 100_000

_DAY_US = 86_400 * 1_000_000

_OF_AUTHOR = f"g.authorId = %s AND {EXACTLY} = %s"
_OF_ORGANIZATIONS = "g.organizationId IN %s AND CAST(CONVERT(g.organizationId USING utf8mb4) AS BINARY) IN %s"

# Each state by itself: an index gives them in order only then.
_NEWEST = "(SELECT g.id, %s AS size, g.createdAt FROM %s WHERE %s ORDER BY g.createdAt DESC, g.id DESC LIMIT %s)"
_IDS = "SELECT g.id, g.createdAt FROM %s WHERE %s ORDER BY g.createdAt DESC, g.id DESC LIMIT %s OFFSET %s"
_EACH = "(SELECT g.id, g.createdAt FROM %s WHERE %s ORDER BY g.createdAt DESC, g.id DESC LIMIT %s)"
_PAGE = "%s ORDER BY createdAt DESC, id DESC LIMIT %s OFFSET %s"
_FOUND = "SELECT g.id, g.createdAt FROM video_generations g WHERE g.id IN %s"

# The newest of a user's jobs, whatever else is asked of them.
_WINDOW = """
(SELECT g.id AS window_id FROM video_generations g WHERE %s ORDER BY g.createdAt DESC, g.id DESC LIMIT %s) w
JOIN video_generations g ON g.id = w.window_id
"""

# Of the page's own only: of a far page many more are passed over, and prompts have pages of their own.
_SIZES = """
SELECT STRAIGHT_JOIN found.id, %s, found.createdAt FROM (%s) found JOIN video_generations g ON g.id = found.id
ORDER BY found.createdAt DESC, found.id DESC
"""
_COUNT = "(SELECT COUNT(*) FROM (SELECT 1 FROM %s WHERE %s LIMIT %s) AS counted)"

_ANY = "EXISTS (SELECT 1 FROM video_generations g WHERE g.authorId = %s AND g.status IN %s)"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which jobs: of their author, or of `organizations` where these are not None. `page` counts from 1, in place of a
    `cursor`; `says` is looked for in prompts."""

    author_id: str
    limit: int
    cursor: str | None = None
    page: int | None = None
    organizations: tuple[str, ...] | None = None
    state: ListedState = "completed"
    says: str | None = None

    @property
    def is_first(self) -> bool:
        """Whether it is the page that a gallery begins with."""
        whole = self.organizations is None and self.state == "completed" and self.says is None
        return whole and self.cursor is None and self.page in (None, 1)


@dataclass(frozen=True, slots=True)
class Page:
    """Of the log's `head`, read from `server`: jobs, newest first. On the first page of a gallery the newest that go
    on, oldest first, and the newest that failed and are still to be read, newest first. `total` is there where pages
    are counted, `searched` where prompts are looked through."""

    head: EventId
    server: Server
    jobs: Sequence[Unread | Generation]
    next_cursor: str | None
    total: int | None
    searched: int | None
    active: list[Generation]
    active_more: bool
    failed: list[Generation]
    failed_more: bool


class Gallery:
    """Reads lists, each of `most_bytes` at most; failed jobs are listed for `days`. `address` is how many bytes the
    signed address of a file has at most, beside its key; 0 where none is signed. Raises DatabaseAwayError."""

    def __init__(self, pool: Pool, most_bytes: int, days: float, address: int = 0) -> None:
        self._pool = pool
        self._most_bytes = most_bytes
        self._days = days
        self._address = address

    async def page(self, wanted: Wanted) -> Page:
        """One page, in one read view. Each list ends early where it would have more bytes than it may.

        Raises BadCursorError.
        """
        async with self._pool.connection() as connection:
            view: tuple[str, ...] = VIEW
            searched: Search | None = None
            if wanted.says is not None:
                searched = await _search(connection, view, wanted, wanted.says)
                view = ()
            if wanted.state == "completed":
                page = await self._finished(connection, view, wanted, searched)
                if page is not None:
                    return page
                view = ()
            *_view, head, found, told = await connection.run_text(
                *view, log.HEAD, _listed(wanted, searched), _told(wanted, searched)
            )
            rest = await self._rest(connection, wanted, log.head_of(head), told)
            listed = [*map(_sized, found)]
            shown, whole = await self._whole(connection, self._fitting(listed, wanted.limit), rest.ids)
        at = {generation.id: generation for generation in whole}
        more = len(listed) > len(shown) and wanted.page is None
        return rest.page([at[row.id] for row in shown if row.id in at], _encode(shown[-1]) if more else None, at)

    async def _finished(
        self, connection: Connection, view: Sequence[str], wanted: Wanted, searched: Search | None
    ) -> Page | None:
        """A page of finished jobs, left as they were sent; None where they, or some of them, are too much for that.
        `view` begins the read view, in which None leaves the session."""
        most = wanted.limit + 1
        *_view, head, sent, told = await connection.run_unread(
            *view, log.HEAD, unread.statement(_ids(wanted, searched), most), _told(wanted, searched)
        )
        found = unread.jobs(sent, most)
        if found is None or sum(_room(job, self._address) for job in found) > self._most_bytes:
            return None
        rest = await self._rest(connection, wanted, log.head_of([*map(row_of, head)]), [*map(row_of, told)])
        _, whole = await self._whole(connection, [], rest.ids)
        shown = found[: wanted.limit]
        more = len(found) > len(shown) and wanted.page is None
        return rest.page(shown, _encode(shown[-1]) if more else None, {job.id: job for job in whole})

    async def _rest(self, connection: Connection, wanted: Wanted, head: EventId, told: list[TextRow]) -> "_Rest":
        """What stands beside the jobs, by what `_told` gave: mostly nothing does, which is cheap to tell."""
        ((total, searched, any_beside),) = told
        active: list[TextRow] = []
        failed: list[TextRow] = []
        if any_beside == "1":
            active, failed = await connection.run_text(
                newest_unfinished(wanted.author_id, _WHOLE_SIZE, _ACTIVE_MAX + 1), self._failed(wanted.author_id)
            )
        return _Rest(
            head,
            connection.server,
            self._fitting([*map(_sized, active)], _ACTIVE_MAX),
            len(active),
            self._fitting([*map(_sized, failed)], _FAILED_MAX),
            len(failed),
            None if total is None else int(total),
            None if searched is None else int(searched),
        )

    def _fitting(self, rows: list[Sized], most: int) -> list[Sized]:
        return rows[: that_fit([row.size for row in rows[:most]], self._most_bytes)]

    def _failed(self, author_id: str) -> bytes:
        """The newest that were not dismissed, and did not fail as long ago as what is purged: all that were made since
        then, and of those made before some, since no index tells when they failed."""
        since, size = sql(now() - int(self._days * _DAY_US)), Raw(_WHOLE_SIZE.encode())
        of_author = Raw(bind(f"{_OF_AUTHOR} AND g.status = 'FAILED'", held(AUTHOR, author_id), exact(author_id)))
        shown = Raw(f"{LISTED} AND k.dismissed_at IS NULL".encode())
        made_since = bind("%s AND g.createdAt >= %s AND %s", of_author, since, shown)
        made_before = Raw(bind("%s AND g.createdAt < %s", of_author, since))
        old = Raw(bind(_WINDOW, made_before, _OLD_FAILED_MAX) + KEY.encode())
        failed_since = bind("COALESCE(g.completedAt, g.updatedAt) >= %s AND %s", since, shown)
        each = [
            bind(_NEWEST, size, place, Raw(which), _FAILED_MAX + 1)
            for place, which in ((_JOBS, made_since), (old, failed_since))
        ]
        return bind(_PAGE, Raw(b" UNION ALL ".join(each)), _FAILED_MAX + 1, 0)

    async def _whole(
        self, connection: Connection, shown: list[Sized], others: list[str]
    ) -> tuple[list[Sized], list[Generation]]:
        """(those of the page that fit with their files too, all jobs that are to be shown). Ends the read view."""
        ids = [row.id for row in shown]
        if not ids and not others:
            await connection.run("COMMIT")
            return shown, []
        jobs = bind(f"{COLUMNS} WHERE {LISTED} AND g.id IN %s", each_held(JOB, [*ids, *others]))
        if not ids:
            rows, _ = await connection.run(jobs, "COMMIT")
            return shown, generations(rows, {})
        rows, found = await connection.run(jobs, files.count(ids))
        counted = [*map(files.Counted._make, found)]
        of_files = {job.id: job.room(_FILE, self._address) for job in counted}
        shown = shown[: that_fit([row.size + of_files.get(row.id, 0) for row in shown], self._most_bytes)]
        listed = {row.id for row in shown}
        return shown, generations(rows, await read_files(connection, [job for job in counted if job.id in listed]))


@dataclass(frozen=True, slots=True)
class _Rest:
    """Of a page all but its jobs: those beside them, which are to be read, and how many there would be."""

    head: EventId
    server: Server
    active: list[Sized]
    active_found: int
    failed: list[Sized]
    failed_found: int
    total: int | None
    searched: int | None

    @property
    def ids(self) -> list[str]:
        return [row.id for row in (*self.active, *self.failed)]

    def page(self, jobs: Sequence[Unread | Generation], next_cursor: str | None, at: dict[str, Generation]) -> Page:
        """The whole; `at` has the jobs beside by their ids, as far as they were there."""
        active, failed = ([at[row.id] for row in rows if row.id in at] for rows in (self.active, self.failed))
        return Page(
            head=self.head,
            server=self.server,
            jobs=jobs,
            next_cursor=next_cursor,
            total=self.total,
            searched=self.searched,
            active=sorted(active, key=lambda g: (g.created_at, g.id)),
            active_more=self.active_found > len(self.active),
            failed=failed,
            failed_more=self.failed_found > len(self.failed),
        )


def _sized(row: TextRow) -> Sized:
    job_id, size, created_at = row
    return Sized(job_id or "", int(size or 0), created_at)


def _room(job: Unread, address: int) -> int:
    """Bytes that it takes in an answer, at most: a control character takes six, a signed address and names more."""
    return 500 + 6 * job.size + (_FILE + address) * len(job.sent)


_JOBS = Raw(f"video_generations g {KEY}".encode())


def _whose(wanted: Wanted) -> bytes:
    # Exact here, not in code: rows that are not shown must not use up the limit, nor be told by the cursor.
    if wanted.organizations is None:
        return bind(_OF_AUTHOR, held(AUTHOR, wanted.author_id), exact(wanted.author_id))
    if not wanted.organizations:
        return b"FALSE"
    held_ids = each_held(ORGANIZATION, wanted.organizations)
    return bind(_OF_ORGANIZATIONS, held_ids, [*map(exact, wanted.organizations)])


def _of_state(wanted: Wanted, state: str) -> bytes:
    """Which are the jobs of a state, whatever is shown of them."""
    return bind("%s AND g.status = %s", Raw(_whose(wanted)), state)


def _shown(wanted: Wanted) -> bytes:
    """Which of them are shown, beside `KEY`."""
    return b"%b AND k.dismissed_at IS NULL" % LISTED.encode() if wanted.state == "failed" else LISTED.encode()


def _which(wanted: Wanted, state: str) -> Raw:
    return Raw(b"%b AND %b" % (_of_state(wanted, state), _shown(wanted)))


def _cursor(wanted: Wanted) -> bytes:
    return b"TRUE" if wanted.cursor is None else _after(wanted.cursor)


async def _search(connection: Connection, view: Sequence[str], wanted: Wanted, says: str) -> Search:
    states = [_of_state(wanted, state) for state in _STATES[wanted.state]]
    return await search(connection, view, says, states, _cursor(wanted), _shown(wanted))


def _ids(wanted: Wanted, searched: Search | None) -> bytes:
    """The statement that finds the page, and one job more, by their ids alone."""
    offset = 0 if wanted.page is None else (wanted.page - 1) * wanted.limit
    if searched is not None:
        ids = searched.found[offset : offset + wanted.limit + 1]
        return bind(_FOUND, each_held(JOB, ids) or [None])
    after = _cursor(wanted)
    each = [(_JOBS, Raw(b"%b AND %b" % (_which(wanted, state), after))) for state in _STATES[wanted.state]]
    if len(each) == 1:
        return bind(_IDS, *each[0], wanted.limit + 1, offset)
    union = b" UNION ALL ".join(bind(_EACH, place, which, offset + wanted.limit + 1) for place, which in each)
    return bind(_PAGE, Raw(union), wanted.limit + 1, offset)


def _listed(wanted: Wanted, searched: Search | None) -> bytes:
    """The same, as `Sized` rows."""
    size = Raw((_SIZE if wanted.state == "completed" else _WHOLE_SIZE).encode())
    return bind(_SIZES, size, Raw(_ids(wanted, searched)))


def _told(wanted: Wanted, searched: Search | None) -> bytes:
    """How many are meant, and how many searched, NULL where that is not told; and whether any may stand beside."""
    beside = bind(_ANY, held(AUTHOR, wanted.author_id), (*UNFINISHED, "FAILED")) if wanted.is_first else b"0"
    looked_through = b"NULL" if searched is None else b"%d" % searched.searched
    return bind("SELECT %s, %s, %s", *map(Raw, (_total(wanted, searched), looked_through, beside)))


def _total(wanted: Wanted, searched: Search | None) -> bytes:
    if wanted.page is None:
        return b"NULL"
    if searched is not None:
        return b"%d" % len(searched.found)
    return b" + ".join(bind(_COUNT, _JOBS, _which(wanted, state), _COUNTED_MAX) for state in _STATES[wanted.state])


def _after(cursor: str) -> bytes:
    created_at, decoded = _decode(cursor)
    last_id = held(JOB, decoded)
    if created_at is None:
        return bind("g.createdAt IS NULL AND g.id < %s", last_id)
    return bind(
        "(g.createdAt < %s OR g.createdAt IS NULL OR (g.createdAt = %s AND g.id < %s))", created_at, created_at, last_id
    )


# Also dates without a day or of zeros, which MySQL may hold and orders with the others.
_DATETIME = re.compile(r"\d{4}-(?:0\d|1[0-2])-[0-3]\d [0-2]\d:[0-5]\d:[0-5]\d(?:\.\d{1,6})?", re.ASCII)


def _encode(last: Sized | Unread) -> str:
    """Where a page ends, as the database has it: NULL comes last."""
    return base64.urlsafe_b64encode(orjson.dumps([last.created_at, last.id])).decode()


def _decode(cursor: str) -> tuple[str | None, str]:
    try:
        at, job_id = orjson.loads(base64.urlsafe_b64decode(cursor.encode()))
        if isinstance(at, int) and 0 <= at < 2**57:  # as earlier versions gave it
            at = sql6(at)
        if not isinstance(job_id, str) or not (at is None or (isinstance(at, str) and _is_datetime(at))):
            raise BadCursorError
    except (ValueError, TypeError):
        raise BadCursorError("cursor is not one that this service gave out") from None
    return at, job_id


def _is_datetime(text: str) -> bool:
    return _DATETIME.fullmatch(text) is not None and (
        stored(text.replace("-00", "-01").replace("0000-", "0001-")) is not None
    )
