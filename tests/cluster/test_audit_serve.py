"""`tenantprofile audit --serve` as a process of its own, under the account and RBAC of deploy/components/audit."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from client import Client, Refused, eventually, policies_of
from cluster.conftest import World
from controlplane import ControlPlane
from controlplane.process import Process, free_ports
from operatorprocess import NAMESPACE, OperatorProcess, install

COMPONENT = Path(__file__).resolve().parents[2] / "deploy" / "components" / "audit"
ACCOUNT = "tenantprofile-audit"
OPEN = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "let-everyone-in"},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]},
}


class Served:
    """What a running audit answers."""

    def __init__(self, process: Process, probe: int, port: int) -> None:
        self.process, self._probe, self._port = process, probe, port

    def _get(self, port: int, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def probe(self, path: str) -> tuple[int, str]:
        return self._get(self._probe, path)

    def text(self, path: str) -> str:
        status, text = self._get(self._port, path)
        assert status == 200, text
        return text

    def report(self) -> Any:
        return json.loads(self.text("/report.json"))

    def metric(self, name: str) -> float:
        """The value of a series, as it is exposed."""
        for line in self.text("/metrics").splitlines():
            if line.startswith(f"{name} "):
                return float(line.rpartition(" ")[2])
        raise AssertionError(f"no series {name}")


@pytest.fixture
def served(cp: ControlPlane) -> Iterator[Served]:
    for name in ("rbac.yaml", "service.yaml", "networkpolicy.yaml", "deployment.yaml"):
        cp.kubectl("apply", "--server-side", "-f", str(COMPONENT / name))
    probe, port = free_ports(2)
    process = Process(
        Path(sys.executable),
        [
            "-m",
            "tenantprofile",
            "audit",
            "--serve",
            f"--kubeconfig={cp.service_account_kubeconfig(NAMESPACE, ACCOUNT)}",
            f"--probe-port={probe}",
            f"--metrics-port={port}",
            "--round-interval=0.2",
            "--log-format=text",
        ],
        cp.directory / f"audit-{probe}.log",
        cp.directory,
    )
    process.start()
    one = Served(process, probe, port)

    def ready() -> bool:
        assert process.running, process.explain()
        try:
            assert one.probe("/readyz") == (200, "ok\n")
        except OSError as error:
            raise AssertionError(str(error)) from error
        return True

    try:
        eventually(ready, within=60)
        yield one
    finally:
        process.stop()
        cp.kubectl("delete", "-f", str(COMPONENT / "deployment.yaml"), "--wait=false")


AddPod = Callable[..., None]


@pytest.fixture
def add_pod(admin: Client) -> Iterator[AddPod]:
    """Makes a pod, which no scheduler ever places; gone after the test."""
    made: list[str] = []

    def add(namespace: str, name: str, **spec: Any) -> None:
        account = {"metadata": {"name": "default"}}
        with contextlib.suppress(Refused):  # the controller-manager's, where there is one
            admin.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", account)
        pods = f"/api/v1/namespaces/{namespace}/pods"
        main = {"name": "main", "image": "none"}
        body = {
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {"automountServiceAccountToken": False, "containers": [main], **spec},
        }
        admin.create(pods, body)
        made.append(f"{pods}/{name}")

    yield add
    for path in made:
        admin.delete(f"{path}?gracePeriodSeconds=0")


def test_a_tenants_allow_all_is_reported_until_it_is_deleted(
    world: World, served: Served, operator: OperatorProcess, add_pod: AddPod
) -> None:
    profile = world.profile("default-deny")
    namespace = world.namespace()
    world.has(namespace, f"{profile}.default-deny")
    add_pod(namespace, "web")
    restricted = 'tenantprofile_audit_pods{direction="ingress",level="restricted"}'
    wide = 'tenantprofile_audit_pods{direction="ingress",level="open_to_all"}'
    eventually(lambda: served.metric(restricted) == 1)
    assert served.metric("tenantprofile_audit_widening_policies") == 0
    world.client.create(policies_of(namespace), OPEN)
    eventually(lambda: served.metric(wide) == 1)
    assert served.metric("tenantprofile_audit_widening_policies") == 1
    report = served.report()
    assert report["complete"] is True
    assert [f"{one['namespace']}/{one['name']}" for one in report["widening"]] == [
        f"{namespace}/let-everyone-in"
    ]
    assert report["openToAll"]["ingress"]["pods"] == [f"{namespace}/web"]
    assert any(
        one["object"]["name"] == "let-everyone-in" and one["object"]["namespace"] == namespace
        for one in report["lint"]["findings"]
    )
    assert f"- {namespace}/let-everyone-in" in served.text("/report.md")
    assert namespace in served.text("/")
    world.client.delete(f"{policies_of(namespace)}/let-everyone-in")
    eventually(lambda: served.metric(wide) == 0)
    assert served.metric("tenantprofile_audit_widening_policies") == 0
    assert served.report()["widening"] == []


def test_the_report_is_what_an_audit_of_files_says(
    world: World,
    served: Served,
    operator: OperatorProcess,
    cp: ControlPlane,
    add_pod: AddPod,
    tmp_path: Path,
) -> None:
    profile = world.profile("default-deny", "dns-egress")
    first, second = world.namespace(), world.namespace(tenant="")
    world.has(first, f"{profile}.default-deny", f"{profile}.dns-egress")
    for namespace in (first, second):
        add_pod(namespace, "web")
        add_pod(namespace, "node-agent", hostNetwork=True)
    world.client.create(policies_of(first), OPEN)
    eventually(lambda: served.metric("tenantprofile_audit_host_network_pods") == 2)
    eventually(lambda: served.metric("tenantprofile_audit_widening_policies") == 1)
    world.is_ready()

    def same() -> bool:
        # Namespaces of earlier tests may be about to go while one of the two looks.
        files = []
        for kind in ("namespaces", "pods", "services", "networkpolicies"):
            # Profiles stay out: from files they would be rendered anew, and a live cluster is as it is.
            path = tmp_path / f"{kind}.yaml"
            path.write_text(cp.kubectl("get", kind, "--all-namespaces", "-o", "yaml").stdout)
            files.append(str(path))
        done = subprocess.run(
            [sys.executable, "-m", "tenantprofile", "audit", *files, "-o", "json"],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"SOURCE_DATE_EPOCH": "0"},
        )
        assert done.returncode == 1, done.stderr
        expected = json.loads(done.stdout)
        report = served.report()
        for part in ("totals", "system", "uncovered", "openToAll"):
            assert report[part] == expected[part], part
        assert report["digests"]["policy"] == expected["digests"]["policy"]
        return True

    eventually(same, within=60, every=1.0)


def test_it_is_not_ready_while_the_crds_are_away_and_says_why(
    world: World, served: Served, cp: ControlPlane
) -> None:
    cp.kubectl("delete", "crd", "policytemplates.tenantprofile.dev")
    try:

        def not_ready() -> bool:
            status, text = served.probe("/readyz")
            assert status == 503
            assert "policytemplates are not served" in text
            return True

        eventually(not_ready, within=60)
        assert served.probe("/healthz")[0] == 200
        assert served.metric('tenantprofile_audit_input_blind{kind="policytemplates"}') == 1
        assert served.metric("tenantprofile_audit_complete") == 0
        report = served.report()
        assert report["complete"] is False
        assert "policytemplates are not served" in report["inputs"]["policytemplates"]["problem"]
        assert "**This report is not up to date:**" in served.text("/report.md")
        assert "NOT UP TO DATE" in served.text("/")
    finally:
        install(cp)
    eventually(lambda: served.probe("/readyz")[0] == 200, within=60)
    assert served.metric("tenantprofile_audit_complete") == 1


def test_it_ends_on_sigterm_and_its_account_may_not_write(served: Served, cp: ControlPlane) -> None:
    rules = [
        rule
        for document in yaml.safe_load_all((COMPONENT / "rbac.yaml").read_text())
        if document["kind"] == "ClusterRole"
        for rule in document["rules"]
    ]
    assert {verb for rule in rules for verb in rule["verbs"]} == {"list", "watch"}
    assert {resource for rule in rules for resource in rule["resources"]}.isdisjoint(
        {"secrets", "configmaps"}
    )
    pid = served.process.pid
    assert pid is not None
    served.process.stop()
    assert not served.process.running
    assert "Traceback" not in served.process.log.read_text()
