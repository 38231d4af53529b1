"""The videos of the simulated backend: mp4 files of any length, put together from scenes of one second each.

Each format has a film of eight seconds that loops, `static/simulated*.mp4`; each of its seconds can be shown without
those before. A film is one of those scenes for each of its seconds; each take begins with another one. It is never
whole in memory: its head is made for it, the scenes are those that all films share.
"""

import re
import struct
from collections.abc import Iterator
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

STATIC = Path(__file__).resolve().parents[2] / "static"

FORMATS = {"16:9": "simulated", "9:16": "simulated-9x16", "1:1": "simulated-1x1"}
USUAL = "16:9"
TAKES_MAX, SECONDS_MAX = 8, 600

_RATE = 24  # pictures a second, of all scenes
_TICKS = 100  # of the film's clock, for each picture
_NAME = re.compile(r"(\d+)x(\d+)-([1-9]\d{0,2})s-([1-8])\.mp4")
# No turn, no scaling: as fixed-point numbers.
_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


class Film(NamedTuple):
    """`head` comes first, then the scenes; `size` is that of all, in bytes."""

    head: bytes
    scenes: tuple[bytes, ...]
    size: int
    width: int
    height: int

    def part(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from `start` until before `stop`, a scene at a time."""
        at = 0
        for piece in (self.head, *self.scenes):
            if at >= stop:
                return
            if at + len(piece) > start:
                yield piece[max(0, start - at) : stop - at]
            at += len(piece)


class _Second(NamedTuple):
    data: bytes
    sizes: tuple[int, ...]


class _Source(NamedTuple):
    kind: bytes  # the box ftyp
    coding: bytes  # the box stsd
    width: int
    height: int
    seconds: tuple[_Second, ...]


def name_of(ratio: str, seconds: int, take: int) -> str:
    """Under which a film is asked for; `take` counts from 1."""
    return f"{ratio.replace(':', 'x')}-{seconds}s-{take}.mp4"


def named(name: str) -> Film | None:
    """The film of that name, None if there is none."""
    found = _NAME.fullmatch(name)
    if found is None or f"{found[1]}:{found[2]}" not in FORMATS or int(found[3]) > SECONDS_MAX:
        return None
    return film(f"{found[1]}:{found[2]}", int(found[3]), int(found[4]))


@lru_cache(maxsize=64)
def film(ratio: str, seconds: int, take: int) -> Film:
    """The film of one of `FORMATS`, so many seconds long."""
    source = _source(ratio)
    scenes = [source.seconds[(take - 1 + number) % len(source.seconds)] for number in range(seconds)]
    head = _head(source, scenes)
    size = len(head) + sum(len(scene.data) for scene in scenes)
    return Film(head, tuple([scene.data for scene in scenes]), size, source.width, source.height)


@lru_cache
def _source(ratio: str) -> _Source:
    parts = dict(boxes((STATIC / f"{FORMATS[ratio]}.mp4").read_bytes()))
    track = _inside(parts[b"moov"], b"trak")
    width, height = struct.unpack_from(">II", _inside(track, b"tkhd"), 76)
    table = _inside(_inside(_inside(track, b"mdia"), b"minf"), b"stbl")
    sizes = struct.unpack_from(f">{_RATE * TAKES_MAX}I", _inside(table, b"stsz"), 12)
    seconds, at = [], 0
    for first in range(0, len(sizes), _RATE):
        of_second = sizes[first : first + _RATE]
        seconds.append(_Second(parts[b"mdat"][at : at + sum(of_second)], of_second))
        at += sum(of_second)
    return _Source(
        box(b"ftyp", parts[b"ftyp"]), box(b"stsd", _inside(table, b"stsd")), width >> 16, height >> 16, tuple(seconds)
    )


def _inside(content: bytes, kind: bytes) -> bytes:
    return dict(boxes(content))[kind]


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """What an mp4 file is made of, or a box that holds others: (kind, content) of each."""
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], data[at + 8 : at + size]
        at += size


def box(kind: bytes, *content: bytes) -> bytes:
    """The bytes of one."""
    inside = b"".join(content)
    return struct.pack(">I", len(inside) + 8) + kind + inside


def _numbers(*numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}I", *numbers)


def _head(source: _Source, scenes: list[_Second]) -> bytes:
    """All that comes before the scenes: what there is, and where each lies."""
    lengths = [len(scene.data) for scene in scenes]
    # Its size does not depend on the places that it names.
    first = len(source.kind) + len(_index(source, scenes, [0] * len(scenes))) + 8
    places = list(accumulate(lengths[:-1], initial=first))
    return source.kind + _index(source, scenes, places) + _numbers(sum(lengths) + 8) + b"mdat"


def _index(source: _Source, scenes: list[_Second], places: list[int]) -> bytes:
    clock, ticks = _RATE * _TICKS, len(scenes) * _RATE * _TICKS
    sizes = [size for scene in scenes for size in scene.sizes]
    table = box(
        b"stbl",
        source.coding,
        box(b"stts", _numbers(0, 1, len(sizes), _TICKS)),
        box(b"stss", _numbers(0, len(scenes), *range(1, len(sizes) + 1, _RATE))),
        box(b"stsc", _numbers(0, 1, 1, _RATE, 1)),
        box(b"stsz", _numbers(0, 0, len(sizes), *sizes)),
        box(b"stco", _numbers(0, len(places), *places)),
    )
    place_of_data = box(b"dinf", box(b"dref", _numbers(0, 1), box(b"url ", _numbers(1))))
    media = box(
        b"mdia",
        box(b"mdhd", _numbers(0, 0, 0, clock, ticks, 0x55C40000)),  # in no language
        box(b"hdlr", _numbers(0, 0), b"vide", bytes(13)),
        box(b"minf", box(b"vmhd", _numbers(1, 0, 0)), place_of_data, table),
    )
    size = _numbers(source.width << 16, source.height << 16)
    track = box(b"tkhd", _numbers(3, 0, 0, 1, 0, ticks), bytes(16), _MATRIX, size)
    whole = box(b"mvhd", _numbers(0, 0, 0, clock, ticks, 0x10000, 0, 0, 0), _MATRIX, bytes(24), _numbers(2))
    return box(b"moov", whole, box(b"trak", track, media))
