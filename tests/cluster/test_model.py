"""The model of the API server answers as the real one does: the same random requests, the same codes and objects."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from client import Client
from client import Refused as RealRefusal
from model.objects import KINDS
from model.server import MERGE_PATCH, ModelServer, Refused, Request, collection
from operatorprocess import OperatorProcess

Object = dict[str, Any]
_serial = itertools.count(1)

SPECS: list[Object] = [
    {"podSelector": {}},
    {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]},
    {"podSelector": {}, "egress": [{"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53}]}]},
    {
        "podSelector": {"matchLabels": {"a": "b"}},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [],
        "egress": [],
    },
    {
        "podSelector": {"matchLabels": {}, "matchExpressions": []},
        "ingress": [
            {"from": [{"podSelector": {}}, {"ipBlock": {"cidr": "10.0.0.0/8", "except": []}}], "ports": []}
        ],
    },
]
PROFILE_SPECS: list[Object] = [
    {"namespaceSelector": {"matchLabels": {"never": label}}, "policies": [{"template": "default-deny"}]}
    for label in ("x", "y")
]


class Side:
    """One of the two servers: sends a request and answers its code and the object or the reason."""

    def __init__(self, send: Callable[..., Object]) -> None:
        self._send = send
        self.seen: dict[str, list[Object]] = {}

    def request(
        self, method: str, path: str, body: Any, content_type: str, query: dict[str, str]
    ) -> tuple[int, Any]:
        try:
            answer = self._send(method, path, body, content_type, query)
        except (RealRefusal, Refused) as refusal:
            code = refusal.status if isinstance(refusal, RealRefusal) else refusal.code
            found = refusal.body
            details = found.get("details") or {} if isinstance(found, dict) else {}
            causes = [cause.get("reason") for cause in details.get("causes") or []]
            reason = found.get("reason") if isinstance(found, dict) else "text"
            return code, (reason, details.get("kind"), details.get("name"), causes)
        return 200, answer

    def version(self, path: str, choice: str) -> Object:
        """Metadata that a client would send which has seen the object now, earlier, or never."""
        seen = self.seen.get(path, [])
        if choice == "none" or not seen:
            return {}
        metadata = seen[-1 if choice == "current" else 0]["metadata"]
        found = {"resourceVersion": metadata["resourceVersion"]}
        return found | {"uid": metadata["uid"]} if choice == "old with uid" else found


def plain(answer: Any) -> Any:
    """What both must agree on: all but what is each server's own."""
    if not isinstance(answer, dict):
        return answer
    found = {key: value for key, value in answer.items() if key not in ("code", "metadata", "details")}
    if answer.get("kind") == "Status":
        return found
    metadata = dict(answer.get("metadata") or {})
    for key in ("uid", "resourceVersion", "creationTimestamp", "managedFields"):
        metadata.pop(key, None)
    if answer.get("kind") == "NetworkPolicy":
        # Its strategy tells an empty list from none, and counts a generation although the same is stored.
        metadata.pop("generation", None)
    if "deletionTimestamp" in metadata:
        metadata["deletionTimestamp"] = "some time"
    return {**found, "metadata": metadata}


@pytest.fixture
def place(admin: Client, shared_operator: OperatorProcess) -> Iterator[str]:
    shared_operator.stop()  # it would write statuses of the profiles
    name = f"model-{next(_serial)}"
    admin.create("/api/v1/namespaces", {"metadata": {"name": name}})
    yield name
    for plural in ("networkpolicies", "configmaps", "leases"):
        for item in admin.items(collection(plural, name)):
            path = f"{collection(plural, name)}/{item['metadata']['name']}"
            admin.merge(path, {"metadata": {"finalizers": None}})
            admin.delete(path)
    for profile in ("model-x", "model-y"):
        if admin.find(f"{collection('tenantprofiles')}/{profile}") is not None:
            admin.merge(f"{collection('tenantprofiles')}/{profile}", {"metadata": {"finalizers": None}})
        admin.delete(f"{collection('tenantprofiles')}/{profile}")
    admin.delete(f"/api/v1/namespaces/{name}")


@pytest.mark.parametrize("seed", range(3))
def test_the_model_answers_as_the_real_server(admin: Client, place: str, seed: int) -> None:
    server = ModelServer()
    server.create("namespaces", {"metadata": {"name": place}})

    def to_model(method: str, path: str, body: Any, content_type: str, query: dict[str, str]) -> Object:
        return server.handle(Request(method, path, body, content_type, "someone", query))

    def to_real(method: str, path: str, body: Any, content_type: str, query: dict[str, str]) -> Object:
        return admin.request(method, path, body, content_type=content_type, **query)

    real, model = Side(to_real), Side(to_model)
    chance = random.Random(seed)
    for step in range(250):
        plural = chance.choice(
            ["networkpolicies", "networkpolicies", "configmaps", "leases", "tenantprofiles"]
        )
        where = chance.choice([place] * 9 + ["not-there"]) if plural != "tenantprofiles" else ""
        name = chance.choice(["model-x", "model-y"])
        path = f"{collection(plural, where)}/{name}"
        method = chance.choice(["GET", "POST", "POST", "PUT", "PUT", "PATCH", "DELETE"])
        choice = chance.choice(["current", "current", "old", "old with uid", "none"])
        query = {} if method in ("GET", "DELETE") else {"fieldManager": chance.choice(["one", "two"])}
        spec = chance.choice(PROFILE_SPECS if plural == "tenantprofiles" else SPECS)
        labels = chance.choice([{}, {"l": "1"}, {"l": "2"}])
        finalizers = chance.choice([[], [], [], ["example.com/keep"]])
        answers = []
        for side in (real, model):
            metadata: Object = {"name": name, "labels": labels, "finalizers": finalizers}
            body: Any = {"metadata": metadata}
            if plural in ("networkpolicies", "tenantprofiles"):
                body["spec"] = spec
            elif plural == "leases":
                body["spec"] = {"holderIdentity": labels.get("l", "nobody")}
            else:
                body["data"] = {"key": labels.get("l", "")}
            body |= {"apiVersion": KINDS[plural].api_version, "kind": KINDS[plural].kind}
            target, content_type = path, "application/json"
            if method == "GET":
                body = None
            elif method == "POST":
                target = collection(plural, where)
            elif method == "PUT":
                metadata |= side.version(path, choice)
            elif method == "PATCH":
                content_type = MERGE_PATCH
                body = {"metadata": {"labels": labels or None, "finalizers": finalizers or None}}
            else:
                wanted = side.version(path, choice)
                body = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
                if wanted:
                    body["preconditions"] = wanted
            code, answer = side.request(method, target, body, content_type, query)
            if isinstance(answer, dict) and (answer.get("metadata") or {}).get("resourceVersion"):
                side.seen.setdefault(path, []).append(answer)
            answers.append((code, plain(answer)))
        assert answers[1] == answers[0], (
            f"step {step}: {method} {path} ({choice}): real first in the assertion"
        )
    for plural in ("networkpolicies", "configmaps", "leases"):
        there = {item["metadata"]["name"]: plain(item) for item in admin.items(collection(plural, place))}
        here = {name: plain(body) for (_, name), body in server.all(plural, place).items()}
        there.pop("kube-root-ca.crt", None)
        for found in (*there.values(), *here.values()):
            found.pop("kind", None)
            found.pop("apiVersion", None)
            found["metadata"].pop("generation", None)
        assert here == there
