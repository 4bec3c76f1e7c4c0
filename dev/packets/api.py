"""The few requests to the API server that the test world needs, without kubectl's 100 ms each."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from controlplane import Cluster

Object = dict[str, Any]
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
MANAGER = "packets"

_KINDS: Mapping[str, tuple[str, str]] = {
    "Namespace": ("/api/v1", "namespaces"),
    "Node": ("/api/v1", "nodes"),
    "Pod": ("/api/v1", "pods"),
    "NetworkPolicy": ("/apis/networking.k8s.io/v1", "networkpolicies"),
    "TenantProfile": ("/apis/tenantprofile.dev/v1alpha1", "tenantprofiles"),
    "PolicyTemplate": ("/apis/tenantprofile.dev/v1alpha1", "policytemplates"),
}


class ApiError(RuntimeError):
    """The API server refused. `status` is the HTTP status."""

    def __init__(self, request: str, status: int, answer: str) -> None:
        super().__init__(f"{request}: {status} {answer}")
        self.status = status


class Api:
    """A client with the administrator's credentials, or those of a bearer token."""

    def __init__(self, cluster: Cluster, token: str | None = None) -> None:
        content = json.loads(cluster.admin_kubeconfig.read_text())
        self._url = urlsplit(content["clusters"][0]["cluster"]["server"])
        authority = base64.b64decode(content["clusters"][0]["cluster"]["certificate-authority-data"])
        self._trust = ssl.create_default_context(cadata=authority.decode())
        self._token = token or content["users"][0]["user"]["token"]
        self._own = threading.local()

    def create(self, manifest: Object) -> Object:
        kind, metadata = manifest["kind"], manifest["metadata"]
        return self.request("POST", path(kind, metadata.get("namespace", "")), manifest)

    def apply(self, manifest: Object) -> Object:
        """Server-side apply, by force: the object is ours."""
        kind, metadata = manifest["kind"], manifest["metadata"]
        where = path(kind, metadata.get("namespace", ""), metadata["name"])
        return self.request("PATCH", f"{where}?fieldManager={MANAGER}&force=true", manifest, APPLY)

    def patch(self, kind: str, namespace: str, name: str, change: Object, part: str = "") -> Object:
        """A merge patch, of a subresource if one is named."""
        where = path(kind, namespace, name) + (f"/{part}" if part else "")
        return self.request("PATCH", where, change, MERGE)

    def get(self, kind: str, namespace: str, name: str) -> Object:
        return self.request("GET", path(kind, namespace, name))

    def list(self, kind: str, namespace: str = "", selector: str = "") -> list[Object]:
        query = f"?{urlencode({'labelSelector': selector})}" if selector else ""
        found = self.request("GET", path(kind, namespace) + query)
        return [item | {"apiVersion": found["apiVersion"], "kind": kind} for item in found["items"]]

    def delete(self, kind: str, namespace: str, name: str, *, grace: int | None = None) -> None:
        """Delete; an object that is gone already is fine."""
        query = "" if grace is None else f"?gracePeriodSeconds={grace}"
        try:
            self.request("DELETE", path(kind, namespace, name) + query)
        except ApiError as error:
            if error.status != 404:
                raise

    def watch(self, kind: str, namespace: str = "", version: str = "") -> Iterator[Object]:
        """Events as they come, until the server ends the watch. On a connection of its own."""
        query = urlencode({"watch": "1", "resourceVersion": version})
        connection = self._connect()
        connection.request("GET", f"{path(kind, namespace)}?{query}", headers=self._headers())
        answer = connection.getresponse()
        if answer.status != 200:
            raise ApiError(f"watch {kind}", answer.status, answer.read(2000).decode(errors="replace"))
        for line in answer:
            yield json.loads(line)

    def request(
        self, method: str, where: str, body: Object | None = None, content_type: str = "application/json"
    ) -> Object:
        content = None if body is None else json.dumps(body)
        headers = self._headers() | ({"Content-Type": content_type} if content else {})
        for attempt in (1, 2):  # the server may have closed an idle connection
            connection = getattr(self._own, "connection", None) or self._connect()
            self._own.connection = connection
            try:
                connection.request(method, where, content, headers)
                answer = connection.getresponse()
                text = answer.read()
                break
            except (http.client.HTTPException, ConnectionError):
                connection.close()
                self._own.connection = None
                if attempt == 2:
                    raise
        if answer.status >= 300:
            raise ApiError(f"{method} {where}", answer.status, text[:2000].decode(errors="replace"))
        found: Object = json.loads(text)
        return found

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}

    def _connect(self) -> http.client.HTTPSConnection:
        assert self._url.hostname is not None
        return http.client.HTTPSConnection(
            self._url.hostname, self._url.port, timeout=60, context=self._trust
        )


def path(kind: str, namespace: str = "", name: str = "") -> str:
    """Where objects of a kind live."""
    root, plural = _KINDS[kind]
    inside = f"/namespaces/{namespace}" if namespace else ""
    return f"{root}{inside}/{plural}" + (f"/{name}" if name else "")
