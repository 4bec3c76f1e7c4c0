"""Manifests that an API server reads from its disk (KEP-5793, alpha in Kubernetes 1.36)."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import guardinstall
from actors import acting, grant, role
from client import NAMESPACES, Client, policies_of
from controlplane import ControlPlane
from guard.conftest import refused
from operatorprocess import install
from tenantprofile.cli.main import main

ADMISSION = "admissionregistration.k8s.io"


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    done = CliRunner().invoke(main, ["guard", "render", "--static"])
    assert done.exit_code == 0, done.output
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "manifests").mkdir()
        (folder / "manifests" / "guard.yaml").write_text(done.stdout)
        configuration = {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "AdmissionConfiguration",
            "plugins": [
                {
                    "name": "ValidatingAdmissionPolicy",
                    "configuration": {
                        "apiVersion": "apiserver.config.k8s.io/v1",
                        "kind": "ValidatingAdmissionPolicyConfiguration",
                        "staticManifestsDir": str(folder / "manifests"),
                    },
                }
            ],
        }
        file = folder / "admission.json"
        file.write_text(json.dumps(configuration))
        flags = [
            "--feature-gates=ManifestBasedAdmissionControlConfig=true",
            f"--admission-control-config-file={file}",
        ]
        with ControlPlane(apiserver_flags=flags) as cluster:
            yield cluster


@pytest.fixture(scope="module")
def admin(plane: ControlPlane) -> Client:
    return Client(plane.admin_kubeconfig)


@pytest.fixture(scope="module")
def meddler(plane: ControlPlane, admin: Client) -> Client:
    """May write policies, namespaces and admission policies, and holds none of the guard's verbs."""
    everything = ["get", "list", "create", "update", "patch", "delete"]
    rules = [
        {"apiGroups": [group], "resources": resources, "verbs": everything}
        for group, resources in (
            ("networking.k8s.io", ["networkpolicies"]),
            ("", ["namespaces", "namespaces/status"]),
            # Whoever writes a policy must be able to read what its parameters are of.
            ("tenantprofile.dev", ["tenantprofiles"]),
            (ADMISSION, ["validatingadmissionpolicies", "validatingadmissionpolicybindings"]),
        )
    ]
    role(admin, "meddler", rules)
    grant(admin, "meddler", "meddler")
    return acting(plane, "meddler")


def test_they_are_in_force_from_the_first_request_without_anything_in_the_api(
    plane: ControlPlane, admin: Client, meddler: Client
) -> None:
    assert not admin.items(f"/apis/{ADMISSION}/v1/validatingadmissionpolicies")
    body = {
        "metadata": {"name": "x", "labels": {"tenantprofile.dev/profile": "p"}},
        "spec": {"podSelector": {}},
    }
    refused(
        lambda: meddler.create(policies_of("default"), body),
        "managed-policies-are-read-only.tenantprofile.dev.static.k8s.io",
    )
    admin.request("POST", policies_of("default"), body, dryRun="All")
    labels = {"metadata": {"labels": {"tenant": "x"}}}
    refused(lambda: meddler.merge(f"{NAMESPACES}/default/status", labels), "cannot be changed through")


def test_the_guard_in_the_api_is_protected_by_the_one_on_disk(
    plane: ControlPlane, admin: Client, meddler: Client
) -> None:
    install(plane)
    guardinstall.install(plane, ["membership"])
    path = f"/apis/{ADMISSION}/v1/validatingadmissionpolicybindings"
    name = "profile-membership.tenantprofile.dev"
    refused(lambda: meddler.request("DELETE", f"{path}/{name}"), "is part of the guard", name)
    refused(lambda: meddler.merge(f"{path}/{name}", {"spec": {"validationActions": ["Audit"]}}), "may not")
    refused(lambda: meddler.merge(f"{path}/{name}", {"metadata": {"labels": None}}), "may not")
    policies = f"/apis/{ADMISSION}/v1/validatingadmissionpolicies"
    refused(
        lambda: meddler.merge(f"{policies}/{name}", {"spec": {"failurePolicy": "Ignore"}}), "may not UPDATE"
    )
    guardinstall.remove(plane)  # the administrator passes
