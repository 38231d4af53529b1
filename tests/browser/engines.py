"""Chromium, Firefox and WebKit behind the few things that a test does with a tab.

Firefox is spoken to by WebDriver BiDi, which it serves itself, WebKit through its WebKitWebDriver, and Chromium by
Playwright. An engine is started once; each test has tabs of its own, and a server whose origin no other test has.
"""

import asyncio
import itertools
import json
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from aiohttp import ClientSession
from playwright.async_api import BrowserContext, Page, async_playwright

from tests.browser.programs import end, listens, until
from tests.processes import free_port

CHROMIUM = next(
    (found for name in ("chromium-headless-shell", "chromium", "chrome") if (found := shutil.which(name))), None
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


def _call(script: str, arg: Any) -> str:
    """A script whose value is JSON, so that all engines hand it over alike."""
    return (
        f"(async () => {{ const it = ({script}\n); const got = typeof it === 'function' ? "
        f"await it({json.dumps(arg)}) : await it; return JSON.stringify(got === undefined ? null : got); }})()"
    )


def _find(program: str, *others: str) -> str:
    found = next((path for name in (program, *others) if (path := shutil.which(name))), None)
    if found is None:
        raise FileNotFoundError(f"There is no {program} here: make test-browsers installs it.")
    return found


# -- Chromium


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
async def chromium() -> AsyncIterator[Chromium]:
    async with async_playwright() as playwright:
        program = await playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_OPTIONS)
        yield Chromium(program)
        await program.close()


# -- Firefox

_PREFERENCES = {
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "devtools.jsonview.enabled": False,  # JSON as it came: tests begin on such a page
    "intl.accept_languages": "fr-FR, fr",
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "remote.active-protocols": 1,
    "toolkit.telemetry.enabled": False,
}


class _Bidi:
    """WebDriver BiDi over its one socket."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            said = message.json()
            waiting = self._waiting.pop(said.get("id"), None)
            if waiting is None or waiting.done():
                continue
            if said["type"] == "error":
                waiting.set_exception(RuntimeError(f"{said['error']}: {said['message']}"))
            else:
                waiting.set_result(said["result"])

    async def __call__(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        return await self._waiting[number]

    async def close(self) -> None:
        await self("session.end")
        await self._socket.close()
        await self._reading


class _FirefoxTab:
    def __init__(self, bidi: _Bidi, context: str) -> None:
        self._bidi = bidi
        self._context = context

    async def goto(self, url: str) -> None:
        await self._bidi("browsingContext.navigate", context=self._context, url=url, wait="complete")

    async def evaluate(self, script: str, arg: Any = None) -> Any:
        done = await self._bidi(
            "script.evaluate", expression=_call(script, arg), awaitPromise=True, target={"context": self._context}
        )
        if done["type"] == "exception":
            raise RuntimeError(done["exceptionDetails"]["text"])
        return json.loads(done["result"]["value"])

    async def _act(self, kind: str, actions: list[dict[str, Any]], **more: Any) -> None:
        source = {"type": kind, "id": kind, "actions": actions} | more
        await self._bidi("input.performActions", context=self._context, actions=[source])

    async def click(self, selector: str) -> None:
        await self.evaluate(f"document.querySelector({json.dumps(selector)}).scrollIntoView({{block: 'center'}})")
        found = await self._bidi(
            "browsingContext.locateNodes", context=self._context, locator={"type": "css", "value": selector}
        )
        origin = {"type": "element", "element": {"sharedId": found["nodes"][0]["sharedId"]}}
        move = {"type": "pointerMove", "x": 0, "y": 0, "origin": origin}
        await self._act(
            "pointer", [move, {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}],
            parameters={"pointerType": "mouse"},
        )  # fmt: skip

    async def type(self, selector: str, text: str) -> None:
        await self.click(selector)
        await self._act("key", [{"type": way, "value": key} for key in text for way in ("keyDown", "keyUp")])

    async def close(self) -> None:
        await self._bidi("browsingContext.close", context=self._context)


class _FirefoxBrowser:
    def __init__(self, bidi: _Bidi, user_context: str) -> None:
        self._bidi = bidi
        self._user_context = user_context

    async def new_tab(self) -> Tab:
        made = await self._bidi("browsingContext.create", type="window", userContext=self._user_context)
        return _FirefoxTab(self._bidi, made["context"])


class Firefox:
    """Debian's firefox-esr, without a screen."""

    _process: subprocess.Popen[str]
    _address: str

    def start(self, folder: Path) -> None:
        program = _find("firefox-esr", "firefox")
        lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in _PREFERENCES.items())
        (folder / "user.js").write_text("".join(lines))
        command = [program, "--headless", "--no-remote", "--profile", str(folder), "--remote-debugging-port", "0"]
        log = folder / "stderr"
        with log.open("w") as to:
            self._process = subprocess.Popen(
                command, env=os.environ | {"HOME": str(folder)}, stdout=subprocess.DEVNULL, stderr=to, text=True
            )
        said = until(lambda: re.search(r"WebDriver BiDi listening on (ws://\S+)", log.read_text()), self._process, log)
        self._address = said.group(1)

    @asynccontextmanager
    async def browser(self) -> AsyncIterator[Browser]:
        async with ClientSession() as http, http.ws_connect(f"{self._address}/session", max_msg_size=0) as to:
            bidi = _Bidi(to)
            await bidi("session.new", capabilities={})
            made = await bidi("browser.createUserContext")
            yield _FirefoxBrowser(bidi, made["userContext"])
            await bidi("browser.removeUserContext", userContext=made["userContext"])
            await bidi.close()

    def stop(self) -> None:
        end(self._process)


# -- WebKit

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # what WebDriver calls the id of one


class _Session:
    """One session of WebDriver. Its commands go to the window that was chosen last, so they go one by one."""

    def __init__(self, http: ClientSession, address: str) -> None:
        self._http = http
        self._address = address
        self._busy = asyncio.Lock()

    async def _send(self, method: str, path: str, body: Any) -> Any:
        async with self._http.request(method, self._address + path, json=body) as answer:
            value = (await answer.json())["value"]
        if answer.status != 200:
            raise RuntimeError(f"{value['error']}: {value['message']}")
        return value

    async def __call__(self, method: str, path: str, body: Any = None, *, window: str | None = None) -> Any:
        async with self._busy:
            if window is not None:
                await self._send("POST", "/window", {"handle": window})
            return await self._send(method, path, body)


class _WebkitTab:
    def __init__(self, session: _Session, window: str) -> None:
        self._session = session
        self._window = window

    async def goto(self, url: str) -> None:
        await self._session("POST", "/url", {"url": url}, window=self._window)

    async def evaluate(self, script: str, arg: Any = None) -> Any:
        done, failed = "(value) => arguments[0]([value])", "(error) => arguments[0]([null, String(error)])"
        told = f"{_call(script, arg)}.then({done}, {failed})"
        value, *error = await self._session("POST", "/execute/async", {"script": told, "args": []}, window=self._window)
        if error:
            raise RuntimeError(error[0])
        return json.loads(value)

    async def _element(self, selector: str) -> str:
        found = await self._session(
            "POST", "/element", {"using": "css selector", "value": selector}, window=self._window
        )
        return str(found[_ELEMENT])

    async def click(self, selector: str) -> None:
        await self._session("POST", f"/element/{await self._element(selector)}/click", {}, window=self._window)

    async def type(self, selector: str, text: str) -> None:
        element = await self._element(selector)
        await self._session("POST", f"/element/{element}/value", {"text": text}, window=self._window)

    async def close(self) -> None:
        await self._session("DELETE", "/window", window=self._window)


class _WebkitBrowser:
    def __init__(self, session: _Session) -> None:
        self._session = session

    async def new_tab(self) -> Tab:
        made = await self._session("POST", "/window/new", {"type": "window"}, window=await self.first())
        return _WebkitTab(self._session, made["handle"])

    async def first(self) -> str:
        """The window that is never used, so that closing others does not end the browser."""
        return str((await self._session("GET", "/window/handles"))[0])

    async def close_all(self) -> None:
        first = await self.first()
        for window in await self._session("GET", "/window/handles"):
            if window != first:
                await self._session("DELETE", "/window", window=window)


class Webkit:
    """Debian's WebKitGTK in its MiniBrowser, on a screen that nobody sees."""

    _screen: subprocess.Popen[str]
    _driver: subprocess.Popen[str]
    _address: str
    _session: str | None = None

    def start(self, folder: Path) -> None:
        driver, screen = _find("WebKitWebDriver"), _find("Xvfb")
        reads, writes = os.pipe()
        self._screen = subprocess.Popen(
            [screen, "-displayfd", str(writes), "-screen", "0", "1280x900x24", "-nolisten", "tcp"],
            pass_fds=[writes], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        os.close(writes)
        with os.fdopen(reads) as said:
            display = said.readline().strip()
        if not display:
            raise RuntimeError("Xvfb did not start.")
        log, port = folder / "stderr", free_port()
        own = {"DISPLAY": f":{display}", "HOME": str(folder), "LANGUAGE": "fr", "NO_AT_BRIDGE": "1"}
        with log.open("w") as to:
            self._driver = subprocess.Popen(
                [driver, "--host=127.0.0.1", f"--port={port}"], env=os.environ | own, stdout=to, stderr=to, text=True
            )
        # It does not say which port it took, so it is told one that was free a moment ago.
        self._address = f"http://127.0.0.1:{port}"
        until(lambda: listens(port), self._driver, log)

    @asynccontextmanager
    async def browser(self) -> AsyncIterator[Browser]:
        async with ClientSession() as http:
            if self._session is None:
                async with http.post(f"{self._address}/session", json={"capabilities": {}}) as answer:
                    self._session = (await answer.json())["value"]["sessionId"]
            made = _WebkitBrowser(_Session(http, f"{self._address}/session/{self._session}"))
            yield made
            await made.close_all()

    def stop(self) -> None:
        end(self._driver)
        end(self._screen)


PROGRAMS: dict[str, type[Program]] = {"firefox": Firefox, "webkit": Webkit}
