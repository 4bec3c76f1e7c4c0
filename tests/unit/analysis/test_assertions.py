"""An assertion holds exactly when it holds for every pair, one by one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tenantprofile.assertions.check import check
from tenantprofile.assertions.ends import select
from tenantprofile.assertions.form import AssertionFormError, parse_assertions, parse_port
from tenantprofile.connectivity.connections import ConnectionMap
from tenantprofile.connectivity.verdict import verdict
from tenantprofile.connectivity.workloads import Workload
from tenantprofile.connectivity.world import World
from unit.connectivity.small_worlds import LABELS, NAMESPACES, SPACE_LABELS, clusters, labels

ENDS = st.one_of(
    st.fixed_dictionaries(
        {},
        optional={
            "namespaces": st.lists(st.sampled_from(NAMESPACES), min_size=1, max_size=2, unique=True),
            "namespaceLabels": labels(SPACE_LABELS).filter(bool),
            "podLabels": labels(LABELS).filter(bool),
        },
    ).filter(bool),
    st.just({"everyPod": True}),
)
EVERY_END = st.one_of(
    ENDS,
    st.builds(lambda end: {"outside": end}, ENDS),
    st.just({"anything": True}),
    st.just({"addresses": ["10.0.0.2", "192.0.2.0/24"]}),
)
PORTS = st.lists(
    st.sampled_from([53, "53/UDP", 80, "80-443", "web", "dns/UDP"]), min_size=1, max_size=2, unique=True
)


def assertion(source: Any, target: Any, expect: str = "deny", **more: Any) -> dict[str, Any]:
    return {"name": "it", "from": source, "to": target, "expect": expect, **more}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(clusters(), EVERY_END, EVERY_END, PORTS, st.sampled_from(["allow", "deny"]))
def test_the_result_is_that_of_asking_for_every_pair(
    objects: list[Any], source: Any, target: Any, ports: list[Any], expect: str
) -> None:
    assume("addresses" not in source or "addresses" not in target)
    (wanted,) = parse_assertions([assertion(source, target, expect, ports=ports)], ("a",))
    world = World.from_objects(objects)
    result = check(ConnectionMap(world), wanted)
    senders, receivers = select(world, wanted.source), select(world, wanted.destination)
    checked = wrong = 0
    for sender in senders.workloads:
        for receiver in receivers.workloads:
            if sender is receiver:
                continue
            asked = {(p, n) for p, low, high in wanted.ports.numbers.ranges() for n in {low, high}}
            asked |= {(p, n) for name, p in wanted.ports.names for n in receiver.numbers(name, p)}
            checked += bool(asked)
            answers = [verdict(world, sender, receiver, p, n).allowed for p, n in asked]
            wrong += any(answer != (expect == "allow") for answer in answers)
    if not (senders.addresses or receivers.addresses):
        assert result.checked == checked
        assert result.violated >= wrong
    if result.status == "passed":
        assert wrong == 0
    for violation in result.examples:
        assert verdict(world, *violation.example).allowed == (expect == "deny")


@pytest.mark.parametrize("listed", [["10.0.0.2"], ["10.0.0.2", "10.0.0.3"]])
def test_an_address_that_is_a_pods_own_is_that_pod(listed: list[str]) -> None:
    world = World.from_objects(
        [
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": n, "namespace": "a"},
                "status": {"podIP": ip},
            }
            for n, ip in (("x", "10.0.0.1"), ("y", "10.0.0.2"))
        ]
    )
    (wanted,) = parse_assertions([assertion({"everyPod": True}, {"addresses": listed})], ("a",))
    violation = check(ConnectionMap(world), wanted).examples[0]
    assert isinstance(violation.destination, Workload)
    assert violation.destination.name == "y"


def test_a_range_is_explained_with_an_address_that_is_no_pods_own() -> None:
    """The pod is closed by a policy of its own, which says nothing of the addresses beside it."""

    def pod(name: str, ip: str) -> dict[str, Any]:
        metadata = {"name": name, "namespace": "a", "labels": {"name": name}}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": {"podIP": ip}}

    closed = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "closed", "namespace": "a"},
        "spec": {"podSelector": {"matchLabels": {"name": "y"}}, "policyTypes": ["Ingress"]},
    }
    table = ConnectionMap(World.from_objects([pod("x", "10.0.0.1"), pod("y", "10.0.0.4"), closed]))
    sender = {"podLabels": {"name": "x"}}
    (wanted,) = parse_assertions([assertion(sender, {"addresses": ["10.0.0.4/30"]})], ("a",))
    (violation,) = check(table, wanted).examples
    assert str(violation.example[1]) == "10.0.0.5"
    assert verdict(table.world, *violation.example).allowed


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ({"podLabels": {"app": "nobody"}}, {"everyPod": True}),
        ({"everyPod": True}, {"namespaces": ["nowhere"]}),
    ],
)
def test_an_assertion_that_meets_nothing_is_an_error_unless_it_says_so(source: Any, target: Any) -> None:
    world = World.from_objects([{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}}])
    (wanted,) = parse_assertions([assertion(source, target)], ("a",))
    assert check(ConnectionMap(world), wanted).status == "error"
    (wanted,) = parse_assertions([assertion(source, target, mayBeEmpty=True)], ("a",))
    assert check(ConnectionMap(world), wanted).status == "skipped"


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        ([], "a: found []; expected a list of at least one assertion"),
        ([assertion({}, {"everyPod": True})], "a[0].from: found {}; expected who is meant"),
        ([assertion({"podLabel": {"a": "b"}}, {"everyPod": True})], 'did you mean "podLabels"?'),
        ([assertion({"everyPod": True, "podLabels": {"a": "b"}}, {"everyPod": True})], "everyPod on its own"),
        (
            [assertion({"everyPod": False}, {"anything": True})],
            "a[0].from.everyPod: found False; expected true",
        ),
        (
            [assertion({"addresses": ["10.0.0.300"]}, {"everyPod": True})],
            "a[0].from.addresses[0]: found '10.0.0.300'",
        ),
        ([assertion({"addresses": ["::1"]}, {"addresses": ["::2"]})], "expected pods on one side"),
        ([assertion({"workload": "web"}, {"everyPod": True})], "kind/name such as deployment/frontend"),
        (
            [assertion({"outside": {"anything": True}}, {"everyPod": True})],
            "pods or addresses to be outside of",
        ),
        ([assertion({"podLabels": {"a": 1}}, {"everyPod": True})], "a label value, which is a string"),
        (
            [assertion({"everyPod": True}, {"everyPod": True}, "maybe")],
            "a[0].expect: found 'maybe'; expected allow or deny",
        ),
        ([assertion({"everyPod": True}, {"everyPod": True}, ports=["80/ICMP"])], "expected TCP, UDP or SCTP"),
        (
            [assertion({"everyPod": True}, {"everyPod": True}, ports=[70000])],
            "expected numbers from 1 to 65535",
        ),
        (
            [assertion({"everyPod": True}, {"everyPod": True})] * 2,
            "a[1].name: found 'it'; expected a name of its own",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_would_be_right(raw: Any, complaint: str) -> None:
    with pytest.raises(AssertionFormError) as caught:
        parse_assertions(raw, ("a",))
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (8080, "TCP 8080"),
        ("8080", "TCP 8080"),
        ("53/udp", "UDP 53"),
        ("80-90/SCTP", "SCTP 80-90"),
        ("*/TCP", "TCP *"),
        ("http", "TCP http"),
        ("dns/UDP", "UDP dns"),
    ],
)
def test_ports_are_written_as_people_write_them(raw: Any, text: str) -> None:
    assert str(parse_port(raw)) == text
