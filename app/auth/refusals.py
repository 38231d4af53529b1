"""Why tokens are refused, told in the log: by a few fixed words, and not by every stranger who asks."""

import time

import structlog

log = structlog.get_logger(__name__)

_EVERY = 60.0


class Refusals:
    """Each reason is told at once, and then once a minute with how many there were since."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, str], tuple[float, int]] = {}

    def tell(self, carrier: str, reason: str) -> None:
        """`carrier` is what held the token: bearer, cookie or ticket. `reason` is never of a stranger's making."""
        now = time.monotonic()
        told_at, more = self._told.get((carrier, reason), (float("-inf"), 0))
        if now - told_at < _EVERY:
            self._told[carrier, reason] = told_at, more + 1
            return
        self._told[carrier, reason] = now, 0
        log.info("token_refused", carrier=carrier, reason=reason, more_since_last_told=more)
