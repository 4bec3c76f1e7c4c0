"""Objects that bear on who reaches whom and are not read: named once, with a count, beside every answer (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Final

from tenantprofile.input.objects import SourceObject
from tenantprofile.names import API_VERSION, GROUP

POLICY_KINDS: Final = frozenset(
    {
        ("cilium.io", "CiliumNetworkPolicy"),
        ("cilium.io", "CiliumClusterwideNetworkPolicy"),
        ("projectcalico.org", "NetworkPolicy"),
        ("projectcalico.org", "GlobalNetworkPolicy"),
        ("crd.projectcalico.org", "NetworkPolicy"),
        ("crd.projectcalico.org", "GlobalNetworkPolicy"),
        ("crd.antrea.io", "NetworkPolicy"),
        ("crd.antrea.io", "ClusterNetworkPolicy"),
        ("policy.networking.k8s.io", "AdminNetworkPolicy"),
        ("policy.networking.k8s.io", "BaselineAdminNetworkPolicy"),
        ("policy.networking.k8s.io", "ClusterNetworkPolicy"),
        ("networking.gke.io", "FQDNNetworkPolicy"),
        ("networking.k8s.aws", "ApplicationNetworkPolicy"),
        ("networking.k8s.aws", "ClusterNetworkPolicy"),
        ("security.istio.io", "AuthorizationPolicy"),
    }
)
"""Policies of other APIs by group and kind: they open or close connections as well."""

MAKERS: Final = frozenset(
    {
        ("monitoring.coreos.com", "Prometheus"),
        ("monitoring.coreos.com", "Alertmanager"),
        ("monitoring.coreos.com", "ThanosRuler"),
        ("kafka.strimzi.io", "Kafka"),
        ("kafka.strimzi.io", "KafkaConnect"),
        ("postgresql.cnpg.io", "Cluster"),
        ("acid.zalan.do", "postgresql"),
        ("rabbitmq.com", "RabbitmqCluster"),
        ("elasticsearch.k8s.elastic.co", "Elasticsearch"),
        ("kibana.k8s.elastic.co", "Kibana"),
        ("redis.redis.opstreelabs.in", "Redis"),
        ("keycloak.org", "Keycloak"),
        ("k8s.keycloak.org", "Keycloak"),
        ("mariadb.mmontes.io", "MariaDB"),
        ("argoproj.io", "Application"),
        ("argoproj.io", "Workflow"),
        ("argoproj.io", "CronWorkflow"),
        ("tekton.dev", "PipelineRun"),
        ("tekton.dev", "TaskRun"),
        ("operator.openshift.io", "IngressController"),
        ("helm.toolkit.fluxcd.io", "HelmRelease"),
        ("helm.cattle.io", "HelmChart"),
    }
)
"""Kinds whose controllers make pods that are in no manifest."""

_COUNTS: Final = frozenset({"replicas", "instances", "numberOfInstances", "replicaCount"})
_POD_FIELDS: Final = frozenset({"podTemplate", "podSpec", "podMetadata", "nodeSets", "volumeClaimTemplate"})
_DEPTH: Final = 4
"""How far below `spec` operators put the number of replicas of a part."""

SERVED: Final[Mapping[str, str]] = {
    "NetworkPolicy": "networking.k8s.io/v1",
    "Namespace": "v1",
    "Pod": "v1",
    "Service": "v1",
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "ReplicaSet": "apps/v1",
    "Job": "batch/v1",
    "CronJob": "batch/v1",
    "TenantProfile": API_VERSION,
    "PolicyTemplate": API_VERSION,
}
"""The kinds that are read, each in the version that the API server serves."""
_OWN_GROUPS: Final = frozenset({"", "apps", "batch", "extensions", "networking.k8s.io", GROUP})

_WHOLE_GROUPS: Final[Mapping[str, frozenset[str]]] = {
    "networking.k8s.io": frozenset({"NetworkPolicy", "Ingress", "IngressClass", "IPAddress", "ServiceCIDR"}),
    GROUP: frozenset({"TenantProfile", "PolicyTemplate", "NetworkAssertions"}),
}
"""API groups of which every kind is known, with their kinds (API reference, Kubernetes 1.34)."""
_ALIKE: Final = 0.85
"""How much of a kind has to agree for it to be a misspelt one; PodTemplate is no misspelt Pod."""


def misspelt(item: SourceObject) -> str:
    """The kind that was probably meant by one that its API group does not have; empty for any other kind."""
    kind, group = item.kind, item.group
    if group not in _OWN_GROUPS or SERVED.get(kind) == item.api_version or kind.endswith("List"):
        return ""
    known = _WHOLE_GROUPS.get(group)
    if known is not None:
        return "" if kind in known else (_nearest(kind, known, 0.0) or min(known))
    if kind in SERVED:
        return ""  # in a version that is not served
    return _nearest(kind, SERVED, _ALIKE)


def _nearest(kind: str, known: Iterable[str], cutoff: float) -> str:
    lowered = {name.lower(): name for name in known}
    near = get_close_matches(kind.lower(), sorted(lowered), n=1, cutoff=cutoff)
    return lowered[near[0]] if near else ""


def refused_version(item: SourceObject) -> str:
    """The version that a kind is served in, for an object of another one; empty where it is served."""
    expected = SERVED.get(item.kind, "")
    return expected if item.group in _OWN_GROUPS and expected != item.api_version else ""


def unread_policies(objects: Iterable[SourceObject]) -> Counter[str]:
    """Policies that are not read, `Kind (apiVersion)`, and how many of each there are."""
    return Counter(f"{item.kind} ({item.api_version})" for item in objects if _is_unread_policy(item))


def _is_unread_policy(item: SourceObject) -> bool:
    if (item.group, item.kind) in POLICY_KINDS:
        return True
    return "NetworkPolicy" in (misspelt(item), item.kind if refused_version(item) else "")


def refused_objects(objects: Iterable[SourceObject]) -> Counter[str]:
    """Other objects of a version or a kind that the API server does not serve."""
    return Counter(
        f"{item.kind} ({item.api_version})"
        for item in objects
        if (misspelt(item) or refused_version(item)) and not _is_unread_policy(item)
    )


def makers(objects: Iterable[SourceObject]) -> dict[str, Counter[str]]:
    """By namespace: objects whose controllers make pods that are in no manifest."""
    found: dict[str, Counter[str]] = {}
    for item in objects:
        if _makes_pods(item):
            found.setdefault(_home(item), Counter())[item.kind] += 1
    return found


def _home(item: SourceObject) -> str:
    """The namespace in which an object's pods are made: its own, or the one that a release names."""
    spec = item.raw.get("spec")
    named: object = None
    if isinstance(spec, Mapping):
        destination = spec.get("destination")
        named = spec.get("targetNamespace") or (
            destination.get("namespace") if isinstance(destination, Mapping) else None
        )
    return named if named and isinstance(named, str) else item.namespace or "default"


def _makes_pods(item: SourceObject) -> bool:
    """A kind of MAKERS; or one of somebody's own API that counts replicas and has no pod template to read."""
    if (item.group, item.kind) in MAKERS:
        return True
    if "." not in item.group or item.group.endswith(".k8s.io") or (item.group, item.kind) in POLICY_KINDS:
        return False
    spec = item.raw.get("spec")
    return isinstance(spec, Mapping) and not _has_containers(spec.get("template")) and _counts_replicas(spec)


def _has_containers(template: object) -> bool:
    """A pod template, of which the pods are known."""
    inner = template.get("spec") if isinstance(template, Mapping) else None
    return isinstance(inner, Mapping) and isinstance(inner.get("containers"), list)


def _counts_replicas(spec: Mapping[str, object]) -> bool:
    """Whether there is a field, not far below, that only makes sense where pods are made."""
    stack: list[tuple[int, object]] = [(0, spec)]
    while stack:
        depth, value = stack.pop()
        if isinstance(value, Mapping):
            for name, part in value.items():
                if name in _POD_FIELDS and isinstance(part, Mapping | list):
                    return True
                if name in _COUNTS and isinstance(part, int) and not isinstance(part, bool):
                    return True
            parts = list(value.values())
        else:
            parts = value if isinstance(value, list) else []
        if depth < _DEPTH:
            stack.extend((depth + 1, part) for part in parts)
    return False


def listed(counts: Counter[str]) -> str:
    """`2 CiliumNetworkPolicy (cilium.io/v2), 1 Rollout (argoproj.io/v1alpha1)`."""
    return ", ".join(f"{number} {what}" for what, number in sorted(counts.items()))
