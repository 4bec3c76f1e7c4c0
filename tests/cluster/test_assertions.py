"""A profile that carries assertions never opens, or closes, what they forbid."""

from __future__ import annotations

from typing import Any

import pytest

from client import PROFILES, Refused
from cluster.conftest import World, quiet
from operatorprocess import OperatorProcess
from referee import Referee

DNS = {"namespaces": ["kube-system"], "podLabels": {"k8s-app": "kube-dns"}}
EVERY_POD_REACHES_DNS: dict[str, Any] = {
    "name": "every pod reaches DNS",
    "from": {"everyPod": True},
    "to": DNS,
    "ports": [53, "53/UDP"],
    "expect": "allow",
}
NOTHING_REACHES_THE_DATABASE: dict[str, Any] = {
    "name": "only the API reaches the database",
    "from": {"outside": {"podLabels": {"tier": "api"}}},
    "to": {"podLabels": {"tier": "db"}},
    "expect": "deny",
}


def test_a_profile_whose_assertions_hold_is_applied(world: World, operator: OperatorProcess) -> None:
    namespace = world.namespace()
    name = world.profile(
        "default-deny", "dns-egress", assertions=[EVERY_POD_REACHES_DNS, NOTHING_REACHES_THE_DATABASE]
    )
    world.has(namespace, f"{name}.default-deny", f"{name}.dns-egress")
    world.is_ready()


def test_a_violated_assertion_keeps_the_last_good_policies_and_says_why(
    world: World, operator: OperatorProcess, referee: Referee
) -> None:
    one, two = world.namespace(), world.namespace()
    name = world.profile("default-deny", "dns-egress", assertions=[EVERY_POD_REACHES_DNS])
    for namespace in (one, two):
        world.has(namespace, f"{name}.default-deny", f"{name}.dns-egress")
    world.is_ready()
    before = world.policies(one)

    # Without the entry that lets DNS through, and with a new one: none of it may happen.
    world.profile("default-deny", "same-namespace", assertions=[EVERY_POD_REACHES_DNS])
    status = world.is_degraded("AssertionFailed")
    message = next(c["message"] for c in status["conditions"] if c["type"] == "Degraded")
    assert "every pod reaches DNS: a pod without labels → a pod with k8s-app=kube-dns" in message
    assert "isolated for Egress by policy default-deny" in message
    assert status["problemsTotal"] == 1, "told once, not once for each namespace and entry"
    assert not quiet(referee, 3.0)
    assert world.policies(one) == before


def test_what_is_kept_is_still_repaired(world: World, operator: OperatorProcess) -> None:
    namespace = world.namespace()
    name = world.profile("default-deny", "dns-egress", assertions=[EVERY_POD_REACHES_DNS])
    world.has(namespace, f"{name}.default-deny", f"{name}.dns-egress")
    world.profile("default-deny", assertions=[EVERY_POD_REACHES_DNS])
    world.is_degraded("AssertionFailed")
    path = f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies/{name}.dns-egress"
    world.client.delete(path)
    world.has(namespace, f"{name}.default-deny", f"{name}.dns-egress")


def test_a_profile_is_applied_once_its_assertions_hold_again(world: World, operator: OperatorProcess) -> None:
    namespace = world.namespace()

    def opening(tier: str) -> list[dict[str, Any]]:
        ends = {
            "from": {"matchLabels": {"tier": tier}},
            "to": {"matchLabels": {"tier": "db"}},
            "ports": [5432],
        }
        egress = {"name": "out", "parameters": {**ends, "direction": "Egress"}}
        return [
            {"template": "allow-from-workload", **entry}
            for entry in ({"name": "in", "parameters": ends}, egress)
        ]

    name = world.profile("default-deny", *opening("web"), assertions=[NOTHING_REACHES_THE_DATABASE])
    status = world.is_degraded("AssertionFailed")
    assert "a pod with tier=web → a pod with tier=db, TCP 5432: allowed" in str(status["problems"])
    assert "arriving: let in by policy in, spec.ingress[0].from[0]" in str(status["problems"])
    assert world.names(namespace) == set()

    world.profile("default-deny", *opening("api"), assertions=[NOTHING_REACHES_THE_DATABASE])
    world.has(namespace, f"{name}.default-deny", f"{name}.in", f"{name}.out")
    world.is_ready()


def test_after_a_restart_what_is_there_stays_although_nobody_remembers_it(
    world: World, start: Any, referee: Referee
) -> None:
    namespace = world.namespace()
    first = start()
    name = world.profile("default-deny", "dns-egress", assertions=[EVERY_POD_REACHES_DNS])
    world.has(namespace, f"{name}.default-deny", f"{name}.dns-egress")
    world.is_ready()
    first.stop()
    world.profile("default-deny", assertions=[EVERY_POD_REACHES_DNS])
    start()
    world.is_degraded("AssertionFailed")
    assert not quiet(referee, 3.0)
    assert world.names(namespace) == {f"{name}.default-deny", f"{name}.dns-egress"}


def test_the_api_server_refuses_an_end_that_says_two_things(world: World) -> None:
    body = world.body(
        assertions=[EVERY_POD_REACHES_DNS | {"from": {"everyPod": True, "podLabels": {"tier": "api"}}}]
    )
    with pytest.raises(Refused, match="each stand alone"):
        world.client.create(PROFILES, body)
