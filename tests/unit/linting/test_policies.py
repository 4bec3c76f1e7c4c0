"""A NetworkPolicy by itself: the rules of `policy` at the right line, and what is wrong around the spec."""

from __future__ import annotations

from unit.linting.judged import found, ids, judge, objects, places

GOOD = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: web
  namespace: shop
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Ingress]
  ingress:
    - from:
        - podSelector: {matchLabels: {app: api}}
      ports:
        - {port: 80, protocol: TCP}
"""


def test_a_good_policy_has_no_findings() -> None:
    result = judge(GOOD)
    assert result.findings == ()
    assert result.judged == 1


def test_a_finding_names_file_line_object_and_field() -> None:
    text = GOOD.replace("podSelector: {matchLabels: {app: api}}", "namespaceSelector: {}")
    (placed,) = found("every-namespace", "# a file\n", text)
    assert placed.item.origin.source == "2.yaml"
    assert placed.line == 11
    assert str(placed.item) == "NetworkPolicy shop/web"
    assert placed.field == "spec.ingress[0].from[0].namespaceSelector"


def test_objects_in_a_list_have_their_own_lines() -> None:
    text = """
    apiVersion: v1
    kind: List
    items:
      - apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata: {name: a, namespace: shop}
        spec: {podSelector: {}, policyTypes: [Ingress]}
      - apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata: {name: b, namespace: shop}
        spec:
          podSelector: {}
          policyTypes: [Ingress]
          ingress: [{from: []}]
    """
    assert places("empty-peers", text) == ["14: spec.ingress[0].from"]


def test_an_old_api_version_is_told_of_and_the_rest_judged_all_the_same() -> None:
    text = GOOD.replace("networking.k8s.io/v1", "extensions/v1beta1").replace("port: 80", 'port: "80"')
    assert ids(text) >= {"removed-api", "numeric-string-port"}


def test_a_kind_that_its_group_does_not_have_is_told_of() -> None:
    assert ids(GOOD.replace("kind: NetworkPolicy", "kind: NetworkPolcy")) == {"unknown-kind"}
    assert ids(GOOD.replace("kind: NetworkPolicy", "kind: Ingress")) == set()


def test_other_projects_policies_of_the_same_kind_are_left_alone() -> None:
    assert judge(GOOD.replace("networking.k8s.io/v1", "crd.projectcalico.org/v1")).judged == 0


def test_a_name_that_no_object_can_have() -> None:
    assert places("object-name", GOOD.replace("name: web", "name: Web_1")) == ["4: metadata.name"]


def test_a_misspelt_field_beside_the_spec() -> None:
    assert places("unknown-field", GOOD.replace("spec:", "specs:")) == ["6: specs"]


def test_a_missing_spec_selects_every_pod() -> None:
    text = GOOD[: GOOD.index("spec:")]
    assert {"pod-selector-missing", "policy-types-missing"} <= ids(text)


def test_the_same_object_twice() -> None:
    other = GOOD.replace("port: 80", "port: 81")
    (placed,) = found("duplicate-object", GOOD, other)
    assert placed.item.origin.source == "2.yaml"
    assert "1.yaml:1" in placed.message
    assert found("duplicate-object", GOOD, GOOD) == []


def test_an_invalid_pod_is_told_of_and_left_out() -> None:
    pod = """
    apiVersion: v1
    kind: Pod
    metadata: {name: web-1, namespace: shop, labels: {app: 1}}
    """
    assert places("invalid-object", pod) == ["3: metadata.labels.app"]


def test_the_order_of_files_does_not_matter() -> None:
    wide = GOOD.replace("name: web", "name: wide").replace(
        "podSelector: {matchLabels: {app: api}}", "podSelector: {}"
    )
    from tenantprofile.linting.judge import lint

    given = objects(GOOD, wide)
    told = [
        [(p.rule.id, p.message, p.line) for p in lint(order, "2026-11-21").findings]
        for order in (given, given[::-1])
    ]
    assert told[0] == told[1]
    assert told[0]
