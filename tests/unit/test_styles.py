"""What the page's styles promise to the tests of its accessibility."""

import re
from pathlib import Path

SHEETS = sorted((Path(__file__).parents[2] / "static/css").glob("*.css"))
_COLOUR = r"#[0-9a-f]{3,8}|rgb\([^()]*\)"


def schemes(sheet: str) -> list[str]:
    """The blocks for one colour scheme."""
    at = [found.end() for found in re.finditer(r"@media[^{]*prefers-color-scheme[^{]*{", sheet)]
    return [sheet[start : sheet.index("\n}", start)] for start in at]


def test_a_colour_scheme_changes_colours_and_nothing_else() -> None:
    """In the second one, axe looks at colours alone."""
    found = {sheet.name: schemes(sheet.read_text()) for sheet in SHEETS}
    assert sum(map(len, found.values())) == sum(sheet.read_text().count("prefers-color-scheme") for sheet in SHEETS)
    assert found["base.css"]
    for blocks in found.values():
        for block in blocks:
            for name, value in re.findall(r"^ +([a-z0-9-]+):\s*([^;]+);$", block, re.MULTILINE):
                assert name.startswith("--"), name
                assert re.fullmatch(rf"{_COLOUR}|0 12px 32px -16px (?:{_COLOUR})", value), value
