"""Traces of the whole operator over the model: what leads to the last accepted write, and what leaves no trace."""

from __future__ import annotations

from collections.abc import Iterator
from unittest import mock

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from model.world import Instance, World

PARTS = {"wait in queue", "pass", "render"}


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.end()


@pytest.fixture
def instance(world: World, exporter: InMemorySpanExporter) -> Instance:
    """An operator that traces, with one profile of two policies and three namespaces, after its start."""
    for index in range(3):
        world.namespace(f"a-{index}")
    world.profile("p", "default-deny", "dns-egress")
    with mock.patch("tenantprofile.controller.otel.OTLPSpanExporter", return_value=exporter):
        instance = world.start(tracing=True)
    world.run_for(10)
    return instance


def traces(instance: Instance, exporter: InMemorySpanExporter) -> list[list[ReadableSpan]]:
    """The spans of each trace since the last call, the root first, the others as they began."""
    instance.operator._tracing._provider.force_flush()  # type: ignore[attr-defined]
    spans = exporter.get_finished_spans()
    exporter.clear()
    found: dict[int, list[ReadableSpan]] = {}
    for span in sorted(spans, key=lambda s: (s.parent is not None, s.start_time)):
        assert span.context is not None
        found.setdefault(span.context.trace_id, []).append(span)
    return list(found.values())


def names(spans: list[ReadableSpan]) -> list[str]:
    return [span.name for span in spans]


def test_a_new_namespace_and_a_repair_leave_a_trace_each(
    world: World, instance: Instance, exporter: InMemorySpanExporter
) -> None:
    traces(instance, exporter)
    world.namespace("b")
    world.run_for(5)
    (created,) = traces(instance, exporter)
    assert set(names(created)) == {*PARTS, "namespace created", "POST networkpolicies"}
    writes = [span for span in created if span.name == "POST networkpolicies"]
    assert [span.attributes["http.response.status_code"] for span in writes if span.attributes] == [200, 200]
    assert created[0].end_time == max(span.end_time or 0 for span in writes)
    assert created[0].attributes is not None
    assert created[0].attributes["k8s.namespace.name"] == "b"
    world.server.delete("networkpolicies", "p.default-deny", "b")
    world.run_for(5)
    (drift,) = traces(instance, exporter)
    assert set(names(drift)) == {*PARTS, "drift seen", "POST networkpolicies"}


def test_a_change_of_a_profile_is_one_trace_over_its_namespaces(
    world: World, instance: Instance, exporter: InMemorySpanExporter
) -> None:
    traces(instance, exporter)
    world.profile("p", "default-deny")
    world.run_for(5)
    (changed,) = traces(instance, exporter)
    assert changed[0].name == "profile changed"
    assert names(changed).count("namespace") == 3
    assert names(changed).count("DELETE networkpolicies") == 3


def test_what_is_at_rest_or_not_selected_leaves_no_trace(
    world: World, instance: Instance, exporter: InMemorySpanExporter
) -> None:
    traces(instance, exporter)
    world.namespace("elsewhere", tenant="no")
    world.run_for(1500)
    assert not traces(instance, exporter)
    assert not instance.operator._tracing._open  # type: ignore[attr-defined]
    assert not instance.operator._tracing._changes  # type: ignore[attr-defined]
