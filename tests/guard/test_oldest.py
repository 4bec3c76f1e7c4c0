"""The guard on the oldest supported Kubernetes: today's API server that behaves as that version does."""

from __future__ import annotations

import pytest

import guardinstall
from actors import acting
from client import NAMESPACES, Client, eventually
from guard.conftest import control_plane, in_force, people, refused
from guard.test_other_kinds import CRDS, body, definition, place
from operatorprocess import install

OLDEST = "1.33"
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"


@pytest.mark.timeout(600)
def test_every_part_compiles_and_refuses() -> None:
    with control_plane(OLDEST) as plane:
        admin = Client(plane.admin_kubeconfig)
        version = admin.get("/version")
        assert f"{version['emulationMajor']}.{version['emulationMinor']}" == OLDEST
        install(plane)
        guardinstall.install(plane)
        people(admin)
        in_force(plane)  # a refusal by each policy of the parts that need nothing else
        name = "ciliumnetworkpolicies.cilium.io"
        admin.create(CRDS, definition(name))
        eventually(lambda: admin.items(place(name, "default")) is not None, within=60.0)
        refused(
            lambda: acting(plane, "tenant").create(place(name, "default"), body(name)),
            "other-network-policy-kinds",
        )

        def checked() -> list[str]:
            found = admin.items(POLICIES, labelSelector=guardinstall.LABEL)
            assert all((p.get("status") or {}).get("observedGeneration") for p in found)
            return [p["metadata"]["name"] for p in found if (p["status"].get("typeChecking") or {})]

        if plane.has_controller_manager:
            eventually(lambda: checked() is not None, within=60.0)
            assert checked() == []
        assert admin.get(f"{NAMESPACES}/default")
