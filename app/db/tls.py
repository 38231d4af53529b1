"""What DATABASE_URL says of encryption, in the spellings of the usual clients.

There are two answers: none, or encryption towards a server whose certificate is checked. Who asks for less than that,
or in words that are not known here, is refused: a demand dropped in silence is worse than none.
"""

import json
import re
import ssl
from collections.abc import Iterable, Iterator
from typing import Any

# What a parameter asks for. _ON checks the host's name too, unless another parameter says _AUTHORITY.
_OFF, _ON, _AUTHORITY, _NAME = "off", "on", "authority", "name"

_WORDS = {
    **dict.fromkeys(("false", "0", "no", "off", "disable", "disabled"), _OFF),
    **dict.fromkeys(("true", "1", "yes", "on", "require", "required", "strict"), _ON),
    "verify-ca": _AUTHORITY,
    **dict.fromkeys(("verify-full", "verify-identity"), _NAME),
}
_UNCHECKED = ("allow", "prefer", "preferred", "skip-verify", "accept-invalid-certs", "no-verify")

# Names in small letters, with `_` for `-`.
_MODES = ("ssl", "sslmode", "ssl_mode", "sslaccept", "tls", "usessl", "requiressl")
_CHECKS = ("verifyservercertificate", "ssl_verify_cert", "ssl_verify_identity", "ssl_verify_server_cert")
# The last is Prisma's name for it. `ssl_cert` and `ssl-cert` are a client's own certificate elsewhere.
_FILES = ("ssl_ca", "sslca", "sslrootcert", "sslcert")

_TELLABLE = re.compile(r"[\w-]{1,40}", re.ASCII)


def context(query: Iterable[tuple[str, str]], *, by_socket: bool = False) -> ssl.SSLContext | None:
    """None for no encryption. Raises ValueError with a sentence that tells names of parameters alone.

    By a socket nothing leaves the machine: Prisma's `sslaccept`, which says how certificates are judged, asks for none.
    """
    asked: list[str] = []
    files: list[str] = []
    seen: set[str] = set()
    for given, value in query:
        name = given.lower().replace("-", "_")
        if "ssl" not in name and "tls" not in name and name not in _CHECKS:
            continue
        named = given if _TELLABLE.fullmatch(given) else "a parameter for TLS"
        if name in seen:
            raise ValueError(f"DATABASE_URL has {named} twice.")
        seen.add(name)
        if not value.strip():
            raise ValueError(f"DATABASE_URL has {named} without a value.")
        if name in _FILES:
            files.append(value)
        else:
            demands = _demands(name, named, value.strip())
            asked.extend(demand for demand in demands if not (by_socket and name == "sslaccept"))
    return _context(set(asked), files)


def _demands(name: str, named: str, value: str) -> Iterator[str]:
    if name == "ssl" and value.startswith("{"):
        yield from _object(value)
        return
    word = value.lower().replace("_", "-")
    if (name in _CHECKS and _WORDS.get(word) == _OFF) or (name in _MODES and word in _UNCHECKED):
        raise ValueError(
            f"DATABASE_URL asks by {named} for a connection whose server nobody checks; "
            "use ssl=true, or ssl=false for none at all."
        )
    if name not in (*_MODES, *_CHECKS) or word not in _WORDS:
        raise ValueError(
            f"DATABASE_URL has {named} with a meaning that is not understood; use ssl=true, or leave it out."
        )
    yield _WORDS[word]


def _object(value: str) -> Iterator[str]:
    """As mysql2, and what is built on it, takes its options."""
    try:
        options: Any = json.loads(value)
    except ValueError:
        raise ValueError("DATABASE_URL has ssl={…} that is no JSON.") from None
    for name, wanted in options.items():
        if name not in ("rejectUnauthorized", "verifyIdentity"):
            raise ValueError(
                "DATABASE_URL has ssl={…} with more than rejectUnauthorized; name a CA's file with sslcert=…."
            )
        if wanted is not True:
            raise ValueError(f"DATABASE_URL asks by {name} for a connection whose server nobody checks; use ssl=true.")
    yield _ON


def _context(asked: set[str], files: list[str]) -> ssl.SSLContext | None:
    if len(files) > 1:
        raise ValueError("DATABASE_URL names more than one CA's file.")
    if not asked and not files:
        return None
    if (_OFF in asked and (len(asked) > 1 or files)) or {_AUTHORITY, _NAME} <= asked:
        raise ValueError("DATABASE_URL contradicts itself about TLS; say it once, with ssl=true or ssl=false.")
    if _OFF in asked:
        return None
    try:
        made = ssl.create_default_context(cafile=files[0] if files else None)
    except OSError as error:
        why = "is no certificate in PEM form" if isinstance(error, ssl.SSLError) else (error.strerror or "").lower()
        raise ValueError(f"DATABASE_URL names a CA's file that cannot be read: {why}.") from None
    made.check_hostname = _AUTHORITY not in asked
    return made
