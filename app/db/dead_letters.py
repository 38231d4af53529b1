"""Received webhooks as an admin looks at them, and what he may do with those that were not applied."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

from app.db import audited
from app.db.changed import note
from app.db.dirty import mark, quarters_of
from app.db.errors import BusyError, PassingError
from app.db.people import Reference
from app.db.pool import Pool
from app.db.preview import Preview
from app.db.sql import bind
from app.db.webhook_rows import LAST_ID, WHOLE, Webhook, WholeWebhook, is_id
from app.db.writer import set_aside
from app.db.writer.batch import MAX_FILES
from app.db.writer.writer import Writer
from app.domain import forms
from app.domain.audit import Actor, Entry, OnWebhook
from app.domain.delivery import Delivery
from app.domain.estimate import Estimates
from app.times import now

OPEN: tuple[forms.Outcome, ...] = ("dead", "parked")
"""Outcomes of what waits for somebody: it may be discarded."""

REPLAYABLE: tuple[forms.Outcome, ...] = (*OPEN, "discarded")
"""Outcomes that may be tried again."""

# With their bodies these may be 50 MiB, and a replay of them one transaction.
AT_ONCE = 50

# The index is named because the primary key would do for ORDER BY, and pass over every webhook there is.
_IDS = """
SELECT id FROM rushes_webhooks FORCE INDEX (rushes_webhooks_outcome)
WHERE outcome = %s AND id > %s AND id <= %s ORDER BY id LIMIT %s
"""

_COUNT = "SELECT COUNT(*), MAX(id) FROM rushes_webhooks WHERE outcome IN %s"

_HOLD = "SELECT id, outcome, job_id FROM rushes_webhooks WHERE id IN %s AND outcome IN %s ORDER BY id FOR UPDATE"
_DISCARD = "UPDATE rushes_webhooks SET outcome = 'discarded' WHERE id IN %s"


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
        preview = self._preview([webhook.delivery()])
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

    async def outcomes(self, webhooks: Sequence[WholeWebhook]) -> list[str]:
        """What a replay of all of them, in this order, would make of each. Nothing is written."""
        tried = [w for w in webhooks if w.outcome in REPLAYABLE and (w.body or w.error_code != set_aside.CODE)]
        deliveries = [webhook.delivery() for webhook in tried]
        found: dict[str, str] = {}
        if deliveries:
            try:
                async with self._pool.connection() as connection:
                    kinds = await self._preview(deliveries).outcomes_now(connection)
                found = {webhook.id: kinds[d.id] for webhook, d in zip(tried, deliveries, strict=True)}
            except PassingError:
                raise
            except Exception:  # noqa: BLE001 - one that our own code stumbles over does so alone
                found = {webhook.id: (await self.preview(webhook))["outcome"] or "busy" for webhook in tried}
        # Those aside lie with the server that will try them; the others are left as they are.
        aside = {webhook.id for webhook in webhooks if webhook.outcome in REPLAYABLE} - found.keys()
        return [found.get(w.id, "queued" if w.id in aside else w.outcome) for w in webhooks]

    def _preview(self, deliveries: list[Delivery]) -> Preview:
        # An estimate of its own: the server's must not learn from what did not happen.
        return Preview(
            deliveries,
            self._language,
            Estimates(),
            create_unknown=self._create_unknown,
            users=self._users,
            max_files=self._max_files,
        )

    async def replay(
        self, webhook: WholeWebhook, writer: Writer, by: Actor, replay_id: str | None = None
    ) -> forms.Replayed:
        """Tries a dead, parked or discarded one again; any other is left as it is. Raises BusyError.

        "job" tells where it stands now, when it was applied. When nothing "changed" there may be a "message" that
        says why.
        """
        if webhook.outcome not in REPLAYABLE:
            return _left(webhook, webhook.outcome, f"It is {webhook.outcome} already: nothing was changed.")
        act = OnWebhook(by, webhook.id, replay_id)
        if webhook.error_code == set_aside.CODE:
            if await set_aside.ask(self._pool, webhook.id, webhook.outcome, act):
                return _left(webhook, "queued", "The server that holds it on its disk will try it again.")
            if not webhook.body:
                return _left(webhook, webhook.outcome, "No server that holds it answers, and its payload was not kept.")
        delivery = webhook.delivery(act)
        outcome = await writer.submit(delivery)
        if outcome.kind == "duplicate":
            # Applied since it was read, by its sender or another admin.
            return _left(webhook, "applied", "It was applied meanwhile: nothing was changed.")
        answer: forms.Replayed = {
            "webhook_id": webhook.id,
            "changed": outcome.kind != webhook.outcome,
            "outcome": cast("forms.Outcome", outcome.kind),  # what the database has already is not queued
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
        self, writer: Writer, by: Actor, outcomes: Sequence[str], after: str | None, newest: str | None = None
    ) -> tuple[list[Mapping[str, Any]], str | None]:
        """Tries the next ones again, in the order of receipt, from behind the id `after` up to `newest`.

        (an answer for each, as of `replay_or_busy`; the id to go on after, None at the end)
        """
        ids = await self._ids(outcomes, after or "", newest or LAST_ID, AT_ONCE)
        rows = await self._pool.rows(bind(f"{WHOLE} WHERE id IN %s ORDER BY id", ids)) if ids else ()
        # All at once, so that they share transactions; the writer takes them in this order.
        answers = await asyncio.gather(*(self.replay_or_busy(WholeWebhook.from_row(row), writer, by) for row in rows))
        return list(answers), ids[-1] if len(ids) == AT_ONCE else None

    async def replay_or_busy(
        self, webhook: WholeWebhook, writer: Writer, by: Actor, replay_id: str | None = None
    ) -> Mapping[str, Any]:
        """As `replay`; the outcome is "busy" of one whose job is held by another program: it is left as it is."""
        try:
            return await self.replay(webhook, writer, by, replay_id)
        except BusyError as error:
            left = _left(webhook, webhook.outcome, str(error) or "Too much is waiting for the database.")
            return {**left, "outcome": "busy", "code": None, "error": None}

    async def discard(self, webhook_ids: Sequence[str], by: Actor) -> int:
        """How many of them were dead or parked, and are discarded now."""
        if not webhook_ids:
            return 0
        async with self._pool.connection() as connection:
            _, rows = await connection.run("START TRANSACTION", bind(_HOLD, list(webhook_ids), list(OPEN)))
            ids = [str(row_id) for row_id, _, _ in rows]
            became = {"outcome": "discarded"}
            acts = [
                Entry(by, "discard", row_id, job_id, was={"outcome": outcome}, became=became)
                for row_id, outcome, job_id in rows
            ]
            discard = (
                [bind(_DISCARD, ids), *note(ids), *mark(quarters_of(ids)), *audited.write(acts, now())] if ids else []
            )
            await connection.run(*discard, "COMMIT")
        return len(ids)

    async def discard_some(self, outcomes: Sequence[str], newest: str, by: Actor) -> int:
        """Discards the next ones, up to the id `newest`; 0 when there are none left."""
        return await self.discard(await self._ids(outcomes, "", newest, 10 * AT_ONCE), by)

    async def _ids(self, outcomes: Sequence[str], after: str, newest: str, limit: int) -> list[str]:
        results = await self._pool.run(*(bind(_IDS, outcome, after, newest, limit) for outcome in outcomes))
        return sorted(webhook_id for rows in results for (webhook_id,) in rows)[:limit]


_FORGET = "DELETE FROM rushes_webhooks WHERE id = %s AND outcome = 'duplicate'"


async def forget(pool: Pool, webhook_id: str) -> None:
    """Deletes a duplicate that nobody sent: what was to be tried again had been applied meanwhile."""
    forget = bind(_FORGET, webhook_id), *note([webhook_id]), *mark(quarters_of([webhook_id]))
    await pool.run("START TRANSACTION", *forget, "COMMIT")


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
