"""Posting one webhook, as a sender should: again on 5xx, 429 and connection errors, with the same id each time."""

import secrets
from typing import Any

import click
import orjson
from aiohttp import ClientConnectionError, ClientError, ClientSession, ClientTimeout
from tenacity import AsyncRetrying, RetryCallState, RetryError, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_exponential_jitter

from app.routes.webhooks import PATH
from app.settings import Settings
from app.signature import PREFIX, sign
from app.times import now, rfc3339


class TryAgainError(Exception):
    """The receiver asks for another try. `after` is in seconds, if it said how long to wait."""

    def __init__(self, status: int, body: str, after: float | None) -> None:
        self.status = status
        self.body = body
        self.after = after
        super().__init__(f"{status}: {body}")


def endpoint(url: str) -> str:
    """The webhook address of a server's address; a longer address is taken as it is."""
    trimmed = url.rstrip("/")
    return trimmed if trimmed.count("/") > 2 else trimmed + PATH  # noqa: PLR2004 - https://host has two


async def send(url: str, body: bytes, secret: str | None, *, attempts: int = 6) -> tuple[int, str]:
    """(status, body) of the final answer. Raises TryAgainError or ClientError after the last attempt."""
    webhook_id = f"msg_{secrets.token_hex(12)}"
    retrying = AsyncRetrying(
        retry=retry_if_exception_type((TryAgainError, ClientConnectionError, TimeoutError)),
        stop=stop_after_attempt(attempts),
        wait=_wait,
        before_sleep=_tell,
    )
    async with ClientSession(timeout=ClientTimeout(total=30)) as session:
        try:
            async for attempt in retrying:
                with attempt:
                    answer = await _post(session, url, body, proof(webhook_id, body, secret))
        except RetryError as error:
            raise error.last_attempt.exception() or error from None
    return answer


def proof(webhook_id: str, body: bytes, secret: str | None) -> dict[str, str]:
    """The headers that name the webhook and prove its sender: signed with a `whsec_` secret, else the plain secret.

    Made anew for each try, since a signature holds its time; the id stays.
    """
    headers = {"Content-Type": "application/json", "webhook-id": webhook_id}
    if secret is None:
        return headers
    if not secret.startswith(PREFIX):
        return headers | {"X-Webhook-Secret": secret}
    at = now() // 1_000_000
    return headers | {"webhook-timestamp": str(at), "webhook-signature": sign(webhook_id, at, body, secret)}


async def webhook_command(
    url: str, job_id: str, status: str, data: str | None, settings: Settings, *, attempts: int = 6
) -> int:
    """`rushes send`: exit code 0 when the webhook was taken."""
    try:
        parsed: Any = None if data is None else orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise click.UsageError(f"--data is not JSON: {error}") from None
    body = orjson.dumps(
        {
            "job_id": job_id,
            "status": status,
            "content_type": "video",
            "timestamp": rfc3339(now()),
            "has_data": parsed is not None,
            "data": parsed,
        }
    )
    secret = settings.webhook_secrets[0] if settings.webhook_secrets else None
    try:
        code, answer = await send(endpoint(url), body, secret, attempts=attempts)
    except (TryAgainError, ClientError, TimeoutError) as error:
        click.secho(f"rushes: not delivered: {error}", fg="red", err=True)
        return 1
    click.echo(f"{code} {answer}")
    return 0 if code < 300 else 1  # noqa: PLR2004


async def _post(session: ClientSession, url: str, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
    async with session.post(url, data=body, headers=headers) as answer:
        text = await answer.text(errors="replace")
        if answer.status >= 500 or answer.status == 429:  # noqa: PLR2004
            after = answer.headers.get("Retry-After", "")
            raise TryAgainError(answer.status, text[:200], float(after) if after.isdigit() else None)
        return answer.status, text


_backoff = wait_exponential_jitter(initial=0.5, max=30, jitter=0.5)


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.after if isinstance(error, TryAgainError) else None
    return max(_backoff(state), asked or 0.0)


def _tell(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    wait = state.next_action.sleep if state.next_action else 0.0
    click.echo(f"try {state.attempt_number} failed ({error}); again in {wait:.1f} s", err=True)
