"""What was made of something once, kept to be given again."""

from collections import OrderedDict
from collections.abc import Hashable
from hashlib import blake2b
from typing import Generic, NamedTuple, TypeVar

_OVERHEAD = 400  # bytes, of an entry beside what it holds

V = TypeVar("V")


class Piece(NamedTuple):
    """Bytes, and a digest of them, or of what counts of them."""

    made: bytes
    digest: bytes

    @classmethod
    def of(cls, made: bytes) -> "Piece":
        return cls(made, blake2b(made, digest_size=16).digest())


class Kept(Generic[V]):
    """What was asked for last, in `most` bytes, with the keys it is found by."""

    def __init__(self, most: int) -> None:
        self._most = self._left = most
        self._entries: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()

    def find(self, key: Hashable) -> V | None:
        known = self._entries.get(key)
        if known is None:
            return None
        self._entries.move_to_end(key)
        return known[0]

    def keep(self, key: Hashable, value: V, size: int) -> None:
        """In place of what that key has, unless it takes more than all may. Key and value have `size` bytes."""
        _, freed = self._entries.pop(key, (None, 0))
        self._left += freed
        room = _OVERHEAD + size
        if room > self._most:
            return
        self._entries[key] = value, room
        self._left -= room
        while self._left < 0:
            _, (_, freed) = self._entries.popitem(last=False)
            self._left += freed
