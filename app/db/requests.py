"""Requests that are remembered, so that a repetition of one makes nothing: by a user's Idempotency-Key, or by the
`webhook-id` of a sender, without which a signed request that was captured could be sent again."""

import hashlib
from dataclasses import dataclass

from app.db.connection import Connection
from app.db.sql import bind, exact
from app.times import moment

_REMEMBER = (
    "INSERT INTO rushes_requests (user_id, idempotency_key, job_id, digest, created_at) VALUES (%s, %s, %s, %s, %s)"
)

_REMEMBERED = "SELECT job_id, digest FROM rushes_requests WHERE user_id = %s AND idempotency_key = %s"


class KeyReusedError(Exception):
    """The key came with another order before."""


@dataclass(frozen=True, slots=True)
class Request:
    """`user_id` is whose `key` it is; `digest` is of all that the request asks for."""

    user_id: str
    key: str
    digest: bytes


def of_sender(webhook_id: str, digest: bytes) -> Request:
    """A sender's request. All senders share the secrets, so they are one; no user has an empty id."""
    return Request("", hashlib.sha256(webhook_id.encode("utf-8", "surrogateescape")).hexdigest(), digest)


async def find(connection: Connection, request: Request) -> str | None:
    """The id of the job that it made or found, None if it is new. Raises KeyReusedError.

    What was remembered before orders were compared has no digest, and counts as the same.
    """
    rows = await connection.rows(bind(_REMEMBERED, exact(request.user_id), exact(request.key)))
    if not rows:
        return None
    ((job_id, digest),) = rows
    if digest not in (None, request.digest):
        raise KeyReusedError
    return str(job_id)


def remember(request: Request, job_id: str, at: int) -> bytes:
    """The statement. `at` is in microseconds since 1970."""
    return bind(_REMEMBER, exact(request.user_id), exact(request.key), job_id, request.digest, moment(at))
