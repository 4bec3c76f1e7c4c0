"""Least privilege: the operator needs what the shipped roles grant, and no more. Held against the audit log."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pytest
import yaml

from client import NAMESPACES, PROFILES, TEMPLATES, Client, Object, eventually, policies_of
from cluster.conftest import World
from controlplane import ControlPlane
from controlplane.audit import EVERYTHING
from operatorprocess import ACCOUNT, NAMESPACE, ROOT, OperatorProcess, install

USER = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"


class Permission(NamedTuple):
    """One thing that a rule grants. Without a namespace in all of them, without a name on every object."""

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""


OUT_OF_REACH: Mapping[Permission, str] = {}
"""Granted, and not used in what is exercised here: why it is needed all the same."""


def granted() -> set[Permission]:
    """What deploy/base/rbac.yaml grants, one by one."""
    found = set()
    for role in yaml.safe_load_all((ROOT / "deploy" / "base" / "rbac.yaml").read_text()):
        place = role["metadata"].get("namespace", "")
        for rule in role.get("rules") or ():
            axes = rule["verbs"], rule["apiGroups"], rule["resources"], rule.get("resourceNames") or [""]
            found |= {Permission(v, g, r, place, n) for v, g, r, n in itertools.product(*axes)}
    return found


def covers(permission: Permission, event: Object) -> bool:
    """Whether a request is one that the permission is for."""
    ref = event.get("objectRef") or {}
    resource = "/".join(part for part in (ref.get("resource"), ref.get("subresource")) if part)
    return (
        event["verb"] == permission.verb
        and ref.get("apiGroup", "") == permission.group
        and resource == permission.resource
        and permission.namespace in ("", ref.get("namespace"))
        and permission.name in ("", ref.get("name"))
    )


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with ControlPlane(audit=True, audit_policy=EVERYTHING) as cluster:
        install(cluster)
        yield cluster


def requests(plane: ControlPlane) -> list[Object]:
    return [e for e in plane.audit_events() if e["user"]["username"] == USER]


def exercise(plane: ControlPlane) -> None:
    """A profile's life: protection, changes, drift, conflict, restart, and its end."""
    world = World(Client(plane.admin_kubeconfig))
    first = world.namespace()
    with OperatorProcess(plane) as operator:
        world.template("custom", "podSelector: {}\npolicyTypes: [Ingress]")
        world.profile("default-deny", {"template": "custom"})
        world.is_ready()
        world.has(first, f"{world.tag}.default-deny", f"{world.tag}.custom")

        # A template changes, and with it the policies.
        world.template("custom", "podSelector: {}\npolicyTypes: [Ingress]\ningress: []")
        world.template("broken", "{{ nothing }")
        eventually(
            lambda: world.client.get(f"{TEMPLATES}/broken").get("status", {}).get("conditions"), within=30.0
        )

        # Drift, often enough for an Event to be counted up instead of made anew.
        path = f"{policies_of(first)}/{world.tag}.default-deny"

        def repaired() -> bool:
            return "ingress" not in world.client.get(path)["spec"]

        def counted() -> bool:
            world.client.merge(path, {"spec": {"ingress": [{}]}})
            eventually(repaired)
            return any(e.get("count", 1) > 1 for e in world.client.items(f"{NAMESPACES}/{first}/events"))

        eventually(counted, within=60.0, every=1.0)

        # A foreign policy under a name that is needed.
        second = world.namespace(tenant="")
        foreign = {"metadata": {"name": f"{world.tag}.default-deny"}, "spec": {"podSelector": {}}}
        world.client.create(policies_of(second), foreign)
        world.relabel(second, tenant=world.tag)
        world.is_degraded("Conflict")
        world.relabel(second, tenant=None)

        # An entry is dropped; a namespace goes; a restart finds lease, ledger and seal there.
        world.profile("default-deny")
        world.has(first, f"{world.tag}.default-deny")
        world.client.delete(f"{NAMESPACES}/{world.namespace()}")
        operator.stop()
        operator.start()
        world.is_ready()

        # The profile goes, and its policies with it.
        world.client.delete(f"{PROFILES}/{world.tag}")
        world.has(first)


def test_every_right_is_used_and_none_is_missing(
    plane: ControlPlane, capsys: pytest.CaptureFixture[str]
) -> None:
    exercise(plane)
    seen = requests(plane)
    refused = [_shown(e) for e in seen if e["annotations"]["authorization.k8s.io/decision"] != "allow"]
    assert not refused

    unused = {p for p in granted() if not any(covers(p, e) for e in seen)}
    assert unused == OUT_OF_REACH.keys(), sorted(unused.symmetric_difference(OUT_OF_REACH))


def test_rights_outside_of_the_roles_are_those_of_every_account(plane: ControlPlane) -> None:
    """Nothing rests on a binding that an administrator happens to have made."""
    permissions = granted()
    others = {
        event["requestURI"].split("?")[0]
        for event in requests(plane)
        if not any(covers(p, event) for p in permissions)
    }
    # What system:discovery and system:basic-user give to every authenticated account.
    allowed = ("/api", "/apis", "/version", "/openapi")
    exact = [path for path in others if not _is_discovery(path, allowed)]
    assert not exact


def _is_discovery(path: str, roots: tuple[str, ...]) -> bool:
    return path.startswith(roots) and path.count("/") <= 3


def _shown(event: Object) -> Any:
    return event["verb"], event["requestURI"]
