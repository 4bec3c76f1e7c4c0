"""Traces by OpenTelemetry (the extra `otel`): one from each event to the last write accepted for it.

A trace is put together when it is over, and only where something was written: what is looked at and found right leaves
none, and while work goes on it costs a few list entries. Everything kept is bounded. Exporter, sampler and resource are
set by the standard variables OTEL_*; sending is done by a thread of the SDK.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Thread
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from tenantprofile import __version__
from tenantprofile.controller.tracing import Tracing, TracingError
from tenantprofile.settings import GAP, LAST_WRITES

MAX_OPEN: Final = 1000
"""Namespaces with an event that is not dealt with yet."""
MAX_STEPS: Final = 200
"""Spans of one namespace in one trace."""
MAX_FAILED: Final = 10
"""Passes that fail, after which a trace ends with an error instead of with a write."""
MAX_NAMESPACES: Final = 100
"""Namespaces in the trace of a profile's change; of the others only the number."""
MAX_CHANGES: Final = 20

NAMES: Final = {"new": "namespace created", "drift": "drift seen", "change": "profile changed"}
"""Names of root spans."""
PROTOCOLS: Final = ("", "http/protobuf")


@dataclass(slots=True)
class _Step:
    name: str
    start: float
    end: float
    attributes: dict[str, Any] = field(default_factory=dict)
    failed: bool = False
    within: list[_Step] = field(default_factory=list)


@dataclass(slots=True)
class _Open:
    """A namespace with an event that is not dealt with yet."""

    what: str
    seen: float
    waits_since: float
    steps: list[_Step] = field(default_factory=list)
    present: _Step | None = None
    count: int = 0
    failures: int = 0
    last_write: float | None = None
    change: _Change | None = None

    def add(self, where: list[_Step], step: _Step) -> None:
        self.count += 1
        if self.count <= MAX_STEPS:
            where.append(step)


@dataclass(slots=True, eq=False)
class _Change:
    """Changes of profiles whose namespaces were put into the queue together."""

    profiles: tuple[str, ...]
    seen: float
    waiting: set[str] = field(default_factory=set)
    all_told: bool = False
    done: list[tuple[str, _Open, bool]] = field(default_factory=list)
    total: int = 0
    last_write: float | None = None


_present: ContextVar[_Open | None] = ContextVar("present", default=None)


class OtelTracing(Tracing):
    """Sends to `exporter`, by default the one that OTEL_EXPORTER_OTLP_* names. `clock` gives monotonic seconds."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        exporter: SpanExporter | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """Raises TracingError."""
        for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
            if environ.get(name, "") not in PROTOCOLS:
                raise TracingError(f"{name} is {environ[name]}; traces are sent as http/protobuf only")
        self._clock = clock
        self._epoch = time.time_ns() - int(clock() * 1e9)
        named = {} if environ.get("OTEL_SERVICE_NAME") else {"service.name": "tenantprofile-operator"}
        self._provider = TracerProvider(
            resource=Resource.create(named | {"service.version": __version__}), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("tenantprofile", __version__)
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._changed: OrderedDict[str, float] = OrderedDict()
        self._changes: list[_Change] = []

    # --- what happens ---

    def seen(self, namespace: str, what: str) -> None:
        """See Tracing."""
        if self.standby:
            self._open.pop(namespace, None)
        if namespace not in self._open:
            now = self._clock()
            self._keep(namespace, _Open(what, now, now))

    def _keep(self, namespace: str, opened: _Open) -> None:
        self._open[namespace] = opened
        if len(self._open) > MAX_OPEN:
            oldest, left = self._open.popitem(last=False)
            self._leave(oldest, left)

    def changed(self, profile: str) -> None:
        """See Tracing."""
        self._changed.setdefault(profile, self._clock())
        if len(self._changed) > MAX_OPEN:
            self._changed.popitem(last=False)

    @contextmanager
    def fan_out(self, profiles: Iterable[str]) -> Iterator[Callable[[str], None]]:
        """See Tracing."""
        names = tuple(sorted(profiles))
        change = _Change(names, min((self._changed.pop(n, self._clock()) for n in names), default=0.0))
        self._changes.append(change)
        if len(self._changes) > MAX_CHANGES:
            self._end_change(self._changes[0])

        def concerns(namespace: str) -> None:
            change.total += 1
            change.waiting.add(namespace)
            known = self._open.get(namespace)
            if known is not None and known.change is None:
                change.waiting.discard(namespace)  # its own event came first, and has a trace
                return
            if known is not None:
                self._leave(namespace, known)
            if len(change.waiting) + len(change.done) <= MAX_NAMESPACES:
                self._keep(namespace, _Open("change", change.seen, self._clock(), change=change))

        yield concerns
        change.all_told = True
        self._end_if_over(change)

    @contextmanager
    def passing(self, namespace: str) -> Iterator[None]:
        """See Tracing."""
        opened = self._open.get(namespace)
        if opened is None:
            yield
            return
        start = self._clock()
        opened.add(opened.steps, _Step("wait in queue", opened.waits_since, start))
        step = opened.present = _Step("pass", start, start)
        opened.add(opened.steps, step)
        token = _present.set(opened)
        try:
            yield
        finally:
            _present.reset(token)
            step.end = opened.waits_since = self._clock()
            opened.present = None

    def passed(self, namespace: str, *, failed: bool) -> None:
        """See Tracing."""
        opened = self._open.get(namespace)
        if opened is None:
            for change in [change for change in self._changes if namespace in change.waiting]:
                change.waiting.discard(namespace)
                self._end_if_over(change)
            return
        if not opened.steps or opened.present is not None:
            return  # seen since that pass began
        opened.steps[-1].failed = failed
        opened.failures += failed
        if failed and opened.change is None and opened.failures < MAX_FAILED:
            return
        del self._open[namespace]
        if opened.change is not None:
            opened.change.done.append((namespace, opened, failed))
            self._leave(namespace, opened)
        elif opened.last_write is not None or failed:
            self._send(namespace, opened, failed)

    def _leave(self, namespace: str, opened: _Open) -> None:
        """A namespace that a change waits for no longer."""
        change = opened.change
        if change is not None:
            change.waiting.discard(namespace)
            if opened.last_write is not None:
                change.last_write = max(opened.last_write, change.last_write or 0.0)
            self._end_if_over(change)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """See Tracing."""
        opened = _present.get()
        if opened is None or opened.present is None:
            yield
            return
        step = _Step(name, self._clock(), 0.0)
        opened.add(opened.present.within, step)
        try:
            yield
        finally:
            step.end = self._clock()

    def requested(self, method: str, path: str, code: int, seconds: float) -> None:
        """See Tracing."""
        opened = _present.get()
        if opened is None or opened.present is None:
            return
        path = path.partition("?")[0]
        now = self._clock()
        resource = next((part for part in reversed(path.split("/")) if part in _RESOURCES), "api")
        accepted = 200 <= code < 300
        attributes = {"http.request.method": method, "url.path": path} | (
            {"http.response.status_code": code} if code else {"error.type": "no answer"}
        )
        step = _Step(f"{method} {resource}", now - seconds, now, attributes, not accepted)
        opened.add(opened.present.within, step)
        if accepted and method != "GET" and resource == "networkpolicies":
            opened.last_write = now

    def took_over(self) -> None:
        """See Tracing."""
        oldest = self._clock() - GAP
        for namespace in [name for name, opened in self._open.items() if opened.seen < oldest]:
            del self._open[namespace]
        self._changes.clear()

    # --- sending ---

    def _end_if_over(self, change: _Change) -> None:
        if change.all_told and not change.waiting:
            self._end_change(change)

    def _end_change(self, change: _Change) -> None:
        if change not in self._changes:
            return
        self._changes.remove(change)
        failed = any(bad for _, _, bad in change.done)
        if change.last_write is None and not failed:
            return
        end = change.last_write or max(opened.waits_since for _, opened, _ in change.done)
        attributes = {
            "tenantprofile.profiles": change.profiles,
            "tenantprofile.namespaces": change.total,
        }
        root = self._start(None, NAMES["change"], change.seen, attributes, failed)
        for namespace, opened, bad in change.done:
            end_of_namespace = opened.last_write or opened.waits_since
            span = self._start(root, "namespace", opened.seen, {"k8s.namespace.name": namespace}, bad)
            self._send_steps(span, opened.steps)
            span.end(self._time(end_of_namespace))
        root.end(self._time(end))

    def _send(self, namespace: str, opened: _Open, failed: bool) -> None:
        attributes = {"k8s.namespace.name": namespace, "tenantprofile.failed_passes": opened.failures}
        root = self._start(None, NAMES[opened.what], opened.seen, attributes, failed)
        self._send_steps(root, opened.steps)
        root.end(self._time(opened.waits_since if failed else opened.last_write or opened.waits_since))

    def _send_steps(self, parent: Span, steps: Iterable[_Step]) -> None:
        for step in steps:
            span = self._start(parent, step.name, step.start, step.attributes, step.failed)
            self._send_steps(span, step.within)
            span.end(self._time(step.end))

    def _start(
        self, parent: Span | None, name: str, start: float, attributes: Mapping[str, Any], failed: bool
    ) -> Span:
        # An empty context: a trace is nobody else's part.
        context = trace.set_span_in_context(parent or trace.INVALID_SPAN)
        kind = SpanKind.CLIENT if "http.request.method" in attributes else SpanKind.INTERNAL
        span = self._tracer.start_span(
            name, context, kind=kind, attributes=dict(attributes), start_time=self._time(start)
        )
        if failed:
            span.set_status(Status(StatusCode.ERROR))
        return span

    def _time(self, seconds: float) -> int:
        return self._epoch + int(seconds * 1e9)

    async def stop(self) -> None:
        """See Tracing. In a thread that nobody waits for: a collector may not answer."""
        thread = Thread(target=self._provider.shutdown, daemon=True)
        thread.start()
        deadline = time.monotonic() + LAST_WRITES
        while thread.is_alive() and time.monotonic() < deadline:
            await asyncio.sleep(0.02)


_RESOURCES: Final = frozenset(
    {
        "namespaces",
        "networkpolicies",
        "tenantprofiles",
        "policytemplates",
        "customresourcedefinitions",
    }
)
