"""What the cluster holds: namespaces, labels, foreign policies, one profile; the same for the same seed."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

Object = dict[str, Any]

PROFILE: Final = "tenant-baseline"
TEMPLATE: Final = "tenant-baseline"
RULES: Final = ("deny", "dns", "same-namespace", "ingress", "monitoring")
"""The five policies of each namespace: what a platform team rolls out before anything else."""
SELECTED: Final = {"tenancy": "bench"}
FOREIGN_SHARE: Final = 0.2
"""Of the namespaces hold one to three policies that the operator must not touch."""

_TEMPLATE: Final = """\
podSelector:
  matchExpressions:
    - {key: exempt-GENERATION, operator: DoesNotExist}
{% if params.rule == "deny" %}
policyTypes: [Ingress, Egress]
{% elif params.rule == "dns" %}
policyTypes: [Egress]
egress:
  - to:
      - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}
        podSelector: {matchLabels: {k8s-app: kube-dns}}
    ports:
      - {port: 53, protocol: UDP}
      - {port: 53, protocol: TCP}
{% elif params.rule == "same-namespace" %}
policyTypes: [Ingress, Egress]
ingress:
  - from:
      - podSelector: {}
egress:
  - to:
      - podSelector: {}
{% elif params.rule == "ingress" %}
policyTypes: [Ingress]
ingress:
  - from:
      - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ingress-nginx}}
    ports:
      - {port: 8080, protocol: TCP}
      - {port: 8443, protocol: TCP}
{% else %}
policyTypes: [Ingress]
ingress:
  - from:
      - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}
        podSelector: {matchLabels: {app.kubernetes.io/name: prometheus}}
    ports:
      - {port: 9090, protocol: TCP}
{% endif %}
"""


@dataclass(frozen=True, slots=True)
class Content:
    """Reproducible by its seed; `size` namespaces are selected by the profile, `others` are not."""

    size: int
    others: int
    seed: int = 1

    def selected(self) -> list[str]:
        return [f"tenant-{number:05d}" for number in range(self.size)]

    def unselected(self) -> list[str]:
        return [f"other-{number:05d}" for number in range(self.others)]

    def namespaces(self) -> Iterator[Object]:
        """All namespaces, in the order of their creation, with labels as clusters have them."""
        chance = random.Random(self.seed)
        for name in self.selected():
            yield namespace(name, SELECTED | _labels(chance))
        for name in self.unselected():
            yield namespace(name, {"tenancy": "none"} | _labels(chance))

    def foreign(self) -> Iterator[tuple[str, Object]]:
        """Namespaces and the policies of others in them."""
        chance = random.Random(self.seed + 1)
        for name in self.selected():
            if chance.random() < FOREIGN_SHARE:
                for number in range(chance.randint(1, 3)):
                    yield name, _foreign(number, chance)


def namespace(name: str, labels: dict[str, str]) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def _labels(chance: random.Random) -> dict[str, str]:
    return {
        "team": f"team-{chance.randrange(200)}",
        "stage": chance.choice(("dev", "test", "production")),
        "cost-centre": str(chance.randrange(1000, 9999)),
        "pod-security.kubernetes.io/enforce": chance.choice(("baseline", "restricted")),
    }


def _foreign(number: int, chance: random.Random) -> Object:
    ports = [{"port": chance.randrange(1024, 65535), "protocol": "TCP"} for _ in range(chance.randint(1, 4))]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"own-{number}", "labels": {"app": f"app-{chance.randrange(50)}"}},
        "spec": {
            "podSelector": {"matchLabels": {"app": f"app-{chance.randrange(50)}"}},
            "policyTypes": ["Ingress"],
            "ingress": [{"ports": ports}],
        },
    }


def template(generation: int) -> Object:
    """The template behind all five policies; another generation changes every one of them."""
    return {
        "apiVersion": "tenantprofile.dev/v1alpha1",
        "kind": "PolicyTemplate",
        "metadata": {"name": TEMPLATE},
        "spec": {
            "description": "The five policies of a tenant, by rule.",
            "parameters": {
                "type": "object",
                "required": ["rule"],
                "properties": {"rule": {"type": "string", "enum": list(RULES)}},
            },
            "template": _TEMPLATE.replace("GENERATION", str(generation)),
        },
    }


def profile() -> Object:
    return {
        "apiVersion": "tenantprofile.dev/v1alpha1",
        "kind": "TenantProfile",
        "metadata": {"name": PROFILE},
        "spec": {
            "namespaceSelector": {"matchLabels": SELECTED},
            "policies": [
                {
                    "name": rule,
                    "template": TEMPLATE,
                    "purpose": f"What every tenant gets: {rule}.",
                    "parameters": {"rule": rule},
                }
                for rule in RULES
            ],
        },
    }


def bare_bodies(made: list[Object]) -> list[tuple[str, Object]]:
    """The operator's own policies of one namespace as a bare client would send them: names and bodies.

    Same bytes but for the domain of its labels and annotations, so that the operator does not take them
    for its own.
    """
    bodies = []
    for policy in made:
        metadata = policy["metadata"]
        renamed = {
            part: {
                key.replace("tenantprofile.dev/", "tenantprofile.raw/"): value
                for key, value in metadata[part].items()
            }
            for part in ("labels", "annotations")
        }
        kept = {"name": metadata["name"], **renamed}
        body = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": kept}
        bodies.append((metadata["name"], {**body, "spec": policy["spec"]}))
    return bodies


def encoded(body: Object) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()
