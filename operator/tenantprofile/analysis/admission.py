"""What admission lets into the namespaces of profiles (pure): pods before their baseline, and pods without policies.

The guard's pod gate holds pods back, and Pod Security refuses hostNetwork. Both depend on labels of namespaces, so both
can be missing where a profile counts on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tenantprofile.names import LABEL_COMPLETE, LABEL_GUARD
from tenantprofile.selectors import Selector, SelectorError, parse_selector

POD_GATE: Final = "pod-gate"
"""The value of LABEL_GUARD on the gate's policy and bindings."""
LABEL_ENFORCE: Final = "pod-security.kubernetes.io/enforce"
_WITHOUT_HOST_NETWORK: Final = frozenset({"baseline", "restricted"})
"""Levels that refuse hostNetwork (Kubernetes documentation, Pod Security Standards)."""

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Gate:
    """The pod gate as it is installed; `selectors` say which namespaces it holds pods back in."""

    selectors: tuple[Selector, ...]
    problem: str = ""
    """Why it holds nothing back anywhere, in plain words."""

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether pods wait for their baseline in a namespace with these labels."""
        return any(selector.matches(labels) for selector in self.selectors)


def gate(policies: Iterable[Object], bindings: Iterable[Object]) -> Gate:
    """The gate of a cluster, from its ValidatingAdmissionPolicies and their bindings."""
    names = {str(one["metadata"]["name"]) for one in policies if _is_gate(one)}
    if not names:
        return Gate((), "no ValidatingAdmissionPolicy of the pod gate is installed")
    ours = [one for one in bindings if (one.get("spec") or {}).get("policyName") in names]
    waiting = [one for one in ours if _waits_for_the_mark(one["spec"])]
    if not waiting:
        what = "does not wait for the mark" if ours else "has no binding"
        return Gate((), f"the ValidatingAdmissionPolicy {sorted(names)[0]} {what}")
    selectors = []
    for binding in waiting:
        try:
            selectors.append(
                parse_selector((binding["spec"].get("matchResources") or {}).get("namespaceSelector"))
            )
        except SelectorError:  # the API server refuses such a selector
            continue
    return Gate(tuple(selectors))


def _is_gate(policy: Object) -> bool:
    return (policy["metadata"].get("labels") or {}).get(LABEL_GUARD) == POD_GATE


def _waits_for_the_mark(spec: Object) -> bool:
    reference = spec.get("paramRef") or {}
    labels = (reference.get("selector") or {}).get("matchLabels") or {}
    return labels.get(LABEL_COMPLETE) == "true" and reference.get("parameterNotFoundAction") == "Deny"


def lets_host_network_through(labels: Mapping[str, str]) -> bool:
    """Whether a namespace's Pod Security level admits pods with hostNetwork.

    Without a level of its own it has that of the API server's configuration, which is `privileged` unless an
    administrator says something else, and which cannot be read.
    """
    return labels.get(LABEL_ENFORCE) not in _WITHOUT_HOST_NETWORK
