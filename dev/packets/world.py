"""The whole test world: a node, its pods, hosts outside, the engine, and the wire between them.

::

    with ControlPlane(apiserver_flags=APISERVER_FLAGS) as cluster, World(cluster) as world:
        world.add_namespace("shop", {"team": "shop"})
        world.add_pod("shop", "web", {"app": "web"})
        world.settle()
        world.probe(world.flows())

A pod is a Pod object in the API server with exactly the status that makes the engine protect it
(nodeName, phase Running, podIPs, hostIP of the node: pods without them are left open without a
word), and a network namespace. A host is an address outside the cluster's pod network.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Self

from controlplane import ControlPlane

from . import wiring
from .api import Api, ApiError, Object
from .barrier import NAMESPACE as BARRIER
from .barrier import PORTS as BARRIER_PORTS
from .barrier import Barrier, BarrierError
from .engine import Engine
from .flows import FAMILIES, PROTOCOLS, Family, Flow, Outcome, Protocol
from .netns import Netns
from .programs import Listener, Prober
from .wiring import Addresses

APISERVER_FLAGS = ("--disable-admission-plugins=ServiceAccount",)
"""Pods are created without waiting for their namespace's default account."""

PORTS: Mapping[Protocol, tuple[int, ...]] = {
    "TCP": (53, 80, 443, 5432, 8080, 8081, 9090, 9091),
    "UDP": (53, 80, 8080, 9090),
}
"""Where every pod and host listens, unless told otherwise. A port without a listener answers nothing."""


@dataclass(frozen=True, slots=True)
class Party:
    """One end of flows: a pod (`namespace/name`) or a host outside (`name`)."""

    name: str
    number: int
    addresses: Addresses
    netns: Netns

    def address(self, family: Family) -> str | None:
        found = self.addresses.ipv4 if family == 4 else self.addresses.ipv6
        return str(found[0]) if found else None


class World:
    """Context manager; everything ends with it, and with this process."""

    def __init__(
        self, cluster: ControlPlane, ports: Mapping[Protocol, Sequence[int]] = PORTS, *, engine: bool = True
    ) -> None:
        self.cluster = cluster
        self.api = Api(cluster)
        self.ports = ports
        self.parties: dict[str, Party] = {}
        self._with_engine = engine
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._stack as stack:
            self.node = stack.enter_context(wiring.make_node())
            self.listener = Listener()
            stack.callback(self.listener.close)
            self.prober = Prober()
            stack.callback(self.prober.close)
            stack.callback(self._close_parties)
            self.api.apply(_node())
            # Not applied: the schema takes the type of an address for its key, and a node has one per family.
            addresses = [str(wiring.NODE_IPV4), str(wiring.NODE_IPV6)]
            status = {"addresses": [{"type": "InternalIP", "address": address} for address in addresses]}
            self.api.patch("Node", "", wiring.NODE_NAME, {"status": status}, "status")
            self.add_namespace(BARRIER)
            for role in ("caller", "called"):
                self.wire_pod(BARRIER, role, {"TCP": BARRIER_PORTS})
                self.declare_pod(BARRIER, role, {"packets/role": role})
            self.barrier = Barrier(self.api, self.probe)
            self.barrier.prepare()
            if self._with_engine:
                self.engine = Engine(self.cluster, self.node)
                self.engine.start()
                stack.callback(self.engine.kill)
                self.settle()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    # What is in it.

    def add_namespace(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        """Create a namespace, or give an existing one exactly these labels."""
        try:
            self.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata(name, "", labels)})
        except ApiError as error:
            if error.status != 409:
                raise
            before = self.api.get("Namespace", "", name)["metadata"].get("labels", {})
            change = {key: None for key in before if key != "kubernetes.io/metadata.name"} | dict(
                labels or {}
            )
            self.api.patch("Namespace", "", name, {"metadata": {"labels": change}})

    def add_pod(
        self,
        namespace: str,
        name: str,
        labels: Mapping[str, str] | None = None,
        named_ports: Iterable[tuple[str, Protocol, int]] = (),
    ) -> str:
        """A running pod with a network of its own; returns `namespace/name`."""
        self.wire_pod(namespace, name)
        return self.declare_pod(namespace, name, labels, named_ports)

    def wire_pod(
        self, namespace: str, name: str, listening: Mapping[Protocol, Sequence[int]] | None = None
    ) -> str:
        """The first half of a pod: its network, on which it listens, before any object tells of it."""
        number = next(self._numbers)
        addresses = wiring.pod_addresses(number)
        return self._connect(f"{namespace}/{name}", number, addresses, listening or self.ports).name

    def declare_pod(
        self,
        namespace: str,
        name: str,
        labels: Mapping[str, str] | None = None,
        named_ports: Iterable[tuple[str, Protocol, int]] = (),
    ) -> str:
        """The other half: the Pod object, running at its address."""
        party = self.parties[f"{namespace}/{name}"]
        ports = [{"name": n, "protocol": p, "containerPort": c} for n, p, c in named_ports]
        self.api.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": metadata(name, namespace, labels),
                "spec": {
                    "nodeName": wiring.NODE_NAME,
                    "containers": [{"name": "main", "image": "none", "ports": ports}],
                },
            }
        )
        self.api.patch("Pod", namespace, name, {"status": running(party.addresses)}, "status")
        return party.name

    def add_host(self, name: str, *addresses: str) -> str:
        """A host outside the cluster, which no selector matches; returns its name."""
        parsed = [ip_address(address) for address in addresses]
        found = Addresses(
            tuple(a for a in parsed if a.version == 4), tuple(a for a in parsed if a.version == 6)
        )
        self._connect(name, next(self._numbers), found, self.ports)
        return name

    def remove(self, party: str) -> None:
        """Take a pod or host away. A pod's object goes at once, without a grace period."""
        if "/" in party:
            namespace, name = party.split("/")
            self.api.delete("Pod", namespace, name, grace=0)
        self.listener.remove(party)
        gone = self.parties.pop(party)
        wiring.disconnect(self.node, gone.number)
        gone.netns.close()

    def pods(self) -> list[str]:
        """Every pod but the canaries, sorted."""
        return sorted(n for n in self.parties if "/" in n and not n.startswith(f"{BARRIER}/"))

    def hosts(self) -> list[str]:
        return sorted(n for n in self.parties if "/" not in n)

    # What is asked of it.

    def flows(
        self,
        sources: Iterable[str] | None = None,
        destinations: Iterable[str] | None = None,
        ports: Mapping[Protocol, Iterable[int]] | None = None,
        families: Sequence[Family] = FAMILIES,
    ) -> list[Flow]:
        """Every connection from source to destination; by default between all pods and all hosts.

        Between two hosts, and from one to itself, nothing of the cluster is on the way: left out.
        """
        everyone = self.pods() + self.hosts()
        numbers = {p: sorted((ports or self.ports).get(p, ())) for p in PROTOCOLS}
        targets = list(everyone if destinations is None else destinations)
        return [
            Flow(source, destination, protocol, port, family)
            for source in (everyone if sources is None else sources)
            for destination in targets
            if source != destination and ("/" in source or "/" in destination)
            for family in families
            if self.parties[source].address(family) and self.parties[destination].address(family)
            for protocol in PROTOCOLS
            for port in numbers[protocol]
        ]

    def probe(self, flows: Sequence[Flow], timeout: float = 1.5) -> dict[Flow, Outcome]:
        """Try every flow once, all at the same time."""
        return {flow: outcome for flow, (outcome, _) in self.probe_timed(flows, timeout).items()}

    def probe_timed(
        self, flows: Sequence[Flow], timeout: float = 1.5, prober: Prober | None = None
    ) -> dict[Flow, tuple[Outcome, float]]:
        """Likewise, with the second of `time.monotonic` at which each answer was known."""
        attempts = []
        for flow in flows:
            target = self.parties[flow.destination]
            address = target.address(flow.family)
            assert address is not None, f"{flow}: no address in that family"
            attempts.append(
                (self.parties[flow.source].netns.path, flow.protocol, address, flow.port, target.name)
            )
        return dict(zip(flows, (prober or self.prober).probe(attempts, timeout), strict=True))

    def settle(self) -> float:
        """Wait until everything written to the API server so far is in force; the seconds it took."""
        try:
            return self.barrier.wait()
        except BarrierError as error:
            raise BarrierError(f"{error}\n{self.engine.explain()}") from error

    def objects(self) -> list[Object]:
        """Namespaces, pods and policies as the API server has them, without the canaries'."""
        found = [item for kind in ("Namespace", "Pod", "NetworkPolicy") for item in self.api.list(kind)]
        return [o for o in found if BARRIER not in (o["metadata"]["name"], o["metadata"].get("namespace"))]

    def clear(self) -> None:
        """Remove every pod, host and policy but the canaries', for the next test; namespaces stay."""
        for item in self.api.list("NetworkPolicy"):
            if item["metadata"]["namespace"] != BARRIER:
                self.api.delete("NetworkPolicy", item["metadata"]["namespace"], item["metadata"]["name"])
        for party in self.pods() + self.hosts():
            self.remove(party)

    # How it is made.

    def _connect(
        self, name: str, number: int, addresses: Addresses, listening: Mapping[Protocol, Sequence[int]]
    ) -> Party:
        if name in self.parties:
            raise ValueError(f"{name} is in the world already")
        party = Party(name, number, addresses, wiring.connect(self.node, number, addresses))
        with self._lock:
            self.parties[name] = party
        self.listener.add(name, party.netns.path, listening)
        return party

    def _close_parties(self) -> None:
        for party in self.parties.values():
            party.netns.close()
        self.parties.clear()


def metadata(name: str, namespace: str = "", labels: Mapping[str, str] | None = None) -> dict[str, Any]:
    inside = {"namespace": namespace} if namespace else {}
    return {"name": name, "labels": dict(labels or {})} | inside


def wait_until(condition: Callable[[], bool], seconds: float, what: str, every: float = 0.02) -> None:
    """Wait until a condition holds; raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:.0f} s: {what}")
        time.sleep(every)


def _node() -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": wiring.NODE_NAME},
        "spec": {"podCIDR": wiring.POD_NETWORKS[0], "podCIDRs": list(wiring.POD_NETWORKS)},
    }


def running(addresses: Addresses) -> Object:
    """The status with which the engine protects a pod."""
    own = [{"ip": str(address)} for address in addresses]
    node = [{"ip": str(wiring.NODE_IPV4)}, {"ip": str(wiring.NODE_IPV6)}]
    return {
        "phase": "Running",
        "hostIP": node[0]["ip"],
        "hostIPs": node,
        "podIP": own[0]["ip"],
        "podIPs": own,
        "conditions": [{"type": "Ready", "status": "True"}],
    }
