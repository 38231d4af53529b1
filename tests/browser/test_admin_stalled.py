"""Jobs that nobody reports on, and the backend asked for one of them, on the operator's page in a real browser."""

import asyncio
import contextlib
import re

import pytest
from playwright.async_api import Page, expect

from app.appkeys import RECONCILER
from app.upkeep.leader import Leader
from tests.backend import add_stalled
from tests.client import running
from tests.databases import Sql

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_operator_sees_stalled_jobs_and_has_the_backend_asked_for_one(
    database_url: str, page: Page, sql: Sql
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        leader = stack.enter_context(contextlib.closing(Leader(database_url)))
        assert await leader.leads()  # so that the server does not ask by itself
        server = await stack.enter_async_context(running(database_url, simulated_step=0.01, stall_after=1))
        order = {"prompt": "A fox [lost]"}
        async with server.post("/api/videos/generate", json=order) as answer:
            lost = (await answer.json())["job_id"]
        add_stalled(sql, "other<b>\u202e")
        async with asyncio.timeout(20):
            while len((await server.read("/api/admin/stalled"))[1]["jobs"]) < 2:
                await server.app[RECONCILER]._jobs.find()
                await asyncio.sleep(0.1)
        await page.goto(f"{server.url}/admin")
        await page.locator("rushes-stalled summary").click()
        rows = page.locator("rushes-stalled tbody tr")
        await expect(rows).to_have_count(2)
        said = page.locator("rushes-stalled").get_by_role("status")
        await rows.filter(has_text="other<b>U+202E").get_by_role("button", name="Demander").click()
        await expect(said).to_contain_text("inconnu du service de génération → rien de nouveau")
        await rows.filter(has_text=lost).get_by_role("button", name="Demander").click()
        await expect(said).to_contain_text("completed → appliqué")
        await expect(rows).to_have_count(1)
        await expect(page.locator("rushes-now")).to_contain_text("1 réussi ·")


async def test_how_often_the_backend_was_asked_is_told_and_nothing_of_vain_tries_where_there_are_none(
    database_url: str, page: Page, sql: Sql
) -> None:
    async with running(database_url, stall_after=1) as server:
        add_stalled(sql, "lost")
        async with asyncio.timeout(20):
            while [job["tries"] for job in (await server.read("/api/admin/stalled"))[1]["jobs"]] in ([], [0]):
                await asyncio.sleep(0.05)
        await page.set_viewport_size({"width": 360, "height": 800})
        await page.goto(f"{server.url}/admin")
        await page.locator("rushes-stalled summary").click()
        await expect(page.locator("rushes-stalled tbody td").nth(3)).to_have_text(re.compile(r"^\d+ fois$"))
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360, "the table scrolls, and not the page"
