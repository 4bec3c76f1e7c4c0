"""Listings are in one order, whatever order objects come in; changes are connections, not lines."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenantprofile.analysis import listing as listings
from tenantprofile.analysis.listing import by_namespace, changes, listing, pair_count
from tenantprofile.analysis.naming import end_text
from tenantprofile.analysis.world import assemble
from tenantprofile.connectivity.connections import ConnectionMap
from tenantprofile.connectivity.difference import difference
from tenantprofile.connectivity.world import World
from tenantprofile.input.objects import Origin, SourceObject
from unit.analysis.texts import assembled, pod
from unit.connectivity.small_worlds import clusters, of_kind

DENY = """
    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: {{name: deny, namespace: {namespace}}}
    spec: {{podSelector: {selector}, policyTypes: [Ingress]}}
    """


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(clusters(), st.randoms())
def test_the_order_of_objects_never_matters(objects, random) -> None:
    items = [SourceObject(raw, Origin("x")) for raw in objects]
    expected = [row.data() for row in listing(assemble(items))]
    random.shuffle(items)
    assert [row.data() for row in listing(assemble(items))] == expected


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(clusters(), clusters())
def test_gained_and_lost_are_exactly_the_difference_pair_by_pair(first, second) -> None:
    pods = [o for o in first if o["kind"] != "NetworkPolicy"]
    old = World.from_objects(first)
    new = World.from_objects([*pods, *of_kind(second, "NetworkPolicy")])
    before, after = ConnectionMap(old), ConnectionMap(new)
    expected = {}
    for one, one_after in zip(old.workloads, new.workloads, strict=True):
        for other, other_after in zip(old.workloads, new.workloads, strict=True):
            if one is not other:
                was, now = before.between(one, other), after.between(one_after, other_after)
                for sign, ports in (("gained", now - was), ("lost", was - now)):
                    if ports:
                        expected[sign, str(one), str(other)] = ports
    found = {}
    for changed in changes(old, new):
        row = changed.row
        if row.source_namespace and row.destination_namespace:
            key = changed.sign, row.source, row.destination
            assert key not in found
            found[key] = row.ports
    assert found == expected


def test_the_pods_of_a_workload_that_change_alike_are_one_row() -> None:
    owned = "metadata: {ownerReferences: [{kind: StatefulSet, name: web, controller: true}], "
    replicas = "".join(pod(f"web-{n}", "shop", n=f"x{n}").replace("metadata: {", owned) for n in range(3))
    world = assembled(replicas, pod("c", "other")).world
    closed = assembled(replicas, pod("c", "other"), DENY.format(namespace="shop", selector="{}")).world
    rows = [(c.row.source, c.row.destination) for c in changes(world, closed)]
    assert rows == [
        ("other/c", "shop/StatefulSet/web"),
        ("shop/StatefulSet/web", "shop/StatefulSet/web"),
        ("outside", "shop/StatefulSet/web"),
    ]
    some = DENY.format(namespace="shop", selector="{matchLabels: {n: x1}}")
    partly = assembled(replicas, pod("c", "other"), some).world
    assert {c.row.destination for c in changes(world, partly)} == {"shop/web-1"}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(clusters(), clusters())
def test_pairs_are_counted_without_going_through_them(first, second) -> None:
    pods = [o for o in first if o["kind"] != "NetworkPolicy"]
    new = World.from_objects([*pods, *of_kind(second, "NetworkPolicy")])
    for change in difference(ConnectionMap(World.from_objects(first)), ConnectionMap(new)):
        assert pair_count(change.flow) == len(list(change.flow.pairs()))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(clusters(), st.booleans())
def test_a_listing_is_that_of_the_engine_in_its_order(objects, blocked) -> None:
    assembly = assemble([SourceObject(raw, Origin("x")) for raw in objects])
    expected = [
        (end_text(c.source), end_text(c.destination), c.ports)
        for c in ConnectionMap(assembly.world).connections(blocked)
    ]
    assert [(r.source, r.destination, r.ports) for r in listing(assembly, blocked=blocked)] == expected


def test_many_changes_are_told_by_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listings, "MAX_CHANGED", 3)
    pods = "".join(pod(f"web-{n}", "shop", app="web") for n in range(3)) + pod("c", "other")
    closed = assembled(pods, DENY.format(namespace="shop", selector="{}")).world
    rows = [(c.row.source, c.row.destination) for c in changes(assembled(pods).world, closed)]
    assert rows == [
        ("3 pods, such as shop/web-0", "3 pods, such as shop/web-0"),
        ("other/c", "3 pods, such as shop/web-0"),
        ("outside", "3 pods, such as shop/web-0"),
    ]


def test_a_listing_beyond_what_anybody_reads_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listings, "MAX_PAIRS", 3)
    with pytest.raises(listings.TooManyError, match="2 workloads make 4 pairs"):
        listing(assembled(pod("a", "one"), pod("b", "two")))
    assert list(listing(assembled(pod("a", "one"), pod("b", "two")), only=frozenset({"one"})))


def test_between_namespaces_the_ports_of_all_their_workloads_are_added_up() -> None:
    rows = list(by_namespace(listing(assembled(pod("a", "one"), pod("b", "one"), pod("c", "two")))))
    assert [(row.source, row.destination) for row in rows] == [
        ("one", "one"),
        ("one", "two"),
        ("one", "outside"),
        ("two", "one"),
        ("two", "outside"),
        ("outside", "one"),
        ("outside", "two"),
    ]


@pytest.mark.parametrize("blocked", [False, True])
def test_only_one_namespace_may_be_asked_for(blocked: bool) -> None:
    found = assembled(pod("a", "one"), pod("b", "two"), DENY.format(namespace="two", selector="{}"))
    for row in listing(found, blocked=blocked, only=frozenset({"two"})):
        assert "two" in (row.source_namespace, row.destination_namespace)
