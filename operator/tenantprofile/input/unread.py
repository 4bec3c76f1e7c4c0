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
        ("argoproj.io", "Workflow"),
        ("tekton.dev", "PipelineRun"),
        ("operator.openshift.io", "IngressController"),
    }
)
"""Kinds whose controllers make pods that stand in no manifest."""

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
    """By namespace: objects whose controllers make pods that stand in no manifest."""
    found: dict[str, Counter[str]] = {}
    for item in objects:
        if _makes_pods(item):
            found.setdefault(item.namespace or "default", Counter())[item.kind] += 1
    return found


def _makes_pods(item: SourceObject) -> bool:
    """A kind of MAKERS; or one of somebody's own API with a number of replicas and no pod template."""
    if (item.group, item.kind) in MAKERS:
        return True
    if "." not in item.group or item.group.endswith(".k8s.io") or (item.group, item.kind) in POLICY_KINDS:
        return False
    spec = item.raw.get("spec")
    return (
        isinstance(spec, Mapping)
        and not isinstance(spec.get("template"), Mapping)
        and any(isinstance(spec.get(field), int) for field in ("replicas", "instances"))
    )


def listed(counts: Counter[str]) -> str:
    """`2 CiliumNetworkPolicy (cilium.io/v2), 1 Rollout (argoproj.io/v1alpha1)`."""
    return ", ".join(f"{number} {what}" for what, number in sorted(counts.items()))
