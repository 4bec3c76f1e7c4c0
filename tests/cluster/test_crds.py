"""What the API server itself does with profiles and templates, by the CRDs alone; no operator runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from controlplane import ControlPlane

ROOT = Path(__file__).resolve().parents[2]
API = "tenantprofile.dev/v1alpha1"
NAMES = "names have lower-case letters, digits and"


def profile(name: str = "payments", **spec: Any) -> dict[str, Any]:
    """A good profile with some fields changed; a field given as None is left out."""
    good: dict[str, Any] = {
        "namespaceSelector": {"matchLabels": {"team": "payments"}},
        "policies": [{"template": "default-deny"}],
    }
    return made("TenantProfile", name, {k: v for k, v in (good | spec).items() if v is not None})


def template(name: str = "our-own", **spec: Any) -> dict[str, Any]:
    good: dict[str, Any] = {"description": "Allows nothing.", "template": "podSelector: {}\n"}
    return made("PolicyTemplate", name, {k: v for k, v in (good | spec).items() if v is not None})


def made(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    labels = {"made-by": "test-crds"}
    return {
        "apiVersion": API,
        "kind": kind,
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
    }


@pytest.fixture
def create(cp: ControlPlane) -> Iterator[Callable[[dict[str, Any]], dict[str, Any]]]:
    def create(document: dict[str, Any]) -> dict[str, Any]:
        done = cp.kubectl("create", "-f", "-", "-o", "json", input=json.dumps(document))
        stored: dict[str, Any] = json.loads(done.stdout)
        return stored

    yield create
    cp.kubectl("delete", "tenantprofiles,policytemplates", "--selector=made-by=test-crds")


@pytest.fixture
def refusal(cp: ControlPlane) -> Callable[[dict[str, Any]], str]:
    def refusal(document: dict[str, Any]) -> str:
        done = cp.kubectl("create", "-f", "-", "--dry-run=server", input=json.dumps(document), check=False)
        assert done.returncode != 0, f"the API server accepted {document}"
        return done.stderr

    return refusal


@pytest.fixture
def accepted(cp: ControlPlane) -> Callable[[dict[str, Any]], None]:
    def accepted(document: dict[str, Any]) -> None:
        cp.kubectl("create", "-f", "-", "--dry-run=server", input=json.dumps(document))

    return accepted


def expressions(*items: dict[str, Any]) -> dict[str, Any]:
    return {"namespaceSelector": {"matchExpressions": list(items)}}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        pytest.param(
            profile(namespaceSelector=None),
            "spec.namespaceSelector: Required value: namespaceSelector is missing; give it matchLabels or"
            " matchExpressions, or set selectAllNamespaces: true if every namespace is meant",
            id="no selector at all",
        ),
        pytest.param(
            profile(namespaceSelector={}),
            "spec.namespaceSelector: Required value: namespaceSelector is empty, which would select every",
            id="an empty selector",
        ),
        pytest.param(
            profile(namespaceSelector={"matchLabels": {}, "matchExpressions": []}),
            "namespaceSelector is empty, which would select every namespace",
            id="a selector of empty parts",
        ),
        pytest.param(
            profile(selectAllNamespaces=True),
            "selectAllNamespaces is true, but namespaceSelector has conditions that it would override",
            id="everything and a selector",
        ),
        pytest.param(
            profile(excludedNamespaces=["a", "b"], includedSystemNamespaces=["b"]),
            "the namespace b is in both includedSystemNamespaces and excludedNamespaces",
            id="a namespace left out and named",
        ),
        pytest.param(
            profile(excludedNamespaces=["team-*"]),
            f"team-* cannot be the name of a namespace; {NAMES}",
            id="a wildcard among excluded namespaces",
        ),
        pytest.param(
            profile(includedSystemNamespaces=["Kube-System"]),
            f"Kube-System cannot be the name of a namespace; {NAMES}",
            id="an impossible system namespace",
        ),
        pytest.param(
            profile(excludedNamespaces=["a", "a"]), 'Duplicate value: "a"', id="a namespace excluded twice"
        ),
        pytest.param(
            profile(policies=[{"template": "same-namespace"}, {"template": "same-namespace"}]),
            "more than one entry has the name same-namespace (an entry"
            " without a name takes its template as name); give each of them a name of its own",
            id="a template twice without names",
        ),
        pytest.param(
            profile(policies=[{"template": "a", "name": "x"}, {"template": "x"}]),
            "more than one entry has the name x",
            id="a name that is another entry's template",
        ),
        pytest.param(profile(policies=[]), "spec.policies", id="no policies"),
        pytest.param(profile(policies=None), "spec.policies: Required value", id="policies missing"),
        pytest.param(
            profile(policies=[{"template": "a", "name": "Front_End"}]),
            f"Front_End cannot be the name of a policy; {NAMES}",
            id="a policy name that no object may have",
        ),
        pytest.param(
            profile(policies=[{"template": "our.own"}]),
            f"our.own cannot be the name of a template; {NAMES}",
            id="a template name with a dot",
        ),
        pytest.param(
            profile(policies=[{"template": "a", "name": "a" * 64}]),
            "Too long: may not be more than 63",
            id="a policy name of 64 characters",
        ),
        pytest.param(
            profile(policies=[{"template": f"t{n}"} for n in range(51)]),
            "Too many: 51: must have at most 50 items",
            id="51 policies",
        ),
        pytest.param(
            profile("p" * 64),
            f"the name {'p' * 64} is too long: it becomes a label value on every policy, so it may have at"
            " most 63 characters",
            id="a profile name of 64 characters",
        ),
        pytest.param(
            profile(**expressions({"key": "team", "operator": "In"})),
            "the operator In needs at least one entry in values; to ask only whether the label is there,",
            id="In without values",
        ),
        pytest.param(
            profile(**expressions({"key": "team", "operator": "Exists", "values": ["a"]})),
            "the operator Exists takes no values; remove them, or use In or NotIn",
            id="Exists with values",
        ),
        pytest.param(
            profile(**expressions({"key": "team", "operator": "Equals", "values": ["a"]})),
            'supported values: "In", "NotIn", "Exists", "DoesNotExist"',
            id="an unknown operator",
        ),
        pytest.param(
            profile(**expressions({"key": "a b", "operator": "Exists"})),
            "a b is not a label key; it has the form team or example.com/team",
            id="a key that no label may have",
        ),
        pytest.param(
            profile(**expressions({"key": "team", "operator": "In", "values": ["-x"]})),
            "-x is not a label value; it is empty, or has letters",
            id="a value that no label may have",
        ),
        pytest.param(
            profile(namespaceSelector={"matchLabels": {"a/b/c": "x"}}),
            "one of the keys is not a label key",
            id="a key in matchLabels that no label may have",
        ),
        pytest.param(
            profile(namespaceSelector={"matchLabels": {"team": "a b"}}),
            "a b is not a label value",
            id="a value in matchLabels that no label may have",
        ),
        pytest.param(
            profile(drift="repair"), 'supported values: "Repair", "Report"', id="drift in lower case"
        ),
        pytest.param(
            profile(deletionPolicy="Keep"),
            'supported values: "Delete", "Retain"',
            id="an unknown deletion policy",
        ),
        pytest.param(
            profile(namspaceSelector={}), 'unknown field "spec.namspaceSelector"', id="a typing error"
        ),
        pytest.param(
            profile(policies=[{"template": "a", "purpose": "x" * 1025}]),
            "may not be more than 1024",
            id="a purpose of 1025 characters",
        ),
        pytest.param(
            template("our.own"),
            "our.own cannot be the name of a template: policies are named after their template, so it needs",
            id="a PolicyTemplate with a dot in its name",
        ),
        pytest.param(
            template(parameters={"type": "array"}),
            'supported values: "object"',
            id="parameters that are no object",
        ),
        pytest.param(template(template=None), "spec.template: Required value", id="a template without body"),
        pytest.param(
            template(template="x" * 65537), "may not be more than 65536", id="a template of more than 64 KiB"
        ),
        pytest.param(template(description=None), "spec.description: Required value", id="no description"),
    ],
)
def test_what_cannot_be_right_is_refused_with_what_would_be(
    document: dict[str, Any], said: str, refusal: Callable[[dict[str, Any]], str]
) -> None:
    assert said in refusal(document)


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(profile(), id="the smallest profile"),
        pytest.param(profile(namespaceSelector=None, selectAllNamespaces=True), id="every namespace"),
        pytest.param(
            profile(namespaceSelector={}, selectAllNamespaces=True),
            id="every namespace beside an empty selector",
        ),
        pytest.param(profile("p" * 63), id="a name of 63 characters"),
        pytest.param(profile("prod.eu-1"), id="a name with a dot"),
        pytest.param(
            profile(
                policies=[{"template": "same-namespace"}, {"template": "same-namespace", "name": "other"}]
            ),
            id="a template twice with names",
        ),
        pytest.param(
            profile(policies=[{"template": f"t{n}", "purpose": "x" * 1024} for n in range(50)]),
            id="50 policies",
        ),
        pytest.param(
            profile(
                **expressions(
                    {"key": "example.com/team", "operator": "In", "values": ["a", ""]},
                    {"key": "stage", "operator": "NotIn", "values": ["dev"]},
                    {"key": "x", "operator": "Exists"},
                    {"key": "y", "operator": "DoesNotExist", "values": []},
                )
            ),
            id="every operator",
        ),
        pytest.param(
            profile(includedSystemNamespaces=["kube-system", "tenantprofile-system"]),
            id="system namespaces by name",
        ),
        pytest.param(template(), id="the smallest template"),
        pytest.param(template(template="x" * 65536), id="a template of 64 KiB"),
    ],
)
def test_what_is_right_is_accepted(
    document: dict[str, Any], accepted: Callable[[dict[str, Any]], None]
) -> None:
    accepted(document)


def test_defaults_are_stored_so_that_everybody_reads_the_same(
    create: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    spec = create(profile())["spec"]

    assert {key: spec[key] for key in ("drift", "deletionPolicy", "suspend", "selectAllNamespaces")} == {
        "drift": "Repair",
        "deletionPolicy": "Delete",
        "suspend": False,
        "selectAllNamespaces": False,
    }
    assert "name" not in spec["policies"][0], "the name's default is the template's, so it is not stored"


def test_parameters_are_stored_as_they_were_written(
    create: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    parameters = {"from": [{"labels": {"app": "web"}, "ports": [80, "8080"]}], "deep": {"er": {"est": None}}}

    stored = create(profile(parameters=parameters, policies=[{"template": "a", "parameters": parameters}]))

    assert stored["spec"]["parameters"] == parameters
    assert stored["spec"]["policies"][0]["parameters"] == parameters


def test_a_templates_schema_is_stored_as_it_was_written(
    create: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    schema = {
        "type": "object",
        "required": ["port"],
        "additionalProperties": False,
        "properties": {"port": {"type": "integer", "minimum": 1, "default": 8080, "description": "A port."}},
    }

    assert create(template(parameters=schema))["spec"]["parameters"] == schema


def test_status_is_written_only_through_its_subresource(
    cp: ControlPlane, create: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    created = create(profile() | {"status": {"problemsTotal": 7}})

    assert "status" not in created
    report(cp, "tenantprofile", {"problemsTotal": 7})
    after = cp.get("tenantprofile", "payments")
    assert after["status"] == {"problemsTotal": 7}
    assert after["metadata"]["generation"] == created["metadata"]["generation"]


def report(cp: ControlPlane, kind: str, status: dict[str, Any], name: str = "payments") -> None:
    patch = json.dumps({"status": status})
    cp.kubectl("patch", kind, name, "--subresource=status", "--type=merge", "--patch", patch)


def condition(status: str, reason: str, message: str) -> dict[str, Any]:
    return {
        "type": "Ready",
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }


def test_a_full_status_is_accepted_and_stays_below_32_kib(
    cp: ControlPlane, create: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    create(profile())
    status = {
        "observedGeneration": 1,
        "conditions": [condition("False", "ApplyFailed", "m" * 1024)],
        "namespaces": {"selected": 10000, "ready": 9000, "failing": 1000, "summary": "9000/10000"},
        "policies": {"desired": 50000, "ready": 45000},
        "drift": {
            "repaired": 3,
            "lastRepairTime": "2026-01-01T00:00:00Z",
            "lastRepair": "a/b: spec.ingress",
        },
        "problems": [
            {"namespace": "n" * 63, "policy": "p" * 63, "reason": "ApplyFailed", "message": "m" * 1024}
        ]
        * 20,
        "problemsTotal": 1000,
    }

    report(cp, "tenantprofile", status)

    stored = cp.get("tenantprofile", "payments")["status"]
    assert stored == status, "the API server pruned a field that the schema lacks"
    assert len(json.dumps(stored)) < 32 * 1024


def test_kubectl_get_shows_how_a_profile_stands(
    cp: ControlPlane, create: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    create(profile())
    report(
        cp,
        "tenantprofile",
        {
            "conditions": [condition("False", "Conflict", "payments/deny is not ours")],
            "namespaces": {"selected": 12, "ready": 11, "failing": 1, "summary": "11/12"},
            "policies": {"desired": 60, "ready": 59},
            "drift": {"repaired": 4},
        },
    )

    header, row = cp.kubectl("get", "tp", "payments").stdout.splitlines()
    assert header.split() == ["NAME", "READY", "NAMESPACES", "POLICIES", "REPAIRED", "AGE"]
    assert row.split()[:-1] == ["payments", "False", "11/12", "59", "4"]

    wide, row = cp.kubectl("get", "tp", "payments", "-o", "wide").stdout.splitlines()
    assert wide.split() == [*header.split(), "REASON", "MESSAGE"]
    assert row.split()[6:] == ["Conflict", "payments/deny", "is", "not", "ours"]


def test_kubectl_get_shows_how_a_template_stands(
    cp: ControlPlane, create: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    create(template())
    status = {"conditions": [condition("False", "NameTaken", "a built-in has the name")], "usedBy": 2}
    report(cp, "policytemplate", status, "our-own")

    header, row = cp.kubectl("get", "pt", "our-own").stdout.splitlines()
    assert header.split() == ["NAME", "READY", "USED", "BY", "REASON", "AGE"]
    assert row.split()[:-1] == ["our-own", "False", "2", "NameTaken"]
    assert "Allows nothing." in cp.kubectl("get", "pt", "our-own", "-o", "wide").stdout


def test_one_category_shows_profiles_and_templates_and_leaves_the_singular_name_to_profiles(
    cp: ControlPlane, create: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    create(profile())
    create(template())

    shown = cp.kubectl("get", "tenancy", "--output=name").stdout.split()
    assert "tenantprofile.tenantprofile.dev/payments" in shown
    assert "policytemplate.tenantprofile.dev/our-own" in shown
    assert cp.get("tenantprofile", "payments")["kind"] == "TenantProfile"


@pytest.mark.parametrize("path", ["tp.spec.policies.purpose", "tp.status.problems", "pt.spec.template"])
def test_kubectl_explain_has_something_to_say(cp: ControlPlane, path: str) -> None:
    # The API server publishes a new kind's schema a moment after it serves the kind.
    cp.kubectl("wait", "--for=condition=Established", "crd", "--all")
    assert "DESCRIPTION" in cp.kubectl("explain", path).stdout


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.name)
def test_the_api_server_takes_every_example(cp: ControlPlane, path: Path) -> None:
    done = cp.kubectl("apply", "--server-side", "--dry-run=server", "-f", str(path))
    assert not done.stderr
