"""The operator down, killed or cut off: what happened meanwhile is caught up with, and nothing is lost."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from client import PROFILES, eventually, policies_of
from cluster.conftest import World, quiet
from controlplane import ControlPlane, is_write
from operatorprocess import OperatorProcess
from referee import Referee

Start = Callable[..., OperatorProcess]


def test_nothing_is_written_at_rest_on_restart_and_on_a_no_op_edit(
    cp: ControlPlane, world: World, start: Start, referee: Referee
) -> None:
    operator = start("--comparison-interval=5")
    profile = world.profile("default-deny", "dns-egress", "same-namespace")
    namespaces = [world.namespace() for _ in range(10)]
    for namespace in namespaces:
        eventually(lambda n=namespace: len(world.names(n)) == 3)
    world.is_ready()
    time.sleep(3)
    before = len(writes(cp))
    assert before >= 30
    assert not quiet(referee, 7)  # a full comparison happens in here
    operator.stop()
    start("--comparison-interval=5")
    world.profile("default-deny", "dns-egress", "same-namespace")
    world.client.merge(f"{PROFILES}/{profile}", {"metadata": {"labels": {"touched": "yes"}}})
    assert not quiet(referee, 7)
    later = [f"{w['verb']} {w['requestURI']}" for w in writes(cp)[before:]]
    assert later == []


def writes(cp: ControlPlane) -> list[dict[str, Any]]:
    """The operator's write requests, as the API server's audit log has them; leases are not in it."""
    time.sleep(0.5)
    return [
        event
        for event in cp.audit_events()
        if is_write(event) and event["user"]["username"].endswith(":tenantprofile-operator")
    ]


def test_what_happened_while_it_was_down_is_caught_up_with(world: World, start: Start) -> None:
    operator = start()
    profile = world.profile("default-deny", "dns-egress")
    kept, released, labelled = world.namespace(), world.namespace(), world.namespace(tenant="")
    both = {f"{profile}.default-deny", f"{profile}.dns-egress"}
    for namespace in (kept, released):
        world.has(namespace, *both)
    operator.stop()
    world.relabel(released, tenant=None)
    world.relabel(labelled, tenant=world.tag)
    created = world.namespace()
    world.profile("default-deny", "same-namespace")
    start()
    wanted = {f"{profile}.default-deny", f"{profile}.same-namespace"}
    for namespace in (kept, labelled, created):
        world.has(namespace, *wanted)
    world.has(released)


def test_policies_of_a_profile_deleted_while_it_was_down_stay_in_force(
    world: World, start: Start, referee: Referee
) -> None:
    operator = start()
    profile = world.profile("default-deny")
    namespace = world.namespace()
    world.has(namespace, f"{profile}.default-deny")
    operator.stop()
    world.client.delete(f"{PROFILES}/{profile}")
    start()
    another = world.profile("default-deny", name=f"{profile}-b")
    world.has(namespace, f"{profile}.default-deny", f"{another}.default-deny")
    assert not referee.deletions()


def test_a_restart_in_the_middle_of_deleting_a_profile_loses_nothing_of_the_wish(
    world: World, start: Start
) -> None:
    operator = start()
    profile = world.profile("default-deny", "dns-egress")
    namespaces = [world.namespace() for _ in range(30)]
    for namespace in namespaces:
        world.has(namespace, f"{profile}.default-deny", f"{profile}.dns-egress")
    world.is_ready()
    world.client.delete(f"{PROFILES}/{profile}")
    eventually(lambda: not all(world.names(namespace) for namespace in namespaces))
    operator.stop()
    start()
    for namespace in namespaces:
        world.has(namespace, within=60)


def test_a_retaining_profile_deleted_while_it_was_down_leaves_its_policies(
    world: World, start: Start, referee: Referee
) -> None:
    operator = start()
    profile = world.profile("default-deny", deletionPolicy="Retain")
    namespace = world.namespace()
    world.has(namespace, f"{profile}.default-deny")
    operator.stop()
    world.client.delete(f"{PROFILES}/{profile}")
    start()
    assert not quiet(referee, 2)
    world.has(namespace, f"{profile}.default-deny")


@pytest.mark.parametrize("deletion_policy", ["Delete", "Retain"])
def test_deleting_a_profile_follows_its_deletion_policy(
    world: World, start: Start, deletion_policy: str
) -> None:
    start()
    profile = world.profile("default-deny", "dns-egress", deletionPolicy=deletion_policy)
    namespace = world.namespace()
    world.has(namespace, f"{profile}.default-deny", f"{profile}.dns-egress")
    world.client.delete(f"{PROFILES}/{profile}")
    if deletion_policy == "Delete":
        world.has(namespace)
    else:
        time.sleep(1.5)
        world.has(namespace, f"{profile}.default-deny", f"{profile}.dns-egress")


def test_retain_counts_when_it_is_said_in_the_moment_before_the_deletion(
    world: World, start: Start, referee: Referee
) -> None:
    start()
    profile = world.profile("default-deny", "dns-egress")
    namespaces = [world.namespace() for _ in range(20)]
    for namespace in namespaces:
        world.has(namespace, f"{profile}.default-deny", f"{profile}.dns-egress")
    world.client.merge(f"{PROFILES}/{profile}", {"spec": {"deletionPolicy": "Retain"}})
    world.client.delete(f"{PROFILES}/{profile}")
    # A later wish has been carried out everywhere: what the deletion asked for has, too.
    later = world.profile("same-namespace", name=f"{profile}-b")
    for namespace in namespaces:
        world.has(namespace, f"{profile}.default-deny", f"{profile}.dns-egress", f"{later}.same-namespace")
    assert not referee.deletions()


def test_a_profile_deleted_with_cascade_orphan_leaves_its_policies(
    controller_manager: ControlPlane, world: World, start: Start, referee: Referee
) -> None:
    start()
    profile = world.profile("default-deny")
    namespace = world.namespace()
    world.has(namespace, f"{profile}.default-deny")
    controller_manager.kubectl("delete", "tenantprofile", profile, "--cascade=orphan")
    later = world.profile("same-namespace", name=f"{profile}-b")
    world.has(namespace, f"{profile}.default-deny", f"{later}.same-namespace")
    assert not referee.deletions()


def test_a_profile_made_again_takes_over_what_an_earlier_one_retained(
    world: World, start: Start, referee: Referee
) -> None:
    start()
    profile = world.profile("default-deny", deletionPolicy="Retain")
    namespace = world.namespace()
    world.has(namespace, f"{profile}.default-deny")
    world.client.delete(f"{PROFILES}/{profile}")
    world.profile("default-deny", "dns-egress")
    world.has(namespace, f"{profile}.default-deny", f"{profile}.dns-egress")
    world.is_ready()
    referee.catch_up()
    assert not referee.deletions()


def test_an_api_server_that_restarts_in_the_middle_is_no_obstacle(
    cp: ControlPlane, world: World, start: Start, referee: Referee
) -> None:
    operator = start()
    profile = world.profile("default-deny", "dns-egress")
    before = [world.namespace() for _ in range(20)]
    cp.restart("kube-apiserver", kill=True)
    after = [eventually(world.namespace) for _ in range(5)]
    for namespace in before + after:
        world.has(namespace, f"{profile}.default-deny", f"{profile}.dns-egress", within=60)
    world.is_ready(within=60)
    assert operator.alive
    world.client.delete(f"{policies_of(before[0])}/{profile}.dns-egress")
    world.has(before[0], f"{profile}.default-deny", f"{profile}.dns-egress", within=60)


def test_a_watch_that_fell_behind_reads_everything_again(
    cp: ControlPlane, world: World, start: Start
) -> None:
    operator = start("--comparison-interval=3600")
    profile = world.profile("default-deny", "dns-egress")
    namespace = world.namespace()
    world.has(namespace, f"{profile}.default-deny", f"{profile}.dns-egress")
    world.is_ready()
    # The operator sleeps while the policy is deleted and the history of it is compacted away.
    os.kill(operator.pid or 0, signal.SIGSTOP)
    cp.restart("kube-apiserver", kill=True)
    world.client.delete(f"{policies_of(namespace)}/{profile}.dns-egress")
    cp.compact()
    cp.restart("kube-apiserver", kill=True)
    os.kill(operator.pid or 0, signal.SIGCONT)
    world.has(namespace, f"{profile}.default-deny", f"{profile}.dns-egress", within=60)
    another = eventually(world.namespace)
    world.has(another, f"{profile}.default-deny", f"{profile}.dns-egress", within=60)
    assert operator.alive
    assert "fell behind" in operator.log()


def test_killed_in_the_middle_of_a_fan_out_no_protection_is_ever_missing(
    world: World, start: Start, referee: Referee
) -> None:
    operator = start()
    deny = {"template": "default-deny", "parameters": {"directions": ["Ingress"]}}
    profile = world.profile(deny, "dns-egress", "same-namespace")
    names = {f"{profile}.{entry}" for entry in ("default-deny", "dns-egress", "same-namespace")}
    namespaces = [world.namespace() for _ in range(60)]
    for namespace in namespaces:
        world.has(namespace, *names)
    world.is_ready()
    seed = random.Random(7)
    wide = deny | {"parameters": {"directions": ["Ingress", "Egress"]}}
    for round_ in range(4):
        world.profile(wide if round_ % 2 == 0 else deny, "dns-egress", "same-namespace")
        time.sleep(seed.uniform(0.02, 0.15))
        operator.kill()
        operator.start()
    world.is_ready(within=60)
    referee.catch_up()
    allowed = {s.spec for s in referee.sightings if s.type == "ADDED"}
    assert not referee.deletions()
    for namespace in namespaces:
        assert set(world.names(namespace)) == names
        spec = world.policy(namespace, f"{profile}.default-deny")["spec"]
        assert spec["policyTypes"] == ["Ingress"]
        deny_specs = {s.spec for s in referee.of(namespace, f"{profile}.default-deny")}
        assert all('"egress":' not in s and '"ingress":' not in s for s in deny_specs), allowed


def test_five_hundred_namespaces_in_one_go(world: World, start: Start) -> None:
    start()
    profile = world.profile("default-deny", "dns-egress")
    namespaces = [world.namespace() for _ in range(500)]
    status = eventually(lambda: settled(world, 500), within=120, every=0.5)
    assert status["policies"] == {"desired": 1000, "ready": 1000}
    for namespace in random.Random(1).sample(namespaces, 10):
        world.has(namespace, f"{profile}.default-deny", f"{profile}.dns-egress")


def settled(world: World, count: int) -> Any:
    status = world.status()
    return status if (status.get("namespaces") or {}).get("summary") == f"{count}/{count}" else None


def test_a_second_operator_stands_by_and_takes_over(world: World, start: Start) -> None:
    first = start()
    second = start()
    profile = world.profile("default-deny")
    namespace = world.namespace()
    world.has(namespace, f"{profile}.default-deny")
    assert "standing by" in eventually(lambda: "standing by" in second.log() and second.log())
    assert second.probe("readyz")[0]
    first.stop()
    another = world.namespace()
    world.has(another, f"{profile}.default-deny", within=30)
