"""How long to wait before another try: longer each time, and not all at once."""

import random


def backoff(failures: int, first: float, longest: float, *, jitter: float = 0.0) -> float:
    """Seconds to wait after so many failures in a row: `first` after one, twice as long after each further one, and
    never longer than `longest`; then spread by `jitter`, so that 0.25 makes 10 s anything from 7.5 to 12.5."""
    return jittered(min(first * 2.0 ** min(max(failures - 1, 0), 30), longest), jitter)


def jittered(seconds: float, jitter: float) -> float:
    """Those who began together do not come again together."""
    return seconds * random.uniform(1 - jitter, 1 + jitter)  # noqa: S311 - guards nothing
