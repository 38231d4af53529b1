"""Programs that run beside the tests: whether they have started, and their end."""

import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

START = 60.0  # seconds, on a machine that does other things too


def until(look: Callable[[], Any], process: subprocess.Popen[str], log: Path) -> Any:
    """What `look` finds, once it does; an error with what the program said, if it ends or takes too long."""
    late = time.monotonic() + START
    while not (found := look()):
        if process.poll() is not None or time.monotonic() > late:
            raise RuntimeError(f"{process.args!r} did not start:\n{log.read_text()}")
        time.sleep(0.02)
    return found


def listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.wait(START)
