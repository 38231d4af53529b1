"""DATABASE_URL: what it says."""

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


def parameters(url: str) -> dict[str, Any]:
    """A mysql:// URL as connection arguments. Raises ValueError with a sentence that holds no password."""
    parts = urlsplit(url)
    database = unquote(parts.path.lstrip("/"))
    if parts.scheme not in ("mysql", "mariadb") or not database:
        raise ValueError("DATABASE_URL must look like mysql://user:password@host:port/database.")
    try:
        port = parts.port or 3306
    except ValueError:
        raise ValueError("DATABASE_URL has a port that is not a number.") from None
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    found: dict[str, Any] = {
        "host": parts.hostname or "localhost",
        "port": port,
        "user": unquote(parts.username or "root"),
        "password": unquote(parts.password or ""),
        "db": database,
    }
    if query.get("unix_socket"):
        found["unix_socket"] = query["unix_socket"]
    if query.get("ssl", "").lower() in ("true", "1", "required"):
        import ssl

        found["ssl"] = ssl.create_default_context()
    return found
