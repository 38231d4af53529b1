"""A received webhook on its way to the database, and what became of it."""

from dataclasses import dataclass, field
from typing import Literal, Self

from app.domain import payload
from app.domain.audit import OnWebhook
from app.domain.job import State, StatusUpdate
from app.errors import Problem
from app.ids import webhook_id
from app.times import receipt


@dataclass(slots=True)
class Delivery:
    """One webhook of an allowed sender on its way to the database.

    Exactly one of `update` and `failure` is there at first; a delivery that the database refuses for a reason of its
    own gets a failure, (code, sentence), and is recorded as a dead letter. An invalid one has `details` of what is
    wrong with which field, and `named`, what it names all the same.

    `origin` tells a sender's webhook from what was asked for (`reconciled`) or found out here (`generator`).
    `redelivered`: it was on its way before, and may be recorded already. `began` is when this try began, if not with
    the receipt. `payload_omitted`: with its body it is more than the database takes at once, so it is recorded without.
    `act` is there when somebody tries it again, who is written down with it.
    """

    id: str
    dedup_key: str
    received_at: int
    headers: bytes
    body: bytes
    version: str | None = None
    update: StatusUpdate | None = None
    failure: tuple[str, str] | None = None
    origin: str = "webhook"
    redelivered: bool = False
    began: int | None = None
    named: payload.Named | None = None
    details: list[Problem] = field(default_factory=list)
    payload_omitted: bool = False
    act: OnWebhook | None = None

    @classmethod
    def from_body(
        cls,
        body: bytes,
        *,
        id: str,  # noqa: A002 - the field's name
        received_at: int,
        headers: bytes,
        dedup_key: str | None = None,
        sent_id: str | None = None,
        version: str | None = None,
        origin: str = "webhook",
        began: int | None = None,
        max_depth: int = payload.DEPTH_MAX,
        max_values: int = payload.VALUES_MAX,
    ) -> Self:
        """Of what came in, valid or not. Without a `dedup_key` it is made from the sender's id of it, `sent_id`, or
        else from what it says. `version` is for a body that does not say its own."""
        update, failure, named, details = None, None, None, []
        try:
            update = payload.parse(body, max_depth, max_values)
        except payload.InvalidPayloadError as error:
            failure, named, details = ("invalid_payload", str(error)), error.named, error.details
        says = update or named
        return cls(
            id,
            dedup_key or payload.dedup_key(sent_id, update, body),
            received_at,
            headers,
            body,
            says.version if says else version,
            update,
            failure,
            origin,
            began=began,
            named=named,
            details=details,
        )

    @property
    def job_id(self) -> str | None:
        """As it says itself, valid or not."""
        says = self.update or self.named
        return says.job_id if says else None

    @property
    def status(self) -> str | None:
        says = self.update or self.named
        return says.status if says else None


def made_here(body: bytes, origin: str, *, unique: bool = False) -> Delivery:
    """A webhook of our own: the duplicate of none that was sent, a `unique` one of none at all.

    Raises payload.InvalidPayloadError.
    """
    at = receipt()
    own_id = webhook_id(at)
    update = payload.parse(body)
    return Delivery(
        id=own_id,
        dedup_key=payload.dedup_key(own_id if unique else None, update, body, asked=True),
        received_at=at,
        headers=b"{}",
        body=body,
        version=update.version,
        update=update,
        origin=origin,
    )


@dataclass(slots=True)
class Outcome:
    """What became of a delivery: applied, duplicate, stale, parked or dead; or queued, on local disk. Never changed.

    `status`, `state`, `progress` and `num_videos` tell where the job stands after an applied one.
    """

    kind: Literal["applied", "duplicate", "stale", "parked", "dead", "queued"]
    webhook_id: str
    code: str | None = None
    error: str | None = None
    status: str | None = None
    state: State | None = None
    progress: int = 0
    num_videos: int = 0
