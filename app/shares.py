"""What many share, and nobody may have too much of: bytes, orders under way. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class NoShareError(Exception):
    """There is nothing left: of one's own share, or, if `whole`, of all."""

    def __init__(self, *, whole: bool) -> None:
        super().__init__()
        self.whole = whole


class Shares:
    """`whole` of something; of it each may hold `each`."""

    def __init__(self, whole: int, each: int) -> None:
        self._whole = whole
        self._each = each
        self._held: defaultdict[str, int] = defaultdict(int)
        self._total = 0

    @contextmanager
    def holding(self, who: str) -> Iterator[Callable[[int], None]]:
        """Gives what takes so much more of it for `who`, until the end; that raises NoShareError."""
        mine = 0

        def take(amount: int) -> None:
            nonlocal mine
            if self._held[who] + amount > self._each:
                raise NoShareError(whole=False)
            if self._total + amount > self._whole:
                raise NoShareError(whole=True)
            self._held[who] += amount
            self._total += amount
            mine += amount

        try:
            yield take
        finally:
            self._total -= mine
            self._held[who] -= mine
            if not self._held[who]:
                del self._held[who]
