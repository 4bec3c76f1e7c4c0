"""Kubeconfig files as values: one cluster, one user, one context.

They are written as JSON, which every reader of kubeconfig takes, and carry
the authority inside them, so that a single file is all that a client needs.
Fields: kubernetes.io/docs/reference/config-api/kubeconfig.v1.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .pki import write_private

Document = dict[str, Any]


def for_token(url: str, ca: bytes, name: str, token: str, namespace: str = "default") -> Document:
    """A user who shows a bearer token."""
    cluster = {"server": url, "certificate-authority-data": base64.b64encode(ca).decode()}
    return document(cluster, name, {"token": token}, namespace)


def document(
    cluster: Mapping[str, Any], name: str, user: Mapping[str, Any], namespace: str = "default"
) -> Document:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": dict(cluster)}],
        "users": [{"name": name, "user": dict(user)}],
        "contexts": [
            {"name": name, "context": {"cluster": "cluster", "user": name, "namespace": namespace}},
        ],
        "current-context": name,
    }


def with_token(admin: Document, name: str, token: str, namespace: str) -> Document:
    """The same cluster, another user who shows a bearer token."""
    return document(_cluster(admin), name, {"token": token}, namespace)


def impersonating(admin: Document, user: str, groups: Sequence[str]) -> Document:
    """The same cluster and credentials, acting as another user.

    The API server adds ``system:authenticated`` on its own. kubectl and
    client-go follow ``as``; the Python client does not read it.
    """
    acting = dict(admin["users"][0]["user"])
    acting["as"] = user
    if groups:
        acting["as-groups"] = list(groups)
    return document(_cluster(admin), user, acting)


def write(path: Path, content: Document) -> Path:
    write_private(path, json.dumps(content, indent=2).encode())
    return path


def _cluster(of: Document) -> Mapping[str, Any]:
    found: Mapping[str, Any] = of["clusters"][0]["cluster"]
    return found
