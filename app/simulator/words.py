"""What a prompt may ask of the simulated backend: words in square brackets, as `[fail:quota]`. Pure."""

import re
from dataclasses import dataclass
from typing import Any, Literal

from app.simulator.reasons import REASONS

Version = Literal["v1", "v2", "v3"]

LATE, LATE_MAX = 10.0, 3600.0

WORDS = {
    "[fail]": "the generation fails, and no reason is given",
    "[fail:KIND]": "it fails with a reason of that kind",
    "[refuse:KIND]": "the order itself is refused; [refuse] alone is of the kind transient",
    "[partial:N]": "N videos fewer come than were asked for, the others being filtered; [partial] alone is 1",
    "[empty]": "it completes without any video",
    "[stall]": "nothing is said after `generating`",
    "[forget]": "nor is anything known of the job when asked for",
    "[lost]": "how it ended is not sent, and told only when asked for",
    "[late:SECONDS]": f"how it ended is sent so much later; [late] alone is {LATE:g}",
    "[twice]": "every webhook is sent twice",
    "[shuffle]": "the webhooks are held until the end, and sent in the wrong order, the last one first",
    "[v1] [v2] [v3]": "the version of the payload",
}
"""What each does, as help and documents tell it. KIND is one of `REASONS`."""

_WORD = re.compile(r"\[(fail|refuse|partial|empty|stall|forget|lost|late|twice|shuffle|v[123])(?::([^\]]*))?\]")


class WordError(Exception):
    """A word has a value that it cannot have; the message is a sentence."""


@dataclass(frozen=True)
class Script:
    """How the backend behaves for one job: `late` is in seconds, `missing` in videos, `fail` and `refuse` are names of
    `REASONS`; `fail` is empty where no reason is given."""

    fail: str | None = None
    refuse: str | None = None
    missing: int = 0
    empty: bool = False
    stall: bool = False
    forget: bool = False
    lost: bool = False
    late: float = 0.0
    twice: bool = False
    shuffle: bool = False
    version: Version = "v1"


def read(prompt: str) -> Script:
    """The script that a prompt asks for; of two that contradict each other, the later word. A prompt that just says
    fail, without brackets, fails too. Raises WordError."""
    asked: dict[str, Any] = {"fail": ""} if "fail" in _WORD.sub("", prompt).lower() else {}
    for word, value in _WORD.findall(prompt):
        asked |= _of(word, value.strip())
    return Script(**asked)


def check(words: str) -> None:
    """Raises WordError for a text that is not words alone."""
    read(words)
    if other := _WORD.sub("", words).strip():
        raise WordError(f"{other} is no word in square brackets.")


def _of(word: str, value: str) -> dict[str, Any]:
    match word:
        case "fail":
            return {"fail": _reason(word, value) if value else ""}
        case "refuse":
            return {"refuse": _reason(word, value) if value else "transient"}
        case "partial":
            return {"missing": int(_number(word, value, 1, 8)) if value else 1}
        case "late":
            return {"late": _number(word, value, 0, LATE_MAX) if value else LATE}
        case _ if value:
            raise WordError(f"[{word}:{value}] has a value, and [{word}] takes none.")
        case "v1" | "v2" | "v3":
            return {"version": word}
    return {word: True}


def _reason(word: str, value: str) -> str:
    if value not in REASONS:
        raise WordError(f"[{word}:{value}] names no kind of failure; there are {', '.join(REASONS)}.")
    return value


def _number(word: str, value: str, least: float, most: float) -> float:
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not least <= number <= most:
        raise WordError(f"[{word}:{value}] has no number from {least:g} to {most:g}.")
    return number
