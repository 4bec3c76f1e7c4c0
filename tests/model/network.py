"""The network between one operator and the model: every request, answer and watch event passes a gate.

A gate lets through after a moment, or waits in `pending` until the test releases it, in any order. The events of one
watch stay in their order. Whoever gives up on a request does not call it back: it may take effect later.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

from model.server import Hangs, ModelServer, Refused, Request
from tenantprofile.cluster.transport import Answer, Stream, TransportError

Stage = Literal["request", "answer", "event"]

LATENCY: Final = 0.001
"""Seconds for each way."""
BOOKMARKS: Final = 60.0
"""Seconds between two bookmarks on a quiet watch (apiserver, cacher)."""


@dataclass(eq=False)
class Gate:
    """Something under way that waits to be released."""

    stage: Stage
    request: Request
    what: str
    opened: asyncio.Future[None]

    def __str__(self) -> str:
        return f"{self.stage} {self.what}"


@dataclass
class Fault:
    """A connection lost for requests that match, so many times."""

    matches: Callable[[Request], bool]
    when: Literal["before", "after"]
    times: int = 1


class Network:
    """A Transport (see `cluster.transport`) that ends in a ModelServer. `actor` names the operator in its history."""

    def __init__(self, server: ModelServer, actor: str = "operator") -> None:
        self.server = server
        self.actor = actor
        self.holds: Callable[[Stage, Request], bool] = lambda _stage, _request: False
        """Whether a gate waits for the test."""
        self.delay: Callable[[Stage, Request], float] = lambda _stage, _request: LATENCY
        """Seconds that a gate takes otherwise."""
        self.pending: list[Gate] = []
        self.faults: list[Fault] = []
        self.down = False
        self.delivered: list[tuple[int, str, int]] = []
        """The server's revision, a resource, and the revision of the event that a watch brought at that time."""
        self.reads: list[tuple[int, str]] = []
        """The server's revision, and the path that was read at that time."""
        self.requests: list[Request] = []
        """All that have taken effect or been refused."""
        self.silent = False
        """Watches bring nothing, bookmarks included, and do not end."""
        self._streams: set[_WatchStream] = set()
        self._travelling: set[asyncio.Task[Any]] = set()
        server.listeners.append(lambda _change: self._wake())

    # --- for tests ---

    def release(self, gate: Gate) -> None:
        """Let one through."""
        if gate in self.pending:
            self.pending.remove(gate)
        if not gate.opened.done():
            gate.opened.set_result(None)

    def open(self) -> None:
        """Let everything through from here on."""
        self.holds = lambda _stage, _request: False
        for gate in list(self.pending):
            self.release(gate)

    def lose(self, when: Literal["before", "after"], method: str, part: str = "", times: int = 1) -> None:
        """Lose the connection of the next requests of that method whose path contains `part`."""
        self.faults.append(Fault(lambda r: r.method == method and part in r.path, when, times))

    def reset(self) -> None:
        """The API server restarts: every connection is lost, and what was under way never arrives."""
        for gate in list(self.pending):
            self.pending.remove(gate)
            gate.opened.set_exception(TransportError(f"{gate.what}: connection reset"))
        self.cut()

    def cut(self) -> None:
        """Every watch loses its connection."""
        for stream in list(self._streams):
            stream.broken = True
        self._wake()

    @property
    def watching(self) -> set[str]:
        """The resources that are watched at present."""
        return {stream.plural for stream in self._streams}

    # --- Transport ---

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout: float,  # noqa: ASYNC109 (the Protocol's)
        control: bool = False,
    ) -> Answer:
        """See Transport."""
        request = Request.of(method, path, body, headers, self.actor, self.server.revision)
        travel = asyncio.ensure_future(self._travel(request))
        self._travelling.add(travel)
        travel.add_done_callback(self._arrived)
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.shield(travel)
        except TimeoutError as error:
            raise TransportError(f"{method} {path}: no answer within {timeout:.0f} s") from error

    def _arrived(self, travel: asyncio.Task[Any]) -> None:
        self._travelling.discard(travel)
        if not travel.cancelled():
            travel.exception()

    async def _travel(self, request: Request) -> Answer:
        self._refuse_if_down(request)
        await self._gate("request", request, f"{request.method} {request.path}")
        self._refuse_if_down(request)
        self._break(request, "before")
        answer = await self._effect(request)
        self._break(request, "after")
        await self._gate("answer", request, f"{request.method} {request.path} {answer.status}")
        self._refuse_if_down(request)
        return answer

    async def _effect(self, request: Request) -> Answer:
        self.requests.append(request)
        if request.method == "GET":
            self.reads.append((self.server.revision, request.path))
        try:
            try:
                return Answer(200, {}, json.dumps(self.server.handle(request)).encode())
            except Hangs as hangs:
                await asyncio.sleep(hangs.seconds)
                if hangs.refusal is not None:
                    raise hangs.refusal from hangs
                raise TransportError("closed") from hangs
        except Refused as refused:
            return _refusal(refused)

    def _refuse_if_down(self, request: Request) -> None:
        if self.down:
            raise TransportError(f"{request.method} {request.path}: connection refused")

    def _break(self, request: Request, when: str) -> None:
        for fault in self.faults:
            if fault.when == when and fault.times and fault.matches(request):
                fault.times -= 1
                raise TransportError(f"{request.method} {request.path}: connection lost")

    async def _gate(self, stage: Stage, request: Request, what: str) -> None:
        if not self.holds(stage, request):
            await asyncio.sleep(self.delay(stage, request))
            return
        gate = Gate(stage, request, what, asyncio.get_running_loop().create_future())
        self.pending.append(gate)
        try:
            await gate.opened
        finally:
            if gate in self.pending:
                self.pending.remove(gate)

    @asynccontextmanager
    async def stream(self, path: str, *, headers: Mapping[str, str], silence: float) -> AsyncIterator[Stream]:
        """See Transport."""
        request = Request.of("GET", path, None, headers, self.actor, self.server.revision)
        self._refuse_if_down(request)
        await self._gate("request", request, f"watch {request.path}")
        self._refuse_if_down(request)
        self._break(request, "before")
        self.requests.append(request)
        stream = _WatchStream(self, request, silence)
        self._streams.add(stream)
        try:
            yield stream
        finally:
            self._streams.discard(stream)

    def _wake(self) -> None:
        for stream in self._streams:
            stream.news.set()


class _WatchStream:
    """One watch, from the revision that it asked for."""

    def __init__(self, network: Network, request: Request, silence: float) -> None:
        self._network = network
        self._request = request
        self._silence = silence
        self._epoch = network.server.epoch
        self._position = int(request.query.get("resourceVersion") or 0)
        self._error: Answer | None = None
        self._first: list[bytes] = []
        self.plural = request.path.rpartition("/")[2]
        self.news = asyncio.Event()
        self.broken = False
        self.headers: Mapping[str, str] = {}
        self.status = 200
        try:
            list(network.server.events(request, self._position))
        except Refused as refused:
            if refused.code == 410 and network.server.gone_as_event:
                self._first.append(_line({"type": "ERROR", "object": refused.body}))
            else:
                self._error = _refusal(refused)
                self.status = refused.code

    async def read(self) -> bytes:
        return self._error.body if self._error is not None else b""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for line in self._first:
            yield line
        if self._first:
            return
        loop = asyncio.get_running_loop()
        ends = loop.time() + float(self._request.query.get("timeoutSeconds") or 1800)
        heard = loop.time()
        while True:
            self.news.clear()
            self._check()
            coming = None if self._is_silent() else self._next()
            if coming is None:
                bookmark = heard + BOOKMARKS
                wait = min(ends, heard + self._silence, bookmark) - loop.time()
                if wait > 0:
                    try:
                        await asyncio.wait_for(self.news.wait(), wait)
                    except TimeoutError:
                        pass
                    continue
                if loop.time() >= heard + self._silence:
                    raise TransportError(f"{self._request.path}: nothing heard for {self._silence:.0f} s")
                if loop.time() >= ends:
                    return
                heard = loop.time()
                if not self._is_silent():
                    yield self._bookmark()
                continue
            revision, event = coming
            try:
                async with asyncio.timeout(heard + self._silence - loop.time()):
                    name = event["object"]["metadata"]["name"]
                    await self._network._gate("event", self._request, f"{event['type']} {self.plural} {name}")
            except TimeoutError as error:
                raise TransportError(f"{self._request.path}: silent for {self._silence:.0f} s") from error
            self._check()
            self._position = revision
            self._network.delivered.append((self._network.server.revision, self.plural, revision))
            heard = loop.time()
            yield _line(event)

    def _is_silent(self) -> bool:
        return self._network.silent or self._epoch != self._network.server.epoch

    def _check(self) -> None:
        if self.broken or self._network.down:
            raise TransportError(f"watch of {self._request.path}: connection lost")

    def _next(self) -> tuple[int, Any] | None:
        try:
            return next(iter(self._network.server.events(self._request, self._position, is_open=True)), None)
        except Refused as refused:
            if refused.code == 404:
                # The CRD is gone: the server ends the watch.
                self.broken = True
                self._check()
            raise

    def _bookmark(self) -> bytes:
        self._position = max(self._position, self._network.server.revision)
        metadata = {"resourceVersion": str(self._position), "creationTimestamp": None}
        return _line({"type": "BOOKMARK", "object": {"metadata": metadata}})


def _refusal(refused: Refused) -> Answer:
    body = refused.body if isinstance(refused.body, str) else json.dumps(refused.body)
    return Answer(refused.code, refused.headers, body.encode())


def _line(event: Any) -> bytes:
    return json.dumps(event).encode() + b"\n"
