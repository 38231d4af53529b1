"""DATABASE_URL, and what it says."""

import re
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from app.db import tls

_FORM = "DATABASE_URL must look like mysql://user:password@host:port/database."

_HOST = re.compile(r"[\w.-]+|[0-9a-f:.]+(%[\w.-]+)?")
_BEGINNING = re.compile(r"(?:mysql|mariadb)://[^/]*/[^/]*(?:[?#]|$)", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def parameters(url: str) -> dict[str, Any]:
    """A mysql:// URL as connection arguments. Raises ValueError with a sentence that holds no password.

    Parameters of other clients that are not about TLS or a socket are passed over.
    """
    try:
        parts = urlsplit(url)
        named = (parts.path.lstrip("/"), parts.username or "root", parts.password or "")
        database, user, password = (unquote(text, errors="strict") for text in named)
    except ValueError:
        raise ValueError(_FORM) from None
    if not _BEGINNING.match(url) or not database or _CONTROL.search(database + user):
        raise ValueError(_FORM)
    if not _HOST.fullmatch(parts.hostname or "localhost"):
        raise ValueError("DATABASE_URL has a host that can be none; a socket is named by ?socket=….")
    if "#" in url:
        # What follows is no part of an address: a demand for TLS would be lost.
        raise ValueError("DATABASE_URL has a # that is not percent-encoded; write %23.")
    try:
        port = 3306 if parts.port is None else parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError("DATABASE_URL has a port that is not a number from 1 to 65535.")
    query = parse_qsl(parts.query, keep_blank_values=True)
    found: dict[str, Any] = {
        "host": parts.hostname or "localhost",
        "port": port,
        "user": user,
        # Both clients send a text as Latin-1; servers know passwords as UTF-8.
        "password": password.encode().decode("latin-1"),
        "db": database,
    }
    socket_path = _socket(query)
    if socket_path is not None:
        found["unix_socket"] = socket_path
    encryption = tls.context(query, by_socket=socket_path is not None)
    if encryption is not None:
        found["ssl"] = encryption
    elif socket_path is not None:
        found["host"] = socket_path  # which nobody asks then, but errors name
    return found


def _socket(query: list[tuple[str, str]]) -> str | None:
    paths = [value for name, value in query if name in ("socket", "unix_socket")]
    if len(paths) > 1:
        raise ValueError("DATABASE_URL names more than one socket.")
    if paths and not paths[0].startswith("/"):
        raise ValueError("DATABASE_URL names a socket that is no absolute path.")
    return paths[0] if paths else None
