"""Identifiers made here."""

import itertools
import secrets

# A job of such an id could not be read: /api/videos/user is the gallery, and /api/videos/.. to clients /api/.
RESERVED = ("user", "generate", ".", "..")

_BASE36 = bytes(b"0123456789abcdefghijklmnopqrstuvwxyz"[byte % 36] for byte in range(256))


def cuid() -> str:
    """An id in the form that Prisma's `cuid()` gives the site's rows: c and 24 of base 36."""
    return "c" + secrets.token_bytes(24).translate(_BASE36).decode()


PROCESS = secrets.token_hex(6)
"""This process, by 12 hex digits."""

_count = itertools.count(1)


def webhook_id(received_at: int) -> str:
    """32 hex digits that sort by receipt (microseconds since 1970): the time, this process, a counter."""
    return f"{received_at:014x}{PROCESS}{next(_count) & 0xFFFFFF:06x}"
