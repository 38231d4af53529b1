"""The command `rushes` before any of its commands is asked for."""

import subprocess
import sys

import click
import pytest

from app.commands.cli import _COMMANDS, main


@pytest.mark.parametrize("name", sorted(_COMMANDS))
def test_help_says_of_a_command_what_the_command_says_of_itself(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert command.name == name
    assert command.get_short_help_str(limit=1000).rstrip(".") == _COMMANDS[name].rstrip(".")


def imported_by(*arguments: str) -> set[str]:
    show = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); "
    code = show + f"sys.argv = ['rushes', *{arguments}]; from app.commands.cli import main; main()"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr.split())


def test_help_waits_for_none_of_the_commands() -> None:
    found = imported_by("--help")
    assert "app.commands.cli" in found
    assert not found & {"asyncio", "aiohttp", "pydantic", "aiomysql", "app.settings"}


def test_server_imports_nothing_of_other_commands() -> None:
    found = imported_by("serve", "--help")
    assert "app.commands.serve" in found
    others = {f"app.commands.{name}" for name in _COMMANDS} - {"app.commands.serve"}
    assert not found & others
