"""Statistics on the operator's page, in a real browser: drawn, in tables, and each with the webhooks behind it."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Locator, Page, Position, Route, expect

from app import times
from app.domain.rollup import Rollup
from app.domain.sketch import Sketch
from app.domain.spans import quarter_of
from app.routes.pages import STATIC
from tests.client import Client, moved
from tests.counting import bin_of, counted
from tests.databases import Sql
from tests.webhooks import completion, video, webhook

pytestmark = pytest.mark.asyncio(loop_scope="session")

needs_uplot = pytest.mark.skipif(not (STATIC / "vendor/uplot").is_dir(), reason="npm's packages could not be had")


def put(sql: Sql, at: str, applied: int, dead: int = 0) -> None:
    """What was counted in a quarter of an hour."""
    made = Rollup()
    made.webhooks.update({"applied": applied, "dead": dead})
    made.webhook_times = Sketch()
    for _ in range(applied):
        made.webhook_times.add(Sketch.of({bin_of(2_000): 1}, 2_000))
    packed = made.counts, made.job_times.pack(), made.webhook_times.pack()
    sql("INSERT INTO rushes_rollups VALUES (%s, %s, %s, %s)", quarter_of(times.microseconds_of(at)), *packed)


def chart(page: Page, name: str) -> Locator:
    return page.locator(f"figure[data-name={name}]")


async def some_webhooks(server: Client) -> None:
    await server.register("good")
    await server.register("bad")
    await moved(server, "good", "processing", "generating")
    done = completion("good", video("v/1"))
    assert (await server.send(done))[0] == 200
    assert (await server.send(done))[0] == 200
    await server.send(webhook("bad", "failed") | {"error": "429 RESOURCE_EXHAUSTED"})
    await server.send(b"{}")
    await counted(server, 6, ended=2)


async def test_each_figure_opens_exactly_what_it_counts(page: Page, server: Client) -> None:
    await some_webhooks(server)
    await page.goto(f"{server.url}/admin?view=figures")
    figures: list[tuple[str, int]] = []
    for name, many in (("webhooks", 3), ("ends", 2)):
        await chart(page, name).get_by_text("En tableau").click()
        rows = chart(page, name).locator("tbody tr")
        await expect(rows.nth(1).locator("th")).to_contain_text("(en cours)")
        found = await rows.locator("a").evaluate_all(
            "links => links.map((link) => [link.href, Number(link.textContent)])"
        )
        figures += [(href, count) for href, count in found if count > 0]
        assert len(figures) >= 2 * many, "each in its hour, and in all"
    for href, count in figures:
        await page.goto(href)
        of_generations = "view=generations" in href
        listed = page.locator("rushes-generations" if of_generations else "rushes-webhooks")
        noun = "génération" if of_generations else "webhook"
        await expect(listed.locator("[data-slot=count]")).to_have_text(re.compile(f"^{count} {noun}"))
        await expect(listed.locator("tbody tr")).to_have_count(count)


async def test_figures_of_few_are_dimmed(page: Page, server: Client) -> None:
    await some_webhooks(server)
    await page.goto(f"{server.url}/admin?view=figures")
    await chart(page, "webhook_ms").get_by_text("En tableau").click()
    await expect(chart(page, "webhook_ms").locator("td.thin")).not_to_have_count(0)
    await chart(page, "webhooks").get_by_text("En tableau").click()
    await expect(chart(page, "webhooks").locator("td.thin")).to_have_count(0)


@needs_uplot
async def test_charts_are_drawn_and_a_bucket_opens_its_webhooks(page: Page, server: Client) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    await some_webhooks(server)
    await page.goto(f"{server.url}/admin?view=figures")
    for name in ("webhooks", "ends", "success", "job_seconds", "webhook_ms"):
        canvas = chart(page, name).locator("canvas")
        await expect(canvas).to_be_visible()
        inked = """canvas => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data
          .some((value, at) => at % 4 === 3 && value > 0)"""
        assert await canvas.evaluate(inked), name
    over = chart(page, "webhooks").locator(".u-over")
    box = await over.bounding_box()
    assert box is not None
    newest: Position = {"x": box["width"] * (1 - 0.5 / 24), "y": box["height"] / 2}
    await over.hover(position=newest)
    await expect(chart(page, "webhooks").locator(".when")).to_contain_text("(en cours)")
    assert said == []
    figures = await chart(page, "webhooks").locator("li strong").all_inner_texts()
    await over.click(position=newest)
    await expect(page.locator("rushes-webhooks tbody tr")).to_have_count(sum(map(int, figures)))
    query = parse_qs(urlsplit(page.url).query)
    assert set(query) == {"from", "to"}
    assert times.microseconds_of(query["to"][0]) - times.microseconds_of(query["from"][0]) == 3_600_000_000


async def test_figures_are_there_without_what_draws_them(page: Page, server: Client) -> None:
    async def refuse(route: Route) -> None:
        await route.abort()

    await page.route("**/static/vendor/**", refuse)
    await some_webhooks(server)
    await page.goto(f"{server.url}/admin?view=figures")
    first = chart(page, "webhooks").locator("tbody tr").first
    await expect(first).to_contain_text("en tout")
    await expect(first.locator("td").first).to_have_text("4")
    await expect(page.locator("canvas")).to_have_count(0)
    await expect(chart(page, "webhooks").locator(".plot")).to_be_hidden()


async def test_hours_that_are_there_twice_are_told_apart(page: Page, server: Client) -> None:
    session = await page.context.new_cdp_session(page)
    await session.send("Emulation.setTimezoneOverride", {"timezoneId": "Europe/Paris"})
    await page.goto(f"{server.url}/admin?view=figures&from=2026-10-25&to=2026-10-25&bucket=hour")
    await chart(page, "webhooks").get_by_text("En tableau").click()
    hours = await chart(page, "webhooks").locator("tbody th").all_inner_texts()
    assert len(hours) == len(set(hours)) == 1 + 25
    assert [hour for hour in hours if "02:00" in hour] == ["25 oct., 02:00 UTC+1", "25 oct., 02:00 UTC+2"]


async def test_days_are_those_of_whoever_looks_also_where_clocks_change(page: Page, server: Client, sql: Sql) -> None:
    session = await page.context.new_cdp_session(page)
    await session.send("Emulation.setTimezoneOverride", {"timezoneId": "Europe/Paris"})
    put(sql, "2026-03-28T22:45:00Z", 7)
    put(sql, "2026-03-28T23:00:00Z", 30)
    put(sql, "2026-03-29T21:45:00Z", 30, dead=2)
    put(sql, "2026-03-29T22:00:00Z", 9)
    await page.goto(f"{server.url}/admin?view=figures&from=2026-03-28&to=2026-03-30")
    await chart(page, "webhooks").get_by_text("En tableau").click()
    rows = chart(page, "webhooks").locator("tbody tr")
    await expect(rows.locator("td:nth-child(2)")).to_have_text(["76", "9", "60", "7"])
    await expect(rows.nth(2).locator("th")).to_have_text("dim. 29 mars")
    short = rows.nth(2).locator("td").nth(4).locator("a")
    await expect(short).to_have_text("2")
    query = parse_qs(urlsplit(await short.get_attribute("href") or "").query)
    assert query == {
        "outcome": ["dead"], "from": ["2026-03-28T23:00:00.000Z"], "to": ["2026-03-29T22:00:00.000Z"],
    }  # fmt: skip
    await expect(page.locator("rushes-figures [data-slot=span]")).to_contain_text("(Europe/Paris)")


async def test_days_are_those_of_utc_where_the_server_does_not_know_the_zone_of_the_browser(
    page: Page, server: Client
) -> None:
    await page.add_init_script(
        """const resolved = Intl.DateTimeFormat.prototype.resolvedOptions;
        Intl.DateTimeFormat.prototype.resolvedOptions = function () {
          return { ...resolved.call(this), timeZone: "Mars/Olympus_Mons" };
        };"""
    )
    await page.goto(f"{server.url}/admin?view=figures")
    await expect(page.locator("rushes-figures [data-slot=span]")).to_contain_text("(UTC)")


async def test_job_that_does_not_end_stands_over_those_that_did(page: Page, server: Client, sql: Sql) -> None:
    await server.register("j1")
    sql("UPDATE video_generations SET createdAt = createdAt - INTERVAL 1000 SECOND")
    await page.goto(f"{server.url}/admin?view=figures")
    await expect(chart(page, "job_seconds").locator("li").last).to_have_text(
        re.compile(r"plus ancienne en cours 16 min \d\d s")
    )


async def test_the_span_is_chosen_and_stands_in_the_address(page: Page, server: Client) -> None:
    await page.goto(f"{server.url}/admin")
    await page.get_by_role("link", name="Chiffres").click()
    await expect(page).to_have_url(f"{server.url}/admin?view=figures")
    await expect(chart(page, "webhooks").get_by_text("Rien à montrer")).to_be_visible()
    await page.locator("rushes-figures").get_by_label("Période").select_option("30d")
    await expect(page).to_have_url(f"{server.url}/admin?view=figures&range=30d")
    await expect(page.locator("rushes-figures [name=bucket]")).to_have_value("day")
    async with page.expect_response(re.compile(r"/api/admin/stats\?bucket=hour.*from=")):
        await page.locator("rushes-figures [name=bucket]").select_option("hour")
    await expect(page).to_have_url(f"{server.url}/admin?view=figures&range=30d&bucket=hour")
    await page.locator("rushes-figures").get_by_label("Période").select_option("own")
    await page.get_by_label("Premier jour").fill("2020-01-01")
    await page.get_by_label("Dernier jour").fill("2026-01-01")
    await expect(page.locator("rushes-figures [role=alert]")).to_contain_text("10")


async def test_why_generations_failed_is_told_in_the_readers_words(page: Page, server: Client) -> None:
    await server.register("bad")
    await server.send(webhook("bad", "failed") | {"error": "429 RESOURCE_EXHAUSTED"})
    await server.register("odd")
    await server.send(webhook("odd", "failed") | {"error": "nobody knows"})
    await counted(server, 2, ended=2)
    await page.goto(f"{server.url}/admin?view=generations&ended=other")
    await expect(page.locator("rushes-generations [data-slot=meant]")).to_contain_text("échouées : autre raison")
    await expect(page.locator("rushes-generations tbody")).to_contain_text("échouée : autre raison")
    await page.goto(f"{server.url}/admin?view=figures")
    legend = page.locator("figure[data-name=ends] .legend")
    await expect(legend).to_contain_text("quota")
    await expect(legend).to_contain_text("autre raison")
