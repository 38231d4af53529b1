"""What axe finds on a page, at any width, light and dark."""

import asyncio
import itertools
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.async_api import Page

AXE = Path(__file__).parents[2] / "node_modules/axe-core/axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
WIDTHS = (390, 820, 1440)
COLOURS = ["color-contrast", "link-in-text-block"]
"""Those of the rules that look at colours: a scheme changes nothing else, which tests/unit/test_styles.py holds."""
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
LOCALES = {"fr": "fr-FR", "en": "en-GB"}

needs_axe = pytest.mark.skipif(not AXE.is_file(), reason="npm's packages could not be had")


async def problems(page: Page) -> dict[tuple[int, str], list[str]]:
    """By width and colour scheme: what axe finds, and whether the page is wider than the screen. All rules are asked at
    each width in one of the schemes, which take turns; in the other, those of colours. `page` has `page.clock`
    installed."""
    await page.evaluate(AXE.read_text())
    wrong = {}
    for width, whole in zip(WIDTHS, itertools.cycle(SCHEMES), strict=False):
        await page.set_viewport_size({"width": width, "height": 900})
        for scheme in SCHEMES:
            await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            wrong[width, scheme] = await found(page, RULES if scheme == whole else COLOURS)
            if await page.evaluate("document.documentElement.scrollWidth") > width:
                wrong[width, scheme].append("wider than the screen")
    return {where: what for where, what in wrong.items() if what}


async def found(page: Page, rules: list[str] = RULES) -> list[str]:
    """What is wrong: the rule, and the element. Contrast over a gradient is more than axe can judge."""
    running_axe = asyncio.create_task(
        page.evaluate("rules => axe.run(document, { runOnly: rules, resultTypes: ['violations'] })", rules)
    )
    while not running_axe.done():  # it waits for milliseconds of a clock that is stopped
        await page.clock.run_for(1)
    got: dict[str, Any] = await running_axe
    return [f"{rule['id']}: {node['html'][:200]}" for rule in got["violations"] for node in rule["nodes"]]
