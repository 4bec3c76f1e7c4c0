"""Flows that webhooks, Ingresses, ServiceMonitors and the like need, and that policies cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from tenantprofile.connectivity.needs import Need, What, needs
from tenantprofile.connectivity.policies import Policy
from tenantprofile.connectivity.world import World
from tenantprofile.linting.catalogue import NEEDED_FLOW_CUT
from tenantprofile.linting.placed import PolicyHere
from tenantprofile.policy.findings import Finding

_SORTS: Final[frozenset[What]] = frozenset({"api server", "ingress", "monitoring"})
"""DNS has a rule of its own."""


def judge(
    objects: Iterable[object], world: World, policies: Sequence[PolicyHere]
) -> Iterator[tuple[PolicyHere, Finding]]:
    """One finding for each flow that is cut, at the first of the policies that cut it.

    world: that of the input; its policies do not count, `policies` do, where there are pods.
    """
    if not world.workloads:
        return
    there = {workload.namespace for workload in world.workloads}
    known = {(here.namespace, here.name): here for here in policies if here.namespace in there}
    governed = world.under(Policy(here.namespace, here.name, here.spec) for here in known.values())
    for need in needs(objects, governed, what=_SORTS):
        if need.state != "cut":
            continue
        here = known[need.policies[0].namespace, need.policies[0].name]
        path = ("policyTypes",) if not here.spec.ingress else ("ingress",)
        yield here, Finding(NEEDED_FLOW_CUT, path, _message(need), expected=_expected(need))


def _message(need: Need) -> str:
    port = f" on {need.port}/{need.protocol}" if need.port else ""
    asking = "; ".join(need.by[:3]) + (f" and {len(need.by) - 3} more" if len(need.by) > 3 else "")
    return f"{need.caller} connects to {need.pods}{port} ({asking}), and {need.reason}"


def _expected(need: Need) -> str:
    where = f" port {need.port}" if need.port else ""
    if need.what == "api server":
        return f"a rule that lets the API server's addresses in on{where}"
    return f"a rule that lets {need.caller} in on{where}"
