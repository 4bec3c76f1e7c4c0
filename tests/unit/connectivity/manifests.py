"""Manifests written by hand, as short as the tests allow."""

from __future__ import annotations


def pod(path, labels=None, ip=None, node=None, **spec):
    namespace, name = path.split("/")
    status = {"podIP": ip} if ip else {}
    if node:
        status["hostIP"] = node
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels or {}},
        "spec": {"containers": [], **spec},
        "status": status,
    }
