"""`tenantprofile lint` over a running cluster: what it finds there, and that it changes nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from client import Client, policies_of
from controlplane import ControlPlane
from tenantprofile.cli.main import main


@pytest.fixture
def namespace(world: Any) -> str:
    name: str = world.namespace()
    return name


def lint(cp: ControlPlane, *arguments: str) -> Any:
    done = CliRunner().invoke(
        main, ["lint", "--kubeconfig", str(cp.admin_kubeconfig), "-o", "json", *arguments]
    )
    assert done.exit_code in (0, 1), done.output
    return json.loads(done.stdout)


def test_a_tenants_policy_is_judged_beside_the_profile(
    cp: ControlPlane, admin: Client, world: Any, namespace: str
) -> None:
    world.profile("default-deny")
    own = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "open", "namespace": namespace},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": []}]},
    }
    admin.create(policies_of(namespace), own)

    found = lint(cp)["findings"]

    told = {(f["rule"], f["object"]["namespace"], f["object"]["name"]) for f in found}
    assert ("widens-baseline", namespace, "open") in told
    # The API server has dropped the empty list, and with it the trace of the mistake.
    assert ("every-peer", namespace, "open") in told
    assert all(f["line"] is None for f in found)


def test_a_profile_as_stored_is_judged_like_one_from_a_file(
    cp: ControlPlane, world: Any, namespace: str
) -> None:
    name = world.profile("default-deny", {"template": "dns-egress", "owner": "platform"})

    found = [f for f in lint(cp, "--disable", "cluster")["findings"] if f["object"]["name"] == name]

    assert [(f["rule"], f["entry"]) for f in found] == [("missing-owner", "default-deny")]
