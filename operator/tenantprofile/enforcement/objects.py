"""The objects of a canary, and which namespaces in a cluster are canaries that were left behind.

Everything is in one namespace of a generated name, so that its deletion takes all of it. The pods end
by themselves (`activeDeadlineSeconds`) where nobody is left to delete it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tenantprofile.enforcement.attempts import PORTS
from tenantprofile.enforcement.plan import CLIENT, LABEL_ROLE, NAMED_PORTS, SERVER, Spec
from tenantprofile.names import GROUP, LABEL_MANAGED_BY

Object = dict[str, Any]

PREFIX: Final = "tenantprofile-doctor-"
MANAGER: Final = "tenantprofile-doctor"
LABEL_CANARY: Final = f"{GROUP}/canary"
CANARY: Final = "enforcement"
SELECTOR: Final = f"{LABEL_CANARY}={CANARY}"
ANNOTATION_LIFETIME: Final = f"{GROUP}/canary-lifetime"
"""Seconds after the creation of the namespace at which its pods have ended."""

_LABELS: Final = {LABEL_CANARY: CANARY, LABEL_MANAGED_BY: MANAGER}
_CONTAINER: Final = "canary"


def namespace(name: str, lifetime: int) -> Object:
    """It demands the strictest Pod Security Standard, which its pods keep to."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "labels": _LABELS | {"pod-security.kubernetes.io/enforce": "restricted"},
            "annotations": {ANNOTATION_LIFETIME: str(lifetime)},
        },
    }


def server(image: str, token: str, lifetime: int) -> Object:
    """Listens on every port and answers with the token."""
    ports = [{"name": n, "protocol": p, "containerPort": port} for n, (p, port) in NAMED_PORTS.items()]
    return _pod(SERVER, image, ["tenantprofile.canary.listen", token, _listed(PORTS)], lifetime, ports)


def client(image: str, token: str, lifetime: int, addresses: Sequence[str]) -> Object:
    """Tries every port of the server's addresses, over and over."""
    arguments = ["tenantprofile.canary.probe", token, _listed(PORTS), *addresses]
    return _pod(CLIENT, image, arguments, lifetime, [])


def policy(name: str, spec: Spec) -> Object:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "labels": dict(_LABELS)},
        "spec": dict(spec),
    }


def is_canary(found: Mapping[str, Any]) -> bool:
    """Whether a namespace is one of ours. A label alone is not enough to delete what somebody labelled."""
    metadata = found["metadata"]
    labelled = (metadata.get("labels") or {}).get(LABEL_CANARY) == CANARY
    return labelled and str(metadata["name"]).startswith(PREFIX) and lifetime_of(found) is not None


def lifetime_of(found: Mapping[str, Any]) -> int | None:
    """Seconds after its creation at which the pods of a canary have ended."""
    given = str((found["metadata"].get("annotations") or {}).get(ANNOTATION_LIFETIME, ""))
    return int(given) if given.isdecimal() else None


def _listed(ports: Sequence[int]) -> str:
    return ",".join(map(str, ports))


def _pod(role: str, image: str, arguments: list[str], lifetime: int, ports: list[Object]) -> Object:
    """On another node than the other pod where there is one; nothing of the cluster is given to it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": role, "labels": _LABELS | {LABEL_ROLE: role}},
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": lifetime,
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "runAsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "affinity": {
                "podAntiAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {
                            "weight": 100,
                            "podAffinityTerm": {
                                "topologyKey": "kubernetes.io/hostname",
                                "labelSelector": {"matchLabels": {LABEL_CANARY: CANARY}},
                            },
                        }
                    ]
                }
            },
            "containers": [
                {
                    "name": _CONTAINER,
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python", "-m", *arguments],
                    "ports": ports,
                    "resources": {
                        "requests": {"cpu": "20m", "memory": "32Mi"},
                        "limits": {"cpu": "500m", "memory": "64Mi"},
                    },
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }
