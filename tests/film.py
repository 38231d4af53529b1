"""A long film, made of the video of the simulated generator."""

import struct

from app.simulator.films import STATIC, box, boxes

SECONDS = 8  # of one scene: the whole of that video
GAP = 24 * 1024 * 1024
_PICTURES = 192  # of one scene; the first alone can be shown without those before

_HOLDERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts")
_DURATIONS = {b"mvhd": 16, b"tkhd": 20, b"mdhd": 16, b"elst": 8}  # where they stand


def film(scenes: int) -> bytes:
    """An mp4 of so many times that video, 190 kB each: first what says where each picture lies, then the scenes, with
    `GAP` bytes of nothing before the last one."""
    parts = dict(boxes((STATIC / "simulated.mp4").read_bytes()))
    scene, gap = box(b"mdat", parts[b"mdat"]), box(b"free", bytes(GAP - 8))
    start = box(b"ftyp", parts[b"ftyp"])
    # Its size does not depend on the places that it names.
    first = len(start) + len(_index(parts[b"moov"], [0] * scenes)) + 8
    places = [first + number * len(scene) for number in range(scenes)]
    places[-1] += GAP
    return start + _index(parts[b"moov"], places) + scene * (scenes - 1) + gap + scene


def _index(content: bytes, places: list[int], kind: bytes = b"moov") -> bytes:
    """The box that says what there is, for as many scenes as there are places in the file."""
    if kind in _HOLDERS:
        content = b"".join(_index(inner, places, name) for name, inner in boxes(content))
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
    return box(kind, content)
