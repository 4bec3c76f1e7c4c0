"""What others do to the cluster, or write into it, costs nobody else anything, and is noticed and put right."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from client import ALL_POLICIES, NAMESPACES, PROFILES, Client, eventually, policies_of
from cluster.conftest import World
from controlplane import ControlPlane
from faultproxy import Fault, FaultProxy
from operatorprocess import ROOT, OperatorProcess, established

Start = Callable[..., OperatorProcess]
WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


class Rival(threading.Thread):
    """Deletes each policy once, at the moment it appears."""

    def __init__(self, kubeconfig: Path, namespaces: list[str]) -> None:
        super().__init__(daemon=True)
        self._client = Client(kubeconfig)
        self._writer = Client(kubeconfig)
        self._namespaces = set(namespaces)
        self.deleted: set[tuple[str, str]] = set()
        self._version = str(self._client.get(ALL_POLICIES)["metadata"]["resourceVersion"])

    def run(self) -> None:
        for event in self._client.watch(ALL_POLICIES, self._version):
            metadata = event["object"]["metadata"]
            key = (metadata.get("namespace", ""), metadata.get("name", ""))
            if event["type"] == "ADDED" and key[0] in self._namespaces and key not in self.deleted:
                self.deleted.add(key)
                self._writer.delete(f"{policies_of(key[0])}/{key[1]}")


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.3])
def test_a_policy_deleted_before_its_answer_arrives_is_put_back(
    cp: ControlPlane, world: World, start: Start, delay: float
) -> None:
    with FaultProxy(cp) as proxy:
        account = cp.service_account_kubeconfig("tenantprofile-system", "tenantprofile-operator")
        operator = start(kubeconfig=proxy.kubeconfig(account))
        namespaces = [world.namespace() for _ in range(20)]
        rival = Rival(cp.admin_kubeconfig, namespaces)
        rival.start()
        with proxy.trouble(Fault("late answers", path="/networkpolicies", method="POST", answer_delay=delay)):
            profile = world.profile("default-deny", "dns-egress")
            # Barrier: each policy has been deleted once.
            eventually(lambda: len(rival.deleted) == 40, within=30)
            for namespace in namespaces:
                world.has(namespace, f"{profile}.default-deny", f"{profile}.dns-egress", within=30)
            status = world.is_ready()
        operator.stop()  # while it can still give the lease back
        assert status["policies"]["desired"] == status["policies"]["ready"] == 40


@pytest.fixture
def silent_webhook(cp: ControlPlane, world: World) -> Iterator[str]:
    """A webhook for the namespaces of one team that takes connections and never answers; the team's label."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=500)
    name = f"{world.tag}-silent"
    port = listener.getsockname()[1]
    world.client.create(
        WEBHOOKS,
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": [
                {
                    "name": "silent.example.com",
                    "clientConfig": {"url": f"https://127.0.0.1:{port}/"},
                    "namespaceSelector": {"matchLabels": {"team": name}},
                    "rules": [
                        {
                            "apiGroups": ["networking.k8s.io"],
                            "apiVersions": ["v1"],
                            "operations": ["CREATE", "UPDATE"],
                            "resources": ["networkpolicies"],
                        }
                    ],
                    "failurePolicy": "Fail",
                    "sideEffects": "None",
                    "admissionReviewVersions": ["v1"],
                    "timeoutSeconds": 30,
                }
            ],
        },
    )
    time.sleep(1.5)  # the API server takes up webhook configurations about once a second
    yield name
    world.client.delete(f"{WEBHOOKS}/{name}")
    listener.close()


def test_a_team_whose_webhook_hangs_leaves_all_others_untouched(
    world: World, start: Start, silent_webhook: str
) -> None:
    operator = start()
    profile = world.profile("default-deny", "dns-egress")
    for _ in range(100):
        world.namespace(team=silent_webhook)
    waits = []
    for _ in range(25):
        good = world.namespace()
        begun = time.monotonic()
        world.has(good, f"{profile}.default-deny", f"{profile}.dns-egress", within=30)
        waits.append(time.monotonic() - begun)
        time.sleep(0.2)
    print("seconds until a namespace beside 100 hanging ones was protected:", [round(w, 3) for w in waits])
    # Each hanging write gives its slot up after half a second; before, the longest wait was over a minute.
    assert sorted(waits)[len(waits) // 2] < 1.0
    assert max(waits) < 8.0
    assert "the lease is lost" not in operator.log()
    assert operator.probe("livez")[0]
    status = world.is_degraded("ApplyFailed")
    assert any("webhook" in problem["message"] for problem in status["problems"])


def test_a_restored_etcd_is_noticed_and_what_it_lacks_is_put_back(
    cp: ControlPlane, world: World, start: Start, tmp_path: Path
) -> None:
    operator = start("--comparison-interval=3600")
    profile = world.profile("default-deny", "dns-egress")
    namespace = world.namespace()
    both = (f"{profile}.default-deny", f"{profile}.dns-egress")
    world.has(namespace, *both)
    world.is_ready()
    operator.stop()
    # The backup has no deny, an allow-all, and an older profile.
    world.client.delete(f"{policies_of(namespace)}/{both[0]}")
    world.client.merge(f"{policies_of(namespace)}/{both[1]}", {"spec": {"egress": [{}]}})
    cp.back_up(tmp_path / "backup")
    operator = start("--comparison-interval=3600")
    world.has(namespace, *both)
    for _ in range(50):
        world.relabel(namespace, later="1")
        world.relabel(namespace, later=None)
    world.profile("default-deny", "dns-egress", "same-namespace")
    world.has(namespace, *both, f"{profile}.same-namespace")
    cp.restore(tmp_path / "backup")

    def put_right() -> bool:
        found = world.policies(namespace)
        return set(found) == set(both) and {} not in found[both[1]]["spec"]["egress"]

    eventually(put_right, within=60)
    world.is_ready(within=60)
    assert "gone back to an older state" in operator.log()
    assert operator.alive


def test_kinds_that_come_and_go_are_followed_again(cp: ControlPlane, world: World, start: Start) -> None:
    operator = start("--comparison-interval=3600")
    profile = world.profile("default-deny")
    namespace = world.namespace()
    world.has(namespace, f"{profile}.default-deny")
    crds = str(ROOT / "crds")
    cp.kubectl("delete", "-k", crds)
    try:
        eventually(lambda: "not served" in operator.probe("readyz")[1], within=40)
        assert operator.probe("livez")[0]
    finally:
        cp.kubectl("apply", "--server-side", "-k", crds)
        eventually(lambda: all(established(crd) for crd in cp.get("crd")["items"]), within=60)
    eventually(lambda: operator.probe("readyz")[0], within=20)
    again = eventually(lambda: world.profile("dns-egress", name=f"{profile}-b"))
    eventually(lambda: f"{again}.dns-egress" in world.names(namespace), within=10)
    world.is_ready(again)


@pytest.fixture
def deep_json() -> Iterator[None]:
    """The tests' own client reads what it has written."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    yield
    sys.setrecursionlimit(limit)


FIELDS = '{"f:x":' * 1100 + "{}" + "}" * 1100


def with_deep_managed_fields(kind: str, version: str, metadata: dict[str, Any], **fields: Any) -> bytes:
    """An object whose managedFields no ordinary JSON parser reads."""
    managed = {
        "manager": "m",
        "operation": "Update",
        "apiVersion": version,
        "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": "DEEP",
    }
    body = {
        "kind": kind,
        "apiVersion": version,
        "metadata": {**metadata, "managedFields": [managed]},
        **fields,
    }
    return json.dumps(body).replace('"DEEP"', FIELDS).encode()


@pytest.mark.usefixtures("deep_json")
def test_objects_that_cannot_be_parsed_stop_nobody(world: World, start: Start) -> None:
    operator = start()
    profile = world.profile("default-deny")
    namespace, other = world.namespace(), world.namespace()
    for name in (namespace, other):
        world.has(name, f"{profile}.default-deny")
    hostile = {"name": "hostile", "labels": {"tenantprofile.dev/profile": "anybody"}}
    policy = with_deep_managed_fields(
        "NetworkPolicy", "networking.k8s.io/v1", hostile, spec={"podSelector": {}}
    )
    world.client.request("POST", policies_of(namespace), policy)
    labelled = {"name": f"{world.tag}-deep", "labels": {"tenant": world.tag, "made-by": "test"}}
    world.client.request("POST", NAMESPACES, with_deep_managed_fields("Namespace", "v1", labelled))
    world.has(f"{world.tag}-deep", f"{profile}.default-deny")
    world.client.delete(f"{policies_of(other)}/{profile}.default-deny")
    world.has(other, f"{profile}.default-deny")
    operator.stop()
    operator = start()  # it meets them again in its lists
    world.client.delete(f"{policies_of(namespace)}/{profile}.default-deny")
    eventually(lambda: f"{profile}.default-deny" in world.names(namespace))
    assert operator.alive
    # The tests that come after this one read all namespaces.
    cut = [{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}]
    for path in (f"{NAMESPACES}/{world.tag}-deep", f"{policies_of(namespace)}/hostile"):
        world.client.request("PATCH", path, cut, content_type="application/json-patch+json")


def test_parameters_nested_too_deeply_are_refused_in_status(world: World, start: Start) -> None:
    operator = start()
    good = world.profile("default-deny")
    body = world.body("default-deny", name=f"{world.tag}-deep")
    body["spec"]["namespaceSelector"] = {"matchLabels": {"nobody": "here"}}
    body["spec"]["parameters"] = {"x": "DEEP"}
    nested = json.dumps(body).replace('"DEEP"', "[" * 500 + "]" * 500)
    world.client.request("POST", PROFILES, nested.encode())
    namespace = world.namespace()
    world.has(namespace, f"{good}.default-deny")

    def refused() -> bool:
        assert "nested in more than" in json.dumps(world.status(f"{world.tag}-deep"))
        return True

    eventually(refused)
    assert operator.alive
    operator.stop()
    operator = start()
    world.has(world.namespace(), f"{good}.default-deny")
    assert operator.probe("readyz")[0]
