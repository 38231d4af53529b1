"""Which headers of a webhook are kept with it: none that may hold a secret. Pure."""

import re
from collections.abc import Iterable, Sequence

# By the words of a name. Rather one too many: these headers are kept to be looked at, and nothing reads them.
_NAMES = re.compile(
    r"secret|token|signature|cookie|passw|passphrase|passcode|credential|session|jwt|oidc|saml|assertion|bearer|hmac"
    r"|auth(?!or(?!i[sz]))"  # not: author, authority
    r"|principal|private|csrf|xsrf|nonce"
    r"|key(?![a-z])"
    r"|(?<![a-z])(sig|sign|pwd|pass|otp|pin|ticket|sid|sas|mac|cert)(?![a-z])",
    re.IGNORECASE,
)
_HARMLESS = {"idempotency-key"}

# Under whatever name: a scheme of HTTP with what it takes, the beginning of a JSON Web Token, one of our own secrets, a
# password in an address.
_VALUES = re.compile(
    r"\s*(bearer|basic|digest|negotiate|hmac)\s|\bey[JK][\w-]{8,}\.|\bwhsec_|://[^/\s]*:[^/\s]*@", re.IGNORECASE
)

# A shorter secret is found as the whole value only: as a part it may be anything.
_PART_MIN = 6


def kept(headers: Iterable[tuple[str, str]], secrets: Sequence[str]) -> dict[str, str]:
    """By names in lower case, without those that may hold a secret, or do hold one of `secrets`."""
    return {
        name: value
        for given, value in headers
        if (name := given.lower()) in _HARMLESS or not _NAMES.search(name)
        if not _VALUES.search(value) and not any(_holds(value, secret) for secret in secrets)
    }


def _holds(value: str, secret: str) -> bool:
    return value.strip() == secret or (len(secret) >= _PART_MIN and secret in value)
