"""What the rows of jobs say. Other programs' rows may hold anything that their columns can: what is no number or time
is shown as none."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from app.db.charsets import AUTHOR, held
from app.db.sql import bind, exact
from app.domain import job as rules
from app.domain.estimate import Kind
from app.domain.event import whole, words
from app.domain.fields import SECONDS_MAX
from app.times import stored

KEY = """
LEFT JOIN rushes_jobs k ON k.job_id = g.id AND COALESCE(k.created_at, g.createdAt) <=> g.createdAt
"""
"""Joins to a job `g` where its webhooks have brought it. What an earlier job of its id has left is not this job's."""

LISTED = "k.deleted_at IS NULL"
"""Beside KEY: whatever was deleted is shown nowhere."""

EXACTLY = "CAST(CONVERT(g.authorId USING utf8mb4) AS BINARY)"
"""Beside what the index finds, which by the column's collation may be other users' too."""

UNFINISHED = ("PENDING", "PROCESSING", "GENERATING", "DOWNLOADING")
"""The states of jobs that go on."""

_NEWEST = f"""
(SELECT g.id, {{size}} AS size, g.createdAt FROM video_generations g
WHERE g.authorId = %s AND g.status = %s AND {EXACTLY} = %s ORDER BY g.createdAt DESC, g.id DESC LIMIT %s)
"""


class Sized(NamedTuple):
    """A job, found and not read yet: how many bytes it takes, and when it was made, as the database has it."""

    id: str
    size: int
    created_at: Any


def newest_unfinished(author_id: str, size: str, most: int) -> bytes:
    """A statement that gives `Sized` rows of the author's newest unfinished jobs, newest first. `size` is SQL.

    Each state by itself, since an index gives them in order only then: it is followed no further than `most` rows.
    """
    each = [
        bind(_NEWEST.format(size=size), held(AUTHOR, author_id), state, exact(author_id), most) for state in UNFINISHED
    ]
    return b"%b ORDER BY createdAt DESC, id DESC LIMIT %d" % (b" UNION ALL ".join(each), most)


class Present(NamedTuple):
    """Where a job is. `status` is the sender's last word, `at` the time of the update it stands at, `moved_at` when it
    got there by our clock, and `since` when it got to its stage; times are microseconds since 1970."""

    state: rules.State
    status: str
    progress: int
    at: int
    moved_at: int
    since: int
    created_at: int
    completed_at: int | None


class JobColumns(Protocol):
    """Of a row of video_generations, joined by `KEY` to what rushes_jobs has of it: `word`, `at`, `moved_at` and
    `since` are status, at, updated_at and since there."""

    @property
    def state(self) -> object: ...
    @property
    def progress(self) -> object: ...
    @property
    def created_at(self) -> object: ...
    @property
    def updated_at(self) -> object: ...
    @property
    def completed_at(self) -> object: ...
    @property
    def word(self) -> str | None: ...
    @property
    def at(self) -> int | None: ...
    @property
    def moved_at(self) -> object: ...
    @property
    def since(self) -> object: ...


def present(row: JobColumns) -> Present:
    created_at, updated_at, completed_at = stored(row.created_at), stored(row.updated_at), stored(row.completed_at)
    state = rules.state_of(row.state, ended=completed_at is not None)
    number = min(max(whole(row.progress), 0), 100)
    word, at, moved_at, since = row.word, row.at, stored(row.moved_at), stored(row.since)
    if word is None or _contradicts(word, state):
        word, at, moved_at, since = rules.status_word(state, number), None, completed_at or updated_at, None
    if word == "pending":
        since = created_at
    known = created_at or updated_at or completed_at or 0
    return Present(
        state=state,
        status=word,
        progress=number,
        at=(updated_at or known) if at is None else int(at),
        moved_at=moved_at or known,
        since=since or moved_at or known,
        created_at=known,
        completed_at=completed_at,
    )


def _contradicts(word: str, state: str) -> bool:
    """Another program has moved the row since: then its own state is the one to tell."""
    return (word == "failed") != (state == "FAILED") or (state == "COMPLETED" and word != "completed")


def kind_of(model: object, seconds: object, number: object) -> Kind:
    """What another program may have written, as a kind."""
    return Kind(words(model), whole(seconds), whole(number))


def text(value: object) -> str | None:
    return None if value is None else words(value)


def seconds(value: object) -> float | None:
    """None where a webhook may not bring so many either."""
    try:
        found = value if value is None or isinstance(value, float) else float(str(value))
    except ValueError:
        return None
    return found if found is not None and 0 <= found <= SECONDS_MAX else None


def that_fit(sizes: Sequence[int], most: int) -> int:
    """How many of the first fit into `most` bytes; one does, whatever it has."""
    left = most
    for place, size in enumerate(sizes):
        left -= size
        if left < 0 and place > 0:
            return place
    return len(sizes)
