"""What kind of image some bytes are, by how they begin. Pure."""

from typing import NamedTuple


class ImageKind(NamedTuple):
    """`media_type` and the ending of a file's name, with its dot."""

    media_type: str
    ending: str


UNKNOWN = ImageKind("application/octet-stream", "")
PNG, JPEG, GIF, WEBP = (
    ImageKind("image/png", ".png"), ImageKind("image/jpeg", ".jpg"), ImageKind("image/gif", ".gif"),
    ImageKind("image/webp", ".webp"),
)  # fmt: skip

_BEGINNINGS = {b"\x89PNG\r\n\x1a\n": PNG, b"\xff\xd8\xff": JPEG, b"GIF87a": GIF, b"GIF89a": GIF}


def kind_of(image: bytes) -> ImageKind:
    """Never what a browser might run: of pixels alone, or unknown."""
    if image[:4] == b"RIFF" and image[8:12] == b"WEBP":
        return WEBP
    return next((kind for beginning, kind in _BEGINNINGS.items() if image.startswith(beginning)), UNKNOWN)
