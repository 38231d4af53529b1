"""Firefox as an engine of the tests, by WebDriver BiDi, which it serves itself."""

import asyncio
import itertools
import json
import os
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from tests.browser.engines import Browser, Tab, call, find
from tests.browser.programs import end, until

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
            "script.evaluate", expression=call(script, arg), awaitPromise=True, target={"context": self._context}
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
        program = find("firefox-esr", "firefox")
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
