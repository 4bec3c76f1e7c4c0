"""Traces of a real operator against a real API server, as a collector receives them by OTLP."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from client import eventually, policies_of
from cluster.conftest import World
from operatorprocess import OperatorProcess

proto = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")


@dataclass
class Collector:
    """What has been received."""

    spans: list[Any] = field(default_factory=list)
    services: set[str] = field(default_factory=set)
    port: int = 0

    def traces(self, name: str) -> list[list[Any]]:
        """The spans of every trace whose root has this name, in the order in which they began; the root first."""
        roots = [span for span in self.spans if span.name == name and not span.parent_span_id]
        return [
            sorted(
                (span for span in self.spans if span.trace_id == root.trace_id),
                key=lambda s: (s.start_time_unix_nano, bool(s.parent_span_id)),
            )
            for root in roots
        ]


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            request = proto.ExportTraceServiceRequest.FromString(body)
            for resource in request.resource_spans:
                found.services |= {
                    a.value.string_value for a in resource.resource.attributes if a.key == "service.name"
                }
                for scope in resource.scope_spans:
                    found.spans += scope.spans
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{found.port}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
    yield found
    server.shutdown()
    server.server_close()


def test_a_trace_leads_from_each_event_to_the_last_write(
    world: World, start: Callable[..., OperatorProcess], collector: Collector
) -> None:
    start("--tracing")
    profile = world.profile("default-deny", "dns-egress")
    namespace = world.namespace()
    names = [f"{profile}.default-deny", f"{profile}.dns-egress"]
    world.has(namespace, *names)
    (created,) = eventually(lambda: collector.traces("namespace created"))
    root, *rest = created
    assert [s.name for s in rest[:3]] == ["wait in queue", "pass", "render"]
    posts = [s for s in rest if s.name == "POST networkpolicies"]
    assert len({s.span_id for s in posts}) >= 2
    # The root ends with the last write that was accepted.
    accepted = [s for s in posts if s.status.code == 0]
    assert root.end_time_unix_nano == max(s.end_time_unix_nano for s in accepted)
    assert root.start_time_unix_nano <= rest[0].start_time_unix_nano
    assert {a.key: a.value.string_value for a in root.attributes}["k8s.namespace.name"] == namespace
    assert collector.services == {"tenantprofile-operator"}

    world.client.delete(f"{policies_of(namespace)}/{names[0]}")
    (drift,) = eventually(lambda: collector.traces("drift seen"))
    assert [s.name for s in drift][:4] == ["drift seen", "wait in queue", "pass", "render"]
    assert "POST networkpolicies" in {s.name for s in drift}

    others = [world.namespace() for _ in range(3)]
    for other in others:
        world.has(other, *names)
    eventually(lambda: len(collector.traces("namespace created")) == 4)
    world.profile("default-deny")
    for other in others:
        world.has(other, names[0])
    changed = eventually(
        lambda: [t for t in collector.traces("profile changed") if any("DELETE" in s.name for s in t)]
    )[-1]
    below = [s for s in changed if s.name == "namespace"]
    assert {a.value.string_value for s in below for a in s.attributes} == {namespace, *others}
    assert {s.parent_span_id for s in below} == {changed[0].span_id}
    assert sum(s.name == "DELETE networkpolicies" for s in changed) == 4


def test_a_collector_that_is_away_costs_nothing_but_traces(
    world: World, start: Callable[..., OperatorProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    operator = start("--tracing")
    profile = world.profile("default-deny")
    for _ in range(5):
        world.has(world.namespace(), f"{profile}.default-deny")
    operator.stop()
    assert not operator.alive
