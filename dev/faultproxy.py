"""A proxy between the operator and the API server that does what networks and overloaded servers do.

It stands at a TLS address of its own, shows the API server's certificate, passes everything on as it
comes, and injects faults on order: refusals (429 with Retry-After, 500, 503), delays, connections that
break before or after the request went through, answers cut in the middle, watches that end, break, fall
silent or answer 410. Every fault is counted when it hits, by kind.

Bounded: connections and buffers have limits, and everything ends with `stop`.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

import aiohttp
from aiohttp import web

from controlplane import ControlPlane
from controlplane.process import free_ports

MAX_CONNECTIONS: Final = 300
MAX_BODY: Final = 64 * 1024 * 1024

# Belong to one connection, not to the message (RFC 9110, 7.6.1), or are set anew.
_HOP: Final = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "host"}

_EXPIRED: Final = {
    "type": "ERROR",
    "object": {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "too old resource version (injected)",
        "reason": "Expired",
        "code": 410,
    },
}

Kind = Literal["read", "watch", "write"]
Ending = Literal["end", "break", "expire"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of trouble; without an action it only counts."""

    name: str
    on: frozenset[Kind] = frozenset({"read", "watch", "write"})
    path: str = ""
    """A part of the request's path; empty for all."""
    share: float = 1.0
    """Of the requests concerned."""
    answer: int = 0
    """Refuse with this HTTP status instead of passing the request on."""
    retry_after: str = ""
    delay: float = 0.0
    """Hold the request back for up to so many seconds (drawn anew each time)."""
    answer_delay: float = 0.0
    """Hold the answer back for so many seconds: the request has taken effect already."""
    method: str = ""
    """Only requests with this method; empty for all."""
    breaks: Literal["", "before", "after", "within"] = ""
    """Break the connection: before the request is passed on, after it took effect, within the answer."""


class FaultProxy:
    """Runs in a thread of its own from `start` (or `with`) to `stop`; may be steered from any thread."""

    def __init__(self, plane: ControlPlane, seed: int = 0) -> None:
        self._upstream = plane.url
        self._ca = plane.ca_file
        # Beside the authority, which is one file for everybody who trusts this control plane.
        self._certificate = plane.ca_file.with_name("serving.crt")
        self._key = plane.ca_file.with_name("serving.key")
        self.port = free_ports(1)[0]
        self.hits: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        """What the API server itself answered, by status, for refusals; and watches by their end."""
        self._random = random.Random(seed)
        self._faults: tuple[Fault, ...] = ()
        self._streams: dict[asyncio.Task[None], Ending] = {}
        self._flowing = asyncio.Event()
        self._thread = threading.Thread(target=self._serve, name="faultproxy", daemon=True)
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped: asyncio.Event | None = None

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def kubeconfig(self, original: Path) -> Path:
        """A copy of a kubeconfig of this control plane, by way of the proxy."""
        content = json.loads(original.read_text())
        content["clusters"][0]["cluster"]["server"] = self.url
        copy = original.with_name(f"{original.stem}-by-proxy-{self.port}.kubeconfig")
        copy.touch(mode=0o600)
        copy.write_text(json.dumps(content))
        return copy

    # --- steering ---

    @contextmanager
    def trouble(self, *faults: Fault) -> Iterator[None]:
        """Inject these while the `with` block runs, and nothing else."""
        self._faults = faults
        try:
            yield
        finally:
            self._faults = ()

    def end_watches(self, how: Ending, share: float = 1.0) -> int:
        """End open watches: in order, by a broken connection, or by a 410; how many were hit."""
        return self._call(lambda: self._end(how, share))

    def hold_watches(self) -> None:
        """From here on watches are silent: open, and nothing comes."""
        self._call(self._flowing.clear)

    def release_watches(self) -> None:
        """What was held back comes now."""
        self._call(self._flowing.set)

    def _call(self, what: object) -> int:
        if self._loop is None or not callable(what):
            raise RuntimeError("the proxy does not run")
        done = threading.Event()
        result: list[int] = []

        def run() -> None:
            try:
                result.append(what() or 0)
            finally:
                done.set()

        self._loop.call_soon_threadsafe(run)
        done.wait(10)
        return result[0] if result else 0

    def _end(self, how: Ending, share: float) -> int:
        count = 0
        for task in list(self._streams):
            if self._random.random() < share:
                self._streams[task] = how
                task.cancel()
                count += 1
        return count

    # --- life ---

    def start(self) -> Self:
        """Serve. Raises whatever kept it from serving."""
        self._thread.start()
        self._started.wait(30)
        if self._failure is not None:
            raise self._failure
        return self

    def stop(self) -> None:
        if self._loop is not None and self._stopped is not None:
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(10)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _serve(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # told to whoever starts it
            self._failure = error
            self._started.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        self._flowing.set()
        trust = ssl.create_default_context(cafile=str(self._ca))
        shown = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        shown.load_cert_chain(self._certificate, self._key)
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS, ssl=trust),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
            auto_decompress=False,
        ) as self._session:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", self.port, ssl_context=shown).start()
            self._started.set()
            await self._stopped.wait()
            self._end("break", 1.0)
            await runner.cleanup()

    # --- one request ---

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        kind = _kind(request)
        late: Fault | None = None
        for fault in self._faults:
            if kind not in fault.on or fault.path not in request.path:
                continue
            if fault.method not in ("", request.method):
                continue
            if self._random.random() >= fault.share:
                continue
            self.hits[fault.name] += 1
            if fault.delay:
                await asyncio.sleep(self._random.uniform(0, fault.delay))
            if fault.answer:
                return _refusal(fault)
            if fault.breaks == "before":
                return _broken(request)
            if fault.breaks or fault.answer_delay:
                late = fault
        return await self._pass_on(request, kind, late)

    async def _pass_on(self, request: web.Request, kind: Kind, late: Fault | None) -> web.StreamResponse:
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP}
        body = await request.read()
        try:
            async with self._session.request(
                request.method,
                self._upstream + request.path_qs,
                headers=headers,
                data=body or None,
                allow_redirects=False,
            ) as upstream:
                if upstream.status >= 400:
                    self.seen[f"{upstream.status} {kind}"] += 1
                if kind == "watch" and upstream.status == 200:
                    return await self._stream(request, upstream)
                content = await upstream.read()
                if late is not None:
                    await asyncio.sleep(late.answer_delay)
                    if late.breaks == "after":
                        return _broken(request)
                cut = late is not None and late.breaks == "within"
                return await _answer(request, upstream, content, cut=cut)
        except (aiohttp.ClientError, OSError):
            # The API server is away: its clients would find the connection broken, not a gateway's words.
            return _broken(request)

    async def _stream(self, request: web.Request, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
        response = web.StreamResponse(status=200, headers=_headers(upstream))
        response.enable_chunked_encoding()
        await response.prepare(request)
        pump = asyncio.create_task(self._pump(upstream, response))
        self._streams[pump] = "end"
        try:
            await asyncio.wait({pump})
            ending: Ending = self._streams[pump]
            if not pump.cancelled() and pump.exception() is not None:
                ending = "break"
            self.seen[f"watch {ending}"] += 1
            if ending == "break":
                return _broken(request)
            if ending == "expire":
                await response.write(json.dumps(_EXPIRED).encode() + b"\n")
            await response.write_eof()
        except (ConnectionError, aiohttp.ClientError):
            pass
        finally:
            self._streams.pop(pump, None)
            pump.cancel()
        return response

    async def _pump(self, upstream: aiohttp.ClientResponse, response: web.StreamResponse) -> None:
        """Whole lines only, so that an injected one never falls into the middle of another."""
        rest = b""
        async for chunk in upstream.content.iter_any():
            lines, newline, rest = (rest + chunk).rpartition(b"\n")
            await self._flowing.wait()
            if newline:
                if b'"code":410' in lines and b'"ERROR"' in lines:
                    self.seen["410 watch"] += 1
                await response.write(lines + newline)


def _kind(request: web.Request) -> Kind:
    if request.method != "GET":
        return "write"
    return "watch" if request.query.get("watch") in ("1", "true") else "read"


def _broken(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=502)


def _headers(upstream: aiohttp.ClientResponse) -> dict[str, str]:
    drop = {*_HOP, "content-length"}
    return {k: v for k, v in upstream.headers.items() if k.lower() not in drop}


async def _answer(
    request: web.Request, upstream: aiohttp.ClientResponse, content: bytes, *, cut: bool
) -> web.StreamResponse:
    if not cut:
        return web.Response(status=upstream.status, headers=_headers(upstream), body=content)
    response = web.StreamResponse(status=upstream.status, headers=_headers(upstream))
    response.content_length = len(content)
    await response.prepare(request)
    await response.write(content[: len(content) // 2])
    return _broken(request)


def _refusal(fault: Fault) -> web.Response:
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f"injected: {fault.name}",
        "reason": {429: "TooManyRequests", 503: "ServiceUnavailable"}.get(fault.answer, "InternalError"),
        "code": fault.answer,
    }
    headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
    return web.json_response(body, status=fault.answer, headers=headers)
