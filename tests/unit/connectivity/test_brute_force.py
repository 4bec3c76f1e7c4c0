"""The engine against a naive evaluator, at every boundary of every port and address range."""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import HealthCheck, given, settings

from tenantprofile.connectivity.addresses import AddressSet
from tenantprofile.connectivity.connections import ConnectionMap
from tenantprofile.connectivity.verdict import verdict
from tenantprofile.connectivity.world import World
from unit.connectivity import brute_force
from unit.connectivity.small_worlds import ADDRESSES, PORTS, PROTOCOLS, clusters, of_kind

BOUNDARIES = sorted({p for port in PORTS for p in (port - 1, port, port + 1) if 1 <= p <= 65535} | {1})
SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def ends(objects):
    return [*of_kind(objects, "Pod"), *ADDRESSES]


def asked(world, end):
    if isinstance(end, str):
        return ip_address(end)
    return world.find(f"{end['metadata']['namespace']}/Pod/{end['metadata']['name']}")[0]


@settings(SLOW, max_examples=100)
@given(clusters())
def test_every_single_answer_is_the_naive_one(objects):
    world = World.from_objects(objects)
    for source in ends(objects):
        for destination in ends(objects):
            if isinstance(source, str) and isinstance(destination, str):
                continue
            for protocol in ("TCP", "UDP"):
                for port in (80, 8080):
                    one = verdict(world, asked(world, source), asked(world, destination), protocol, port)
                    expected = brute_force.allowed(objects, source, destination, protocol, port)
                    assert one.allowed == expected, (source, destination, protocol, port, one)


@settings(SLOW, max_examples=120)
@given(clusters())
def test_the_connection_map_says_what_the_naive_answers_add_up_to(objects):
    world = World.from_objects(objects)
    table = ConnectionMap(world)
    pods = of_kind(objects, "Pod")
    for source in pods:
        role = table.classes.kind_of[asked(world, source).key].role
        for destination in pods:
            if source is destination:
                continue
            ports = table.between(asked(world, source), asked(world, destination))
            for protocol in PROTOCOLS:
                for port in BOUNDARIES:
                    expected = brute_force.allowed(objects, source, destination, protocol, port)
                    assert ports.contains(protocol, port) == expected, (source, destination, protocol, port)
        for text in ADDRESSES:
            out = _ports_of(table.addresses(role, "outbound"), text)
            into = _ports_of(table.addresses(role, "inbound"), text)
            for protocol in PROTOCOLS:
                for port in BOUNDARIES:
                    assert out.contains(protocol, port) == brute_force.allowed(
                        objects, source, text, protocol, port
                    )
                    assert into.contains(protocol, port) == brute_force.allowed(
                        objects, text, source, protocol, port
                    )


@settings(SLOW, max_examples=150)
@given(clusters())
def test_grouped_flows_spell_out_to_exactly_the_pairs(objects):
    world = World.from_objects(objects)
    table = ConnectionMap(world)
    for blocked in (False, True):
        flows, rows = {}, {}
        for flow in table.flows(blocked):
            for source, destination in flow.pairs():
                key = _name(source), _name(destination)
                if isinstance(source, AddressSet) or isinstance(destination, AddressSet):
                    key = (*key, flow.ports)
                assert key not in flows, "flows overlap"
                flows[key] = flow.ports
        for row in table.connections(blocked):
            key = _name(row.source), _name(row.destination)
            if isinstance(row.source, AddressSet) or isinstance(row.destination, AddressSet):
                key = (*key, row.ports)
            rows[key] = row.ports
        assert flows == rows


def _ports_of(parts, text):
    (found,) = [ports for ports, addresses in parts.items() if addresses.contains(ip_address(text))]
    return found


def _name(end):
    return end if isinstance(end, AddressSet) else str(end)
