"""Received webhooks as rows: what lists show of one, and all of it."""

import contextlib
from dataclasses import dataclass
from typing import Any, Literal, Self, cast

import orjson

from app import lenient
from app.db.connection import Row
from app.domain import forms, payload
from app.domain.audit import OnWebhook
from app.domain.delivery import Delivery
from app.ids import webhook_id
from app.times import microseconds, now, rfc3339

# Values of a payload that is shown as JSON; those of a webhook are bounded by MAX_JSON_VALUES.
_READ_MAX = 100_000

SUMMARY = """
SELECT id, received_at, origin, job_id, status, version, outcome, attempts, duration_ms, error_code, error
FROM rushes_webhooks
"""

WHOLE = """
SELECT id, received_at, origin, job_id, status, version, outcome, attempts, duration_ms, error_code, error,
  dedup_key, headers, payload
FROM rushes_webhooks
"""

LAST_ID = "g"  # after every id, which are of hex digits


@dataclass(frozen=True, slots=True)
class Webhook:
    """The row of a received webhook: the columns of `SUMMARY`. `received_at` is in microseconds since 1970."""

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

    def without_payload(self) -> forms.WholeWebhook:
        """The same for who may not see what came in."""
        hidden = {**self.summary(), "headers": {}, "payload": None, "payload_encoding": "hidden"}
        return cast("forms.WholeWebhook", hidden)

    def delivery(self, act: OnWebhook | None = None) -> Delivery:
        """What is to be tried again: the same webhook, which the writer finds by its key in its own row. `act` tells
        who wants it; without one it is tried by itself."""
        at = now()
        delivery = Delivery.from_body(
            self.body,
            id=webhook_id(at),
            dedup_key=self.dedup_key or payload.dedup_key(self.id, None, self.body),
            received_at=self.received_at,
            began=at,
            headers=self.headers.encode(),
            version=self.version,
            origin=self.origin,
        )
        delivery.act = act
        return delivery

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


def is_id(text: str) -> bool:
    """Whether it has the form of a webhook's id: 32 hex digits."""
    return len(text) == 32 and set(text) <= set("0123456789abcdef")  # noqa: PLR2004
