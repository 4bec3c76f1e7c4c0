"""TenantProfiles: what is wrong in them, and what their entries render, told at the entry."""

from __future__ import annotations

import pytest

from unit.linting.judged import found, ids, judge, places

PROFILE = """
apiVersion: tenantprofile.dev/v1alpha1
kind: TenantProfile
metadata:
  name: baseline
spec:
  namespaceSelector: {matchLabels: {tenant: shop}}
  policies:
    - template: default-deny
      owner: security
    - template: dns-egress
      owner: platform
    - template: cidr-egress
      name: database
      owner: shop
      parameters: {cidrs: [10.50.0.0/24], ports: [5432]}
"""
NAMESPACE = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {tenant: shop}}
"""
TEMPLATE = """
apiVersion: tenantprofile.dev/v1alpha1
kind: PolicyTemplate
metadata: {name: open}
spec:
  description: Opens.
  parameters: {type: object, properties: {port: {type: integer, default: 80}}}
  template: |
    podSelector: {}
    policyTypes: [Ingress]
    ingress:
      - from:
          - namespaceSelector: {}
        ports: {{ params.port | ports }}
"""


def test_a_good_profile_has_no_findings() -> None:
    assert judge(PROFILE).findings == ()
    assert judge(PROFILE, NAMESPACE).findings == ()


@pytest.mark.parametrize(
    ("before", "after", "rule", "place"),
    [
        ("owner: shop", "ownr: shop", "unknown-field", "14: spec.policies[2].ownr"),
        (
            "template: cidr-egress",
            "template: cidr-egres",
            "template-not-found",
            "12: spec.policies[2].template",
        ),
        ("name: baseline", "name: Base", "profile", "4: metadata.name"),
        ("{tenant: shop}", "{tenant: 1}", "schema", "6: spec.namespaceSelector.matchLabels.tenant"),
        ("ports: [5432]", "ports: [http]", "parameter", "15: spec.policies[2].parameters.ports[0]"),
        ("cidrs: [", "cidr: [", "parameter", "15: spec.policies[2].parameters.cidr"),
        ("name: database", "name: dns-egress", "profile", "13: spec.policies[2].name"),
        ("      owner: shop\n", "", "missing-owner", "12: spec.policies[2]"),
        (
            "  policies:",
            "  parameters: {cirds: []}\n  policies:",
            "unused-parameter",
            "7: spec.parameters.cirds",
        ),
    ],
)
def test_what_is_wrong_in_a_profile_is_told_at_its_line(
    before: str, after: str, rule: str, place: str
) -> None:
    assert before in PROFILE
    assert place in places(rule, PROFILE.replace(before, after))


def test_what_an_entry_renders_is_told_at_the_entry_with_the_templates_line() -> None:
    wide = PROFILE.replace("[10.50.0.0/24]", "[0.0.0.0/0], allowAnyAddress: true")
    (placed,) = found("every-address", wide)
    assert (placed.line, placed.field, placed.entry) == (12, "spec.policies[2]", "database")
    assert placed.message.startswith("rendered egress[0].to[0].ipBlock.cidr: 0.0.0.0/0 is every address")
    source, _, line = placed.template_place.partition(":")
    assert source == "templates/cidr-egress.yaml.j2"
    assert int(line) > 60


def test_the_line_of_a_template_from_a_file_is_the_files() -> None:
    profile = PROFILE.replace("template: dns-egress", "template: open").replace(
        "platform", "platform\n      purpose: x"
    )
    (placed,) = found("every-namespace", profile, TEMPLATE)
    assert placed.template_place == "2.yaml:12"


def test_what_the_operator_would_refuse_is_an_error_at_the_entry() -> None:
    empty = TEMPLATE.replace("          - namespaceSelector: {}\n", "").replace("- from:", "- from: []")
    profile = PROFILE.replace("template: dns-egress", "template: open")
    (placed,) = found("empty-peers", profile, empty)
    assert placed.rule.severity == "error"
    assert (placed.field, placed.template_place) == ("spec.policies[1]", "2.yaml:11")


def test_an_entry_without_any_purpose() -> None:
    profile = PROFILE.replace("template: dns-egress", "template: open")
    assert places("missing-purpose", profile, TEMPLATE) == ["10: spec.policies[1]"]


def test_a_denied_egress_without_dns_is_the_profiles_problem() -> None:
    profile = PROFILE.replace("    - template: dns-egress\n      owner: platform\n", "")
    for texts, namespaces in (((profile, NAMESPACE), ("shop",)), ((profile,), ())):
        (placed,) = found("egress-without-dns", *texts)
        assert (placed.field, placed.entry) == ("spec.policies[0]", "default-deny")
        assert placed.namespaces == namespaces


def test_a_template_that_needs_the_namespace_is_not_judged_without_one() -> None:
    profile = PROFILE.replace("template: dns-egress", "template: environment-isolation")
    assert places("not-judged", profile) == ["10: spec.policies[1]"]
    (placed,) = found("render-failed", profile, NAMESPACE)
    assert placed.namespaces == ("shop",)
    labelled = NAMESPACE.replace("tenant: shop", "tenant: shop, environment: dev")
    assert found("render-failed", profile, labelled) == []


def test_a_profile_that_selects_none_of_the_namespaces() -> None:
    other = NAMESPACE.replace("tenant: shop", "tenant: other")
    assert places("selects-no-namespace", PROFILE, other) == ["6: spec.namespaceSelector"]
    assert found("selects-no-namespace", PROFILE) == []


def test_an_entry_is_wrong_about_pods_only_where_it_is_wrong_everywhere() -> None:
    second = NAMESPACE.replace("name: shop", "name: shop-2")
    profile = PROFILE.replace("ports: [5432]", "ports: [5432], podSelector: {matchLabels: {app: api}}")
    pods = """
    apiVersion: v1
    kind: Pod
    metadata: {name: %s, namespace: %s, labels: {app: %s}}
    """
    api, web = pods % ("api", "shop", "api"), pods % ("web", "shop-2", "web")
    assert found("selects-nothing", profile, NAMESPACE, second, api, web) == []
    (placed,) = found("selects-nothing", profile, NAMESPACE, second, web)
    assert placed.namespaces == ("shop-2",)


def test_what_is_stored_of_a_profile_counts_as_the_profile_says_it_now() -> None:
    stored = """
    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata:
      name: baseline.old
      namespace: shop
      labels: {app.kubernetes.io/managed-by: tenantprofile-operator, tenantprofile.dev/profile: baseline}
    spec: {podSelector: {}, policyTypes: [Ingress], ingress: [{}]}
    """
    assert ids(PROFILE, NAMESPACE, stored) == set()
    assert ids(stored) == {"every-peer", "missing-purpose", "missing-owner"}


def test_a_tenants_policy_beside_a_profile_widens_it() -> None:
    own = """
    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: {name: open, namespace: shop}
    spec:
      podSelector: {}
      policyTypes: [Ingress]
      ingress: [{from: [{namespaceSelector: {matchLabels: {team: b}}}]}]
    """
    (placed,) = found("widens-baseline", PROFILE, NAMESPACE, own)
    assert "baseline.default-deny" in placed.message
    assert found("widens-baseline", PROFILE, own) == []  # the namespace's labels are not known


# --- templates ---


def test_a_good_template_has_no_findings_but_what_it_opens() -> None:
    assert places("every-namespace", TEMPLATE) == ["12: spec.template"]


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ("podSelector: {}\n", "podSelector: {{ }}\n", 8),
        ("{{ params.port | ports }}", "{{ params.port | portss }}", 13),
        ("type: integer", "type: intger", 6),
        ("default: 80", "default: x", 6),
        ("params.port ", "params.prt ", 7),
    ],
)
def test_a_template_that_cannot_be_used_is_told_at_its_line(before: str, after: str, line: int) -> None:
    assert before in TEMPLATE
    (placed,) = found("template", TEMPLATE.replace(before, after, 1))
    assert placed.line == line


def test_a_template_named_like_a_built_in_one() -> None:
    assert places("template-name-taken", TEMPLATE.replace("open", "default-deny")) == ["3: metadata.name"]


def test_a_misspelt_field_of_a_template() -> None:
    assert places("unknown-field", TEMPLATE.replace("description", "descripton")) == ["5: spec.descripton"]
