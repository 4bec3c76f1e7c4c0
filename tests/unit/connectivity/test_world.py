"""Manifests become a world; what the API server would refuse is refused by object and field."""

from __future__ import annotations

import pytest

from tenantprofile.connectivity.connections import ConnectionMap
from tenantprofile.connectivity.coverage import coverage
from tenantprofile.connectivity.manifests import ManifestError
from tenantprofile.connectivity.world import World
from unit.connectivity.manifests import pod
from unit.connectivity.small_worlds import policy


def template(kind, name, labels, **metadata):
    inner = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80, "name": "web"}]}]},
    }
    spec = {"jobTemplate": {"spec": {"template": inner}}} if kind == "CronJob" else {"template": inner}
    group = "batch/v1" if kind in ("Job", "CronJob") else "apps/v1"
    return {
        "apiVersion": group,
        "kind": kind,
        "metadata": {"name": name, "namespace": "red", **metadata},
        "spec": spec,
    }


def owned(manifest, kind, name):
    manifest["metadata"]["ownerReferences"] = [{"kind": kind, "name": name, "controller": True}]
    return manifest


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob"])
def test_every_kind_of_workload_stands_for_its_pods(kind):
    (found,) = World.from_objects([template(kind, "api", {"app": "api"})]).workloads
    assert (found.kind, found.labels["app"], found.numbers("web", "TCP")) == (kind, "api", (80,))
    assert ("job-name" in found.labels) == (kind == "Job")


def test_live_pods_stand_for_the_workload_that_owns_them():
    replicas = template("ReplicaSet", "api-abc", {"app": "api"})
    owned(replicas, "Deployment", "api")
    live = owned(pod("red/api-abc-1", {"app": "old"}), "ReplicaSet", "api-abc")
    world = World.from_objects([template("Deployment", "api", {"app": "api"}), replicas, live])
    assert [str(w) for w in world.workloads] == ["red/api-abc-1"]
    assert world.find("red/api") == world.find("red/Deployment/api") == world.find("red/api-abc-1")


def test_a_deployment_is_found_by_name_when_the_replica_set_is_not_given():
    live = owned(pod("red/api-abc-1", {"pod-template-hash": "abc"}), "ReplicaSet", "api-abc")
    world = World.from_objects([template("Deployment", "api", {"app": "api"}), live])
    assert [w.owner for w in world.workloads] == [("Deployment", "api")]


def test_finished_pods_are_left_out():
    done = pod("red/done")
    done["status"]["phase"] = "Succeeded"
    assert not World.from_objects([done]).workloads


def test_alike_pods_of_a_workload_are_one_party_and_unlike_ones_are_not():
    live = [owned(pod(f"red/api-{i}", {"app": "api"}), "StatefulSet", "api") for i in range(3)]
    table = ConnectionMap(World.from_objects(live))
    assert [str(p) for p in table.parties()] == ["red/StatefulSet/api"]
    assert any(str(row.source) == str(row.destination) for row in table.connections())
    spec = {"podSelector": {"matchLabels": {"role": "leader"}}}
    live[0]["metadata"]["labels"] = {"app": "api", "role": "leader"}
    table = ConnectionMap(World.from_objects([*live, policy(0, "red", spec)]))
    assert [str(p) for p in table.parties()] == ["red/api-0", "red/api-1", "red/api-2"]


def test_a_namespace_that_is_not_given_has_the_label_of_its_name():
    world = World.from_objects([pod("red/a")])
    assert dict(world.namespaces["red"].labels) == {"kubernetes.io/metadata.name": "red"}


def test_the_name_label_of_a_namespace_cannot_be_forged():
    space = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "red", "labels": {"kubernetes.io/metadata.name": "blue"}},
    }
    assert World.from_objects([space]).namespaces["red"].labels["kubernetes.io/metadata.name"] == "red"


def test_lists_are_opened_and_other_groups_are_left_alone():
    calico = {**policy(0, "red", {"selector": "all()"}), "apiVersion": "projectcalico.org/v3"}
    untyped = {k: v for k, v in pod("red/a").items() if k not in ("kind", "apiVersion")}
    lists = [
        {"apiVersion": "v1", "kind": "List", "items": [pod("red/b"), calico]},
        {"apiVersion": "v1", "kind": "PodList", "items": [untyped]},
        None,
    ]
    world = World.from_objects(lists)
    assert [str(w) for w in world.workloads] == ["red/a", "red/b"]
    assert not world.policies


def test_a_service_leads_to_the_target_ports_of_its_pods():
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "api", "namespace": "red"},
        "spec": {"selector": {"app": "api"}, "ports": [{"port": 8080, "targetPort": "web"}, {"port": 443}]},
    }
    world = World.from_objects([template("Deployment", "api", {"app": "api"}), pod("red/x"), service])
    found = world.services["red", "api"]
    (target,) = world.behind(found)
    assert [found.targets(target, port) for port in found.ports] == [(80,), (443,)]


def test_an_unknown_name_is_answered_with_what_was_probably_meant():
    with pytest.raises(LookupError, match="did you mean red/frontend"):
        World.from_objects([pod("red/frontend")]).find("red/frontned")


def test_coverage_tells_each_direction():
    world = World.from_objects(
        [pod("red/a"), pod("red/h", hostNetwork=True), policy(0, "red", {"podSelector": {}})]
    )
    one, host = coverage(world)
    assert ([str(p) for p in one.ingress], one.egress, one.covered) == (["red/policy-0"], (), False)
    assert host.exempt


def test_the_same_object_twice_is_one_and_two_versions_of_it_are_refused():
    assert len(World.from_objects([pod("red/a"), pod("red/a")]).workloads) == 1
    with pytest.raises(ManifestError, match="Pod red/a: given twice"):
        World.from_objects([pod("red/a"), pod("red/a", {"x": "y"})])


@pytest.mark.parametrize(
    ("spec", "where"),
    [
        ({"ingress": [{"from": [{}]}]}, r"spec\.ingress\[0\]\.from\[0\]: empty"),
        ({"ingress": [{"to": []}]}, r"spec\.ingress\[0\]\.to: unknown field"),
        ({"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]}]}, "excludes"),
        (
            {"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}}]}]},
            "strict subset",
        ),
        (
            {"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["fd00::/9"]}}]}]},
            "strict subset",
        ),
        ({"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0"}}]}]}, r"ipBlock\.cidr: .*not a CIDR"),
        ({"egress": [{"ports": [{"port": "8080"}]}]}, "without quotes: 8080"),
        ({"egress": [{"ports": [{"port": 0}]}]}, "from 1 to 65535"),
        ({"egress": [{"ports": [{"port": 90, "endPort": 80}]}]}, r"endPort: found 80"),
        ({"egress": [{"ports": [{"endPort": 80}]}]}, "needs a port"),
        ({"egress": [{"ports": [{"port": "web", "endPort": 80}]}]}, "numeric port"),
        ({"egress": [{"ports": [{"protocol": "ICMP"}]}]}, "expected TCP, UDP or SCTP"),
        ({"policyTypes": ["ingress"]}, r"policyTypes\[0\]"),
        ({"podSelector": {"matchLabels": {"a b": "c"}}}, r"spec\.podSelector\.matchLabels"),
        ({"ingress": {}}, r"spec\.ingress: found \{\}; expected a list"),
    ],
)
def test_what_the_api_server_refuses_is_refused_by_object_and_field(spec, where):
    with pytest.raises(ManifestError, match=rf"NetworkPolicy red/policy-0: .*{where}"):
        World.from_objects([policy(0, "red", {"podSelector": {}, **spec})])


def test_labels_that_are_not_strings_are_refused():
    with pytest.raises(ManifestError, match=r"Pod red/a: metadata\.labels\.v: .*quote"):
        World.from_objects([pod("red/a", {"v": 1})])
