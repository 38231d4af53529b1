"""What a pattern finds in a text where it must find something."""

import re
from typing import AnyStr


def found(pattern: AnyStr, text: AnyStr, flags: int = 0) -> re.Match[AnyStr]:
    match = re.search(pattern, text, flags)
    assert match is not None, f"no {pattern!r} in {text!r}"
    return match
