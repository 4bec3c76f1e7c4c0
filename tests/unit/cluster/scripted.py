"""A transport whose answers a test gives, without a network and without time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tenantprofile.cluster.transport import Answer, TransportError


def answer(body: Any, status: int = 200, **headers: str) -> Answer:
    """An answer with a JSON body; `Retry_After` and the like become headers."""
    return Answer(status, {k.replace("_", "-"): v for k, v in headers.items()}, json.dumps(body).encode())


def refused(status: int, message: str = "", **details: Any) -> Answer:
    """A Status, as the API server words refusals."""
    return answer({"kind": "Status", "code": status, "message": message, "details": details}, status)


class Scripted:
    """`respond` is asked for each request; it may wait, and may raise TransportError."""

    def __init__(self, respond: Callable[[str, str, bytes | None], Awaitable[Answer]]) -> None:
        self.respond = respond
        self.requests: list[tuple[str, str]] = []
        self.control: list[str] = []

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout: float,  # noqa: ASYNC109
        control: bool = False,
    ) -> Answer:
        self.requests.append((method, path))
        if control:
            self.control.append(path)
        return await self.respond(method, path, body)

    def stream(self, path: str, *, headers: Mapping[str, str], silence: float) -> Any:
        raise AssertionError("no watches here")


class Collection:
    """A collection that a test changes, with the watches on it; every watch event is let through by the test."""

    def __init__(self) -> None:
        self.version = 10
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.lists = 0
        self.checks = 0
        self.watches = 0
        self.refuse_lists: Answer | None = None
        self.refuse_watches: Answer | None = None
        self.first_line: bytes | None = None
        self._streams: list[asyncio.Queue[bytes | None]] = []
        self.watching = asyncio.Event()

    # --- what the world does ---

    def put(self, name: str, namespace: str = "a", **fields: Any) -> dict[str, Any]:
        """Create or change an object, without a word to the watches; the object."""
        self.version += 1
        known = self.objects.get((namespace, name))
        uid = known["metadata"]["uid"] if known else f"uid-{self.version}"
        metadata = {"namespace": namespace, "name": name, "uid": uid, "resourceVersion": str(self.version)}
        self.objects[namespace, name] = {"metadata": metadata, **fields}
        return self.objects[namespace, name]

    def remove(self, name: str, namespace: str = "a") -> dict[str, Any]:
        """Delete an object, without a word to the watches; its last form."""
        self.version += 1
        gone = self.objects.pop((namespace, name))
        return {**gone, "metadata": {**gone["metadata"], "resourceVersion": str(self.version)}}

    def send(self, kind: str, body: dict[str, Any]) -> None:
        """A watch event, to every open watch."""
        self.send_line(json.dumps({"type": kind, "object": body}).encode())

    def send_line(self, line: bytes) -> None:
        for stream in self._streams:
            stream.put_nowait(line + b"\n")

    def end_watches(self) -> None:
        for stream in self._streams:
            stream.put_nowait(None)

    # --- the transport ---

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout: float,  # noqa: ASYNC109
        control: bool = False,
    ) -> Answer:
        await asyncio.sleep(0)
        query = parse_qs(urlsplit(path).query)
        if query.get("limit") == ["1"]:
            self.checks += 1
            if self.refuse_lists is not None:
                return self.refuse_lists
            return answer({"metadata": {"resourceVersion": str(self.version)}, "items": []})
        self.lists += 1
        if self.refuse_lists is not None:
            return self.refuse_lists
        items = list(self.objects.values())
        return answer({"metadata": {"resourceVersion": str(self.version)}, "items": items})

    @asynccontextmanager
    async def stream(self, path: str, *, headers: Mapping[str, str], silence: float) -> AsyncIterator[Any]:
        self.watches += 1
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        if self.first_line is not None:
            queue.put_nowait(self.first_line + b"\n")
            queue.put_nowait(None)
        self._streams.append(queue)
        self.watching.set()
        try:
            yield _Stream(self.refuse_watches, queue)
        finally:
            self._streams.remove(queue)


class _Stream:
    def __init__(self, refusal: Answer | None, queue: asyncio.Queue[bytes | None]) -> None:
        self.status = refusal.status if refusal else 200
        self.headers: Mapping[str, str] = {}
        self._refusal = refusal
        self._queue = queue

    async def read(self) -> bytes:
        return self._refusal.body if self._refusal else b""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            chunk = await self._queue.get()
            if chunk is None:
                return
            if chunk == b"break\n":
                raise TransportError("the connection broke")
            yield chunk


async def until(condition: Callable[[], Any], turns: int = 5000) -> None:
    """Let everything run that can run, until something is so. It fails where nothing more happens."""
    for _ in range(turns):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not happen")
