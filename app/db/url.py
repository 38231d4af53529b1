"""DATABASE_URL, and what it says."""

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from app.db import tls

_FORM = "DATABASE_URL must look like mysql://user:password@host:port/database."


def parameters(url: str) -> dict[str, Any]:
    """A mysql:// URL as connection arguments. Raises ValueError with a sentence that holds no password.

    Parameters of other clients that are not about TLS or a socket are passed over.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(_FORM) from None
    database = unquote(parts.path.lstrip("/"))
    if parts.scheme not in ("mysql", "mariadb") or not database:
        raise ValueError(_FORM)
    if "#" in url:
        # What follows is no part of an address: a demand for TLS would be lost.
        raise ValueError("DATABASE_URL has a # that is not percent-encoded; write %23.")
    try:
        port = parts.port or 3306
    except ValueError:
        raise ValueError("DATABASE_URL has a port that is not a number.") from None
    query = parse_qsl(parts.query, keep_blank_values=True)
    found: dict[str, Any] = {
        "host": parts.hostname or "localhost",
        "port": port,
        "user": unquote(parts.username or "root"),
        # Both clients send a text as Latin-1; servers know passwords as UTF-8.
        "password": unquote(parts.password or "").encode().decode("latin-1"),
        "db": database,
    }
    socket_path = _socket(query)
    if socket_path is not None:
        found["unix_socket"] = socket_path
    encryption = tls.context(query, by_socket=socket_path is not None)
    if encryption is not None:
        found["ssl"] = encryption
    return found


def _socket(query: list[tuple[str, str]]) -> str | None:
    paths = [value for name, value in query if name in ("socket", "unix_socket")]
    if len(paths) > 1:
        raise ValueError("DATABASE_URL names more than one socket.")
    if paths and not paths[0].startswith("/"):
        raise ValueError("DATABASE_URL names a socket that is no absolute path.")
    return paths[0] if paths else None
