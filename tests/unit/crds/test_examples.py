"""The examples that the README, the demo and the reference pages use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tenantprofile.input.documents import read_documents
from tenantprofile.planning.desired import DesiredPolicy, ProfilePlan
from tenantprofile.planning.profile import Profile, parse_profile
from tenantprofile.rendering.facts import NamespaceFacts
from tenantprofile.rendering.templates import Template, load_folder, load_policy_template

ROOT = Path(__file__).resolve().parents[3]


def documents(kind: str) -> list[dict[str, Any]]:
    return [
        document.data
        for path in sorted((ROOT / "examples").glob("*.yaml"))
        for document in read_documents(path.read_text(encoding="utf-8"), path.name)
        if document.data["kind"] == kind
    ]


def templates() -> dict[str, Template]:
    own = [load_policy_template(manifest) for manifest in documents("PolicyTemplate")]
    return load_folder(ROOT / "templates", built_in=True) | {template.name: template for template in own}


PROFILES: Mapping[str, Profile] = {
    manifest["metadata"]["name"]: parse_profile(manifest) for manifest in documents("TenantProfile")
}
NAMESPACES = {
    manifest["metadata"]["name"]: {
        **manifest["metadata"]["labels"],
        "kubernetes.io/metadata.name": manifest["metadata"]["name"],
    }
    for manifest in documents("Namespace")
}


def selected(profile: Profile) -> list[str]:
    return [name for name, labels in NAMESPACES.items() if profile.selects(name, labels)]


def desired(profile: Profile, namespace: str) -> dict[str, dict[str, Any]]:
    """The specs of a profile's policies in a namespace; a refused one fails the test with its message."""
    found = {}
    facts = NamespaceFacts(namespace, NAMESPACES[namespace], {})
    for policy in ProfilePlan(profile, templates()).desired(facts):
        assert isinstance(policy, DesiredPolicy), policy.message
        found[policy.entry] = policy.manifest(namespace)["spec"]
    return found


# `baseline` is the smallest profile there is, and shows only what is required.
@pytest.mark.parametrize("name", sorted(PROFILES.keys() - {"baseline"}))
def test_every_policy_of_an_example_says_what_it_is_for_and_whose_it_is(name: str) -> None:
    for entry in PROFILES[name].entries:
        assert entry.purpose, f"{name}/{entry.name} has no purpose"
        assert entry.owner, f"{name}/{entry.name} has no owner"


@pytest.mark.parametrize("name", PROFILES)
def test_every_policy_of_an_example_can_be_rendered(name: str) -> None:
    profile = PROFILES[name]
    namespaces = selected(profile) or list(NAMESPACES)[:1]
    for namespace in namespaces:
        assert len(desired(profile, namespace)) == len(profile.entries)


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_every_example_namespace_denies_by_default_and_is_one_profiles(namespace: str) -> None:
    owners = [profile for profile in PROFILES.values() if profile.selects(namespace, NAMESPACES[namespace])]
    assert len(owners) == 1, "policies add up: a second profile would open what the first one closes"
    deny = desired(owners[0], namespace)["default-deny"]
    assert deny["podSelector"] == {}
    assert sorted(deny["policyTypes"]) == ["Egress", "Ingress"]


def test_payments_reaches_its_database_and_no_other_address() -> None:
    policies = desired(PROFILES["payments"], "payments")
    blocks = [
        peer["ipBlock"]["cidr"]
        for spec in policies.values()
        for rule in spec.get("egress", ())
        for peer in rule.get("to", ())
        if "ipBlock" in peer
    ]
    assert "10.50.0.0/24" in blocks
    assert not [block for block in blocks if block.endswith("/0")]


def test_sandboxes_do_not_reach_each_other() -> None:
    for namespace in selected(PROFILES["team-sandboxes"]):
        for name, spec in desired(PROFILES["team-sandboxes"], namespace).items():
            for rule in [*spec.get("ingress", ()), *spec.get("egress", ())]:
                peers = [*rule.get("from", ()), *rule.get("to", ())]
                assert peers, f"{name} allows everybody"
                for peer in peers:
                    assert "tenancy" not in str(peer.get("namespaceSelector", "")), name


def test_the_examples_are_three_tenants_of_several_namespaces() -> None:
    tenants = {name: selected(profile) for name, profile in PROFILES.items() if selected(profile)}
    assert set(tenants) == {"payments", "production", "team-sandboxes"}
    assert sum(map(len, tenants.values())) == len(NAMESPACES)
