"""The command: what it reads and prints, its options, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from tenantprofile.cli.main import main
from tenantprofile.linting.catalogue import RULES
from unit.linting.test_policies import GOOD
from unit.linting.test_waivers import POLICY

NAMED = GOOD.replace("port: 80", "port: http")  # named-port: info
WIDE = GOOD.replace("podSelector: {matchLabels: {app: api}}", "namespaceSelector: {}")  # warning
WRONG = GOOD.replace("from:", "form:")  # error
COMMENTED = WIDE.replace(
    "    - from:", "    # tenantprofile-lint: waive every-namespace until 2999-01-31: public\n    - from:"
)


def run(*arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(main, ["lint", *arguments], input=text)


def data(*arguments: str, text: str) -> Any:
    return json.loads(run("-", "-o", "json", *arguments, text=text).stdout)


def rules(*arguments: str, text: str) -> list[str]:
    return [finding["rule"] for finding in data(*arguments, text=text)["findings"]]


@pytest.mark.parametrize(
    ("text", "threshold", "code"),
    [
        (GOOD, "info", 0),
        (NAMED, "info", 1),
        (NAMED, "warning", 0),
        (WIDE, "info", 1),
        (WIDE, "warning", 1),
        (WIDE, "error", 0),
        (WRONG, "error", 1),
        (WRONG, "never", 0),
    ],
)
def test_the_exit_code_is_1_from_the_threshold_on(text: str, threshold: str, code: int) -> None:
    assert run("-", "--fail-on", threshold, text=text).exit_code == code


def test_warnings_fail_unless_told_otherwise() -> None:
    assert run("-", text=WIDE).exit_code == 1
    assert run("-", text=NAMED).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["/no/such/file"], "/no/such/file: no such file or folder"),
        ([], "nothing to judge"),
        (["-", "--disable", "evry-peer"], "no rule or group 'evry-peer' (did you mean \"every-peer\"?)"),
        (["-", "--today", "soon"], "--today: found 'soon'"),
    ],
)
def test_what_cannot_run_is_2_with_the_reason(arguments: list[str], complaint: str) -> None:
    done = run(*arguments, text=GOOD)
    assert done.exit_code == 2
    assert complaint in done.stderr
    assert done.stdout == ""


def test_text_that_is_no_yaml_is_2_with_its_line() -> None:
    done = run("-", text="a: [")
    assert done.exit_code == 2
    assert "standard input:1" in done.stderr or "standard input:2" in done.stderr


def test_rules_are_switched_by_id_and_by_group() -> None:
    assert rules(text=NAMED) == ["named-port"]
    assert rules("--disable", "named-port", text=NAMED) == []
    assert rules("--disable", "portability", text=NAMED) == []
    assert rules("--select", "every-peer,api", text=NAMED) == []
    assert rules("--select", "portability", "--disable", "port-range", text=NAMED) == ["named-port"]


def test_a_rule_that_is_off_is_asked_for() -> None:
    ranged = GOOD.replace("port: 80", "port: 80, endPort: 90")
    assert rules(text=ranged) == []
    assert rules("--enable", "port-range", text=ranged) == ["port-range"]


def test_json_and_yaml_say_the_same() -> None:
    printed = run("-", "-o", "yaml", text=WIDE).stdout
    assert yaml.safe_load(printed) == data(text=WIDE)
    (finding,) = data(text=WIDE)["findings"]
    assert finding["object"] == {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "namespace": "shop",
        "name": "web",
    }
    assert (finding["file"], finding["line"]) == ("standard input", 12)
    assert data(text=WIDE)["summary"] == {"objects": 1, "error": 0, "warning": 1, "info": 0, "waived": 0}


def test_a_comment_waives_also_on_standard_input() -> None:
    assert rules(text=COMMENTED) == []
    assert [found["rule"] for found in data(text=COMMENTED)["waived"]] == ["every-namespace"]
    assert "waived: an empty namespaceSelector" in run("-", "--show-waived", text=COMMENTED).stdout
    assert "1 waived" in run("-", text=COMMENTED).stdout


def test_the_day_decides_about_waivers() -> None:
    text = POLICY.format(waiver="every-peer: x, until 2027-01-31")
    assert "every-peer" not in rules("--today", "2027-01-31", text=text)
    assert {"every-peer", "waiver-expired"} <= set(rules("--today", "2027-02-01", text=text))


def test_markdown_explains_each_rule_once() -> None:
    done = run("-", "-o", "markdown", text=WIDE + "---" + WIDE.replace("name: web", "name: web-2"))
    assert done.stdout.count("- **`every-namespace`**") == 1
    assert done.stdout.count("| warning |") == 2


def test_sarif_is_for_code_hosts(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(WIDE)
    log = json.loads(run(str(tmp_path), "-o", "sarif").stdout)
    assert log["version"] == "2.1.0"
    assert len(log["runs"][0]["results"]) == 1


def test_the_list_of_rules() -> None:
    listed = json.loads(run("--list", "-o", "json").stdout)
    assert [rule["id"] for rule in listed["rules"]] == list(RULES)
    for output in ("table", "markdown", "yaml"):
        done = run("--list", "-o", output)
        assert done.exit_code == 0
        assert all(rule in done.stdout for rule in RULES)
    assert run("--list", "-o", "sarif").exit_code == 2


def test_a_folder_may_hold_other_yaml(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(GOOD)
    (tmp_path / "values.yaml").write_text("replicas: 2\n")
    done = run(str(tmp_path))
    assert done.exit_code == 0
    assert "values.yaml" in done.stderr


def test_an_input_without_policies_is_said_to_be_one() -> None:
    done = run("-", text="apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")
    assert done.exit_code == 2
    assert "no NetworkPolicy, TenantProfile or PolicyTemplate" in done.stderr
