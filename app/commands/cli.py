"""The `rushes` command. Each of its commands is a file of its own, imported when that one is asked for."""

import os
from importlib import import_module
from typing import Any

import click

from app.commands.console import Failure, drop_output

# With what `rushes --help` says of each, which must not take the time of importing them all.
_COMMANDS = {
    "serve": "Serve, on a private database unless DATABASE_URL names another.",
    "migrate": "Bring the database up to date; safe on one that Prisma made.",
    "token": "Print an access token made with AUTH_JWT_SECRET.",
    "push-keys": "Print a new key for Web Push: VAPID_PRIVATE_KEY.",
    "dead": "Webhooks that were not applied: dead letters, and those parked until their job appears.",
    "purge": "Delete what is older than RETENTION_DAYS now; the server also does it by itself.",
    "rollups": "Make the statistics again, or compare them with a full count.",
    "send": "Post one webhook to URL, by default the server here, with retries on 5xx, 429, 408 and connection errors.",
    "generator": "The simulated generation backend, for development: makes videos by itself, and fails as it is told.",
    "smoke": "Check the server at URL, by default the one here, with the nine checks of the product document.",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return [*_COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        found: click.Command = getattr(import_module(f"app.commands.{name}"), name)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([*_COMMANDS.items()])

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """What the machine refuses us, as room for our output, is a sentence too. (Of a reader who has gone, click ends
        without a word.)"""
        _fill_standard_streams()
        try:
            return super().main(*args, **kwargs)
        except OSError as error:
            named = f"{error.filename}: " if error.filename else ""
            Failure(f"{named}{error.strerror or error}").show()
            drop_output()
            raise SystemExit(1) from None


def _fill_standard_streams() -> None:
    """Where one is closed, the next file or socket would get its number, and what is printed would go there."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # which gets the lowest number that is free
            os.set_inheritable(number, True)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="rushes", message="rushes %(version)s")
def main() -> None:
    """AI video status webhooks in, the browser updated the moment they are committed."""
