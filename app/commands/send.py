"""`rushes send`: one webhook, from the command line."""

from typing import Any

import click
import orjson

from app.commands.console import settings_or_failure
from app.deliver import NotDeliveredError, deliver, endpoint
from app.settings import Settings
from app.times import now, rfc3339

OTHER_SECRET = "that server has another WEBHOOK_SECRET, or this command was given none"  # noqa: S105


# As Envelope of app/domain/versions.py has them, which takes long to import.
_STATUSES = ("pending", "processing", "generating", "downloading", "completed", "failed")


@click.command()
@click.argument("url", required=False)
@click.option("--job-id", required=True)
@click.option("--status", required=True, type=click.Choice(_STATUSES, case_sensitive=False))
@click.option("--data", help="The data object, as JSON.")
@click.option("--attempts", default=6, show_default=True, type=click.IntRange(min=1))
def send(url: str | None, job_id: str, status: str, data: str | None, attempts: int) -> None:
    """Post one webhook to URL, by default the server here, with retries on 5xx, 429, 408 and connection errors.

    The secret, if one is needed, is the first in WEBHOOK_SECRET that signs, or else the first.
    """
    settings = settings_or_failure()
    raise SystemExit(_send(url or settings.local_url, job_id, status, data, settings, attempts=attempts))


def _send(url: str, job_id: str, status: str, data: str | None, settings: Settings, *, attempts: int) -> int:
    """Exit code 0 when the webhook was taken. Raises UsageError."""
    try:
        parsed: Any = None if data is None else orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise click.UsageError(f"--data is not JSON: {error}") from None
    update = {
        "job_id": job_id,
        "status": status,
        "content_type": "video",
        "timestamp": rfc3339(now()),
        "has_data": parsed is not None,
        "data": parsed,
    }
    try:
        address = endpoint(url)
        code, answer = deliver(url, update, settings.sending_secret, attempts=attempts, on_retry=_tell)
    except NotDeliveredError as error:
        return _failed(f"not delivered to {address}: {error}")
    except ValueError as error:
        return _failed(f"not delivered: {error}")
    click.echo(f"{code} {answer}")
    if 300 <= code < 400:  # noqa: PLR2004 - the answer is our own sentence
        return 1
    meant = _meaning(_object(answer), job_id, address)
    if meant is not None:
        return _failed(meant)
    return 0 if code < 300 else 1  # noqa: PLR2004


def _failed(sentence: str) -> int:
    click.secho(f"rushes: {sentence}", fg="red", err=True)
    return 1


def _object(answer: str) -> dict[str, Any] | None:
    try:
        found = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _meaning(answer: dict[str, Any] | None, job_id: str, address: str) -> str | None:
    """What has become of the webhook, where the answer does not say it by itself."""
    if answer is None:  # whoever it was, not even what he took for success is one
        return f"no rushes takes webhooks at {address}"
    match answer.get("code"):
        case "unauthorized":
            return OTHER_SECRET
        case "unknown_job":
            return f"there is no job {job_id} yet; the webhook is kept, and applied when the job appears"
        case "invalid_payload" | "key_conflict" | "apply_failed":
            return "the webhook is kept as a dead letter; `rushes dead list` there tells why"
    return None


def _tell(attempt: int, reason: str, wait: float) -> None:
    click.echo(f"try {attempt} failed ({reason}); again in {wait:.1f} s", err=True)
