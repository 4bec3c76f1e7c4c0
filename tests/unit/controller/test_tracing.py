"""Traces by the in-memory exporter: their shape, what leaves none, and that everything kept is bounded."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tenantprofile.controller import otel
from tenantprofile.controller.otel import OtelTracing
from tenantprofile.controller.tracing import TracingError

POLICIES = "/apis/networking.k8s.io/v1/namespaces/a/networkpolicies"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Traced:
    """A tracing, its clock and what it exported."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.exporter = InMemorySpanExporter()
        self.tracing = OtelTracing(self.clock, exporter=self.exporter, environ={})

    def one_pass(self, namespace: str, *codes: int, failed: bool = False, method: str = "POST") -> None:
        with self.tracing.passing(namespace):
            with self.tracing.step("render"):
                self.clock.now += 0.5
            for code in codes:
                self.clock.now += 1.0
                self.tracing.requested(method, f"{POLICIES}?fieldManager=x", code, 1.0)
        self.tracing.passed(namespace, failed=failed)

    def spans(self) -> list[ReadableSpan]:
        self.tracing._provider.force_flush()
        return list(self.exporter.get_finished_spans())

    def roots(self) -> list[ReadableSpan]:
        return [span for span in self.spans() if span.parent is None]


@pytest.fixture
def traced() -> Iterator[Traced]:
    made = Traced()
    yield made
    made.tracing._provider.shutdown()


def seconds(span: ReadableSpan) -> float:
    assert span.start_time is not None
    assert span.end_time is not None
    return round((span.end_time - span.start_time) / 1e9, 3)


def test_a_trace_tells_waiting_rendering_and_requests_apart(traced: Traced) -> None:
    traced.tracing.seen("a", "new")
    traced.clock.now += 2.0
    traced.one_pass("a", 201, 201)
    took = {(span.name, seconds(span)) for span in traced.spans()}
    assert took == {
        ("namespace created", 4.5),
        ("wait in queue", 2.0),
        ("pass", 2.5),
        ("render", 0.5),
        ("POST networkpolicies", 1.0),
    }
    assert len({span.context.trace_id for span in traced.spans() if span.context}) == 1


def test_what_needed_no_write_leaves_no_trace(traced: Traced) -> None:
    traced.tracing.seen("a", "new")
    traced.one_pass("a")
    traced.tracing.seen("a", "drift")
    traced.one_pass("a", 200, method="GET")
    assert not traced.spans()


def test_a_trace_goes_on_until_a_pass_succeeds(traced: Traced) -> None:
    traced.tracing.seen("a", "drift")
    traced.one_pass("a", 500, failed=True)
    traced.clock.now += 7.0
    assert not traced.spans()
    traced.one_pass("a", 201)
    (root,) = traced.roots()
    assert (root.name, seconds(root), root.status.is_ok) == ("drift seen", 10.0, True)
    assert sum(span.name == "pass" for span in traced.spans()) == 2
    assert sum(not span.status.is_ok for span in traced.spans()) == 2


def test_what_never_succeeds_ends_with_an_error(traced: Traced) -> None:
    traced.tracing.seen("a", "new")
    for _ in range(otel.MAX_FAILED):
        traced.one_pass("a", 403, failed=True)
    (root,) = traced.roots()
    assert not root.status.is_ok


def test_a_change_ends_with_the_last_of_its_namespaces(traced: Traced) -> None:
    traced.tracing.changed("p")
    traced.clock.now += 1.0
    with traced.tracing.fan_out(["p"]) as concerns:
        for name in ("a", "b", "c"):
            concerns(name)
    for name in ("a", "b"):
        traced.one_pass(name, 200, method="PUT")
    assert not traced.spans()
    traced.one_pass("c")
    (root,) = traced.roots()
    assert (root.name, seconds(root)) == ("profile changed", 4.0)
    assert root.attributes is not None
    assert root.attributes["tenantprofile.namespaces"] == 3
    assert sum(span.name == "namespace" for span in traced.spans()) == 3


def test_a_newer_change_takes_the_namespaces_over(traced: Traced) -> None:
    for _ in range(2):
        traced.tracing.changed("p")
        with traced.tracing.fan_out(["p"]) as concerns:
            concerns("a")
            concerns("b")
    for name in ("a", "b"):
        traced.one_pass(name, 200, method="PUT")
    assert [root.name for root in traced.roots()] == ["profile changed"]
    assert not traced.tracing._changes
    assert not traced.tracing._open


def test_everything_is_bounded(traced: Traced) -> None:
    for number in range(2 * otel.MAX_OPEN):
        traced.tracing.seen(f"n{number}", "new")
    assert len(traced.tracing._open) == otel.MAX_OPEN
    for _ in range(2 * otel.MAX_CHANGES):
        with traced.tracing.fan_out(["p"]) as concerns:
            for number in range(2 * otel.MAX_NAMESPACES):
                concerns(f"m{number}")
    assert len(traced.tracing._changes) <= otel.MAX_CHANGES
    assert len(traced.tracing._open) <= otel.MAX_OPEN
    traced.tracing.took_over()
    traced.tracing.seen("a", "new")
    traced.one_pass("a", *[201] * (2 * otel.MAX_STEPS))
    assert otel.MAX_STEPS <= len(traced.spans()) <= otel.MAX_STEPS + 2


def test_a_standby_keeps_only_what_came_in_the_gap(traced: Traced) -> None:
    traced.tracing.standby = True
    traced.tracing.seen("a", "new")
    traced.tracing.seen("b", "new")
    traced.clock.now += 3600
    traced.tracing.seen("b", "new")
    traced.clock.now += 5
    traced.tracing.standby = False
    traced.tracing.took_over()
    traced.one_pass("a", 201)
    traced.one_pass("b", 201)
    (root,) = traced.roots()
    assert seconds(root) == 8.0
    assert root.attributes is not None
    assert root.attributes["k8s.namespace.name"] == "b"


def test_a_protocol_that_is_not_there_is_refused() -> None:
    with pytest.raises(TracingError, match="grpc"):
        OtelTracing(environ={"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})


def test_without_the_flag_nothing_of_it_is_imported() -> None:
    code = (
        "import sys, tenantprofile.controller.operator as o\n"
        "print(any(m.startswith('opentelemetry') for m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
