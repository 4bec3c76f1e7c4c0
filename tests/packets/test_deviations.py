"""Where the enforcement engine differs from the API, shown; and that our templates stay clear of it.

When one of these fails because wire and API agree, a newer engine got it right: strike it from
`packets.deviations`, and see whether the advice is still worth giving.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from ipaddress import ip_address

import pytest

from packets import oracle, wiring
from packets.api import Object
from packets.deviations import DEVIATIONS, NAMESPACE, Deviation, populate
from packets.flows import Flow, Outcome
from packets.netns import Netns
from packets.world import World

DENY_ALL: Object = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "deny", "namespace": NAMESPACE},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
}


@pytest.mark.parametrize("deviation", DEVIATIONS, ids=lambda d: d.name)
def test_the_engine_still_gets_it_wrong(deviation: Deviation, world: World) -> None:
    populate(world)
    for policy in deviation.policies:
        world.api.apply(policy)
    world.settle()
    said = oracle.expected(world.objects(), world.parties, deviation.flows)
    assert set(said.values()) == {deviation.allowed_by_api}
    found = world.probe(deviation.flows)
    assert any(outcome.allowed != deviation.allowed_by_api for outcome in found.values()), (
        f"the engine now gets this right: {deviation.title}"
    )


def test_two_policies_instead_of_one_are_right(world: World) -> None:
    """The advice for the first deviation, which the built-in templates follow."""
    populate(world)
    spec = next(d for d in DEVIATIONS if d.name == "both-directions").policies[0]["spec"]
    for direction in ("Ingress", "Egress"):
        half = {
            key: value
            for key, value in spec.items()
            if key not in ("ingress", "egress") or key == direction.lower()
        }
        world.api.apply(
            DENY_ALL
            | {
                "metadata": {"name": direction.lower(), "namespace": NAMESPACE},
                "spec": half | {"policyTypes": [direction]},
            }
        )
    comparison = oracle.compare(world)
    assert not comparison.differences, str(comparison)


def test_ping_passes_every_denial(world: World) -> None:
    """The API knows TCP, UDP and SCTP; what becomes of ICMP is up to the engine."""
    populate(world)
    world.api.apply(DENY_ALL)
    world.settle()
    client, server = world.parties[f"{NAMESPACE}/client"], world.parties[f"{NAMESPACE}/server"]
    denied = Flow(client.name, server.name, "TCP", 8080, 4)
    assert world.probe([denied])[denied] is Outcome.REFUSED
    assert _ping(client.netns, server.address(4) or "")


def test_a_connection_that_is_open_survives_a_new_denial(world: World) -> None:
    """The API leaves it open (documentation: "Pod lifecycle"); this engine lets it live."""
    populate(world)
    world.settle()
    client, server = world.parties[f"{NAMESPACE}/client"], world.parties[f"{NAMESPACE}/server"]
    address = (server.address(4) or "", 8080)
    connection = client.netns.run(lambda: socket.create_connection(address, 5))
    with connection:
        assert connection.recv(100) == f"{server.name}\n".encode()
        world.api.apply(DENY_ALL)
        world.settle()
        connection.sendall(b"still there?")
        assert connection.recv(100) == b"still there?"
        new = Flow(client.name, server.name, "TCP", 8080, 4)
        assert world.probe([new])[new] is Outcome.REFUSED


def test_a_denied_pod_reaches_node_ports(world: World) -> None:
    """Ports 30000 to 32767 of its node are open to every pod, others are not."""
    populate(world)
    world.api.apply(DENY_ALL)
    world.settle()
    world.listener.add("node", world.node.path, {"TCP": [29000, 30080]})
    try:
        client = world.parties[f"{NAMESPACE}/client"].netns.path
        found = world.prober.probe(
            [(client, "TCP", str(wiring.NODE_IPV4), port, "node") for port in (29000, 30080)], 1
        )
    finally:
        world.listener.remove("node")
    assert [outcome for outcome, _ in found] == [Outcome.REFUSED, Outcome.OPEN]


def test_the_node_reaches_its_pods_whatever_is_denied(world: World) -> None:
    """As the API wants it, for probes of the kubelet."""
    populate(world)
    world.api.apply(DENY_ALL)
    world.settle()
    server = world.parties[f"{NAMESPACE}/server"]
    found = world.prober.probe(
        [(world.node.path, "TCP", str(server.address(family)), 8080, server.name) for family in (4, 6)], 1
    )
    assert [outcome for outcome, _ in found] == [Outcome.OPEN, Outcome.OPEN]


def _ping(source: Netns, address: str) -> bool:
    """Whether an ICMP echo request is answered within a second."""
    assert ip_address(address).version == 4
    identity = os.getpid() & 0xFFFF
    head = struct.pack("!BBHHH", 8, 0, 0, identity, 1)
    total = sum(struct.unpack("!4H", head))
    total = (total >> 16) + (total & 0xFFFF)
    request = struct.pack("!BBHHH", 8, 0, ~total & 0xFFFF, identity, 1)

    def inside() -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
            raw.settimeout(1)
            raw.sendto(request, (address, 0))
            deadline = time.monotonic() + 1
            while time.monotonic() < deadline:
                try:
                    answer = raw.recv(200)
                except TimeoutError:
                    return False
                kind, _, _, own, _ = struct.unpack("!BBHHH", answer[20:28])
                if (kind, own) == (0, identity):
                    return True
            return False

    return source.run(inside)
