"""People and programs of a test cluster: impersonated users with the roles they were given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from client import Client, Refused, eventually
from controlplane import Cluster

RBAC = "/apis/rbac.authorization.k8s.io/v1"
REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


def _made(admin: Client, path: str, body: Mapping[str, Any]) -> None:
    try:
        admin.create(path, dict(body))
    except Refused as error:
        if error.status != 409:
            raise


def grant(admin: Client, user: str, role: str, namespace: str = "") -> None:
    """Bind a ClusterRole to a user: in a namespace, or without one for the whole cluster."""
    kind = "RoleBinding" if namespace else "ClusterRoleBinding"
    path = f"{RBAC}/namespaces/{namespace}/rolebindings" if namespace else f"{RBAC}/clusterrolebindings"
    body = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": f"{user}-{role}".replace(":", "-")},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }
    _made(admin, path, body)


def role(admin: Client, name: str, rules: Iterable[Mapping[str, Any]]) -> str:
    """A ClusterRole of a test; its name."""
    body = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": [dict(rule) for rule in rules],
    }
    _made(admin, f"{RBAC}/clusterroles", body)
    return name


def may(admin: Client, user: str, verb: str, resource: str, *, group: str = "", name: str = "") -> bool:
    """Whether a user may do something in the whole cluster, as the API server decides it now."""
    attributes = {"verb": verb, "resource": resource, "group": group, "name": name}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": user,
            "groups": ["system:authenticated"],
            "resourceAttributes": {k: v for k, v in attributes.items() if v},
        },
    }
    return bool(admin.create(REVIEWS, body)["status"]["allowed"])


def allowed_to(
    admin: Client, user: str, verb: str, resource: str, *, group: str = "", name: str = ""
) -> None:
    """Wait until the API server's authorizer knows of a right that was just granted."""
    eventually(lambda: may(admin, user, verb, resource, group=group, name=name))


def acting(cluster: Cluster, user: str) -> Client:
    """A client that is this user."""
    return Client(cluster.impersonated_kubeconfig(user))
