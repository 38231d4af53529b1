"""WebKit as an engine of the tests, through its WebKitWebDriver."""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from tests.browser.engines import Browser, Tab, call, find
from tests.browser.programs import end, listens, until
from tests.processes import free_port

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
        told = f"{call(script, arg)}.then({done}, {failed})"
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
        driver, screen = find("WebKitWebDriver"), find("Xvfb")
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
