"""Nobody enters or leaves a profile by a namespace's labels without the verbs."""

from __future__ import annotations

import random
from typing import Any

import pytest

from actors import acting
from client import NAMESPACES, PROFILES, Client, Refused, eventually
from cluster.conftest import World
from controlplane import ControlPlane
from guard.conftest import refused
from tenantprofile.planning.profile import parse_profile


def relabel(client: Client, namespace: str, sub: str = "", **labels: str | None) -> None:
    client.merge(f"{NAMESPACES}/{namespace}{sub}", {"metadata": {"labels": labels}})


def guarded(world: World, **spec: Any) -> str:
    """A suspended profile whose namespaces the API server guards already."""
    name = world.profile(suspend=True, **spec)
    probe = world.namespace(tenant="")
    eventually(lambda: _refuses(acting_tenant(world), probe, world.tag))
    return name


def acting_tenant(world: World) -> Client:
    return world.tenant  # type: ignore[attr-defined, no-any-return]


def _refuses(client: Client, namespace: str, value: str) -> bool:
    body = {"metadata": {"labels": {"tenant": value}}}
    try:
        client.request(
            "PATCH",
            f"{NAMESPACES}/{namespace}",
            body,
            content_type="application/merge-patch+json",
            dryRun="All",
        )
    except Refused:
        return True
    return False


@pytest.fixture(autouse=True)
def _tenant_of_the_world(world: World, tenant: Client) -> None:
    world.tenant = tenant  # type: ignore[attr-defined]


def test_leaving_entering_and_creating_inside_are_refused_and_other_labels_are_free(
    world: World, tenant: Client
) -> None:
    profile = guarded(world)
    inside, outside = world.namespace(), world.namespace(tenant="")
    refused(lambda: relabel(tenant, inside, tenant=None), f"leave TenantProfile {profile}", "verb leave")
    refused(lambda: relabel(tenant, inside, tenant="other"), "leave")
    refused(lambda: relabel(tenant, outside, tenant=world.tag), f"enter TenantProfile {profile}")
    body = {"metadata": {"name": f"{world.tag}-new", "labels": {"tenant": world.tag}}}
    refused(lambda: tenant.create(NAMESPACES, body), "enter")
    generated = {"metadata": {"generateName": f"{world.tag}-", "labels": {"tenant": world.tag}}}
    refused(lambda: tenant.create(NAMESPACES, generated), "enter")
    relabel(tenant, inside, cost="7", colour="red")
    relabel(tenant, outside, cost="8")


@pytest.mark.parametrize("sub", ["/status", "/finalize"])
def test_subresources_do_not_carry_labels(world: World, admin: Client, tenant: Client, sub: str) -> None:
    guarded(world)
    inside = world.namespace()
    body = admin.get(f"{NAMESPACES}/{inside}")
    body["metadata"]["labels"]["tenant"] = "other"
    refused(lambda: tenant.request("PUT", f"{NAMESPACES}/{inside}{sub}", body), "cannot be changed through")


def test_each_verb_opens_its_own_direction_only(cp: ControlPlane, world: World, platform: Client) -> None:
    guarded(world)
    enterer, leaver = acting(cp, "enterer"), acting(cp, "leaver")
    namespace = world.namespace(tenant="")
    refused(lambda: relabel(leaver, namespace, tenant=world.tag), "enter")
    relabel(enterer, namespace, tenant=world.tag)
    refused(lambda: relabel(enterer, namespace, tenant=None), "leave")
    relabel(leaver, namespace, tenant=None)
    relabel(platform, namespace, tenant=world.tag)


def test_guarded_labels_stay_in_a_profiles_namespaces_and_are_free_elsewhere(
    world: World, tenant: Client, platform: Client
) -> None:
    guarded(world)
    key = "pod-security.kubernetes.io/enforce"
    inside, outside = world.namespace(**{key: "baseline"}), world.namespace(tenant="")
    refused(lambda: relabel(tenant, inside, **{key: "privileged"}), key, "override")
    refused(lambda: relabel(tenant, inside, **{key: None}), key)
    refused(lambda: relabel(tenant, inside, **{"tenantprofile.dev/pod-admission": "x"}), "pod-admission")
    relabel(tenant, outside, **{key: "privileged"})
    relabel(platform, inside, **{key: "restricted"})


def test_a_namespace_is_deleted_as_ever(controller_manager: ControlPlane, world: World) -> None:
    guarded(world)
    namespace = world.namespace()
    world.client.delete(f"{NAMESPACES}/{namespace}")
    eventually(lambda: world.client.find(f"{NAMESPACES}/{namespace}") is None, within=60.0)


KEYS, VALUES = ("tenant", "env", "tier"), ("a", "b", "")
NAMES = ("kube-system", "default", "tenantprofile-system")


def random_selector(rng: random.Random) -> dict[str, Any]:
    """A selector that the CRD takes, over few keys and values, so that changes often matter."""
    labels = {rng.choice(KEYS): rng.choice(VALUES) for _ in range(rng.choice((0, 1, 1, 2)))}
    terms: list[dict[str, Any]] = []
    for _ in range(rng.choice((0, 0, 1, 2, 3))):
        operator = rng.choice(("In", "NotIn", "Exists", "DoesNotExist"))
        term: dict[str, Any] = {"key": rng.choice(KEYS), "operator": operator}
        if operator in ("In", "NotIn"):
            term["values"] = rng.sample(VALUES, rng.choice((1, 2)))
        terms.append(term)
    return {**({"matchLabels": labels} if labels else {}), **({"matchExpressions": terms} if terms else {})}


@pytest.mark.parametrize("seed", range(6))
def test_the_api_server_and_selectors_py_agree_on_every_change(
    world: World, admin: Client, tenant: Client, seed: int
) -> None:
    """Differential: one profile at a time, random selectors, random label changes, dry-run as a tenant."""
    rng = random.Random(seed)
    namespaces = [world.namespace(tenant="") for _ in range(2)]
    for _ in range(5):
        selector = random_selector(rng)
        spec: dict[str, Any] = {"namespaceSelector": selector} if selector else {"selectAllNamespaces": True}
        if rng.random() < 0.3:
            spec["excludedNamespaces"] = [namespaces[0]]
        body = world.body(suspend=True)
        body["spec"] = {k: v for k, v in body["spec"].items() if k != "namespaceSelector"} | spec
        # Which version of the profile the API server goes by is seen in a namespace of its own.
        marker = f"m{rng.randrange(10**9)}"
        created = admin.apply(PROFILES, body)
        barrier = {**body, "metadata": {"name": f"{world.tag}-barrier"}}
        barrier["spec"] = {**body["spec"], "namespaceSelector": {"matchLabels": {"tenant": marker}}}
        barrier["spec"].pop("selectAllNamespaces", None)
        admin.apply(PROFILES, barrier)
        wanted = namespaces[-1]
        eventually(lambda: _refuses(tenant, wanted, marker))  # noqa: B023
        profile = parse_profile(created)
        for _ in range(10):
            namespace = rng.choice(namespaces)
            before = admin.get(f"{NAMESPACES}/{namespace}")["metadata"]["labels"]
            change = {key: rng.choice((*VALUES, None)) for key in rng.sample(KEYS, rng.choice((1, 2)))}
            after = {k: v for k, v in (before | change).items() if v is not None}
            crosses = profile.selects(
                namespace, before, operator_namespace="tenantprofile-system"
            ) != profile.selects(namespace, after, operator_namespace="tenantprofile-system")
            try:
                tenant.request(
                    "PATCH",
                    f"{NAMESPACES}/{namespace}",
                    {"metadata": {"labels": change}},
                    content_type="application/merge-patch+json",
                    dryRun="All",
                )
                denied = ""
            except Refused as error:
                denied = str(error)
            assert bool(denied) == crosses, (spec, before, change, denied)
            admin.merge(f"{NAMESPACES}/{namespace}", {"metadata": {"labels": change}})


def test_system_namespaces_are_members_only_when_named(world: World, admin: Client, tenant: Client) -> None:
    guarded(world, includedSystemNamespaces=["default"])
    refused(lambda: relabel(tenant, "default", tenant=world.tag), "enter")
    for name in ("kube-system", "tenantprofile-system"):
        tenant.request(
            "PATCH",
            f"{NAMESPACES}/{name}",
            {"metadata": {"labels": {"tenant": world.tag}}},
            content_type="application/merge-patch+json",
            dryRun="All",
        )
