"""How the operator's page uses its room, on a phone as on a large screen."""

import re

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.engines import Chromium
from tests.client import Client
from tests.counting import counted
from tests.databases import Sql
from tests.rows import store
from tests.webhooks import webhook

pytestmark = pytest.mark.asyncio(loop_scope="session")

LINES = """node => { const range = document.createRange(), tops = new Set();
  const texts = document.createTreeWalker(node, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) { range.selectNodeContents(texts.currentNode);
    for (const { top } of range.getClientRects()) tops.add(Math.round(top)); }
  return tops.size; }"""
"""How many lines the text of a node takes."""


BROKEN = """nodes => { const range = document.createRange(), broken = [];
  for (const node of nodes) {
    const texts = document.createTreeWalker(node, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) for (const word of texts.currentNode.data.matchAll(/[^\\s-]+/g)) {
      range.setStart(texts.currentNode, word.index);
      range.setEnd(texts.currentNode, word.index + word[0].length);
      if (range.getClientRects().length > 1) broken.push(word[0]);
    }
  }
  return broken; }"""
"""The words that do not stand in one line."""


async def middle(part: Locator) -> float:
    box = await part.bounding_box()
    assert box is not None
    return box["y"] + box["height"] / 2


@pytest.mark.parametrize("locale", ["fr-FR", "en-US"])
@pytest.mark.parametrize("width", [360, 390, 820, 1024])
async def test_what_the_head_of_the_page_has_stands_in_one_row(
    chromium: Chromium, server: Client, width: int, locale: str
) -> None:
    async with chromium.context(locale) as context:
        page = await context.new_page()
        await page.set_viewport_size({"width": width, "height": 800})
        await page.goto(f"{server.url}/admin")
        await expect(page.locator("rushes-connection")).to_have_attribute("state", "live")
        head = page.locator("rushes-admin > .top")
        first = await middle(head.locator(".wordmark"))
        for part in (".language", "rushes-connection .dot", "[data-action=keys]"):
            assert abs(await middle(head.locator(part)) - first) < 10, part


@pytest.mark.parametrize("locale", ["fr-FR", "en-US"])
@pytest.mark.parametrize("width", [360, 820, 1024, 1440])
async def test_no_word_of_a_row_is_broken_for_the_sake_of_a_long_one_and_none_is_beside_the_page(
    chromium: Chromium, server: Client, width: int, locale: str
) -> None:
    await server.send(webhook("a-long-id-" + "x" * 150, "downloading"))
    async with chromium.context(locale) as context:
        page = await context.new_page()
        await page.set_viewport_size({"width": width, "height": 800})
        await page.goto(f"{server.url}/admin")
        for cell in (".status", ".outcome", ".received a"):
            assert await page.locator(f"rushes-webhooks tbody {cell}").evaluate(LINES) == 1, cell
        assert await page.evaluate("document.documentElement.scrollWidth") <= width


async def test_no_word_of_the_processes_is_broken_on_a_phone(page: Page, server: Client) -> None:
    await page.set_viewport_size({"width": 360, "height": 800})
    await page.goto(f"{server.url}/admin")
    await page.get_by_text("Processus").first.click()
    cells = page.locator("rushes-now table").locator("th, td")
    await expect(cells).to_have_count(8)
    assert await cells.evaluate_all(f"nodes => nodes.map({LINES})") == [1] * 8


@pytest.mark.parametrize("view", ["webhooks", "figures"])
async def test_heading_stands_clear_of_the_form_above_it_on_a_phone(page: Page, server: Client, view: str) -> None:
    await page.set_viewport_size({"width": 390, "height": 800})
    await server.send(webhook("j", "generating"))
    await page.goto(f"{server.url}/admin?view={view}")
    shown = page.locator(f"section[data-view={view}]")
    await expect(shown.locator(".count")).to_have_text(re.compile(".{10}"))
    gap = await shown.locator("h2[id]").evaluate(
        "(h2, form) => h2.getBoundingClientRect().top - form.getBoundingClientRect().bottom",
        await shown.locator("form").element_handle(),
    )
    assert gap >= 8


async def test_one_webhook_has_a_small_screen_to_itself(page: Page, server: Client) -> None:
    await page.set_viewport_size({"width": 390, "height": 800})
    await server.send(webhook("j", "generating"))
    await page.goto(f"{server.url}/admin")
    await page.locator("rushes-webhooks tbody a").click()
    await expect(page.locator("rushes-webhook h2")).to_be_visible()
    for part in ("rushes-now", "rushes-stalled", "rushes-filters", "rushes-webhooks"):
        await expect(page.locator(part)).to_be_hidden()
    left = "node => node.getBoundingClientRect().left"
    edges = {await page.locator(f"rushes-webhook {part}").evaluate(left) for part in ("h2", ".way", ".facts", "pre")}
    assert len(edges) == 1, edges


async def test_chosen_span_of_the_figures_is_read_as_a_whole_on_a_phone(page: Page, server: Client) -> None:
    """A select cuts off what it has no room for, and reports no overflow: so it is compared with its natural width."""
    await page.set_viewport_size({"width": 390, "height": 800})
    await page.goto(f"{server.url}/admin?view=figures")
    room = """node => { const now = node.offsetWidth, wide = node.cloneNode(true); wide.style.width = "max-content";
      wide.style.position = "absolute"; document.querySelector("rushes-admin").append(wide);
      const natural = wide.offsetWidth; wide.remove(); return now - natural; }"""
    chosen = page.locator("rushes-figures select[name=range]")
    await expect(chosen).to_be_visible()
    assert await chosen.evaluate(room) >= 0


async def test_tables_that_scroll_break_no_word_but_one_that_would_push_all_else_away(
    page: Page, server: Client, sql: Sql
) -> None:
    await server.register("job-of-somebody")
    await server.send(webhook("job-of-somebody", "failed") | {"error": "nobody knows"})
    store(sql, webhook("x" * 150, "generating"))
    async with server.get("/api/admin/webhooks", params={"outcome": "dead"}) as answer:
        dead = (await answer.json())["webhooks"][0]["id"]
    async with server.post(f"/api/admin/webhooks/{dead}/discard") as answer:
        assert answer.status == 200
    await counted(server, 2, ended=1)
    await page.set_viewport_size({"width": 360, "height": 800})
    for view in ("generations", "audit"):
        await page.goto(f"{server.url}/admin?view={view}")
        cells = page.locator(f"section[data-view={view}] .scroller").locator("th, td")
        await expect(cells).to_have_count(10)
        assert set(await cells.evaluate_all(BROKEN)) <= {"x" * 150}, view
        width = await page.locator(f"section[data-view={view}] table").evaluate("node => node.offsetWidth")
        assert width <= 2 * 360, view
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360, view
