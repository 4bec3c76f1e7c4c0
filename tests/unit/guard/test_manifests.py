"""What `tenantprofile guard render` prints, and how a cluster is compared with it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from tenantprofile.cli.main import main
from tenantprofile.guard.inspection import Installed, bindings_of, inspect, orphans
from tenantprofile.guard.manifests import (
    BINDING,
    PARTS,
    POLICY,
    STATIC_SUFFIX,
    Object,
    Values,
    default_parts,
    digest,
    render,
    shipped,
    stays,
)

GUARD = Path(__file__).resolve().parents[3] / "deploy" / "components" / "guard"


def rendered(*arguments: str) -> list[Object]:
    done = CliRunner().invoke(main, ["guard", "render", *arguments])
    assert done.exit_code == 0, done.output
    return list(yaml.safe_load_all(done.stdout))


def refused(*arguments: str) -> Result:
    done = CliRunner().invoke(main, ["guard", "render", *arguments])
    assert done.exit_code == 2, done.output
    return done


def installed(documents: list[Object], serves: bool = True) -> Installed:
    policies = [d for d in documents if d["kind"] == POLICY]
    return Installed.of(policies, [d for d in documents if d["kind"] == BINDING], serves)


def test_every_folder_of_the_component_is_a_part() -> None:
    assert set(PARTS) == {path.parent.name for path in GUARD.glob("*/policies.yaml")}
    assert set(default_parts()) <= set(PARTS)


def test_without_options_it_is_what_the_component_installs() -> None:
    files = [GUARD / part / name for part in default_parts() for name in ("policies.yaml", "bindings.yaml")]
    wanted = [d for file in files for d in yaml.safe_load_all(file.read_text())]
    key = lambda d: (d["kind"], d["metadata"]["name"])  # noqa: E731
    assert sorted(rendered(), key=key) == sorted(wanted, key=key)


def test_policies_come_before_bindings() -> None:
    kinds = [d["kind"] for d in rendered(*(f"--part={part}" for part in PARTS))]
    assert kinds == sorted(kinds, key=lambda kind: kind == BINDING)


@pytest.mark.parametrize(("action", "actions"), [("warn", ["Warn", "Audit"]), ("audit", ["Audit"])])
def test_a_weaker_action_never_strengthens_a_binding(action: str, actions: list[str]) -> None:
    for d in rendered(f"--action={action}"):
        if d["kind"] == BINDING:
            audits = d["metadata"]["name"] == "guardrails-audit.tenantprofile.dev"
            assert d["spec"]["validationActions"] == (["Audit"] if audits else actions)


def test_the_pod_gate_only_denies() -> None:
    assert "the pod gate cannot warn" in refused("--part=pod-gate", "--action=warn").output


def test_values_are_put_in_as_cel() -> None:
    documents = rendered(
        *(f"--part={part}" for part in PARTS),
        *("--distrust", 'system:serviceaccount:argocd:it\'s "quoted"'),
        *("--allow-kind", "cilium.io/ciliumnetworkpolicies", "--guard-label", "team/"),
        *("--operator-namespace", "elsewhere", "--gate-selector", '{matchLabels: {gated: "yes"}}'),
    )
    found: dict[str, set[str]] = {}
    for d in documents:
        for variable in d["spec"].get("variables") or ():
            found.setdefault(variable["name"], set()).add(variable["expression"])
    assert found["distrusted"] == {'["system:serviceaccount:argocd:it\'s \\"quoted\\""]'}
    assert found["allowed"] == {'["cilium.io/ciliumnetworkpolicies"]'}
    assert found["guardedPrefixes"] == {'["pod-security.kubernetes.io/", "tenantprofile.dev/", "team/"]'}
    assert found["operator"] == {'"system:serviceaccount:elsewhere:tenantprofile-operator"'}
    assert found["operatorNamespace"] == {'"elsewhere"'}
    (gate, keeper) = [d for d in documents if d["kind"] == BINDING and "matchResources" in d["spec"]]
    assert "gated" not in str(keeper)
    assert gate["spec"]["matchResources"] == {"namespaceSelector": {"matchLabels": {"gated": "yes"}}}


@pytest.mark.parametrize("selector", ["{}", "[]", "{labels: {a: b}}", "{"])
def test_a_gate_for_every_namespace_or_by_nonsense_is_refused(selector: str) -> None:
    assert "--gate-selector" in refused("--part=pod-gate", "--gate-selector", selector).output


def test_static_manifests_take_no_parameters_and_have_the_reserved_names() -> None:
    documents = rendered("--static", *(f"--part={part}" for part in PARTS))
    policies = {d["metadata"]["name"] for d in documents if d["kind"] == POLICY}
    assert all(name.endswith(STATIC_SUFFIX) for name in policies)
    assert "guard-is-read-only.tenantprofile.dev.static.k8s.io" in policies
    for d in documents:
        assert "paramKind" not in d["spec"]
        assert "paramRef" not in d["spec"]
        assert d["kind"] == POLICY or d["spec"]["policyName"] in policies


def test_a_digest_covers_what_a_policy_does_and_nothing_else() -> None:
    for item in (i for part in PARTS for i in shipped(part)):
        (other,) = [
            i
            for i in render([item["metadata"]["labels"]["tenantprofile.dev/guard"]], Values(distrusted=["x"]))
            if (i["kind"], i["metadata"]["name"]) == (item["kind"], item["metadata"]["name"])
        ]
        assert digest(item) == digest(other)
        resources = {"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}}
        filled = copy.deepcopy(item)
        where = "matchConstraints" if item["kind"] == POLICY else "matchResources"
        filled["spec"][where] = resources | (filled["spec"].get(where) or {})
        assert digest(item) == digest(filled)
        if item["kind"] == POLICY:
            for change in (
                {"failurePolicy": "Ignore"},
                {"matchConditions": [{"name": "x"}]},
                {"validations": []},
            ):
                assert digest({**item, "spec": {**item["spec"], **change}}) != digest(item)


def changed(documents: list[Object], kind: str, part: str, **spec: Any) -> list[Object]:
    documents = copy.deepcopy(documents)
    next(d for d in documents if d["kind"] == kind and part in str(d["metadata"]["labels"]))["spec"] |= spec
    return documents


ALL = render(PARTS, Values())


def test_what_is_shipped_is_installed_and_nothing_is_off() -> None:
    assert {(r.part, r.state, r.action) for r in inspect(installed(ALL))} == {
        (part, "installed", "deny") for part in PARTS
    }
    assert {r.state for r in inspect(installed([]))} == {"off"}


@pytest.mark.parametrize(
    ("documents", "serves", "part", "words"),
    [
        ([d for d in ALL if d["kind"] == POLICY], True, "membership", "binding profile-membership"),
        ([d for d in ALL if d["kind"] == BINDING], True, "membership", "policy profile-membership"),
        (ALL, False, "membership", "every request that it matches is refused"),
        (ALL, False, "guardrails", "every request that it matches is refused"),
        (changed(ALL, POLICY, "other-kinds", failurePolicy="Ignore"), True, "other-kinds", "spec.failurePolicy"),
        (changed(ALL, POLICY, "other-kinds", validations=[]), True, "other-kinds", "spec.validations"),
        (changed(ALL, BINDING, "other-kinds", validationActions=["Warn"]), True, "other-kinds", "only warns"),
        (changed(ALL, BINDING, "pod-gate", validationActions=["Warn"]), True, "pod-gate", "denies all the same"),
        (
            changed(ALL, BINDING, "membership", matchResources={"namespaceSelector": {"matchLabels": {"a": "b"}}}),
            True,
            "membership",
            "spec.matchResources",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_cure(
    documents: list[Object], serves: bool, part: str, words: str
) -> None:
    (report,) = inspect(installed(documents, serves), [part])
    assert report.state == "broken"
    assert any(words in problem.what for problem in report.problems), report.problems
    assert all(problem.fix for problem in report.problems)


def test_a_guardrail_for_warnings_must_not_deny() -> None:
    documents = copy.deepcopy(ALL)
    next(d for d in documents if d["metadata"]["name"] == "guardrails-warn.tenantprofile.dev")["spec"][
        "validationActions"
    ] = ["Deny"]
    (report,) = inspect(installed(documents), ["guardrails"])
    assert "where profiles ask to warn" in report.problems[0].what


def test_warnings_of_the_type_checker_are_told() -> None:
    documents = copy.deepcopy(ALL)
    warning = {"fieldRef": "spec.validations[0].expression", "warning": "undefined field 'x'\n | x"}
    documents[0]["status"] = {"typeChecking": {"expressionWarnings": [warning]}}
    (report,) = inspect(installed(documents), [documents[0]["metadata"]["labels"]["tenantprofile.dev/guard"]])
    assert "undefined field 'x'" in report.problems[0].what


def test_a_part_in_trial_is_sound_when_that_is_expected() -> None:
    parts = [part for part in PARTS if part != "pod-gate"]
    trial = installed(render(parts, Values(action="warn")))
    assert {r.state for r in inspect(trial, parts, "warn")} == {"installed"}
    assert {r.state for r in inspect(trial, parts, "deny")} == {"broken"}


def test_a_gate_that_was_removed_is_off_though_something_stays() -> None:
    left = [d for d in ALL if stays(d)]
    assert {d["kind"] for d in left} == {POLICY, BINDING}
    (report,) = inspect(installed(left), ["pod-gate"])
    assert report.state == "off"
    half = [d for d in ALL if not (stays(d) and d["kind"] == BINDING)]
    (report,) = inspect(installed(half), ["pod-gate"])
    assert "network-policies-stay-followed.tenantprofile.dev is missing" in report.problems[0].what


def test_bindings_of_others_go_with_the_policy_and_orphans_are_known() -> None:
    own = {"kind": BINDING, "metadata": {"name": "mine"}, "spec": {"policyName": ALL[0]["metadata"]["name"]}}
    found = installed([*ALL, own])
    assert "mine" in bindings_of(found, PARTS)
    assert orphans(found) == []
    assert orphans(installed([d for d in ALL if d["kind"] == BINDING]))
