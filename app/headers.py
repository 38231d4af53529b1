"""Which headers of a webhook are kept with it: none that may hold a secret. Pure."""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

# By the words of a name. Rather one too many: these headers are kept to be looked at, and nothing reads them.
_NAMES = re.compile(
    r"secret|token|signature|cookie|passw|passphrase|passcode|credential|session|jwt|oidc|saml|assertion|bearer|hmac"
    r"|auth(?!or(?!i[sz]))"  # not: author, authority
    r"|principal|private|csrf|xsrf|nonce"
    r"|key(?![a-z])"
    r"|(?<![a-z])(sig|sign|pwd|pass|otp|pin|ticket|sid|sas|mac|cert)(?![a-z])"
)
_HARMLESS = {"idempotency-key"}

# Under whatever name: a scheme of HTTP with what it takes, the beginning of a JSON Web Token, a secret that signs, a
# password in an address.
_VALUES = re.compile(
    r"\s*(?:bearer|basic|digest|negotiate|hmac)\s|.*(?:\bey[JK][\w-]{8,}\.|\bwhsec_|://[^/\s]*:[^/\s]*@)",
    re.IGNORECASE | re.DOTALL,
)
# One of these is in every value that the above matches; found in a hundredth of the time.
_MARKS = ("eyj", "eyk", "whsec_", "@", "bearer", "basic", "digest", "negotiate", "hmac")

# A shorter secret is found as the whole value only: as a part it may be anything.
_PART_MIN = 6


def kept(headers: Iterable[tuple[str, str]], secrets: Sequence[str]) -> dict[str, str]:
    """By names in lower case, without those that may hold a secret, or do hold one of `secrets`."""
    found = {name: value for given, value in headers if not _tells_of_secret(name := given.lower())}
    together = "\n".join(found.values())
    lower = together.lower()
    # Nearly always there is nothing to look for in each of them.
    if any(mark in lower for mark in _MARKS) or any(secret in together for secret in secrets):
        return {name: value for name, value in found.items() if not _is_secret(value, secrets)}
    return found


@lru_cache(maxsize=1024)
def _tells_of_secret(name: str) -> bool:
    """Senders use the same names each time, and the search takes longer than all else here."""
    return name not in _HARMLESS and _NAMES.search(name) is not None


def _is_secret(value: str, secrets: Sequence[str]) -> bool:
    return _VALUES.match(value) is not None or any(
        secret in value and (len(secret) >= _PART_MIN or secret == value.strip()) for secret in secrets
    )
