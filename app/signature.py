"""Who may post a webhook. Pure."""

import hmac


def secret_matches(given: str | None, secrets: tuple[str, ...]) -> bool:
    """Whether `given` is one of the secrets, in a time that does not tell which or how much of it.

    Compared as the bytes that came: a header may hold anything.
    """
    if given is None:
        return False
    sent = given.encode("utf-8", "surrogateescape")
    matches = [hmac.compare_digest(sent, secret.encode()) for secret in secrets]
    return any(matches)
