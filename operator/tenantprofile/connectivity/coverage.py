"""Who is isolated: for every workload and direction, the policies that isolate it, or none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tenantprofile.connectivity.policies import Direction, Policy
from tenantprofile.connectivity.settings import DEFAULT_SETTINGS, Settings
from tenantprofile.connectivity.verdict import is_node, isolating
from tenantprofile.connectivity.workloads import Workload
from tenantprofile.connectivity.world import World


@dataclass(frozen=True, slots=True)
class Coverage:
    """One workload's isolation; empty means open in that direction.

    exempt: node traffic (hostNetwork), which no policy can isolate.
    """

    workload: Workload
    ingress: tuple[Policy, ...]
    egress: tuple[Policy, ...]
    exempt: bool

    def by(self, direction: Direction) -> tuple[Policy, ...]:
        return self.ingress if direction == "Ingress" else self.egress

    @property
    def covered(self) -> bool:
        """Isolated in both directions."""
        return bool(self.ingress and self.egress)


def coverage(world: World, settings: Settings = DEFAULT_SETTINGS) -> Iterator[Coverage]:
    """Every workload in the world's order, with the policies that isolate it, by name."""
    for workload in world.workloads:
        yield Coverage(
            workload,
            isolating(world, workload, "Ingress", settings),
            isolating(world, workload, "Egress", settings),
            is_node(workload, settings),
        )
