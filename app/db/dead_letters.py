"""Received webhooks as an admin looks at them, and what he may do with those that were not applied."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal, Self, cast

import orjson

from app import lenient
from app.db.connection import Row
from app.db.dirty import mark, quarters_of
from app.db.errors import BusyError, PassingError
from app.db.people import Reference
from app.db.pool import Pool
from app.db.preview import Preview
from app.db.sql import bind
from app.db.writer import set_aside
from app.db.writer.batch import MAX_FILES
from app.db.writer.writer import Writer
from app.domain import forms, payload
from app.domain.delivery import Delivery
from app.domain.estimate import Estimates
from app.ids import webhook_id
from app.times import microseconds, now, rfc3339

OPEN = ("dead", "parked")
"""Outcomes that may be replayed or discarded."""

# With their bodies these may be 50 MiB, and a replay of them one transaction.
AT_ONCE = 50

# Values of a payload that is shown as JSON; those of a webhook are bounded by MAX_JSON_VALUES.
_READ_MAX = 100_000

_SUMMARY = """
SELECT id, received_at, origin, job_id, status, version, outcome, attempts, duration_ms, error_code, error
FROM rushes_webhooks
"""

WHOLE = """
SELECT id, received_at, origin, job_id, status, version, outcome, attempts, duration_ms, error_code, error,
  dedup_key, headers, payload
FROM rushes_webhooks
"""

# The column's collation takes no notice of spaces at the end; it is there for the index.
_OF_JOB = "job_id = %s AND CAST(job_id AS BINARY) = %s"

# The index is named because the primary key would do for ORDER BY, and pass over every webhook there is.
_IDS = """
SELECT id FROM rushes_webhooks FORCE INDEX (rushes_webhooks_outcome)
WHERE outcome = %s AND id > %s AND id <= %s ORDER BY id LIMIT %s
"""

_COUNT = "SELECT COUNT(*), MAX(id) FROM rushes_webhooks WHERE outcome IN %s"

_DISCARD = "UPDATE rushes_webhooks SET outcome = 'discarded' WHERE id IN %s AND outcome IN %s"

LAST_ID = "g"  # after every id, which are of hex digits


@dataclass(frozen=True, slots=True)
class Webhook:
    """The row of a received webhook: the columns of `_SUMMARY`. `received_at` is in microseconds since 1970."""

    id: str
    received_at: int
    origin: str
    job_id: str | None
    status: str | None
    version: str | None
    outcome: forms.Outcome
    attempts: int
    duration_ms: float
    error_code: str | None
    error: str | None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        row_id, received_at, *rest = row
        return cls(row_id, microseconds(received_at), *rest)

    def summary(self) -> forms.Webhook:
        """As lists have it."""
        return {
            "id": self.id,
            "received_at": rfc3339(self.received_at),
            "origin": self.origin,
            "job_id": self.job_id,
            "status": self.status,
            "version": self.version,
            "outcome": self.outcome,
            "attempts": self.attempts,
            "duration_ms": self.duration_ms,
            "error_code": self.error_code,
            "error": self.error,
        }


@dataclass(frozen=True, slots=True)
class WholeWebhook(Webhook):
    """With what came in, the columns of `WHOLE`: `headers` is JSON, `body` is as it was sent. A duplicate has no
    `dedup_key`."""

    dedup_key: str | None
    headers: str
    body: bytes

    def detail(self) -> forms.WholeWebhook:
        """`payload_encoding` tells what `payload` is: "json" a value, "text" or "base64" a string."""
        shown, encoding = self._payload()
        headers = orjson.Fragment(self.headers.encode())
        whole = {**self.summary(), "headers": headers, "payload": shown, "payload_encoding": encoding}
        return cast("forms.WholeWebhook", whole)  # to mypy, what is unpacked may have a `replay` of another type

    def delivery(self) -> Delivery:
        """What is to be tried again: the same webhook, which the writer finds by its key in its own row."""
        at = now()
        return Delivery.from_body(
            self.body,
            id=webhook_id(at),
            dedup_key=self.dedup_key or payload.dedup_key(self.id, None, self.body),
            received_at=self.received_at,
            began=at,
            headers=self.headers.encode(),
            version=self.version,
            origin=self.origin,
        )

    def _payload(self) -> tuple[Any, Literal["json", "text", "base64"]]:
        # One of many values is text: to read it would hold up everybody.
        if not lenient.has_more_values(self.body, _READ_MAX):
            with contextlib.suppress(orjson.JSONDecodeError):
                orjson.loads(self.body)
                # As it came: writing it anew would round long numbers and fail on deep ones.
                return orjson.Fragment(self.body), "json"
        try:
            return self.body.decode(), "text"
        except UnicodeDecodeError:
            import base64

            return base64.b64encode(self.body).decode(), "base64"


class ReceivedWebhooks:
    """Reads them, tries them again, discards them. Every method raises PassingError.

    `language`, `create_unknown`, `max_files` and `users` are the writer's, so that a preview tells what it would do.
    """

    def __init__(
        self,
        pool: Pool,
        language: str,
        *,
        create_unknown: bool = False,
        max_files: int = MAX_FILES,
        users: Reference | None = None,
    ) -> None:
        self._pool = pool
        self._language = language
        self._create_unknown = create_unknown
        self._users = users
        self._max_files = max_files

    async def page(
        self, limit: int, *, before: str | None = None, outcomes: Sequence[str] = (), job_id: str | None = None
    ) -> tuple[list[Webhook], str | None]:
        """(at most `limit`, newest first and older than the id `before`; what to give as `before` for the next)."""
        found: list[Webhook] = []
        for outcome in outcomes or (None,):
            rows = await self._pool.rows(_page(limit + 1, before, outcome, job_id))
            found += map(Webhook.from_row, rows)
        found.sort(key=attrgetter("id"), reverse=True)
        shown = found[:limit]
        return shown, shown[-1].id if len(found) > limit else None

    async def get(self, webhook_id: str) -> WholeWebhook | None:
        if not is_id(webhook_id):
            return None
        rows = await self._pool.rows(bind(f"{WHOLE} WHERE id = %s", webhook_id))
        return next(map(WholeWebhook.from_row, rows), None)

    async def count(self, outcomes: Sequence[str]) -> tuple[int, str]:
        """(how many there are, the id of the newest)."""
        ((count, newest),) = await self._pool.rows(bind(_COUNT, list(outcomes)))
        return int(count), newest or ""

    async def preview(self, webhook: WholeWebhook) -> forms.Preview:
        """What a replay would do. Nothing is written."""
        if webhook.error_code == set_aside.CODE and not webhook.body:
            return {"outcome": None, "code": set_aside.CODE, "error": "Only the server that holds it has its payload."}
        # An estimate of its own: the server's must not learn from what did not happen.
        preview = Preview(
            [webhook.delivery()],
            self._language,
            Estimates(),
            create_unknown=self._create_unknown,
            users=self._users,
            max_files=self._max_files,
        )
        try:
            async with self._pool.connection() as connection:
                found = await preview.read(connection)
        except PassingError:
            raise
        except Exception as error:  # noqa: BLE001 - what our own code stumbles over is dead, and must be looked at
            return {"outcome": "dead", "code": "apply_failed", "error": f"{type(error).__name__}: {error}"}
        if found["outcome"] == "applied" and webhook.error_code == "apply_failed":
            found["note"] = "It was refused when it was written, which a preview does not try: it may be again."
        return found

    async def replay(self, webhook: WholeWebhook, writer: Writer) -> forms.Replayed:
        """Tries a dead or parked one again; any other is left as it is. Raises BusyError.

        "job" tells where it stands now, when it was applied. When nothing "changed" there may be a "message" that
        says why.
        """
        if webhook.outcome not in OPEN:
            return _left(webhook, webhook.outcome, f"It is {webhook.outcome} already: nothing was changed.")
        if webhook.error_code == set_aside.CODE:
            if await set_aside.ask(self._pool, webhook.id):
                return _left(webhook, "queued", "The server that holds it on its disk will try it again.")
            if not webhook.body:
                return _left(webhook, webhook.outcome, "No server that holds it answers, and its payload was not kept.")
        delivery = webhook.delivery()
        outcome = await writer.submit(delivery)
        if outcome.kind == "duplicate":
            # Applied since it was read, by its sender or another admin.
            await forget(self._pool, delivery.id)
            return _left(webhook, "applied", "It was applied meanwhile: nothing was changed.")
        if outcome.kind == "queued":
            return _left(webhook, "queued", "It could not be written yet: it waits on disk, and will be tried again.")
        answer: forms.Replayed = {
            "webhook_id": webhook.id,
            "changed": outcome.kind != webhook.outcome,
            "outcome": outcome.kind,
            "code": outcome.code,
            "error": outcome.error,
            "job_id": delivery.job_id,
            "status": delivery.status,
        }
        if outcome.kind == "applied":
            answer["job"] = {
                "status": outcome.status,
                "state": outcome.state,
                "progress": outcome.progress,
                "num_videos": outcome.num_videos,
            }
        return answer

    async def replay_some(
        self, writer: Writer, outcomes: Sequence[str], after: str | None, newest: str | None = None
    ) -> tuple[list[Mapping[str, Any]], str | None]:
        """Tries the next ones again, in the order of receipt, from behind the id `after` up to `newest`.

        (an answer for each, as of `replay_or_busy`; the id to go on after, None at the end)
        """
        ids = await self._ids(outcomes, after or "", newest or LAST_ID, AT_ONCE)
        rows = await self._pool.rows(bind(f"{WHOLE} WHERE id IN %s ORDER BY id", ids)) if ids else ()
        # All at once, so that they share transactions; the writer takes them in this order.
        answers = await asyncio.gather(*(self.replay_or_busy(WholeWebhook.from_row(row), writer) for row in rows))
        return list(answers), ids[-1] if len(ids) == AT_ONCE else None

    async def replay_or_busy(self, webhook: WholeWebhook, writer: Writer) -> Mapping[str, Any]:
        """As `replay`; the outcome is "busy" of one whose job is held by another program: it is left as it is."""
        try:
            return await self.replay(webhook, writer)
        except BusyError as error:
            left = _left(webhook, webhook.outcome, str(error) or "Too much is waiting for the database.")
            return {**left, "outcome": "busy", "code": None, "error": None}

    async def discard(self, webhook_ids: Sequence[str]) -> int:
        """How many of them were dead or parked, and are discarded now."""
        if not webhook_ids:
            return 0
        discard = bind(_DISCARD, list(webhook_ids), list(OPEN))
        _, _, ((count,),), *_ = await self._pool.run(
            "START TRANSACTION", discard, "SELECT ROW_COUNT()", *mark(quarters_of(webhook_ids)), "COMMIT"
        )
        return int(count)

    async def discard_some(self, outcomes: Sequence[str], newest: str) -> int:
        """Discards the next ones, up to the id `newest`; 0 when there are none left."""
        return await self.discard(await self._ids(outcomes, "", newest, 10 * AT_ONCE))

    async def _ids(self, outcomes: Sequence[str], after: str, newest: str, limit: int) -> list[str]:
        results = await self._pool.run(*(bind(_IDS, outcome, after, newest, limit) for outcome in outcomes))
        return sorted(webhook_id for rows in results for (webhook_id,) in rows)[:limit]


_FORGET = "DELETE FROM rushes_webhooks WHERE id = %s AND outcome = 'duplicate'"


async def forget(pool: Pool, webhook_id: str) -> None:
    """Deletes a duplicate that nobody sent: what was to be tried again had been applied meanwhile."""
    await pool.run("START TRANSACTION", bind(_FORGET, webhook_id), *mark(quarters_of([webhook_id])), "COMMIT")


def is_id(text: str) -> bool:
    """Whether it has the form of a webhook's id: 32 hex digits."""
    return len(text) == 32 and set(text) <= set("0123456789abcdef")  # noqa: PLR2004


def _page(limit: int, before: str | None, outcome: str | None, job_id: str | None) -> bytes:
    conditions = ["id < %s"]
    bound: list[object] = [before or LAST_ID]
    index = ""
    if outcome is not None:
        index = "FORCE INDEX (rushes_webhooks_outcome)"
        conditions.append("outcome = %s")
        bound.append(outcome)
    if job_id is not None:
        index = "FORCE INDEX (rushes_webhooks_job)"
        conditions.append(_OF_JOB)
        bound += [job_id, job_id.encode("utf-8", "replace")]
    where = " AND ".join(conditions)
    return bind(f"{_SUMMARY} {index} WHERE {where} ORDER BY id DESC LIMIT %s", *bound, limit)


def _left(webhook: Webhook, outcome: forms.Outcome | Literal["queued"], message: str) -> forms.Replayed:
    return {
        "webhook_id": webhook.id,
        "changed": False,
        "outcome": outcome,
        "code": webhook.error_code if outcome == webhook.outcome else None,
        "error": webhook.error if outcome == webhook.outcome else None,
        "job_id": webhook.job_id,
        "status": webhook.status,
        "message": message,
    }
