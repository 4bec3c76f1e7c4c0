"""One control plane with the shipped base installed, shared by the tests of this folder.

Each test works in namespaces and with profiles of its own, and what it made is removed after it, so
that the operator of the next test starts from an empty cluster.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from client import ALL_POLICIES, NAMESPACES, PROFILES, TEMPLATES, Client, Object, eventually, policies_of
from controlplane import NO_CONTROLLER_MANAGER, ControlPlane
from operatorprocess import OperatorProcess, install
from referee import Referee

SYSTEM = {"default", "kube-system", "kube-public", "kube-node-lease", "tenantprofile-system"}


@pytest.fixture(scope="session")
def cp() -> Iterator[ControlPlane]:
    """The control plane, with CRDs, account and RBAC as shipped, and an audit log."""
    with ControlPlane(audit=True) as plane:
        install(plane)
        yield plane


@pytest.fixture
def controller_manager(cp: ControlPlane) -> ControlPlane:
    """For tests of what only a controller-manager does: garbage collection, ends of namespaces."""
    if not cp.has_controller_manager:
        pytest.skip(NO_CONTROLLER_MANAGER)
    return cp


@pytest.fixture(scope="session")
def admin(cp: ControlPlane) -> Client:
    return Client(cp.admin_kubeconfig)


class World:
    """Makes namespaces and profiles for one test, and looks at what came of them."""

    _serial = itertools.count(1)

    def __init__(self, client: Client) -> None:
        self.client = client
        self.tag = f"t{next(self._serial)}"
        self._count = itertools.count(1)

    def namespace(self, name: str | None = None, **labels: str) -> str:
        """A new namespace; labelled `tenant=<this test>` unless told otherwise (`tenant=""` for none)."""
        name = name or f"{self.tag}-ns-{next(self._count)}"
        wanted = {"tenant": self.tag} | labels
        self.client.create(
            NAMESPACES,
            {
                "metadata": {
                    "name": name,
                    "labels": {k: v for k, v in wanted.items() if v} | {"made-by": "test"},
                }
            },
        )
        return name

    def relabel(self, namespace: str, **labels: str | None) -> None:
        self.client.merge(f"{NAMESPACES}/{namespace}", {"metadata": {"labels": labels}})

    def body(self, *policies: Any, name: str | None = None, **spec: Any) -> Object:
        """A profile for this test's namespaces; a policy may be given as the name of its template."""
        entries = [{"template": p} if isinstance(p, str) else p for p in policies or ("default-deny",)]
        return {
            "apiVersion": "tenantprofile.dev/v1alpha1",
            "kind": "TenantProfile",
            "metadata": {"name": name or self.tag},
            "spec": {
                "namespaceSelector": {"matchLabels": {"tenant": self.tag}},
                "policies": entries,
                **spec,
            },
        }

    def profile(self, *policies: Any, name: str | None = None, **spec: Any) -> str:
        """Apply a profile (create or change it); its name."""
        body = self.body(*policies, name=name, **spec)
        self.client.apply(PROFILES, body, manager="platform-team")
        return str(body["metadata"]["name"])

    def template(self, name: str, template: str, **spec: Any) -> None:
        """Apply a PolicyTemplate."""
        self.client.apply(
            TEMPLATES,
            {
                "apiVersion": "tenantprofile.dev/v1alpha1",
                "kind": "PolicyTemplate",
                "metadata": {"name": name},
                "spec": {"description": "of a test", "template": template, **spec},
            },
            manager="platform-team",
        )

    def policies(self, namespace: str) -> dict[str, Object]:
        """The namespace's NetworkPolicies by name."""
        return {item["metadata"]["name"]: item for item in self.client.items(policies_of(namespace))}

    def policy(self, namespace: str, name: str) -> Object:
        return self.client.get(f"{policies_of(namespace)}/{name}")

    def names(self, namespace: str) -> set[str]:
        return set(self.policies(namespace))

    def has(self, namespace: str, *names: str, within: float = 20.0) -> None:
        """Wait until the namespace holds exactly these policies."""

        def check() -> bool:
            assert self.names(namespace) == set(names)
            return True

        eventually(check, within=within)

    def status(self, profile: str | None = None) -> Object:
        status: Object = self.client.get(f"{PROFILES}/{profile or self.tag}").get("status") or {}
        return status

    def condition(self, kind: str, profile: str | None = None) -> Object:
        conditions = self.status(profile).get("conditions") or []
        return next((c for c in conditions if c["type"] == kind), {})

    def is_ready(self, profile: str | None = None, *, within: float = 20.0) -> Object:
        """Wait until the profile's present generation is Ready; its status."""

        def check() -> Object:
            found = self.client.get(f"{PROFILES}/{profile or self.tag}")
            status: Object = found.get("status") or {}
            assert status.get("observedGeneration") == found["metadata"]["generation"], status
            ready = next(c for c in status["conditions"] if c["type"] == "Ready")
            assert ready["status"] == "True", status
            return status

        return eventually(check, within=within)

    def is_degraded(self, reason: str, profile: str | None = None, *, within: float = 20.0) -> Object:
        """Wait until the profile is Degraded for a reason; its status."""

        def check() -> Object:
            assert self.condition("Degraded", profile).get("reason") == reason, self.status(profile)
            assert self.condition("Degraded", profile)["status"] == "True"
            return self.status(profile)

        return eventually(check, within=within)

    def events(self, namespace: str, reason: str) -> list[Object]:
        return self.client.items(f"{NAMESPACES}/{namespace}/events", fieldSelector=f"reason={reason}")


def clean(client: Client) -> None:
    """Remove what tests have made; namespaces are only emptied and unlabelled, which is quicker."""
    for path in (PROFILES, TEMPLATES):
        for item in client.items(path):
            client.delete(f"{path}/{item['metadata']['name']}")
    for item in client.items(ALL_POLICIES):
        if item["metadata"]["namespace"] not in SYSTEM:
            client.delete(f"{policies_of(item['metadata']['namespace'])}/{item['metadata']['name']}")
    for item in client.items(NAMESPACES, labelSelector="made-by=test"):
        client.delete(f"{NAMESPACES}/{item['metadata']['name']}")


@pytest.fixture
def world(admin: Client) -> Iterator[World]:
    yield World(admin)
    clean(admin)


@pytest.fixture(scope="session")
def shared_operator(cp: ControlPlane) -> Iterator[OperatorProcess]:
    """The operator that all tests share which do not stop or start one; it runs only between those."""
    process = OperatorProcess(cp)
    yield process
    process.stop()


@pytest.fixture
def start(
    cp: ControlPlane, world: World, shared_operator: OperatorProcess, request: pytest.FixtureRequest
) -> Iterator[Callable[..., OperatorProcess]]:
    """Start an operator under its own account; stopped after the test, before what it kept is removed."""
    shared_operator.stop()
    started: list[OperatorProcess] = []
    request.node.operators = started

    def starter(*flags: str, **options: Any) -> OperatorProcess:
        started.append(OperatorProcess(cp, *flags, **options))
        return started[-1].start()

    yield starter
    for process in started:
        process.stop()
    cancelled = [process for process in started if "CancelledError" in process.log()]
    assert not cancelled, cancelled[0].log()[-3000:]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A failing test shows what its operators have said."""
    report = yield
    if call.when == "call" and report.failed:  # type: ignore[attr-defined]
        for process in getattr(item, "operators", []):
            report.sections.append(("operator", process.log()[-6000:]))  # type: ignore[attr-defined]
    return report


@pytest.fixture
def operator(
    world: World, shared_operator: OperatorProcess, request: pytest.FixtureRequest
) -> OperatorProcess:
    """A running operator; the test's own where it starts or stops any."""
    if "start" in request.fixturenames:
        own: OperatorProcess = request.getfixturevalue("start")()
        return own
    request.node.operators = [shared_operator]
    return shared_operator if shared_operator.alive else shared_operator.start()


@pytest.fixture
def referee(cp: ControlPlane, world: World) -> Iterator[Referee]:
    with Referee(cp.admin_kubeconfig) as witness:
        yield witness


def quiet(referee: Referee, seconds: float) -> list[Any]:
    """What the referee saw in the coming seconds."""
    referee.catch_up()
    before = len(referee.sightings)
    time.sleep(seconds)
    referee.catch_up()
    return referee.sightings[before:]
