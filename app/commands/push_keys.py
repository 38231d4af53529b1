"""`rushes push-keys`."""

import click

from app.webpush import new_key


@click.command()
def push_keys() -> None:
    """Print a new key for Web Push: VAPID_PRIVATE_KEY.

    Browsers subscribe with its public half, so a new one ends all subscriptions; each page that is opened again makes
    another.
    """
    click.echo(f"VAPID_PRIVATE_KEY={new_key()}")
