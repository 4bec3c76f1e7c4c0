"""What a connection map consists of: groups of pods, and the flows between them.

A flow says the same of many pairs at once; `pairs` spells it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tenantprofile.connectivity.addresses import AddressSet
from tenantprofile.connectivity.ports import PortSet
from tenantprofile.connectivity.reach import members
from tenantprofile.connectivity.workloads import Workload

Scope = Literal["within", "across", "outbound", "inbound"]


@dataclass(frozen=True, slots=True, eq=False)
class PodGroup:
    """Workloads that behave alike: those of the chosen cells, in the given namespaces (None: in all)."""

    cells: Sequence[Mapping[str, Sequence[Workload]]]
    chosen: int
    only: tuple[str, ...] | None = None

    def namespaces(self) -> tuple[str, ...]:
        """The namespaces that hold its workloads, sorted."""
        if self.only is not None:
            return self.only
        return tuple(sorted({name for index in members(self.chosen) for name in self.cells[index]}))

    def workloads(self, namespace: str | None = None) -> Iterator[Workload]:
        """Its workloads, in one namespace or in all, sorted."""
        for name in self.namespaces() if namespace is None else (namespace,):
            found = [w for index in members(self.chosen) for w in self.cells[index].get(name, ())]
            yield from sorted(found, key=lambda w: w.key)

    def __len__(self) -> int:
        names = self.only
        return sum(
            sum(map(len, self.cells[index].values()))
            if names is None
            else sum(len(self.cells[index].get(name, ())) for name in names)
            for index in members(self.chosen)
        )


FlowEnd: TypeAlias = PodGroup | AddressSet


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """Every workload of source to every workload of destination, on these ports.

    scope "within": both in the same namespace, and not a single pod to itself; "across": in different
    namespaces; "outbound" and "inbound": the other end is a set of addresses outside the pods.
    """

    scope: Scope
    source: FlowEnd
    destination: FlowEnd
    ports: PortSet

    def pairs(self) -> Iterator[tuple[Workload | AddressSet, Workload | AddressSet]]:
        """Every (source, destination), sorted by source and then destination."""
        if isinstance(self.source, AddressSet):
            assert isinstance(self.destination, PodGroup)  # noqa: S101
            for target in self.destination.workloads():
                yield self.source, target
        elif isinstance(self.destination, AddressSet):
            for workload in self.source.workloads():
                yield workload, self.destination
        elif self.scope == "within":
            for name in self.source.namespaces():
                targets = list(self.destination.workloads(name))
                for workload in self.source.workloads(name):
                    yield from ((workload, t) for t in targets if t is not workload or not t.is_pod)
        else:
            for workload in self.source.workloads():
                for target in self.destination.workloads():
                    if target.namespace != workload.namespace:
                        yield workload, target


@dataclass(frozen=True, slots=True)
class Connection:
    """One row of a listing. Each end is a workload, one for all its alike pods, or a set of addresses."""

    source: Party | AddressSet
    destination: Party | AddressSet
    ports: PortSet


@dataclass(frozen=True, slots=True)
class Party:
    """A pod, or a workload whose pods are all alike; kind and name are the owner's where there is one."""

    namespace: str
    kind: str
    name: str
    members: tuple[Workload, ...]

    @property
    def several(self) -> bool:
        """Whether one of its pods may talk to another of its pods."""
        return len(self.members) > 1 or not self.members[0].is_pod

    def __str__(self) -> str:
        if self.kind == "Pod":
            return f"{self.namespace}/{self.name}"
        return f"{self.namespace}/{self.kind}/{self.name}"
