"""Exit codes and forms: what a program that calls the commands can rely on."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from tenantprofile.cli.main import main

PODS = """
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
"""
DENY = """
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
"""


def assertions(expect: str, **more: Any) -> str:
    one = {
        "name": "web reaches <db> & more",
        "from": {"podLabels": {"app": "web"}},
        "to": {"podLabels": {"app": "db"}},
        "ports": [5432],
        "expect": expect,
        **more,
    }
    return "---\n" + yaml.safe_dump(
        {
            "apiVersion": "tenantprofile.dev/v1alpha1",
            "kind": "NetworkAssertions",
            "metadata": {"name": "a"},
            "spec": {"assertions": [one]},
        }
    )


def run(*arguments: str, text: str = "") -> Result:
    return CliRunner().invoke(main, arguments, input=text)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (PODS + assertions("allow"), 0),
        (PODS + assertions("deny"), 1),
        (PODS + DENY + assertions("deny"), 0),
        (PODS + assertions("allow", to={"podLabels": {"app": "nobody"}}), 2),
        (PODS + assertions("allow", to={"podLabels": {"app": "nobody"}}, mayBeEmpty=True), 0),
        (PODS + assertions("allow", ports=["none/TCP/x"]), 2),
        (PODS, 2),
        ("a: 1", 2),
    ],
)
def test_test_exits_0_when_all_hold_1_when_one_does_not_2_when_it_cannot_say(text: str, code: int) -> None:
    assert run("test", "-", text=text).exit_code == code


def test_a_malformed_assertion_is_told_with_its_line_and_field() -> None:
    done = run("test", "-", text=PODS + assertions("never"))
    assert "standard input:" in done.stderr
    assert "spec.assertions[0].expect: found 'never'; expected allow or deny" in done.stderr


def test_junit_is_well_formed_whatever_assertions_are_called() -> None:
    text = PODS + assertions("deny")
    root = ElementTree.fromstring(run("test", "-", "-o", "junit", text=text).stdout)  # noqa: S314
    (suite,) = root
    assert (suite.get("tests"), suite.get("failures")) == ("1", "1")
    assert suite[0].get("name") == "web reaches <db> & more"
    assert "shop/web → shop/db, TCP 5432: allowed" in str(suite[0][0].get("message"))


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_data_has_the_same_for_programs(form: str) -> None:
    done = run("test", "-", "-o", form, text=PODS + assertions("deny"))
    data = (json.loads if form == "json" else yaml.safe_load)(done.stdout)
    assert data["totals"] == {"passed": 0, "failed": 1, "error": 0, "skipped": 0}
    (one,) = data["assertions"]
    assert (one["status"], one["checked"], one["violated"]) == ("failed", 1, 1)
    assert len(one["examples"][0]["reasons"]) == 2


def test_a_profiles_own_assertions_are_tested_and_other_commands_note_that_they_fail() -> None:
    profile = """
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {tenant: x}}
---
apiVersion: tenantprofile.dev/v1alpha1
kind: TenantProfile
metadata: {name: p}
spec:
  namespaceSelector: {matchLabels: {tenant: x}}
  policies: [{template: default-deny}]
  assertions:
    - {name: out, from: {everyPod: true}, to: {addresses: [192.0.2.1]}, ports: [443], expect: allow}
"""
    done = run("test", "-", text=PODS + profile)
    assert done.exit_code == 1
    assert "a pod without labels → 192.0.2.1, TCP 443: denied" in done.stdout
    assert "its own assertions do not hold" in run("audit", "-", text=PODS + profile).stderr


def test_audit_exits_1_when_something_is_open() -> None:
    assert run("audit", "-", text=PODS).exit_code == 1
    assert run("audit", "-", text=PODS + DENY).exit_code == 0
    nothing = run("audit", "-", "--exclude", "shop", text=PODS)
    assert nothing.exit_code == 2
    assert "nothing to audit" in nothing.stderr


@pytest.mark.parametrize("form", ["json", "yaml", "markdown", "csv"])
def test_evidence_is_reproducible_when_the_time_is_fixed(form: str) -> None:
    done = [
        CliRunner(env={"SOURCE_DATE_EPOCH": "0"}).invoke(main, ["audit", "-", "-o", form], input=PODS + DENY)
        for _ in range(2)
    ]
    assert done[0].stdout == done[1].stdout
    if form == "json":
        assert json.loads(done[0].stdout)["time"] == "1970-01-01T00:00:00Z"
    if form == "csv":
        assert len(list(csv.DictReader(io.StringIO(done[0].stdout)))) == 3


def test_allowed_and_blocked_together_are_everything() -> None:
    def listed(*more: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(
            run("connections", "-", "-o", "json", *more, text=PODS).stdout
        )["connections"]
        return found

    assert len(listed()) == 6
    assert listed("--blocked") == []


def test_diff_exits_0_for_the_same_meaning_1_for_another_and_2_without_pods(tmp_path: Path) -> None:
    files = {
        "pods": PODS,
        "deny": DENY,
        "two": DENY.replace("[Ingress, Egress]", "[Egress]")
        + "---"
        + DENY.replace("[Ingress, Egress]", "[Ingress]")
        .replace("name: deny", "name: other")
        .partition("---")[2],
    }
    for name, text in files.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    pods, deny, two = (str(tmp_path / f"{name}.yaml") for name in ("pods", "deny", "two"))
    assert run("diff", deny, two, "--with", pods).exit_code == 0
    done = run("diff", pods, deny, "--with", pods)
    assert done.exit_code == 1
    assert "0 connections gained, 6 lost" in done.stdout
    done = run("diff", deny, two)
    assert done.exit_code == 2
    assert "no pods or workloads" in done.stderr
    assert run("diff", deny).exit_code == 2


def test_explain_exits_0_with_an_answer_and_2_without() -> None:
    assert run("explain", "shop/web", "shop/db", "-", text=PODS + DENY).exit_code == 0
    assert run("explain", "shop/web", "shop/nobody", "-", text=PODS).exit_code == 2
    assert run("explain", "shop/web", "shop/db", "-", "--port", "80-90", text=PODS).exit_code == 2


def test_where_plugins_differ_the_answer_says_so_and_follows_the_option() -> None:
    block = DENY.replace(
        "policyTypes: [Ingress, Egress]",
        "policyTypes: [Ingress], ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]",
    )
    placed = PODS.replace("labels: {app: web}}", "labels: {app: web}}\nstatus: {podIP: 10.0.0.1}")
    generic = run("explain", "shop/web", "shop/db", "-", "--port", "80", text=placed + block)
    assert "TCP 80: allowed" in generic.stdout
    assert "Cilium" in generic.stdout
    cilium = run(
        "explain", "shop/web", "shop/db", "-", "--port", "80", "--plugin", "cilium", text=placed + block
    )
    assert "TCP 80: denied" in cilium.stdout


@pytest.mark.parametrize("command", ["test", "explain", "audit", "connections", "diff", "render"])
def test_help_tells_the_exit_codes_and_every_option(command: str) -> None:
    shown = " ".join(run(command, "--help").stdout.split())
    assert "Exit code 0" in shown
    for parameter in main.commands[command].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


@pytest.mark.parametrize(
    "arguments",
    [
        ["--file", "x.png"],
        ["--file", "x"],
        ["--file", "x.svg", "-o", "dot"],
        ["--file", "x.pdf", "-o", "svg"],
    ],
)
def test_a_picture_is_not_written_under_an_ending_that_it_has_not(
    arguments: list[str], tmp_path: Path
) -> None:
    arguments[1] = str(tmp_path / arguments[1])
    result = run("graph", "-", *arguments, text=PODS)
    assert result.exit_code == 2
    assert "--file" in result.output
    assert list(tmp_path.iterdir()) == []


OPEN = DENY.replace("name: deny", "name: open").replace(
    "[Ingress, Egress]", "[Ingress, Egress], ingress: [{}], egress: [{}]"
)


def test_policies_that_allow_everything_do_not_make_an_audit_pass() -> None:
    assert run("audit", "-", text=PODS + DENY).exit_code == 0
    result = run("audit", "-", "-o", "json", text=PODS + OPEN)
    assert result.exit_code == 1
    totals = json.loads(result.stdout)["totals"]["ingress"]
    assert (totals["podsCovered"], totals["podsOpen"], totals["podsOpenToAll"]) == (0, 0, 2)


def test_the_systems_namespaces_are_counted_apart() -> None:
    system = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: dns, namespace: kube-system}\n"
    result = run("audit", "-", "-o", "json", text=PODS + DENY + system)
    data = json.loads(result.stdout)
    assert result.exit_code == 0
    assert (data["totals"]["pods"], data["system"]["pods"]) == (2, 1)
    assert data["system"]["names"] == ["kube-system"]
    page = run("audit", "-", "-o", "markdown", text=PODS + DENY + system).stdout
    assert "Counted apart, as namespaces of the system: kube-system." in page


def test_needs_has_an_exit_code_for_what_is_cut() -> None:
    assert run("needs", "-", text=PODS).exit_code == 0
    cut = run("needs", "-", "-o", "json", text=PODS + DENY)
    assert cut.exit_code == 1
    assert json.loads(cut.stdout)["summary"]["cut"] == 1
    assert run("needs", "-", text="{}").exit_code == 2
    assert "template: dns-egress" in run("needs", "-", "--entries", text=PODS + DENY).stdout
