"""A received webhook on its way to the database, and what became of it."""

from dataclasses import dataclass

from app.domain import payload
from app.domain.job import StatusUpdate
from app.ids import webhook_id
from app.times import now, receipt


@dataclass(slots=True)
class Delivery:
    """One webhook of an allowed sender on its way to the database.

    Exactly one of `update` and `failure` is there at first; a delivery that the database refuses for a
    reason of its own gets a failure, (code, sentence), and is recorded as a dead letter. `named` is what an invalid
    one names. `origin` tells a sender's webhook from what was asked for (`reconciled`) or found out here
    (`generator`).
    `again`: it was on its way before, and may be recorded already. `began` is when this try began, if not with the
    receipt. `payload_omitted`: with its body it is more than the database takes at once, so it is recorded without.
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
    again: bool = False
    began: int | None = None
    named: payload.Named | None = None
    payload_omitted: bool = False


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


def to_try_again(
    *, dedup_key: str, origin: str, version: str | None, headers: str, body: bytes, received_at: int
) -> Delivery:
    """A stored webhook on its way again: the transaction finds it by its key in its own row."""
    update, failure, named = None, None, None
    try:
        update = payload.parse(body)
    except payload.InvalidPayloadError as error:
        failure, named = ("invalid_payload", str(error)), error.named
    told = update or named
    at = now()
    return Delivery(
        id=webhook_id(at),
        dedup_key=dedup_key,
        received_at=received_at,
        began=at,
        headers=headers.encode(),
        body=body,
        version=told.version if told else version,
        update=update,
        failure=failure,
        origin=origin,
        named=named,
    )


@dataclass(slots=True)
class Outcome:
    """What became of a delivery: applied, duplicate, stale, parked or dead; or queued, on local disk. Never changed.

    `status`, `state`, `progress` and `num_videos` tell where the job stands after an applied one.
    """

    kind: str
    webhook_id: str
    code: str | None = None
    error: str | None = None
    status: str | None = None
    state: str | None = None
    progress: int = 0
    num_videos: int = 0
