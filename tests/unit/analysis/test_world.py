"""Objects become the world that a cluster would be once the operator had done its work."""

from __future__ import annotations

import pytest

from tenantprofile.analysis.world import InputError, assemble
from tenantprofile.input.objects import Origin, SourceObject
from unit.analysis.texts import BASELINE, SHOP, assembled, objects

STALE = """
    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata:
      name: base.{entry}
      namespace: shop
      labels:
        app.kubernetes.io/managed-by: tenantprofile-operator
        tenantprofile.dev/profile: base
        tenantprofile.dev/policy: {entry}
    spec: {{podSelector: {{}}, policyTypes: [Ingress], ingress: [{{}}]}}
    """


def test_a_profile_is_rendered_for_the_namespaces_that_it_selects() -> None:
    found = assembled(SHOP, BASELINE, "{apiVersion: v1, kind: Namespace, metadata: {name: other}}")
    assert list(found.policies) == [("shop", "base.default-deny"), ("shop", "base.dns-egress")]
    source = found.policies["shop", "base.dns-egress"]
    assert (source.profile, source.entry, source.template) == ("base", "dns-egress", "dns-egress")
    assert source.item.place() == "2.yaml:1"
    assert [policy.name for policy in found.world.policies] == ["base.default-deny", "base.dns-egress"]


def test_a_policy_under_the_same_name_is_replaced_and_that_is_said() -> None:
    found = assembled(SHOP, BASELINE, STALE.format(entry="default-deny"))
    assert found.policies["shop", "base.default-deny"].rendered
    (note,) = found.notes
    assert note == (
        "NetworkPolicy shop/base.default-deny (3.yaml:1): replaced by what TenantProfile base renders"
    )


def test_a_policy_that_the_profile_has_left_behind_is_removed_and_that_is_said() -> None:
    found = assembled(SHOP, BASELINE, STALE.format(entry="old"))
    assert ("shop", "base.old") not in found.policies
    (note,) = found.notes
    assert note == (
        "NetworkPolicy shop/base.old: no longer in TenantProfile base, so the operator would remove it"
    )


def test_what_a_suspended_profile_has_in_place_stays() -> None:
    suspended = BASELINE + "  suspend: true\n"
    found = assembled(SHOP, suspended, STALE.format(entry="default-deny"))
    assert not found.policies["shop", "base.default-deny"].rendered
    assert "suspended" in found.notes[0]


def test_of_a_cluster_alone_nothing_is_rendered() -> None:
    live = [SourceObject(item.raw, Origin("cluster x")) for item in objects(SHOP, BASELINE)]
    assert not assemble(live).policies
    changed = assemble([live[0], *objects(BASELINE)])
    assert len(changed.policies) == 2


def test_a_cluster_profile_that_cannot_be_used_is_a_note_and_one_in_a_file_an_error() -> None:
    broken = BASELINE.replace("default-deny", "no-such-template")
    with pytest.raises(InputError, match=r"^2\.yaml:4: TenantProfile base: .*no-such-template"):
        assembled(SHOP, broken)
    items = objects(SHOP, broken)
    found = assemble([items[0], SourceObject(items[1].raw, Origin("cluster x"))])
    assert any("no-such-template" in note for note in found.notes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            BASELINE.replace("{matchLabels: {tenant: x}}", "{}"),
            "1.yaml:5: TenantProfile base: spec.namespaceSelector",
        ),
        (
            "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy,\nmetadata: {name: a, namespace: b},\n"
            "spec: {podSelector: {}, ingress: [{ports: [{port: '80'}]}]}}",
            "1.yaml:3: NetworkPolicy b/a: spec.ingress[0].ports[0].port",
        ),
    ],
)
def test_what_makes_no_world_is_told_with_place_object_and_field(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        assembled(text)
    assert str(caught.value).startswith(message)


def test_an_object_given_twice_must_be_the_same() -> None:
    assembled(SHOP, SHOP)
    with pytest.raises(InputError, match=r"2\.yaml:\d+: .*given twice, with different content"):
        assembled(SHOP, SHOP.replace("tenant: x", "tenant: z"))
