"""What was made of something once, kept to be given again."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from hashlib import blake2b
from typing import NamedTuple

_OVERHEAD = 400  # bytes, of an entry beside what it holds


class Piece(NamedTuple):
    """Bytes, and a digest of them, or of what counts of them."""

    made: bytes
    digest: bytes

    @classmethod
    def of(cls, made: bytes) -> "Piece":
        return cls(made, blake2b(made, digest_size=16).digest())


class Rendered:
    """The pieces that were asked for last, in `most` bytes, with the keys they are found by."""

    def __init__(self, most: int) -> None:
        self._left = most
        self._pieces: OrderedDict[Hashable, tuple[Piece, int]] = OrderedDict()

    def of(self, key: Hashable, size: int, make: Callable[[], bytes]) -> Piece:
        """The piece of that key, which has `size` bytes itself, made if it is not there."""
        known = self._pieces.get(key)
        if known is not None:
            self._pieces.move_to_end(key)
            return known[0]
        piece = Piece.of(make())
        room = _OVERHEAD + size + len(piece.made)
        self._pieces[key] = piece, room
        self._left -= room
        while self._left < 0:
            _, (_, freed) = self._pieces.popitem(last=False)
            self._left += freed
        return piece
