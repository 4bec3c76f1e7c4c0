"""Flows that objects need: open, cut or unknown."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tenantprofile.connectivity.needs import Need, entries, needs
from tenantprofile.connectivity.world import World
from tenantprofile.rendering.templates import builtin_templates

WEB = """
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec:
  containers: [{name: c, ports: [{name: http, containerPort: 8080}], readinessProbe: {httpGet: {port: http}}}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, labels: {team: a}}
spec: {selector: {app: web}, ports: [{name: main, port: 80, targetPort: http}]}
---
"""
WEBHOOK = """
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: hook}
webhooks: [{name: h.example.com, clientConfig: {service: {name: web, namespace: shop, port: 80}}}]
---
"""
INGRESS = """
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: front, namespace: shop}
spec:
  rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {name: main}}}}]}}]
---
"""
MONITOR = """
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata: {name: m, namespace: shop}
spec: {selector: {matchLabels: {team: a}}, endpoints: [{port: main}]}
---
"""
ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: shop}
spec: {rules: [{backendRefs: [{name: web, port: 80}]}]}
---
"""
CONTROLLER = """
apiVersion: v1
kind: Pod
metadata: {name: nginx, namespace: edge, labels: {app.kubernetes.io/name: ingress-nginx}}
---
"""


def policy(rules: str, types: str = "Ingress", pods: str = "{}") -> str:
    field = types.lower()
    return (
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: shop}\n"
        f"spec: {{podSelector: {pods}, policyTypes: [{types}], {field}: {rules}}}\n---\n"
    )


def found(what: str, *texts: str) -> list[Need]:
    objects = [item for text in texts for item in yaml.safe_load_all(text) if item]
    return [need for need in needs(objects, World.from_objects(objects)) if need.what == what]


def state(what: str, *texts: str) -> str:
    (need,) = found(what, *texts)
    return need.state


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("[]", "cut"),
        ("[{ports: [{port: http}]}]", "open"),
        ("[{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]", "open"),
        ("[{from: [{ipBlock: {cidr: 192.0.2.0/24}}]}]", "unknown"),
        ("[{from: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: 80}]}]", "cut"),
        ("[{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: edge}}}]}]", "cut"),
        ("[{from: [{namespaceSelector: {}}]}]", "unknown"),
    ],
)
def test_a_webhook_is_called_from_an_address(rules: str, expected: str) -> None:
    assert state("api server", WEB, WEBHOOK, policy(rules)) == expected


def test_the_addresses_of_the_api_server_decide_where_they_are_known() -> None:
    slices = """
apiVersion: v1
kind: Service
metadata: {name: kubernetes, namespace: default}
spec: {ports: [{name: https, port: 443}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: k, namespace: default, labels: {kubernetes.io/service-name: kubernetes}}
addressType: IPv4
endpoints: [{addresses: [192.0.2.11]}]
ports: [{name: https, port: 6443}]
---
"""
    inside = policy("[{from: [{ipBlock: {cidr: 192.0.2.0/24}}]}]")
    assert state("api server", WEB, WEBHOOK, slices, inside) == "open"
    assert (
        state("api server", WEB, WEBHOOK, slices, policy("[{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]"))
        == "cut"
    )


@pytest.mark.parametrize(
    ("what", "asking"), [("ingress", INGRESS), ("ingress", ROUTE), ("monitoring", MONITOR)]
)
def test_a_backend_needs_its_callers(what: str, asking: str) -> None:
    assert state(what, WEB, asking) == "open"
    assert state(what, WEB, asking, policy("[]")) == "cut"
    assert state(what, WEB, asking, policy("[{from: [{podSelector: {}}]}]")) == "unknown"


def test_known_controllers_decide() -> None:
    edge = policy("[{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: edge}}}]}]")
    assert state("ingress", WEB, INGRESS, CONTROLLER, edge) == "open"
    assert state("ingress", WEB, INGRESS, CONTROLLER, policy("[{from: [{podSelector: {}}]}]")) == "cut"


def test_pods_need_dns_and_probes_come_from_the_node() -> None:
    assert state("dns", WEB, policy("[]", "Egress")) == "cut"
    assert state("dns", WEB, policy("[{ports: [{port: 53, protocol: UDP}]}]", "Egress")) == "open"
    assert state("probe", WEB, policy("[]")) == "open"
    ambient = (
        "apiVersion: v1\nkind: Namespace\n"
        "metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}\n---\n"
    )
    assert state("probe", WEB, ambient, policy("[]")) == "cut"


def test_an_external_name_is_an_address_that_nobody_knows() -> None:
    name = (
        "apiVersion: v1\nkind: Service\nmetadata: {name: db, namespace: shop}\n"
        "spec: {type: ExternalName, externalName: db.example.com}\n---\n"
    )
    assert state("external name", WEB, name) == "open"
    assert state("external name", WEB, name, policy("[]", "Egress")) == "cut"
    some = policy("[{to: [{ipBlock: {cidr: 192.0.2.0/24}}]}]", "Egress")
    assert state("external name", WEB, name, some) == "unknown"


def test_what_is_cut_becomes_entries_that_open_it() -> None:
    cut = [n for n in found("api server", WEB, WEBHOOK, policy("[]")) if n.state == "cut"]
    ((entry,),) = entries(cut).values()
    assert entry["template"] in builtin_templates()
    assert entry["parameters"] == {
        "cidrs": ["0.0.0.0/0", "::/0"],
        "allowAnyAddress": True,
        "ports": [8080],
        "podSelector": {"matchLabels": {"app": "web"}},
    }


@pytest.mark.parametrize("wrong", [None, 1, "x", [], [1], {"a": []}])
@pytest.mark.parametrize("kind", ["webhooks", "spec"])
def test_fields_of_wrong_types_are_passed_over(kind: str, wrong: Any) -> None:
    for text in (WEBHOOK, INGRESS, MONITOR, ROUTE):
        for raw in yaml.safe_load_all(text):
            if raw:
                assert isinstance(needs([{**raw, kind: wrong}], World.from_objects([])), list)
