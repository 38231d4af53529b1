"""What a batch of one would do, told without doing it."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

from app import times
from app.db.charsets import JOB, held
from app.db.connection import Connection
from app.db.sql import Raw, bind
from app.db.writer.batch import Batch, undo
from app.domain import forms

_COLUMNS_NOW = "SELECT %s FROM video_generations WHERE id = %s"


class Preview(Batch):
    """A batch that is decided, and not written."""

    async def outcomes_now(self, connection: Connection) -> dict[str, str]:
        """What `commit` would make of each, by the deliveries' ids: its outcome, "busy" while another session holds the
        job. Nothing is written, and no lock stays. Raises RetryableError or DatabaseAwayError."""
        try:
            await self._decide_all(connection)
        finally:
            await undo(connection)
        return {d.id: self.outcomes[d.id].kind if d.id in self.outcomes else "busy" for d in self.deliveries}

    async def _decide_all(self, connection: Connection) -> None:
        answers = await connection.run_text(
            *self._read_set.begin(self.deliveries, checks_duplicates=self.checks_duplicates)
        )
        if not self._read_set.load(answers):
            await self._read_set.read_rest(connection)
        for delivery in self.deliveries:
            self._decide(delivery)

    async def read(self, connection: Connection) -> forms.Preview:
        """What `commit` would do with the one delivery; nothing is written, and no lock stays.

        "outcome" is None while another session holds the job. What the database refuses
        when it is written, a value too large for its column, is not seen here.
        Raises RetryableError or DatabaseAwayError.
        """
        (delivery,) = self.deliveries
        old: dict[str, Any] = {}
        new: dict[str, Any] = {}
        try:
            answers = await connection.run_text(
                *self._read_set.begin(self.deliveries, checks_duplicates=self.checks_duplicates)
            )
            if not self._read_set.load(answers):
                await self._read_set.read_rest(connection)
            files = {key: file for job in self._read_set.jobs.values() for key, file in job.gallery.items()}
            self._decide(delivery)
            row = next((job for job in self._read_set.jobs.values() if job.changed), None)
            makes_job = row is not None and row.prompt is not None
            if row is not None and makes_job:
                new = {"authorId": row.author_id, "prompt": row.prompt} | row.columns
                old = dict.fromkeys(new)
            elif row is not None and row.columns:
                new = row.columns
                names = Raw(", ".join(new).encode())
                (values,) = await connection.rows(bind(_COLUMNS_NOW, names, held(JOB, row.id)))
                old = dict(zip(new, values, strict=True))
        finally:
            await undo(connection)
        outcome = self.outcomes.get(delivery.id)
        added: list[dict[str, Any]] = []
        refreshed: list[dict[str, Any]] = []
        if row is not None:
            added = [{"s3_key": key, **row.gallery[key]} for key in sorted(row.inserted)]
            for file in added:
                del file["id"]  # the replay makes another
            refreshed = [
                {"s3_key": key, "columns": _differences(files[key], row.gallery[key])} for key in sorted(row.refreshed)
            ]
        return {
            # A batch queues nothing.
            "outcome": cast("forms.Outcome", outcome.kind) if outcome else None,
            "code": outcome.code if outcome else "job_held",
            "error": outcome.error if outcome else "Another program holds the job's row at this moment.",
            "makes_job": makes_job,
            "columns": _differences(old, new),
            "files_added": added,
            "files_refreshed": refreshed,
        }


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The names whose values differ, each with both, fit for JSON."""
    found = {}
    for name, value in new.items():
        before, after = _for_json(old[name]), _for_json(value)
        if before != after:
            found[name] = {"old": before, "new": after}
    return found


def _for_json(value: Any) -> Any:
    """What a column of any type gave."""
    if isinstance(value, datetime):
        return times.rfc3339(times.microseconds(value))
    if isinstance(value, Decimal):
        return float(value)
    return value.decode(errors="replace") if isinstance(value, bytes) else value
