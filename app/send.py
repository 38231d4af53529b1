"""`rushes send`: one webhook, from the command line."""

from typing import Any

import click
import orjson

from app.deliver import NotDeliveredError, deliver
from app.settings import Settings
from app.times import now, rfc3339


def webhook_command(
    url: str, job_id: str, status: str, data: str | None, settings: Settings, *, attempts: int = 6
) -> int:
    """Exit code 0 when the webhook was taken."""
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
        code, answer = deliver(url, update, settings.sending_secret, attempts=attempts, on_retry=_tell)
    except (NotDeliveredError, ValueError) as error:
        click.secho(f"rushes: not delivered: {error}", fg="red", err=True)
        return 1
    click.echo(f"{code} {answer}")
    return 0 if code < 300 else 1  # noqa: PLR2004


def _tell(attempt: int, reason: str, wait: float) -> None:
    click.echo(f"try {attempt} failed ({reason}); again in {wait:.1f} s", err=True)
