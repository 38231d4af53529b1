"""Chromium, Firefox and WebKit behind the few things that a test does with a tab.

Chromium, by Playwright, is here; `firefox` and `webkit` have the others. An engine is started once; each test has tabs
of its own, and a server whose origin no other test has.
"""

import json
import shutil
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from playwright.async_api import BrowserContext, Page, async_playwright

CHROMIUM = next(
    (found for name in ("chromium-headless-shell", "chromium", "chrome") if (found := shutil.which(name))), None
)
# The headless shell refuses notifications, whatever it is granted.
NOTIFYING = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
CHROMIUM_OPTIONS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]


class Tab(Protocol):
    """A window with a page of its own."""

    async def goto(self, url: str) -> None:
        """Loads it."""

    async def evaluate(self, script: str, arg: Any = None) -> Any:
        """The value of an expression, or what a function gives for `arg`; awaited, as JSON."""

    async def click(self, selector: str) -> None:
        """A press of the mouse, in the middle of what is found."""

    async def type(self, selector: str, text: str) -> None:
        """Keys, one by one, into the field that is found."""

    async def close(self) -> None:
        """As its user would: it says goodbye."""


class Browser(Protocol):
    """What one test sees of an engine."""

    async def new_tab(self) -> Tab:
        """Another one, shown."""


class Engine(Protocol):
    """A program that is started once."""

    def browser(self) -> AbstractAsyncContextManager[Browser]:
        """A browser for one test, whose tabs are closed at the end."""


class Program(Engine, Protocol):
    """One that is started and ended outside of any loop."""

    def start(self, folder: Path) -> None:
        """Runs it; `folder` is its own."""

    def stop(self) -> None:
        """Ends it."""


def call(script: str, arg: Any) -> str:
    """A script whose value is JSON, so that all engines hand it over alike."""
    return (
        f"(async () => {{ const it = ({script}\n); const got = typeof it === 'function' ? "
        f"await it({json.dumps(arg)}) : await it; return JSON.stringify(got === undefined ? null : got); }})()"
    )


def find(program: str, *others: str) -> str:
    """Where the first of these programs is that is there."""
    found = next((path for name in (program, *others) if (path := shutil.which(name))), None)
    if found is None:
        raise FileNotFoundError(f"There is no {program} here: make test-browsers installs it.")
    return found


class _ChromiumTab:
    def __init__(self, page: Page) -> None:
        self._page = page

    async def goto(self, url: str) -> None:
        await self._page.goto(url)

    async def evaluate(self, script: str, arg: Any = None) -> Any:
        return await self._page.evaluate(script, arg)

    async def click(self, selector: str) -> None:
        await self._page.click(selector)

    async def type(self, selector: str, text: str) -> None:
        await self._page.type(selector, text)

    async def close(self) -> None:
        await self._page.close(run_before_unload=False)


class _ChromiumBrowser:
    def __init__(self, context: Any) -> None:
        self._context = context

    async def new_tab(self) -> Tab:
        return _ChromiumTab(await self._context.new_page())


class Chromium:
    """By Playwright, which belongs to the loop that it was started on. Each test has a context of its own."""

    def __init__(self, program: Any) -> None:
        self._program = program

    @asynccontextmanager
    async def context(self, locale: str = "fr-FR") -> AsyncIterator[BrowserContext]:
        """With storage, cookies and connections that no other one has."""
        context = await self._program.new_context(locale=locale)
        try:
            yield context
        finally:
            await context.close()

    @asynccontextmanager
    async def browser(self) -> AsyncIterator[Browser]:
        async with self.context() as context:
            yield _ChromiumBrowser(context)


@asynccontextmanager
async def chromium(*, notifying: bool = False) -> AsyncIterator[Chromium]:
    """Where it is `notifying`, the whole of it, which shows notifications."""
    async with async_playwright() as playwright:
        launch = playwright.chromium.launch
        if notifying:
            program = await launch(
                executable_path=NOTIFYING or find("chromium"),
                headless=False,
                args=["--headless=new", *CHROMIUM_OPTIONS],
            )
        else:
            program = await launch(executable_path=CHROMIUM, args=CHROMIUM_OPTIONS)
        yield Chromium(program)
        await program.close()
