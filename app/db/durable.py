"""Folders that are there after a power cut: a file that was flushed is lost with the entry that names it."""

import os
from contextlib import suppress
from pathlib import Path

# Of a folder for what must last, the entries of these may have been made by a process that was ended before it
# flushed them: the folder itself, DATA_DIR, and that in which DATA_DIR is.
_ALWAYS = 3


def make_folder(folder: Path, mode: int) -> None:
    """Makes the folder and those above it, durably, where they are not there. Raises OSError."""
    above = (folder, *folder.parents)
    made = sum(not path.exists() for path in above)
    folder.mkdir(mode=mode, parents=True, exist_ok=True)
    for place, path in enumerate(above[: max(made + 1, _ALWAYS)]):
        if place <= made:
            flush(path)
        else:
            with suppress(PermissionError):  # somebody else's, and older than we are
                flush(path)


def flush(path: Path) -> None:
    """Makes a folder's entries durable, or a file's content. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_all(folder: Path) -> None:
    """All that is in a folder, and the folder. Raises OSError."""
    for place, _, files in os.walk(folder, topdown=False):
        for name in files:
            flush(Path(place, name))
        flush(Path(place))
