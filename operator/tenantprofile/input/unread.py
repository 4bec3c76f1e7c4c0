"""Objects that bear on who reaches whom and are not read: named once, with a count, beside every answer (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from tenantprofile.input.objects import SourceObject

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

_READ: Final = {
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
}
_OWN_GROUPS: Final = frozenset({"", "apps", "batch", "extensions", "networking.k8s.io"})


def unread_policies(objects: Iterable[SourceObject]) -> Counter[str]:
    """Policies that are not read, `Kind (apiVersion)`, and how many of each there are."""
    return Counter(f"{item.kind} ({item.api_version})" for item in objects if _is_unread_policy(item))


def _is_unread_policy(item: SourceObject) -> bool:
    if (item.group, item.kind) in POLICY_KINDS:
        return True
    looks_like_one = item.kind.lower() in (
        "networkpolicy",
        "networkpolicies",
        "networkpolcy",
        "networkpolices",
    )
    if looks_like_one or (item.group == "networking.k8s.io" and item.kind.startswith("Network")):
        return item.api_version != _READ["NetworkPolicy"] or item.kind != "NetworkPolicy"
    return False


def refused_objects(objects: Iterable[SourceObject]) -> Counter[str]:
    """Workloads, Services and Namespaces of a version that the API server does not serve any more."""
    return Counter(
        f"{item.kind} ({item.api_version})"
        for item in objects
        if item.kind in _READ
        and item.kind != "NetworkPolicy"
        and item.group in _OWN_GROUPS
        and item.api_version != _READ[item.kind]
    )


def makers(objects: Iterable[SourceObject]) -> dict[str, Counter[str]]:
    """By namespace: objects whose controllers make pods that stand in no manifest."""
    found: dict[str, Counter[str]] = {}
    for item in objects:
        if (item.group, item.kind) in MAKERS:
            found.setdefault(item.namespace or "default", Counter())[item.kind] += 1
    return found


def listed(counts: Counter[str]) -> str:
    """`2 CiliumNetworkPolicy (cilium.io/v2), 1 Rollout (argoproj.io/v1alpha1)`."""
    return ", ".join(f"{number} {what}" for what, number in sorted(counts.items()))
