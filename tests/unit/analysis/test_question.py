"""A question names its ends as people do, and the answer is the engine's."""

from __future__ import annotations

import pytest

from tenantprofile.analysis.question import QuestionError, ask
from tenantprofile.connectivity.explanation import open_ports
from tenantprofile.connectivity.ports import ALL_PORTS, PROTOCOLS
from tenantprofile.connectivity.settings import Settings
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


ADDRESSES = assembled(
    """
    apiVersion: v1
    kind: Service
    metadata: {name: lb, namespace: app}
    spec:
      type: LoadBalancer
      clusterIP: 10.96.0.77
      externalTrafficPolicy: Cluster
      selector: {app: web}
      ports: [{port: 443, targetPort: 8443, nodePort: 31443}]
    status: {loadBalancer: {ingress: [{ip: 203.0.113.80}]}}
    ---
    apiVersion: v1
    kind: Service
    metadata: {name: kubernetes, namespace: default}
    spec: {clusterIP: 10.96.0.1, ports: [{name: https, port: 443, targetPort: 6443}]}
    ---
    apiVersion: discovery.k8s.io/v1
    kind: EndpointSlice
    metadata: {name: k, namespace: default, labels: {kubernetes.io/service-name: kubernetes}}
    addressType: IPv4
    endpoints: [{addresses: [192.0.2.11]}, {addresses: [192.0.2.12], conditions: {ready: false}}]
    ports: [{name: https, port: 6443, protocol: TCP}]
    ---
    apiVersion: v1
    kind: Pod
    metadata: {name: web, namespace: app, labels: {app: web}}
    spec: {nodeName: n1, containers: [{name: c}]}
    status: {podIP: 10.244.7.39, hostIP: 192.0.2.5}
    ---
    apiVersion: v1
    kind: Pod
    metadata: {name: cl, namespace: app, labels: {app: cl}}
    spec: {nodeName: n1, containers: [{name: c}]}
    status: {podIP: 10.244.7.40, hostIP: 192.0.2.5}
    ---
    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: {name: office, namespace: app}
    spec:
      podSelector: {matchLabels: {app: web}}
      policyTypes: [Ingress]
      ingress: [{from: [{ipBlock: {cidr: 203.0.113.0/28}}], ports: [{port: 8443}]}]
    ---
    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: {name: out, namespace: app}
    spec:
      podSelector: {matchLabels: {app: cl}}
      policyTypes: [Egress]
      egress:
        - to: [{ipBlock: {cidr: 192.0.2.11/32}}]
          ports: [{port: 6443}]
        - to: [{ipBlock: {cidr: 198.51.100.0/24}}]
    """
)


@pytest.mark.parametrize("end", ["10.96.0.77", "203.0.113.80", "app/svc/lb", "lb.app.svc.cluster.local"])
def test_an_address_or_host_of_a_service_leads_to_its_pods(end: str) -> None:
    (answer,) = ask(ADDRESSES, "app/cl", end, [("TCP", 443)])
    assert (str(answer.found.destination), answer.found.port) == ("app/web", 8443)


def test_a_node_port_leads_to_the_pods() -> None:
    for end in ("app/svc/lb", "192.0.2.5", "node/n1"):
        (answer,) = ask(ADDRESSES, "203.0.113.5", end, [("TCP", 31443)])
        assert (str(answer.found.destination), answer.found.port) == ("app/web", 8443)


def test_an_answer_through_a_load_balancer_says_that_the_source_may_be_rewritten() -> None:
    (answer,) = ask(ADDRESSES, "203.0.113.5", "app/svc/lb", [("TCP", 443)])
    assert answer.found.allowed
    assert any("externalTrafficPolicy of app/lb is Cluster" in reason for reason in answer.reasons)


@pytest.mark.parametrize("end", ["default/svc/kubernetes", "10.96.0.1"])
def test_a_service_without_pods_is_its_ready_endpoints(end: str) -> None:
    (answer,) = ask(ADDRESSES, "app/cl", end, [("TCP", 443)])
    assert (str(answer.found.destination), answer.found.port, answer.found.allowed) == (
        "192.0.2.11",
        6443,
        True,
    )


def test_a_range_is_divided_by_what_rules_say_of_it() -> None:
    answers = list(ask(ADDRESSES, "app/cl", "198.51.0.0/16", [("TCP", 443)]))
    assert [(a.headline, a.found.allowed) for a in answers] == [
        (
            "app/cl → 198.51.0.0/16 (198.51.0.0-198.51.99.255, 198.51.101.0-198.51.255.255), TCP 443: denied",
            False,
        ),
        ("app/cl → 198.51.0.0/16 (198.51.100.0/24), TCP 443: allowed", True),
    ]
    assert {a.found.allowed for a in ask(ADDRESSES, "app/cl", "internet", [("TCP", 443)])} == {True, False}
    (unknown,) = ask(ADDRESSES, "app/web", "db.example.com", [("TCP", 5432)])
    assert unknown.found.allowed
    assert "db.example.com" in unknown.headline


def test_a_namespace_stands_for_its_pods() -> None:
    for end in ("app", "namespace/app", "ns/app"):
        answers = ask(ADDRESSES, end, "198.51.100.7", [("TCP", 443)])
        assert {str(a.found.source) for a in answers} == {"app/web", "app/cl"}


def test_one_pod_without_the_named_port_does_not_stop_the_others() -> None:
    service = """
    apiVersion: v1
    kind: Service
    metadata: {name: web, namespace: app}
    spec: {selector: {app: web}, ports: [{name: m, port: 9090, targetPort: metrics}]}
    ---
    apiVersion: v1
    kind: Pod
    metadata: {name: v1, namespace: app, labels: {app: web}}
    ---
    apiVersion: v1
    kind: Pod
    metadata: {name: v2, namespace: app, labels: {app: web}}
    spec: {containers: [{name: c, ports: [{name: metrics, containerPort: 9100}]}]}
    """
    (answer,) = ask(assembled(service), "192.0.2.1", "app/svc/web", [])
    assert (str(answer.found.destination), answer.found.port) == ("app/v2", 9100)
    assert any(reason.startswith("app/v1 is no endpoint of port 9090") for reason in answer.reasons)


def test_a_label_that_is_nearly_right_is_named() -> None:
    peer = "{namespaceSelector: {matchLabels: {name: monitoring}}, podSelector: {matchLabels: {app: prom}}}"
    policy = f"""
    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: {{name: in, namespace: shop}}
    spec: {{podSelector: {{}}, policyTypes: [Ingress], ingress: [{{from: [{peer}]}}]}}
    """
    world = assembled(policy, pod("web", "shop"), pod("p", "monitoring", app="prom"), pod("x", "monitoring"))
    (near,) = ask(world, "monitoring/p", "shop/web", [("TCP", 80)])
    assert any("namespace monitoring would match if it had name=monitoring" in r for r in near.reasons)
    (far,) = ask(world, "monitoring/x", "shop/web", [("TCP", 80)])
    assert not any("would match" in reason for reason in far.reasons)


def test_remarks_are_about_the_plugin_asked_about() -> None:
    (answer,) = ask(ADDRESSES, "app/cl", "app/web", [("TCP", 8443)], Settings(ip_blocks_match_pods=False))
    assert not any("(Cilium)" in reason for reason in answer.reasons)
