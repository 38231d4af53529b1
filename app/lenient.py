"""JSON as senders really write it. Pure.

Python's `json.dumps` writes NaN and Infinity, and half an emoji where a text was cut in the middle of one. Neither is
JSON, and neither is a reason to lose what stands beside it.
"""

import json
import math
from typing import Any

import orjson

# The fields that hold words for people, here and in the backend's answers.
_DESCRIBING = frozenset({"error", "message", "prompt", "metadata", "generation_metadata"})


def read(body: bytes) -> Any:
    """The value that a body stands for. Raises orjson.JSONDecodeError.

    NaN, Infinity and numbers beyond them are null; longer integers than 64 bits are floats. Where text is not Unicode,
    it has U+FFFD in fields that hold words, and lone surrogates elsewhere: there it may name something.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        try:
            text = body.decode("utf-8-sig", "surrogateescape")
            document = json.loads(
                text, strict=False, parse_int=_integer, parse_float=_real, parse_constant=lambda _name: None
            )
            return _with_whole_words(document)
        except (ValueError, RecursionError):
            raise error from None


def has_more_values(body: bytes, most: int) -> bool:
    """Whether a body has clearly more than `most` values, found without reading it: what is read is walked, and a
    megabyte of `{},{},` is 300,000 steps that hold up everybody.

    Counted are the brackets and commas outside of texts: as many as there are values, up to twice as many with each
    an object or a list.
    """
    if len(body) <= most or _values(body) <= most:
        return False
    outside = body.replace(rb"\\", b"").replace(rb"\"", b"")
    # So many texts have so many commas between them, and need not be taken apart.
    return outside.count(b'"') > 4 * (most + 1) or _values(b"".join(outside.split(b'"')[::2])) > most


def _values(text: bytes) -> int:
    return text.count(b",") + text.count(b"{") + text.count(b"[")


def whole(value: Any) -> Any:
    """The same with U+FFFD for what is no character, in keys too."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [whole(item) for item in value]
    if isinstance(value, dict):
        return {whole(name): whole(item) for name, item in value.items()}
    return value


def _with_whole_words(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_whole_words(item) for item in value]
    if isinstance(value, dict):
        return {name: whole(item) if name in _DESCRIBING else _with_whole_words(item) for name, item in value.items()}
    return value


def _real(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _integer(digits: str) -> int | float | None:
    """As orjson has them: what it reads can be written by it."""
    if len(digits) < 20 and -(2**63) <= (number := int(digits)) < 2**64:  # noqa: PLR2004 - 2**64 has 20 digits
        return number
    return _real(digits)
