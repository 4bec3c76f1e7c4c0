"""What is ours stays ours, what goes is meant to go, and Ready is true while it is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from client import PROFILES, Refused, eventually, policies_of
from cluster.conftest import World
from controlplane import ControlPlane
from operatorprocess import ROOT, OperatorProcess, established
from referee import Referee

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
Start = Callable[..., OperatorProcess]

OPEN = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [{}], "egress": [{}]}
WITH_LABEL = """
podSelector: {}
policyTypes: [Ingress]
ingress:
  - from:
      - namespaceSelector:
          matchLabels:
            environment: "{{ namespace.labels.environment }}"
"""


def stolen(name: str) -> dict[str, Any]:
    """A policy under a name of the operator's, with nothing of the operator's on it."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": OPEN,
    }


def denies(world: World, namespace: str, name: str) -> bool:
    return "ingress" not in world.policy(namespace, name)["spec"]


def test_a_name_stolen_while_the_operator_was_down_is_taken_back(world: World, start: Start) -> None:
    operator = start()
    profile = world.profile("default-deny")
    namespace = world.namespace()
    name = f"{profile}.default-deny"
    world.has(namespace, name)
    world.is_ready()
    operator.stop()
    world.client.delete(f"{policies_of(namespace)}/{name}")
    world.client.create(policies_of(namespace), stolen(name))
    start()
    eventually(lambda: denies(world, namespace, name))
    eventually(lambda: world.status()["drift"]["repaired"] == 1)


def test_a_name_stolen_right_after_a_crash_is_taken_back(world: World, start: Start) -> None:
    operator = start()
    profile = world.profile("default-deny")
    namespace = world.namespace()
    name = f"{profile}.default-deny"
    world.has(namespace, name)
    operator.kill()
    # The seal is still on it, whatever the ledger says.
    world.client.merge(
        f"{policies_of(namespace)}/{name}",
        {
            "metadata": {"labels": None, "managedFields": [{}]},
            "spec": {"ingress": [{}], "egress": [{}]},
        },
    )
    operator.start()
    eventually(lambda: denies(world, namespace, name))


def test_claims_do_not_make_a_foreign_policy_ours(
    world: World, operator: OperatorProcess, referee: Referee
) -> None:
    """The label, the owner reference, the digest and the field manager can be had by anybody."""
    other = world.profile("same-namespace", name=f"{world.tag}-other")
    source = world.namespace()
    world.has(source, f"{other}.same-namespace")
    model = world.policy(source, f"{other}.same-namespace")["metadata"]
    uid = world.client.get(f"{PROFILES}/{other}")["metadata"]["uid"]
    namespace = world.namespace(tenant="")
    forged = stolen(f"{other}.same-namespace")
    forged["metadata"] |= {
        "labels": model["labels"],
        "annotations": model["annotations"],
        "ownerReferences": [
            {"apiVersion": "tenantprofile.dev/v1alpha1", "kind": "TenantProfile", "name": other, "uid": uid}
        ],
    }
    world.client.apply(policies_of(namespace), forged, manager="tenantprofile-operator")
    world.relabel(namespace, tenant=world.tag)
    status = world.is_degraded("Conflict", other)
    assert "NOT protected by same-namespace" in status["problems"][0]["message"]
    assert world.policy(namespace, forged["metadata"]["name"])["spec"]["ingress"] == [{}]
    world.relabel(namespace, tenant=None)
    world.is_ready(other)
    assert world.names(namespace) == {forged["metadata"]["name"]}


def test_with_conflicts_replace_a_taken_name_is_taken_back_and_nothing_is_lost(
    world: World, operator: OperatorProcess
) -> None:
    namespace = world.namespace(tenant="")
    name = f"{world.tag}.default-deny"
    world.client.create(policies_of(namespace), stolen(name))
    world.profile("default-deny", conflicts="Replace")
    world.relabel(namespace, tenant=world.tag)
    world.is_ready()
    found = world.policy(namespace, name)
    assert "ingress" not in found["spec"]
    assert '"ingress":[{}]' in found["metadata"]["annotations"]["tenantprofile.dev/replaced"]
    assert eventually(lambda: world.events(namespace, "PolicyReplaced"))


def test_nothing_is_removed_while_an_entry_of_the_profile_is_broken(
    world: World, operator: OperatorProcess, referee: Referee
) -> None:
    profile = world.profile("default-deny", "dns-egress")
    namespace = world.namespace()
    both = (f"{profile}.default-deny", f"{profile}.dns-egress")
    world.has(namespace, *both)
    world.profile("default-deny", "no-such-template")
    world.is_degraded("TemplateNotFound")
    world.relabel(namespace, tenant=None)
    eventually(lambda: world.status()["namespaces"]["selected"] == 0)
    later = world.profile(
        "same-namespace", name=f"{profile}-b", namespaceSelector={"matchLabels": {"made-by": "test"}}
    )
    world.has(namespace, *both, f"{later}.same-namespace")
    world.profile("default-deny")
    world.has(namespace, f"{later}.same-namespace")


def test_a_label_that_a_template_needs_may_go_and_its_policy_is_still_put_back(
    world: World, operator: OperatorProcess
) -> None:
    template = f"{world.tag}-labelled"
    world.template(template, WITH_LABEL)
    profile = world.profile({"template": template})
    namespace = world.namespace(environment="prod")
    name = f"{profile}.{template}"
    world.has(namespace, name)
    before = world.policy(namespace, name)["spec"]
    world.relabel(namespace, environment=None)
    world.is_degraded("RenderFailed")
    world.client.delete(f"{policies_of(namespace)}/{name}")
    eventually(lambda: world.policy(namespace, name)["spec"] == before)


def test_another_profiles_conflict_keeps_no_allowance_in_force(
    world: World, operator: OperatorProcess
) -> None:
    squatted = world.namespace(tenant="")
    conflicted = f"{world.tag}-a"
    world.client.create(policies_of(squatted), stolen(f"{conflicted}.default-deny"))
    world.profile("default-deny", name=conflicted)
    profile = world.profile("default-deny", "dns-egress")
    world.relabel(squatted, tenant=world.tag)
    world.is_degraded("Conflict", conflicted)
    world.has(squatted, f"{conflicted}.default-deny", f"{profile}.default-deny", f"{profile}.dns-egress")
    world.profile("default-deny")
    world.has(squatted, f"{conflicted}.default-deny", f"{profile}.default-deny")
    world.is_ready()


def test_a_policy_that_a_finalizer_keeps_in_force_is_a_problem(
    world: World, operator: OperatorProcess
) -> None:
    profile = world.profile("default-deny", "dns-egress")
    namespace = world.namespace()
    path = f"{policies_of(namespace)}/{profile}.dns-egress"
    world.has(namespace, f"{profile}.default-deny", f"{profile}.dns-egress")
    world.client.merge(path, {"metadata": {"finalizers": ["example.com/held"]}})
    world.profile("default-deny")
    status = world.is_degraded("HeldByFinalizer")
    assert "example.com/held" in status["problems"][0]["message"]
    world.client.merge(path, {"metadata": {"finalizers": None}})
    world.has(namespace, f"{profile}.default-deny")
    world.is_ready(within=60)


def test_under_a_quota_that_does_not_admit_everything_the_deny_stands(
    world: World, controller_manager: object, operator: OperatorProcess
) -> None:
    namespace = world.namespace(tenant="")
    quota = {"metadata": {"name": "few"}, "spec": {"hard": {"count/networkpolicies.networking.k8s.io": "2"}}}
    path = f"/api/v1/namespaces/{namespace}/resourcequotas"
    world.client.create(path, quota)
    eventually(lambda: world.client.get(f"{path}/few")["status"]["used"])
    profile = world.profile("dns-egress", "same-namespace", "default-deny")
    world.relabel(namespace, tenant=world.tag)
    world.is_degraded("QuotaExceeded")
    eventually(lambda: f"{profile}.default-deny" in world.names(namespace), within=60)
    assert world.status()["namespaces"]["ready"] == 0


def test_ready_is_never_said_of_a_state_that_an_edit_has_made_old(
    world: World, operator: OperatorProcess
) -> None:
    """After every edit: when Ready stands for the new generation, every policy is as the new generation wants it."""
    namespaces = [world.namespace() for _ in range(40)]
    for index, cidr in enumerate(["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"]):
        profile = world.profile(
            {"template": "cidr-egress", "parameters": {"cidrs": [cidr], "ports": [{"port": 5432}]}},
            "default-deny",
        )
        world.is_ready(within=60)
        for namespace in namespaces:
            spec = world.policy(namespace, f"{profile}.cidr-egress")["spec"]
            assert spec["egress"][0]["to"] == [{"ipBlock": {"cidr": cidr}}], (index, namespace)


def test_every_deletion_by_others_is_counted(world: World, operator: OperatorProcess) -> None:
    entries = ("default-deny", "dns-egress", "same-namespace", "ingress-system-access")
    profile = world.profile(*entries)
    namespace = world.namespace()
    names = tuple(f"{profile}.{entry}" for entry in entries)
    world.has(namespace, *names)
    world.is_ready()
    for name in names:
        try:
            world.client.delete(f"{policies_of(namespace)}/{name}")
        except Refused as error:
            assert error.status == 404
    world.has(namespace, *names)
    eventually(lambda: world.status()["drift"]["repaired"] == len(names))


def test_what_an_earlier_profile_of_the_name_retained_is_not_removed_by_the_next(
    world: World, operator: OperatorProcess, referee: Referee
) -> None:
    profile = world.profile("default-deny", deletionPolicy="Retain")
    left = world.namespace(part="left")
    world.has(left, f"{profile}.default-deny")
    world.client.delete(f"{PROFILES}/{profile}")
    right = world.namespace(part="right")
    world.profile("default-deny", namespaceSelector={"matchLabels": {"tenant": world.tag, "part": "right"}})
    world.has(right, f"{profile}.default-deny")
    world.is_ready()
    world.has(left, f"{profile}.default-deny")
    assert not referee.deletions()


def test_deleting_the_crd_while_the_operator_runs_leaves_every_policy_in_force(
    world: World, controller_manager: ControlPlane, start: Start, referee: Referee
) -> None:
    start()
    profile = world.profile("default-deny", "dns-egress")
    namespaces = [world.namespace() for _ in range(5)]
    both = (f"{profile}.default-deny", f"{profile}.dns-egress")
    for namespace in namespaces:
        world.has(namespace, *both)
    crd = f"{CRDS}/tenantprofiles.tenantprofile.dev"
    world.client.delete(crd)
    eventually(lambda: gone(world, crd), within=60)
    controller_manager.kubectl(
        "apply", "--server-side", "-f", str(ROOT / "crds/tenantprofile.dev_tenantprofiles.yaml")
    )
    eventually(lambda: established(world.client.get(crd)), within=60)
    later = eventually(lambda: world.profile("same-namespace", name=f"{profile}-b"), within=60)
    for namespace in namespaces:
        world.has(namespace, *both, f"{later}.same-namespace", within=60)
    assert not referee.deletions()


def gone(world: World, path: str) -> bool:
    try:
        world.client.get(path)
    except Refused as error:
        return bool(error.status == 404)
    return False
