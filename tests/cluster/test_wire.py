"""What is sent in the API server's own format is understood as the same thing in JSON would be."""

from __future__ import annotations

import json
import random
from typing import Any

from client import Client
from tenantprofile.policy import protobuf

PATH = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies?dryRun=All&fieldValidation=Ignore"


def selector(r: random.Random) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if r.random() < 0.5:
        found["matchLabels"] = {r.choice("abc"): r.choice(["x", "", "y" * 63]) for _ in range(r.randrange(3))}
    if r.random() < 0.3:
        found["matchExpressions"] = [
            {"key": "k", "operator": r.choice(["In", "NotIn"]), "values": ["v", "w"][: r.randint(1, 2)]},
            {"key": "k", "operator": r.choice(["Exists", "DoesNotExist"])},
        ][: r.randint(0, 2)]
    return found


def port(r: random.Random) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if r.random() < 0.7:
        found["protocol"] = r.choice(["TCP", "UDP", "SCTP"])
    if r.random() < 0.8:
        found["port"] = r.choice([1, 80, 300, 65535, "http"])
        if isinstance(found["port"], int) and r.random() < 0.3:
            found["endPort"] = 65535
    return found


def peer(r: random.Random) -> dict[str, Any]:
    if r.random() < 0.3:
        block: dict[str, Any] = {"cidr": r.choice(["10.0.0.0/8", "fd00::/8"])}
        if block["cidr"].startswith("10") and r.random() < 0.5:
            block["except"] = ["10.1.0.0/16", "10.2.3.0/24"]
        return {"ipBlock": block}
    kinds = r.choice([["podSelector"], ["namespaceSelector"], ["podSelector", "namespaceSelector"]])
    return {kind: selector(r) for kind in kinds}


def spec(r: random.Random) -> dict[str, Any]:
    found: dict[str, Any] = {"podSelector": selector(r)}
    for direction, side in (("ingress", "from"), ("egress", "to")):
        if r.random() < 0.6:
            found[direction] = [
                {
                    key: [make(r) for _ in range(r.randrange(3))]
                    for key, make in ((side, peer), ("ports", port))
                    if r.random() < 0.7
                }
                for _ in range(r.randrange(4))
            ]
    if r.random() < 0.6:
        found["policyTypes"] = r.choice([["Ingress"], ["Egress"], ["Ingress", "Egress"], []])
    return found


def test_random_policies_are_the_same_in_both_formats(admin: Client) -> None:
    r = random.Random(7)
    for number in range(150):
        metadata = {
            "name": f"wire-{number}",
            "labels": {"tenantprofile.dev/profile": "p", "long": "x" * 63},
            "annotations": {"note": "ä" * r.choice([0, 1, 200]), "b": ""},
        }
        wanted = spec(r)
        document = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata}
        as_json = admin.request("POST", PATH, json.dumps({**document, "spec": wanted}).encode())
        body = protobuf.policy(protobuf.metadata(metadata), protobuf.spec(wanted))
        as_protobuf = admin.request("POST", PATH, body, content_type=protobuf.CONTENT_TYPE)
        for answer in (as_json, as_protobuf):
            for key in ("uid", "creationTimestamp", "managedFields"):
                answer["metadata"].pop(key, None)
        assert as_protobuf == as_json, wanted
