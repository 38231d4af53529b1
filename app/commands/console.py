"""What commands share: a failure in one sentence, the settings, the loop."""

import os
import sys
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from app.domain.audit import Actor
    from app.settings import Settings


class Failure(click.ClickException):
    """One sentence on what is wrong and what to do; exit code 1."""

    def show(self, file: Any = None) -> None:
        click.secho(f"rushes: {self.format_message()}", fg="red", err=True, file=file)


def drop_output() -> None:
    """Lets standard output lead nowhere. Python would write at its end what could not be written before, and say so in
    its own words."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def settings_or_failure() -> "Settings":
    # Whoever asks for help only does not wait for pydantic.
    from app.settings import SettingsError, load

    try:
        return load()
    except SettingsError as error:
        raise Failure(str(error)) from None


def typist() -> "Actor":
    """Who typed this, as the machine calls him: `name@host`. LOGNAME and its like are for him to set."""
    import socket

    from app.domain.audit import Actor

    return Actor(f"{_account()}@{socket.gethostname()}", "command")


def _account() -> str:
    if sys.platform == "win32":
        import getpass

        return getpass.getuser()
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a user without a name, as in containers
        return str(os.getuid())


def run_async(coroutine: Coroutine[Any, Any, int]) -> None:
    """Runs on uvloop where there is one, and ends the process with the code that comes back."""
    if sys.platform == "win32":
        import asyncio

        raise SystemExit(asyncio.run(coroutine))
    import uvloop

    raise SystemExit(uvloop.run(coroutine))
