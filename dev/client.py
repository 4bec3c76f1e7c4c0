"""A bare client for tests, demo and referee: JSON over one kept-alive connection, and nothing else.

It is not the operator's own client on purpose: what judges the operator shares no code with it.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

Object = dict[str, Any]
Value = TypeVar("Value")

PROFILES = "/apis/tenantprofile.dev/v1alpha1/tenantprofiles"
TEMPLATES = "/apis/tenantprofile.dev/v1alpha1/policytemplates"
NAMESPACES = "/api/v1/namespaces"
ALL_POLICIES = "/apis/networking.k8s.io/v1/networkpolicies"


def policies_of(namespace: str) -> str:
    return f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies"


class Refused(RuntimeError):
    """The API server said no; `status` is the HTTP status, `body` its answer."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status}: {body.get('message') if isinstance(body, dict) else body}")
        self.status = status
        self.body = body


class Client:
    """Requests by a kubeconfig of the local control plane (client certificate, token, impersonation)."""

    def __init__(self, kubeconfig: Path) -> None:
        content = json.loads(kubeconfig.read_text())
        cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
        address = urlsplit(cluster["server"])
        self._host, self._port = address.hostname or "", address.port or 443
        self._tls = ssl.create_default_context(
            cafile=cluster.get("certificate-authority"),
            cadata=_decoded(cluster.get("certificate-authority-data")),
        )
        certificate, key = user.get("client-certificate"), user.get("client-key")
        if certificate:
            self._tls.load_cert_chain(certificate, key)
        elif user.get("client-certificate-data"):
            with tempfile.NamedTemporaryFile("w", suffix=".pem") as pair:
                for field in ("client-certificate-data", "client-key-data"):
                    pair.write(_decoded(user[field]) or "")
                pair.flush()
                self._tls.load_cert_chain(pair.name)
        self._headers = {"Accept": "application/json"}
        if user.get("token"):
            self._headers["Authorization"] = f"Bearer {user['token']}"
        if user.get("as"):
            self._headers["Impersonate-User"] = user["as"]
        self._connection: http.client.HTTPSConnection | None = None

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content_type: str = "application/json",
        **query: str,
    ) -> Object:
        """One request; bytes are sent as they are. Raises Refused, and OSError when the API server is away."""
        target = f"{path}?{urlencode(query)}" if query else path
        headers = self._headers | ({"Content-Type": content_type} if body is not None else {})
        data = body if isinstance(body, bytes) or body is None else json.dumps(body)
        for attempt in (1, 2):
            connection = self._connection or self._connect()
            self._connection = connection
            try:
                connection.request(method, target, data, headers)
                response = connection.getresponse()
                raw = response.read()
                break
            except (http.client.HTTPException, OSError):
                self.close()
                # A kept-alive connection may have been closed by the server meanwhile.
                if attempt == 2:
                    raise
        try:
            answer: Object = json.loads(raw) if raw else {}
        except ValueError:
            # "404 page not found", for a group that is not served.
            raise Refused(response.status, raw.decode(errors="replace").strip()) from None
        if response.status == 429 and "(re)initializing" in raw.decode(errors="replace"):
            # The storage of a custom resource is made anew after every change of its CRD.
            time.sleep(0.2)
            return self.request(method, path, body, content_type=content_type, **query)
        if response.status >= 400:
            raise Refused(response.status, answer)
        return answer

    def get(self, path: str, **query: str) -> Object:
        return self.request("GET", path, **query)

    def find(self, path: str) -> Object | None:
        """An object, or None where there is none."""
        try:
            return self.get(path)
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def items(self, path: str, **query: str) -> list[Object]:
        items: list[Object] = self.get(path, **query)["items"]
        return items

    def create(self, path: str, body: Object) -> Object:
        return self.request("POST", path, body)

    def merge(self, path: str, body: object, manager: str = "someone") -> Object:
        """A JSON merge patch under a field manager's name."""
        return self.request(
            "PATCH", path, body, content_type="application/merge-patch+json", fieldManager=manager
        )

    def apply(self, path: str, body: Object, manager: str = "someone") -> Object:
        """Server-side apply, forced, under a field manager's name."""
        return self.request(
            "PATCH",
            f"{path}/{quote(body['metadata']['name'])}",
            body,
            content_type="application/apply-patch+yaml",
            fieldManager=manager,
            force="true",
        )

    def delete(self, path: str) -> None:
        """Delete; an object that is not there is fine."""
        try:
            self.request("DELETE", path)
        except Refused as error:
            if error.status != 404:
                raise

    def watch(self, path: str, resource_version: str, **query: str) -> Iterator[Object]:
        """Events until the stream ends; on a connection of its own."""
        connection = self._connect()
        try:
            options = {"watch": "1", "resourceVersion": resource_version, "timeoutSeconds": "3600", **query}
            connection.request("GET", f"{path}?{urlencode(options)}", headers=self._headers)
            response = connection.getresponse()
            if response.status >= 400:
                raise Refused(response.status, json.loads(response.read() or b"{}"))
            for line in response:
                yield json.loads(line)
        finally:
            connection.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self._host, self._port, context=self._tls, timeout=60)


def _decoded(data: str | None) -> str | None:
    return base64.b64decode(data).decode() if data else None


def eventually(what: Callable[[], Value], *, within: float = 20.0, every: float = 0.02) -> Value:
    """Call until it answers something true without an AssertionError; the last failure otherwise."""
    deadline = time.monotonic() + within
    while True:
        try:
            value = what()
            if value:
                return value
            problem: Exception = AssertionError(f"still {value!r} after {within:.0f} s")
        except (AssertionError, Refused, OSError, KeyError, IndexError) as error:
            problem = error
        if time.monotonic() > deadline:
            raise problem
        time.sleep(every)
