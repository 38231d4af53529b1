"""Replays of many: what each is of, how far it is, and what became of each webhook.

All that a replay does is found in its rows: whoever goes on with it, after a kill too, does what is not done yet. First
its webhooks are chosen, then it is told what each would become, then each is tried again, unless it is a dry run. What
a try makes of a webhook is written by the transaction that tries it, which holds its row here: no webhook is tried
twice.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import orjson

from app import times
from app.db import audited
from app.db.connection import Row
from app.db.dead_letters import OPEN
from app.db.pool import Pool
from app.db.sql import bind, exact
from app.db.webhook_list import Filter
from app.db.webhook_rows import WHOLE, WholeWebhook
from app.domain import forms
from app.domain.audit import Actor, Entry
from app.ids import webhook_id

RUNNING_MAX = 20
"""Replays that may go on at once."""

_GONE = "gone"

_BEGIN = """
INSERT INTO rushes_replays (id, name, who, means, state, dry_run, filter, place, created_at)
VALUES (%s, %s, %s, %s, 'running', %s, %s, '', %s)
"""
_COLUMNS = "id, name, who, means, state, dry_run, filter, place, counts, created_at, ended_at"
_RUNNING = f"SELECT {_COLUMNS} FROM rushes_replays WHERE state = 'running' ORDER BY id"
# Whoever begins one waits for whoever does so just now.
_TURN = "INSERT INTO rushes_places (name, place) VALUES ('replays', '') ON DUPLICATE KEY UPDATE place = VALUES(place)"
_COUNT_RUNNING = "SELECT COUNT(*) FROM rushes_replays WHERE state = 'running'"
_ONE = f"SELECT {_COLUMNS} FROM rushes_replays WHERE id = %s"
_HOLD = f"{_ONE} FOR UPDATE"
_PAGE = f"SELECT {_COLUMNS} FROM rushes_replays WHERE id < %s ORDER BY id DESC LIMIT %s"
_END = "UPDATE rushes_replays SET state = %s, ended_at = %s, counts = %s WHERE id = %s AND state = 'running'"

_SETTLE = "UPDATE rushes_replays SET counts = %s WHERE id = %s AND counts IS NULL"
# Microseconds after which nothing of an aborted one is being tried any more: its counts are kept.
_SETTLED = 60_000_000

_CHOOSE = """
INSERT IGNORE INTO rushes_replayed (replay_id, webhook_id, was)
SELECT %s, id, outcome FROM rushes_webhooks WHERE id IN %s
"""
_KEEP = "UPDATE rushes_replays SET place = %s WHERE id = %s"

# Of a `column` that is NULL while it is not known.
_NEXT = """
SELECT webhook_id FROM rushes_replayed FORCE INDEX (rushes_replayed_%s)
WHERE replay_id = %s AND %s IS NULL AND webhook_id > %s ORDER BY webhook_id LIMIT %s
"""
_PREVIEWED = "UPDATE rushes_replayed SET preview = %s WHERE replay_id = %s AND webhook_id IN %s"
_LEFT = """
UPDATE rushes_replayed SET outcome = %s, changed = 0, error_code = %s
WHERE replay_id = %s AND webhook_id = %s AND outcome IS NULL
"""
_COUNT = "SELECT preview, outcome, COUNT(*) FROM rushes_replayed WHERE replay_id = %s GROUP BY preview, outcome"

_RESULTS = """
SELECT webhook_id, was, preview, outcome, changed, error_code FROM rushes_replayed
WHERE replay_id = %s AND webhook_id > %s ORDER BY webhook_id LIMIT %s
"""
_RESULTS_OF = """
SELECT webhook_id, was, preview, outcome, changed, error_code FROM rushes_replayed FORCE INDEX (rushes_replayed_outcome)
WHERE replay_id = %s AND webhook_id > %s AND outcome = %s ORDER BY webhook_id LIMIT %s
"""


class Counts(NamedTuple):
    """How many webhooks a replay has, what they would become as far as that is known, and what they have become."""

    total: int
    preview: dict[str, int]
    outcomes: dict[str, int]


@dataclass(frozen=True, slots=True)
class Replay:
    """A row of rushes_replays. Times are in microseconds since 1970; `place` is where the choice of its webhooks goes
    on, None when all are chosen; `counts` are there when it has ended."""

    id: str
    name: str
    by: Actor
    state: str
    dry_run: bool
    filter: forms.Filter
    place: str | None
    counts: Counts | None
    created_at: int
    ended_at: int | None

    @classmethod
    def of_row(cls, row: Row) -> "Replay":
        replay_id, name, who, means, state, dry_run, said, place, counts, created_at, ended_at = row
        return cls(
            replay_id,
            name,
            Actor(who.decode(errors="replace"), means),
            state,
            bool(dry_run),
            orjson.loads(said),
            place,
            None if counts is None else Counts(*orjson.loads(counts)),
            times.microseconds(created_at),
            None if ended_at is None else times.microseconds(ended_at),
        )

    @property
    def meant(self) -> Filter:
        """Its webhooks: of those that were given up only where that was asked for."""
        return Filter.of_form(self.filter, OPEN)

    def form(self, counts: Counts) -> forms.Replay:
        return {
            "id": self.id,
            "name": self.name,
            "state": cast("Any", self.state),
            "dry_run": self.dry_run,
            "who": self.by.who,
            "created_at": times.rfc3339(self.created_at),
            "ended_at": None if self.ended_at is None else times.rfc3339(self.ended_at),
            "chosen": self.place is None,
            "total": counts.total,
            "previewed": sum(counts.preview.values()),
            "preview": counts.preview,
            "done": sum(counts.outcomes.values()),
            "outcomes": counts.outcomes,
            "replayed_outcomes": [*self.meant.outcomes],
            "filter": self.filter,
        }


class TooManyReplaysError(Exception):
    """As many go on as may."""


class Replays:
    """Every method raises DatabaseError."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def begin(self, name: str, wanted: Filter, by: Actor, *, dry_run: bool) -> Replay:
        """It goes on in the process that leads. Raises TooManyReplaysError."""
        at = times.now()
        replay_id = webhook_id(at)  # any that sorts by time
        said = orjson.dumps(wanted.form()).decode()
        begin = bind(_BEGIN, replay_id, name, exact(by.who), by.means, dry_run, said, times.sql6(at))
        entry = Entry(by, "replay_many", replay_id=replay_id, became={"name": name, "filter": wanted.form()})
        entries = [] if dry_run else audited.write([entry], at)
        async with self._pool.connection() as connection:
            *_, ((running,),) = await connection.run("START TRANSACTION", _TURN, _COUNT_RUNNING)
            if running >= RUNNING_MAX:
                await connection.run("ROLLBACK")
                raise TooManyReplaysError
            *_, (row,), _ = await connection.run(begin, *entries, bind(_ONE, replay_id), "COMMIT")
        return Replay.of_row(row)

    async def running(self) -> list[Replay]:
        return [*map(Replay.of_row, await self._pool.rows(_RUNNING))]

    async def get(self, replay_id: str) -> Replay | None:
        return next(map(Replay.of_row, await self._pool.rows(bind(_ONE, replay_id))), None)

    async def page(self, limit: int, before: str) -> tuple[list[Replay], str | None]:
        """(at most `limit`, newest first and before the id; what to give as that for the next)"""
        found = [*map(Replay.of_row, await self._pool.rows(bind(_PAGE, before, limit + 1)))]
        return found[:limit], found[limit - 1].id if len(found) > limit else None

    async def counts(self, replay: Replay) -> Counts:
        if replay.counts is not None:
            return replay.counts
        counted = _counts(await self._pool.rows(bind(_COUNT, replay.id)))
        if replay.ended_at is not None and times.now() - replay.ended_at > _SETTLED:
            await self._pool.run(bind(_SETTLE, _as_json(counted), replay.id))
        return counted

    async def results(
        self, replay_id: str, limit: int, after: str, outcome: str | None
    ) -> tuple[list[forms.ReplayResult], str | None]:
        """(what became of at most `limit` of its webhooks, in the order of receipt after that id; what to give as that
        for the next)"""
        if outcome is None:
            select = bind(_RESULTS, replay_id, after, limit + 1)
        else:
            select = bind(_RESULTS_OF, replay_id, after, outcome, limit + 1)
        rows = await self._pool.rows(select)
        found = [_result(row) for row in rows[:limit]]
        return found, found[-1]["webhook_id"] if len(rows) > limit else None

    async def abort(self, replay_id: str, by: Actor) -> bool:
        """Ends it, but for the webhooks that are just being tried; whether it was still going on."""
        async with self._pool.connection() as connection:
            _, rows = await connection.run("START TRANSACTION", bind(_HOLD, replay_id))
            found = next(map(Replay.of_row, rows), None)
            running = found is not None and found.state == "running"
            if found is not None and running:
                at = times.now()
                counted = _counts(await connection.rows(bind(_COUNT, replay_id)))
                entry = Entry(by, "abort", replay_id=replay_id, became={"done": sum(counted.outcomes.values())})
                entries = [] if found.dry_run else audited.write([entry], at)
                # What is just being tried is still to come: it is counted when it is asked for.
                await connection.run(bind(_END, "aborted", times.sql6(at), None, replay_id), *entries)
            await connection.run("COMMIT")
        return running

    async def choose(self, replay: Replay, ids: Sequence[str], place: str | None) -> None:
        """These are its webhooks too; the choice goes on after `place`."""
        choose = [bind(_CHOOSE, replay.id, list(ids))] if ids else []
        await self._pool.run("START TRANSACTION", *choose, bind(_KEEP, place, replay.id), "COMMIT")

    async def unknown(self, replay: Replay, column: str, after: str, limit: int) -> list[str]:
        """The next of its webhooks of which it is not known yet what they would become, the `preview`, or have become,
        the `outcome`."""
        select = _NEXT % (column, "%s", column, "%s", "%s")
        return [row_id for (row_id,) in await self._pool.rows(bind(select, replay.id, after, limit))]

    async def rows(self, ids: Sequence[str]) -> list[WholeWebhook]:
        """Those that are there, in the order of receipt."""
        rows = await self._pool.rows(bind(f"{WHOLE} WHERE id IN %s ORDER BY id", list(ids))) if ids else ()
        return [*map(WholeWebhook.from_row, rows)]

    async def previewed(self, replay: Replay, became: Mapping[str, str], ids: Sequence[str]) -> None:
        """What each would become; those that are not named are gone."""
        by_outcome: dict[str, list[str]] = {}
        for row_id in ids:
            by_outcome.setdefault(became.get(row_id, _GONE), []).append(row_id)
        await self._pool.run(*(bind(_PREVIEWED, outcome, replay.id, of_it) for outcome, of_it in by_outcome.items()))

    async def left(self, replay: Replay, became: Mapping[str, tuple[str, str | None]], ids: Sequence[str]) -> None:
        """Those that were left as they are: outcome and code. What a try has written stays; those that are not named
        are gone."""
        statements = [bind(_LEFT, *became.get(row_id, (_GONE, None)), replay.id, row_id) for row_id in ids]
        if statements:
            await self._pool.run("START TRANSACTION", *statements, "COMMIT")

    async def end(self, replay: Replay) -> None:
        counted = _counts(await self._pool.rows(bind(_COUNT, replay.id)))
        await self._pool.run(bind(_END, "done", times.sql6(times.now()), _as_json(counted), replay.id))


def _as_json(counted: Counts) -> str:
    return orjson.dumps([*counted]).decode()


def _counts(rows: Sequence[Row]) -> Counts:
    total = 0
    preview: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    for would_be, became, number in rows:
        total += number
        if would_be is not None:
            preview[would_be] += number
        if became is not None:
            outcomes[became] += number
    return Counts(total, dict(sorted(preview.items())), dict(sorted(outcomes.items())))


def _result(row: Row) -> forms.ReplayResult:
    row_id, was, preview, outcome, changed, code = row
    return {
        "webhook_id": row_id,
        "before": was,
        "preview": preview,
        "outcome": outcome,
        "changed": None if changed is None else bool(changed),
        "code": code,
    }
