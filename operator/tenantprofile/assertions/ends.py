"""Who an assertion means, among the objects of a world."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tenantprofile.assertions.form import End, Labels
from tenantprofile.connectivity.addresses import ALL_ADDRESSES, NO_ADDRESSES, AddressSet
from tenantprofile.connectivity.workloads import Workload
from tenantprofile.connectivity.world import World


@dataclass(frozen=True, slots=True)
class Group:
    """Pods, in the world's order, and addresses outside of them."""

    workloads: tuple[Workload, ...] = ()
    addresses: AddressSet = NO_ADDRESSES

    def __bool__(self) -> bool:
        return bool(self.workloads or self.addresses)


def select(world: World, end: End) -> Group:
    """Who an end means. An address that is a pod's own is that pod; a range stands for what is outside."""
    if end.anything:
        return Group(tuple(world.workloads), ALL_ADDRESSES)
    if end.outside is not None:
        inner = select(world, end.outside)
        within = set(inner.workloads)
        others = tuple(w for w in world.workloads if w not in within)
        return Group(others, ALL_ADDRESSES - end.outside.addresses)
    if end.listed:
        return _at(world, end.listed)
    return Group(tuple(w for w in world.workloads if matches(world, end, w)))


def matches(world: World, end: End, workload: Workload) -> bool:
    """Whether a pod is among those that an end of pods names."""
    if end.namespaces and workload.namespace not in end.namespaces:
        return False
    if end.namespace_labels and not _has(world.namespaces[workload.namespace].labels, end.namespace_labels):
        return False
    if end.workload and not _is_of(workload, end.workload):
        return False
    return _has(workload.labels, end.pod_labels)


def _at(world: World, listed: tuple[AddressSet, ...]) -> Group:
    pods: dict[tuple[str, str, str], Workload] = {}
    addresses = NO_ADDRESSES
    for item in listed:
        [(first, last)] = item.ranges()  # one address, or one CIDR
        workload = world.at(first) if first == last else None
        if workload is None:
            addresses |= item
        else:
            pods[workload.key] = workload
    return Group(tuple(pods[key] for key in sorted(pods)), addresses)


def _has(labels: Mapping[str, str], wanted: Labels) -> bool:
    return all(labels.get(key) == value for key, value in wanted)


def _is_of(workload: Workload, reference: str) -> bool:
    kind, _, name = reference.partition("/")
    own = [(workload.kind, workload.name), *((workload.owner,) if workload.owner else ())]
    return any(kind.lower() == k.lower() and name == n for k, n in own)
