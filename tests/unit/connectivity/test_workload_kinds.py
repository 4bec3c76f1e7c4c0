"""Whatever makes pods from a template is a workload, with the labels that its controller sets."""

from __future__ import annotations

from typing import Any

import pytest

from tenantprofile.connectivity.world import World


def maker(version: str, kind: str, **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c"}]}}
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"template": template, **spec},
    }


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("argoproj.io/v1alpha1", "Rollout"),
        ("v1", "ReplicationController"),
        ("apps.openshift.io/v1", "DeploymentConfig"),
        ("serving.knative.dev/v1", "Configuration"),
        ("example.com/v1", "SomebodysOwnKind"),
    ],
)
def test_anything_with_a_pod_template_is_a_workload(version: str, kind: str) -> None:
    (found,) = World.from_objects([maker(version, kind)]).workloads
    assert (str(found), dict(found.labels)) == (f"shop/{kind}/web", {"app": "web"})


@pytest.mark.parametrize("version", ["apps/v1beta2", "extensions/v1beta1"])
def test_a_version_that_is_not_served_counts_as_absent(version: str) -> None:
    assert not World.from_objects([maker(version, "Deployment")]).workloads


def policy(**labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "one", "namespace": "shop"},
        "spec": {"podSelector": {"matchLabels": labels}, "policyTypes": ["Ingress"]},
    }


def test_pods_of_a_stateful_set_are_told_apart_where_something_selects_them_one_by_one() -> None:
    made = maker("apps/v1", "StatefulSet", replicas=2)
    whole = World.from_objects([made])
    assert [str(workload) for workload in whole.workloads] == ["shop/StatefulSet/web"]
    single = World.from_objects([made, policy(**{"statefulset.kubernetes.io/pod-name": "web-0"})])
    assert [str(workload) for workload in single.workloads] == ["shop/web-0", "shop/web-1"]
    assert [len(single.find(name)) for name in ("shop/web", "shop/StatefulSet/web", "shop/web-1")] == [
        2,
        2,
        1,
    ]
    by_index = World.from_objects([made, policy(**{"apps.kubernetes.io/pod-index": "1"})])
    assert by_index.workloads[1].labels["apps.kubernetes.io/pod-index"] == "1"
