"""Sketches of times: how often each was taken, in bins of which none is further than 2 % from any of its values. Pure.

The bins are DDSketch's: bin i has the values v with γ^(i-1) < v <= γ^i, and stands for 2γ^i / (γ + 1). Sketches are
merged by adding bin to bin: that of a day is made of those of its quarters of an hour, and is the same as if all values
had been put into one. A sketch is one integer, of which each bin has so many bits: to merge two is one addition.
"""

import math
import struct
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import accumulate

ALPHA = 0.02
"""How far a quantile may be from the value that has this rank, of that value."""

_GAMMA = (1 + ALPHA) / (1 - ALPHA)
_LN_GAMMA = math.log(_GAMMA)

LONGEST = 365 * 24 * 3600 * 1_000_000
"""Microseconds; what took longer counts as this."""

NO_TIME = -1
"""The bin of what took less than a microsecond, or less than nothing: a clock was set back."""

# Which bin, of an expression that is a whole number of microseconds.
_BIN_SQL = "IF({us} < 1, -1, CEIL(LN({us}) / {ln_gamma!r}e0))"

# Microseconds of all values together, how many there are, how many of them in NO_TIME, the first bin; then the bins.
_HEAD = struct.Struct("<QQQH")
_SUM_MAX = 2**64 - 1
_NARROW, _WIDE = 4, 8  # bytes of a bin
_NARROW_MAX = 2**32


def bin_sql(us: str) -> str:
    """The bin of so many microseconds, in SQL."""
    return _BIN_SQL.format(us=us, ln_gamma=_LN_GAMMA)


class Sketch:
    """`count` values of `total` microseconds together, of which `none` took no time; the others are in `bins`, each of
    which has `width` bytes."""

    __slots__ = ("bins", "count", "none", "total", "width")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0
        self.none = 0
        self.bins = 0
        self.width = _NARROW

    @classmethod
    def of(cls, bins: Mapping[int, int], total: int) -> "Sketch":
        """From how many values each bin has, and their sum in microseconds."""
        made = cls()
        made.total = total
        made.count = sum(bins.values())
        made.none = bins.get(NO_TIME, 0)
        made.width = _NARROW if made.count < _NARROW_MAX else _WIDE
        for place, number in bins.items():
            if place != NO_TIME:
                made.bins |= number << 8 * made.width * place
        return made

    @classmethod
    def of_values(cls, values: Iterable[int]) -> "Sketch":
        """From whole numbers of microseconds."""
        bounded = [min(us, LONGEST) for us in values]
        bins = Counter(NO_TIME if us < 1 else math.ceil(math.log(us) / _LN_GAMMA) for us in bounded)
        return cls.of(bins, sum(max(us, 0) for us in bounded))

    @classmethod
    def unpack(cls, packed: bytes) -> "Sketch":
        """What `pack` gave; an empty one of no bytes."""
        made = cls()
        if packed:
            made.total, made.count, made.none, first = _HEAD.unpack_from(packed)
            made.width = _NARROW if made.count < _NARROW_MAX else _WIDE
            made.bins = int.from_bytes(packed[_HEAD.size :], "little") << 8 * made.width * first
        return made

    def take(self, packed: bytes) -> None:
        """Takes in the values of one that is packed; as `add`, for very many."""
        if not packed:
            return
        total, count, none, first = _HEAD.unpack_from(packed)
        if self.count + count >= _NARROW_MAX or self.width == _WIDE:
            self.add(Sketch.unpack(packed))
            return
        self.bins += int.from_bytes(packed[_HEAD.size :], "little") << 8 * _NARROW * first
        self.none += none
        self.count += count
        self.total += total

    def pack(self) -> bytes:
        """In as few bytes as it takes; none where there is no value."""
        if not self.count:
            return b""
        first, numbers = self._numbers()
        head = _HEAD.pack(min(self.total, _SUM_MAX), self.count, self.none, first)
        return head + struct.pack(f"<{len(numbers)}{_LETTERS[self.width]}", *numbers)

    def add(self, other: "Sketch") -> None:
        """Takes the values of the other one in."""
        theirs = other.bins
        if self.count + other.count >= _NARROW_MAX or other.width == _WIDE:
            self.bins, theirs = self.wide(), other.wide()
            self.width = _WIDE
        elif self.width == _WIDE:
            theirs = other.wide()
        self.bins += theirs
        self.none += other.none
        self.count += other.count
        self.total += other.total

    def quantiles(self, *shares: float) -> list[float]:
        """In microseconds, what so large a share of the values is at most: within `ALPHA` of the value of that rank.
        Of no value there is none."""
        if not self.count:
            return []
        first, numbers = self._numbers()
        up_to = [*accumulate(numbers, initial=self.none)]
        ranks = [bisect_right(up_to, share * (self.count - 1)) for share in shares]
        return [2 * _GAMMA ** (first + rank - 1) / (_GAMMA + 1) if rank else 0.0 for rank in ranks]

    @property
    def mean(self) -> float | None:
        """In microseconds."""
        return self.total / self.count if self.count else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sketch) and self.pack() == other.pack()

    __hash__ = None  # type: ignore[assignment]  # it changes

    def _numbers(self) -> tuple[int, tuple[int, ...]]:
        """(the first bin that has a value, how many each has from there on)"""
        bits = 8 * self.width
        first = ((self.bins & -self.bins).bit_length() - 1) // bits if self.bins else 0
        rest = self.bins >> bits * first
        size = -(-rest.bit_length() // bits)
        return first, struct.unpack(f"<{size}{_LETTERS[self.width]}", rest.to_bytes(size * self.width, "little"))

    def wide(self) -> int:
        """Its bins, each with room for all values that there can be."""
        if self.width == _WIDE:
            return self.bins
        first, numbers = self._numbers()
        return int.from_bytes(struct.pack(f"<{len(numbers)}Q", *numbers), "little") << 8 * _WIDE * first


_LETTERS = {_NARROW: "I", _WIDE: "Q"}
