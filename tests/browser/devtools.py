"""A real browser, driven by the DevTools protocol: what a person does to a page, and what it lets be seen.

Chromium's own protocol over the HTTP client that the operator has anyway; nothing else to install.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)
INSTALL = (
    "no Chromium found; on Debian: apt-get update && apt-get install chromium, or set CHROMIUM to its path"
)
_START_SECONDS = 60
_WAIT_SECONDS = 10


def executable() -> str | None:
    named = os.environ.get("CHROMIUM")
    return named or next((path for path in map(shutil.which, NAMES) if path), None)


class Page:
    """One tab. requests: URLs it asked for. complaints: console errors, exceptions and violations."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loaded = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def start(self) -> None:
        for domain in ("Page", "Runtime", "Network", "Log"):
            await self.call(f"{domain}.enable")

    async def close(self) -> None:
        self._reading.cancel()
        await self._socket.close()

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        found = await asyncio.wait_for(answer, _START_SECONDS)
        assert "error" not in found, f"{method}: {found['error']}"
        return dict(found["result"])

    async def open(self, file: Path, *, dark: bool = False, size: tuple[int, int] = (1500, 900)) -> None:
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=size[0],
            height=size[1],
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])
        self._loaded.clear()
        await self.call("Page.navigate", url=file.as_uri())
        await asyncio.wait_for(self._loaded.wait(), _START_SECONDS)

    async def run(self, script: str) -> Any:
        """The value of an expression."""
        found = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    async def text(self, selector: str) -> str:
        return str(await self.run(f"document.querySelector({json.dumps(selector)}).textContent"))

    async def until(self, script: str) -> None:
        """Waits for an expression to be true."""
        end = asyncio.get_running_loop().time() + _WAIT_SECONDS
        while not await self.run(f"Boolean({script})"):
            assert asyncio.get_running_loop().time() < end, f"never true: {script}"
            await asyncio.sleep(0.02)

    async def click(self, element: str, share: tuple[float, float] = (0.5, 0.5)) -> None:
        """A real click of the mouse on the element that an expression yields."""
        x, y = await self.run(
            f"(() => {{ const e = {element}; e.scrollIntoView?.({{block: 'nearest'}}); const r ="
            f" e.getBoundingClientRect(); return [r.x + r.width * {share[0]}, r.y + r.height * {share[1]}] }})()"
        )
        await self.click_at(x, y)

    async def click_at(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def type(self, text: str) -> None:
        await self.call("Input.insertText", text=text)

    async def press(self, key: str) -> None:
        text = {"Enter": "\r", " ": " "}.get(key, key if len(key) == 1 else "")
        codes = {"Enter": 13, "Escape": 27, "Tab": 9, " ": 32}
        codes |= {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        what: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": codes.get(key, 0)}
        if text:
            what["text"] = text
        await self.call("Input.dispatchKeyEvent", type="keyDown", **what)
        await self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def screenshot(self) -> bytes:
        """What is to be seen, as PNG."""
        found = await self.call("Page.captureScreenshot", format="png")
        return base64.b64decode(found["data"])

    async def _read(self) -> None:
        async for message in self._socket:
            event = json.loads(message.data)
            if "id" in event:
                waiting = self._waiting.pop(event["id"])
                if not waiting.done():
                    waiting.set_result(event)
            else:
                self._note(event["method"], event["params"])

    def _note(self, method: str, parameters: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self._loaded.set()
        elif method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(parameters["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(parameters["args"]))
        elif method == "Log.entryAdded":
            self.complaints.append(str(parameters["entry"]["text"]))


@asynccontextmanager
async def browser() -> AsyncIterator[Page]:
    """A fresh Chromium with one empty page; gone afterwards with all it wrote."""
    path = executable()
    assert path is not None, INSTALL
    folder = tempfile.mkdtemp(prefix="chromium-")
    process = await asyncio.create_subprocess_exec(
        path,
        *FLAGS,
        f"--user-data-dir={folder}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        port = await _port(Path(folder), process)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                pages = [target for target in await answer.json() if target["type"] == "page"]
            async with session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                page = Page(socket)
                await page.start()
                yield page
                await page.close()
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), _WAIT_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()
        shutil.rmtree(folder, ignore_errors=True)


async def _port(folder: Path, process: asyncio.subprocess.Process) -> int:
    """Chromium writes down the port that it chose."""
    file, end = folder / "DevToolsActivePort", asyncio.get_running_loop().time() + _START_SECONDS
    while True:
        if file.is_file() and (lines := file.read_text().splitlines()):
            return int(lines[0])
        assert process.returncode is None, f"Chromium ended with {process.returncode}"
        assert asyncio.get_running_loop().time() < end, "Chromium does not start"
        await asyncio.sleep(0.05)
