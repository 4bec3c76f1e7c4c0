"""An API server of large policies, as a process: more than etcd would hold, and changed without a pause.

It serves what the operator asks for at its start, and lists and watches of NetworkPolicies that are made up as they
are sent: each bears the operator's label and is a megabyte large. No etcd could keep up with it (its default quota
is 2 GiB of history), so that what reaches the operator is more than it would ever get from a real cluster.

    python -m attacks.largeobjects PORT OBJECTS CHANGES
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from typing import Any, Final

from aiohttp import web

POLICIES: Final = "/apis/networking.k8s.io/v1/networkpolicies"
SIZE: Final = 1_000_000
LIMIT: Final = 100
"""Pages of at most as many, however many are asked for."""
FIRST: Final = 1000
"""The resource version of the list."""

DISCOVERY: Final[dict[str, Any]] = {
    "/version": {"major": "1", "minor": "36"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "groups": []},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": []},
}

_blocks = [{"ipBlock": {"cidr": f"10.{n // 256 % 256}.{n % 256}.0/24"}} for n in range(19_000)]
_PEERS: Final = json.dumps(_blocks, separators=(",", ":"))
_NOTE: Final = "x" * (SIZE - len(_PEERS) - 1000)


def policy(number: int, version: int) -> bytes:
    """A policy of a tenant, in another form with each version."""
    annotations = {"tenantprofile.dev/applied-digest": f"{version}{_NOTE}", "note": "y"}
    metadata = {
        "name": f"baseline.large-{number}",
        "namespace": f"tenant-{number}",
        "uid": f"{number:08d}-0000-0000-0000-000000000000",
        "resourceVersion": str(version),
        "labels": {"tenantprofile.dev/profile": "baseline", "tenantprofile.dev/policy": f"large-{number}"},
        "annotations": annotations,
    }
    rest = f'"ingress":[{{"ports":[{{"port":{version % 65535 + 1}}}],"from":{_PEERS}}}]'
    return (
        f'{{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{json.dumps(metadata)},'
        f'"spec":{{"podSelector":{{}},"policyTypes":["Ingress"],{rest}}}}}'
    ).encode()


class Server:
    """`objects` policies, each in a namespace of its own, and `changes` of them on the watch."""

    def __init__(self, objects: int, changes: int) -> None:
        self.objects, self.changes = objects, changes
        self.sent = 0
        self.others: dict[str, dict[str, Any]] = {}
        self.versions = itertools.count(2)

    async def policies(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("watch"):
            return await self.watch(request)
        start = int(request.query.get("continue") or 0)
        count = min(int(request.query.get("limit", LIMIT)), LIMIT)
        end = min(start + count, self.objects)
        more = str(end) if end < self.objects else ""
        metadata = {"resourceVersion": str(FIRST + self.sent), "continue": more}
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        await answer.prepare(request)
        frame = f'{{"kind":"NetworkPolicyList","metadata":{json.dumps(metadata)},"items":['
        await answer.write(frame.encode())
        for number in range(start, end):
            comma = b"," if number > start else b""
            await answer.write(comma + policy(number, FIRST))
        await answer.write(b"]}")
        return answer

    async def watch(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        await answer.prepare(request)
        while self.sent < self.changes:
            self.sent += 1
            body = policy(self.sent % self.objects, FIRST + self.sent)
            await answer.write(b'{"type":"MODIFIED","object":' + body + b"}\n")
        await asyncio.sleep(3600)
        return answer

    async def other(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if request.query.get("watch"):
            answer = web.StreamResponse(headers={"Content-Type": "application/json"})
            await answer.prepare(request)
            await asyncio.sleep(3600)
            return answer
        if request.method in ("POST", "PUT", "PATCH"):
            body = await request.json()
            name = body.get("metadata", {}).get("name") or f"o{next(self.versions)}"
            key = f"{path}/{name}" if request.method == "POST" else path
            if request.method == "PATCH":
                body = {**self.others.get(key, {}), **body}
            body.setdefault("metadata", {})
            body["metadata"] |= {"resourceVersion": str(next(self.versions)), "uid": f"u-{name}"}
            self.others[key] = body
            return web.json_response(body, status=201 if request.method == "POST" else 200)
        if path in DISCOVERY:
            return web.json_response(DISCOVERY[path])
        if path in self.others:
            return web.json_response(self.others[path])
        if path.endswith(("/namespaces", "/tenantprofiles", "/policytemplates", "/configmaps")):
            return web.json_response({"kind": "List", "metadata": {"resourceVersion": "1"}, "items": []})
        missing = {"kind": "Status", "reason": "NotFound", "code": 404, "message": f"{path} not found"}
        return web.json_response(missing, status=404)


async def progress(request: web.Request) -> web.Response:
    """How many changes were sent."""
    return web.json_response(request.app["server"].sent)


def main(port: int, objects: int, changes: int) -> None:
    server = Server(objects, changes)
    app = web.Application(client_max_size=1 << 24)
    app["server"] = server
    app.router.add_get("/progress", progress)
    app.router.add_get(POLICIES, server.policies)
    app.router.add_route("*", "/{path:.*}", server.other)
    web.run_app(app, host="127.0.0.1", port=port, print=None)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
