"""Which headers of a webhook are kept with it: none that may hold a secret. Pure."""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import orjson

from app.redaction import holds_secret, may_hold_secret

# By the words of a name. Rather one too many: these headers are kept to be looked at, and nothing reads them.
_NAMES = re.compile(
    r"secret|token|signature|cookie|passw|passphrase|passcode|credential|session|jwt|oidc|saml|assertion|bearer|hmac"
    r"|auth(?!or(?!i[sz]))"  # not: author, authority
    r"|principal|private|csrf|xsrf|nonce"
    r"|(?<!mon)key(s|id|string)?(?![a-z])"
    r"|(?<![a-z])(sig|sign|pwd|pw|pass|otp|pin|ticket|sid|sess|sas|mac|cert|tok|sk)(?![a-z])"
    r"|sec-websocket-protocol"  # where browsers' clients put a token, having no other place
)
_HARMLESS = {"idempotency-key"}

# A scheme of HTTP with what it takes: nothing else begins so.
_SCHEME = re.compile(r"\s*(?:bearer|basic|digest|negotiate|hmac)\s", re.IGNORECASE)

# Characters of all values that are looked through, and kept: a search takes its time, and nobody else is served then.
_TOGETHER_MAX = 16 * 1024

# A shorter secret is found as the whole value only: as a part it may be anything.
_PART_MIN = 6

# As aiohttp reads them.
_READ = ("utf-8", "surrogateescape")

# What is known of headers that came before: of so many, none longer than so many bytes.
_KNOWN_MAX, _KNOWN_BYTES = 64, 4096
_known: dict[tuple[tuple[tuple[bytes, bytes], ...], tuple[str, ...]], bytes] = {}


def kept_json(raw: tuple[tuple[bytes, bytes], ...], secrets: tuple[str, ...]) -> bytes:
    """`kept` as JSON, of headers as they came. Most senders' are the same each time: looked through once."""
    found = _known.get((raw, secrets))
    if found is None:
        found = _json(kept([(name.decode(*_READ), value.decode(*_READ)) for name, value in raw], secrets))
        if sum(len(name) + len(value) for name, value in raw) <= _KNOWN_BYTES:
            if len(_known) == _KNOWN_MAX:
                _known.clear()
            _known[raw, secrets] = found
    return found


def _json(found: dict[str, str]) -> bytes:
    try:
        return orjson.dumps(found)
    except orjson.JSONEncodeError:
        # A header holds bytes that are no UTF-8.
        return orjson.dumps({name: value.encode("utf-8", "replace").decode() for name, value in found.items()})


def kept(headers: Iterable[tuple[str, str]], secrets: Sequence[str]) -> dict[str, str]:
    """By names in lower case, without those that may hold a secret, or do hold one of `secrets`, and those that are too
    much."""
    found: dict[str, str] = {}
    room = _TOGETHER_MAX
    for given, value in headers:
        name = _named(given)
        if name and len(value) <= room:
            found[name] = value
            room -= len(value)
    together = "\n".join(found.values())
    lower = together.lower()
    # Nearly always there is nothing to look for in each of them.
    if may_hold_secret(lower) or any(secret in together for secret in secrets):
        return {name: value for name, value in found.items() if not _is_secret(value, secrets)}
    return found


@lru_cache(maxsize=1024)
def _named(given: str) -> str:
    """The name in lower case, empty where it tells of a secret. Senders use the same names each time, and the search
    takes longer than all else here."""
    name = given.lower()
    return name if name in _HARMLESS or not _NAMES.search(name) else ""


def _is_secret(value: str, secrets: Sequence[str]) -> bool:
    return (
        _SCHEME.match(value) is not None
        or holds_secret(value)
        or any(secret in value and (len(secret) >= _PART_MIN or secret == value.strip()) for secret in secrets)
    )
