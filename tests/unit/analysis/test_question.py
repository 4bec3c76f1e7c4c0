"""A question names its ends as people do, and the answer is the engine's."""

from __future__ import annotations

import pytest

from tenantprofile.analysis.question import QuestionError, ask
from tenantprofile.connectivity.explanation import open_ports
from tenantprofile.connectivity.ports import ALL_PORTS, PROTOCOLS
from tenantprofile.connectivity.verdict import verdict
from unit.analysis.texts import assembled, pod

WEB = """
    apiVersion: v1
    kind: Service
    metadata: {name: web, namespace: shop}
    spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
    ---
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: web, namespace: shop}
    spec:
      template:
        metadata: {labels: {app: web}}
        spec: {containers: [{name: web, ports: [{name: http, containerPort: 8080}]}]}
    ---
    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: {name: web, namespace: shop}
    spec:
      podSelector: {matchLabels: {app: web}}
      ingress:
        - from: [{podSelector: {}}]
          ports: [{port: 8080}, {port: 9000, endPort: 9010}]
    """
WORLD = assembled(WEB, pod("client", "shop", app="client"), pod("stranger", "other"))


def test_a_service_is_asked_about_by_its_own_port() -> None:
    (answer,) = ask(WORLD, "shop/client", "shop/service/web", [("TCP", 80)])
    assert (answer.found.port, answer.service_port, answer.found.allowed) == (8080, 80, True)
    with pytest.raises(QuestionError, match="has 80/TCP"):
        list(ask(WORLD, "shop/client", "shop/svc/web", [("TCP", 8080)]))


def test_without_a_port_the_answers_are_about_all_ports_together() -> None:
    opened, closed = ask(WORLD, "shop/client", "shop/deploy/web", [])
    assert str(opened.ports) == "TCP 8080,9000-9010"
    assert opened.ports is not None
    assert closed.ports == ALL_PORTS - opened.ports
    assert opened.found.allowed
    assert not closed.found.allowed


def test_a_rule_that_would_match_on_another_port_is_named() -> None:
    (answer,) = ask(WORLD, "shop/client", "shop/web", [("TCP", 80)])
    assert any("spec.ingress[0] would on TCP 8080,9000-9010 only" in reason for reason in answer.reasons)


def test_an_address_that_is_a_pods_is_that_pod() -> None:
    there = pod("x", "shop", app="web").rstrip() + "\nstatus: {podIP: 10.0.0.7}\n"
    (answer,) = ask(assembled(there), "192.0.2.1", "10.0.0.7", [("TCP", 1)])
    assert str(answer.found.destination) == "shop/x"


def test_replicas_that_nothing_tells_apart_are_answered_once() -> None:
    replicas = "".join(
        pod(f"web-{number}", "shop", app="web").replace(
            "metadata: {",
            "metadata: {ownerReferences: [{kind: StatefulSet, name: web, controller: true}], ",
        )
        for number in range(3)
    )
    (answer,) = ask(assembled(replicas, pod("c", "shop")), "shop/c", "shop/statefulset/web", [("TCP", 1)])
    assert answer.pairs == 3


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("web", "expected namespace/pod"),
        ("shop/deploymnt/web", 'did you mean "deployment"'),
        ("shop/wbe", "did you mean shop/"),
        ("shop/service/wbe", 'did you mean "shop/web"'),
    ],
)
def test_what_is_not_there_is_told_with_what_was_probably_meant(reference: str, message: str) -> None:
    with pytest.raises(QuestionError, match=message):
        list(ask(WORLD, "shop/client", reference, []))


@pytest.mark.parametrize("source", ["shop/client", "other/stranger"])
def test_open_ports_are_those_that_the_engine_allows_one_by_one(source: str) -> None:
    world = WORLD.world
    (sender,), (receiver,) = world.find(source), world.find("shop/web")
    found = open_ports(world, sender, receiver)
    for protocol in PROTOCOLS:
        for port in (1, 80, 8079, 8080, 8081, 8999, 9000, 9005, 9010, 9011, 65535):
            allowed = verdict(world, sender, receiver, protocol, port).allowed
            assert found.contains(protocol, port) == allowed
