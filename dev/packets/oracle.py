"""What `tenantprofile.connectivity` says about flows, one address family at a time.

A packet has one family, while the engine's question is about pods: it calls a pod reachable when an
ipBlock matches any of its addresses. So each family is a world of its own, in which pods have only
the addresses of that family.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from tenantprofile.connectivity import verdict as connectivity
from tenantprofile.connectivity.verdict import End
from tenantprofile.connectivity.world import World as Known

from .api import Object
from .flows import FAMILIES, Family, Flow, Outcome
from .world import Party, World


@dataclass(frozen=True, slots=True)
class Difference:
    """A flow for which the wire and the connectivity engine disagree."""

    flow: Flow
    expected: bool
    found: Outcome

    def __str__(self) -> str:
        return f"{self.flow}: expected {'open' if self.expected else 'denied'}, found {self.found}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The outcome of a matrix."""

    flows: int
    allowed: int
    differences: tuple[Difference, ...]

    def __str__(self) -> str:
        lines = [f"{len(self.differences)} of {self.flows} flows differ ({self.allowed} expected open)"]
        return "\n".join([*lines, *(f"  {d}" for d in self.differences[:40])])


def expected(
    objects: Iterable[Object], parties: Mapping[str, Party], flows: Sequence[Flow]
) -> dict[Flow, bool]:
    """Whether each flow is allowed under these namespaces, pods and policies."""
    given = list(objects)
    known = {family: Known.from_objects([_only(family, o) for o in given]) for family in FAMILIES}
    ends: dict[tuple[Family, str], End] = {}

    def end(family: Family, name: str) -> End:
        if (family, name) not in ends:
            if "/" in name:
                ends[family, name] = known[family].find(name)[0]
            else:
                ends[family, name] = ip_address(parties[name].address(family) or "")
        return ends[family, name]

    return {
        flow: connectivity.verdict(
            known[flow.family],
            end(flow.family, flow.source),
            end(flow.family, flow.destination),
            flow.protocol,
            flow.port,
        ).allowed
        for flow in flows
    }


def compare(world: World, flows: Sequence[Flow] | None = None) -> Comparison:
    """Settle, probe every flow, and hold the outcome against the connectivity engine, flow by flow."""
    asked = world.flows() if flows is None else list(flows)
    world.settle()
    wanted = expected(world.objects(), world.parties, asked)
    found = world.probe(asked)
    different = (Difference(f, wanted[f], found[f]) for f in asked if found[f].allowed != wanted[f])
    return Comparison(len(asked), sum(wanted.values()), tuple(different))


def _only(family: Family, item: Object) -> Object:
    """A pod with only its addresses of one family; everything else as it is."""
    if item["kind"] != "Pod":
        return item
    status = item.get("status", {})
    own = [a for a in status.get("podIPs", ()) if ip_address(a["ip"]).version == family]
    node = [a for a in status.get("hostIPs", ()) if ip_address(a["ip"]).version == family]
    changed = {
        "phase": status.get("phase"),
        "podIPs": own,
        "podIP": own[0]["ip"] if own else None,
        "hostIPs": node,
        "hostIP": node[0]["ip"] if node else None,
    }
    return item | {"status": changed}
