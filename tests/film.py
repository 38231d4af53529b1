"""A long film, made of the video of the simulated generator."""

import struct
from collections.abc import Iterator

from app.routes.pages import STATIC

SECONDS = 8  # of one scene: the whole of that video
GAP = 24 * 1024 * 1024
_PICTURES = 192  # of one scene; the first alone can be shown without those before

_HOLDERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts")
_DURATIONS = {b"mvhd": 16, b"tkhd": 20, b"mdhd": 16, b"elst": 8}  # where they stand


def film(scenes: int) -> bytes:
    """An mp4 of so many times that video, 190 kB each: first what says where each picture lies, then the scenes, with
    `GAP` bytes of nothing before the last one."""
    boxes = dict(_boxes((STATIC / "simulated.mp4").read_bytes()))
    scene, gap = _box(b"mdat", boxes[b"mdat"]), _box(b"free", bytes(GAP - 8))
    start = _box(b"ftyp", boxes[b"ftyp"])
    # Its size does not depend on the places that it names.
    first = len(start) + len(_index(boxes[b"moov"], [0] * scenes)) + 8
    places = [first + number * len(scene) for number in range(scenes)]
    places[-1] += GAP
    return start + _index(boxes[b"moov"], places) + scene * (scenes - 1) + gap + scene


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], data[at + 8 : at + size]
        at += size


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content) + 8) + kind + content


def _index(content: bytes, places: list[int], kind: bytes = b"moov") -> bytes:
    """The box that says what there is, for as many scenes as there are places in the file."""
    if kind in _HOLDERS:
        content = b"".join(_index(inner, places, name) for name, inner in _boxes(content))
    elif at := _DURATIONS.get(kind):
        (duration,) = struct.unpack_from(">I", content, at)
        content = content[:at] + struct.pack(">I", duration * len(places)) + content[at + 4 :]
    elif kind in (b"stts", b"ctts", b"stsz"):
        at = 8 if kind == b"stsz" else 4  # sizes have one for all of them before their number
        (count,) = struct.unpack_from(">I", content, at)
        content = content[:at] + struct.pack(">I", count * len(places)) + content[at + 4 :] * len(places)
    elif kind == b"stco":
        content = content[:4] + struct.pack(f">{len(places) + 1}I", len(places), *places)
    elif kind == b"stss":
        firsts = [1 + number * _PICTURES for number in range(len(places))]
        content = content[:4] + struct.pack(f">{len(places) + 1}I", len(places), *firsts)
    return _box(kind, content)
