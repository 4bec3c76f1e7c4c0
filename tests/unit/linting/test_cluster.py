"""Policies over the pods and Services that are there."""

from __future__ import annotations

from unit.linting.judged import found, places
from unit.linting.test_together import egress, ingress


def pod(name: str, namespace: str = "shop", ports: str = "[]", more: str = "", ips: str = "") -> str:
    status = (
        f"\nstatus: {{podIP: {ips.split(',')[0]}, podIPs: [{', '.join(f'{{ip: {ip!r}}}' for ip in ips.split(','))}]}}"
        if ips
        else ""
    )
    return (
        f"apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: {namespace}, labels: {{app: {name}}}}}\n"
        f"spec: {{containers: [{{name: c, ports: {ports}}}]{more}}}{status}\n"
    )


HTTP = "[{name: http, containerPort: 8080}]"
APP = "{matchLabels: {app: %s}}"


def peers(*selectors: str, ports: str = "[{port: 80}]") -> str:
    return f"[{{from: [{', '.join(selectors)}], ports: {ports}}}]"


def named(namespace: str, pods: str = "{}") -> str:
    return f"{{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {namespace}}}}}, podSelector: {pods}}}"


def test_a_policy_that_selects_no_pod() -> None:
    lonely = ingress("lonely", "[]", pods=APP % "wbe")
    assert places("selects-nothing", lonely, pod("web")) == ["7: spec.podSelector"]
    assert found("selects-nothing", ingress("a", "[]", pods=APP % "web"), pod("web")) == []


def test_without_pods_of_the_namespace_nothing_is_said() -> None:
    lonely = ingress("lonely", "[]", pods=APP % "wbe")
    assert found("selects-nothing", lonely) == []
    assert found("selects-nothing", lonely, pod("web", "other")) == []


def test_a_workload_stands_for_its_pods() -> None:
    deployment = """
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: web, namespace: shop}
    spec: {template: {metadata: {labels: {app: web}}, spec: {containers: []}}}
    """
    assert found("selects-nothing", ingress("a", "[]", pods=APP % "web"), deployment) == []
    assert len(found("selects-nothing", ingress("a", "[]", pods=APP % "wbe"), deployment)) == 1


def test_a_peer_that_no_pod_matches() -> None:
    own = ingress("a", peers(f"{{podSelector: {APP % 'wbe'}}}"))
    assert places("peer-selects-nothing", own, pod("web")) == ["7: spec.ingress[0].from[0]"]
    other = ingress("a", peers(named("monitoring", APP % "prom")))
    assert len(found("peer-selects-nothing", other, pod("web"), pod("grafana", "monitoring"))) == 1
    assert found("peer-selects-nothing", other, pod("web"), pod("prom", "monitoring")) == []


def test_of_namespaces_that_are_not_given_nothing_is_known_unless_the_input_is_all_there_is() -> None:
    other = ingress("a", peers(named("monitoring")))
    assert found("peer-selects-nothing", other, pod("web")) == []
    assert len(found("peer-selects-nothing", other, pod("web"), complete=True)) == 1


def test_a_port_name_that_no_pod_has() -> None:
    web = pod("web", ports=HTTP)
    wrong = ingress("a", peers("{podSelector: {}}", ports="[{port: https}]"), pods=APP % "web")
    (placed,) = found("named-port-nowhere", wrong, web)
    assert placed.field == "spec.ingress[0].ports[0].port"
    assert "they have http" in placed.message
    right = wrong.replace("https", "http")
    assert found("named-port-nowhere", right, web) == []


def test_a_port_name_counts_for_its_protocol_only() -> None:
    udp = ingress("a", peers("{podSelector: {}}", ports="[{port: http, protocol: UDP}]"))
    assert len(found("named-port-nowhere", udp, pod("web", ports=HTTP))) == 1


def test_for_egress_the_names_are_those_of_the_destinations() -> None:
    out = egress("a", f"[{{to: [{{podSelector: {APP % 'db'}}}], ports: [{{port: http}}]}}]", pods=APP % "web")
    assert len(found("named-port-nowhere", out, pod("web", ports=HTTP), pod("db"))) == 1
    assert found("named-port-nowhere", out, pod("web"), pod("db", ports=HTTP)) == []


def test_pods_with_several_named_ports() -> None:
    several = "[{name: http, containerPort: 8080}, {name: metrics, containerPort: 9090}]"
    rule = ingress("a", peers("{podSelector: {}}", ports="[{port: http}]"))
    assert len(found("several-named-ports", rule, pod("web", ports=several))) == 1
    assert found("several-named-ports", rule, pod("web", ports=HTTP)) == []


def test_pods_on_the_host_network() -> None:
    assert len(found("host-network", ingress("a", "[]"), pod("web", more=", hostNetwork: true"))) == 1
    assert found("host-network", ingress("a", "[]"), pod("web")) == []


SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.7.7, selector: {app: web}, ports: [{port: 80, targetPort: %s}]}
"""


def test_the_port_of_a_service_instead_of_the_pods() -> None:
    rule = ingress("a", peers("{podSelector: {}}"), pods=APP % "web")
    (placed,) = found("service-port", rule, pod("web", ports=HTTP), SERVICE % 8080)
    assert "listen on 8080" in placed.message
    assert len(found("service-port", rule, pod("web", ports=HTTP), SERVICE % "http")) == 1
    assert found("service-port", rule, pod("web"), SERVICE % 80) == []


def test_both_ports_are_no_mistake() -> None:
    rule = ingress("a", peers("{podSelector: {}}", ports="[{port: 80}, {port: 8080}]"), pods=APP % "web")
    assert found("service-port", rule, pod("web", ports=HTTP), SERVICE % 8080) == []


def test_a_service_port_in_an_egress_rule() -> None:
    out = egress("a", f"[{{to: [{{podSelector: {APP % 'web'}}}], ports: [{{port: 80}}]}}]")
    assert len(found("service-port", out, pod("web", ports=HTTP), SERVICE % 8080)) == 1


def test_the_address_of_a_service() -> None:
    out = egress("a", "[{to: [{ipBlock: {cidr: 10.96.7.7/32}}]}]")
    (placed,) = found("cluster-ip", out, SERVICE % 80)
    assert "shop/web" in placed.message
    assert found("cluster-ip", egress("a", "[{to: [{ipBlock: {cidr: 10.0.0.0/8}}]}]"), SERVICE % 80) == []


def test_a_range_that_contains_pods() -> None:
    out = egress("a", "[{to: [{ipBlock: {cidr: 10.244.0.0/16}}]}]")
    assert len(found("ip-block-pods", out, pod("web", ips="10.244.1.7"))) == 1
    assert found("ip-block-pods", out, pod("web", ips="10.245.1.7")) == []
    six = egress("a", "[{to: [{ipBlock: {cidr: 'fd00:10::/64'}}]}]")
    (placed,) = found("ip-block-pods", six, pod("web", ips="10.244.1.7,fd00:10::7"))
    assert "fd00:10::7, the address of the pod shop/web" in placed.message


def test_the_internet_in_one_family_for_pods_with_both() -> None:
    out = egress("a", "[{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}]")
    both = egress("a", "[{to: [{ipBlock: {cidr: 0.0.0.0/0}}, {ipBlock: {cidr: '::/0'}}]}]")
    dual = pod("web", ips="10.244.1.7,fd00:10::7")
    assert len(found("one-family", out, dual)) == 1
    assert found("one-family", both, dual) == []
    assert found("one-family", out, pod("web", ips="10.244.1.7")) == []


NODE_PORT = """
    apiVersion: v1
    kind: Service
    metadata: {name: web, namespace: shop}
    spec: {type: NodePort, selector: {app: web}, ports: [{port: 8080, nodePort: 30644}]}
"""


def test_a_node_port_is_no_port_of_a_pod() -> None:
    (finding,) = found("service-port", ingress("a", "[{ports: [{port: 30644}]}]"), pod("web"), NODE_PORT)
    assert finding.message.startswith(
        "30644 is the nodePort of the Service shop/web, whose pods listen on 8080"
    )
    assert found("service-port", ingress("a", "[{ports: [{port: 8080}]}]"), pod("web"), NODE_PORT) == []


def test_a_peer_of_pods_on_the_host_network_only() -> None:
    rule = ingress("a", f"[{{from: [{named('edge')}]}}]")
    router = pod("router", "edge", more=", hostNetwork: true")
    (finding,) = found("peer-host-network", rule, router, pod("web"))
    assert "edge/router" in finding.message
    assert found("peer-host-network", rule, router, pod("other", "edge"), pod("web")) == []


def test_a_range_that_holds_service_addresses_only() -> None:
    service = """
    apiVersion: v1
    kind: Service
    metadata: {name: api, namespace: shop}
    spec: {clusterIP: 10.96.0.50, selector: {app: web}, ports: [{port: 80}]}
    """
    rule = policy_of_egress("10.96.0.0/16")
    (finding,) = found("cluster-ip", rule, service, pod("web", ips="10.244.0.5"))
    assert "all known addresses in 10.96.0.0/16 are of Services" in finding.message
    assert found("cluster-ip", rule, service, pod("web", ips="10.96.9.5")) == []
    assert found("cluster-ip", rule, service, pod("web")) == []  # where pods live is not known


def policy_of_egress(cidr: str) -> str:
    return egress("out", f"[{{to: [{{ipBlock: {{cidr: {cidr}}}}}]}}]")


def test_a_webhook_that_no_policy_lets_the_api_server_reach() -> None:
    webhook = """
    apiVersion: admissionregistration.k8s.io/v1
    kind: ValidatingWebhookConfiguration
    metadata: {name: guard}
    webhooks: [{name: guard.example.com, clientConfig: {service: {name: guard, namespace: shop}}}]
    ---
    apiVersion: v1
    kind: Service
    metadata: {name: guard, namespace: shop}
    spec: {selector: {app: guard}, ports: [{port: 443, targetPort: 8443}]}
    """
    closed = ingress("closed", peers(named("monitoring"), ports="[{port: 8888}]"))
    (finding,) = found("needed-flow-cut", closed, webhook, pod("guard"))
    assert "the API server connects to shop/guard on 8443/TCP" in finding.message
    opened = ingress("opened", "[{from: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: 8443}]}]")
    assert found("needed-flow-cut", closed, opened, webhook, pod("guard")) == []
