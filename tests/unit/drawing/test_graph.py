"""`tenantprofile graph`, as a person calls it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from tenantprofile.cli.main import main
from unit.drawing.worlds import shop

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def world(tmp_path):
    path = tmp_path / "shop.yaml"
    path.write_text(yaml.safe_dump_all(shop()), encoding="utf-8")
    return str(path)


def graph(*arguments, **options):
    return CliRunner().invoke(main, ["graph", *map(str, arguments)], **options)


@pytest.mark.parametrize(
    ("form", "beginning"),
    [("svg", "<svg"), ("dot", "digraph"), ("mermaid", "flowchart LR"), ("html", "<!doctype html>")],
)
def test_each_form_goes_to_standard_output(world, form, beginning):
    done = graph(world, "--output", form)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith(beginning)


@pytest.mark.parametrize(
    ("name", "beginning"),
    [("x.html", "<!doctype"), ("x.gv", "digraph"), ("x.mmd", "flow"), ("x.svg", "<svg")],
)
def test_the_name_of_the_file_decides_the_form(world, tmp_path, name, beginning):
    done = graph(world, "--file", tmp_path / name)
    assert (done.exit_code, done.stdout) == (0, "")
    assert (tmp_path / name).read_text(encoding="utf-8").startswith(beginning)


def test_the_same_input_gives_the_same_bytes(world):
    assert graph(world, "-o", "html").stdout_bytes == graph(world, "-o", "html").stdout_bytes


def test_standard_input_is_read(world):
    done = graph("-", "-o", "dot", input=yaml.safe_dump_all(shop()))
    assert done.exit_code == 0
    assert '"shop/Deployment/web" -> "shop/Deployment/api"' in done.stdout


def test_one_namespace_is_drawn_with_its_neighbours(world):
    text = graph(world, "-o", "dot", "--namespace", "shop").stdout
    assert "edge/Deployment/proxy" in text
    assert "bare/Deployment/lab" not in text


def test_an_unknown_namespace_is_refused_with_those_that_are_known(world):
    done = graph(world, "--namespace", "shoop")
    assert done.exit_code == 2
    assert "shop" in done.stderr


def test_nothing_to_read_is_refused():
    done = graph()
    assert done.exit_code == 2
    assert "nothing to read" in done.stderr


def test_a_file_that_cannot_be_written_is_told(world, tmp_path):
    done = graph(world, "--file", tmp_path / "missing" / "x.svg")
    assert done.exit_code == 2
    assert "No such file" in done.stderr


def test_input_without_workloads_is_told(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("{apiVersion: v1, kind: Namespace, metadata: {name: a}}", encoding="utf-8")
    done = graph(path)
    assert done.exit_code == 2
    assert "nothing to draw" in done.stderr


def test_a_policy_tells_where_it_comes_from(world):
    text = graph(world, "-o", "html").stdout
    assert '"place":"' + world.replace("&", "") in text


@pytest.mark.parametrize(
    ("name", "options"),
    [("graph-examples.svg", []), ("graph-payments.svg", ["--namespace", "payments", "--title", "Payments"])],
)
def test_the_pictures_in_the_documentation_are_those_of_the_examples(name, options):
    """After a change: python tests/browser/pictures.py."""
    done = graph(ROOT / "examples", *options)
    assert done.stdout == (ROOT / "docs" / "images" / name).read_text(encoding="utf-8")


def test_the_documentation_shows_what_the_command_prints():
    done = graph(ROOT / "examples", "--namespace", "payments", "--output", "mermaid")
    assert done.stdout in (ROOT / "docs" / "commands" / "graph.md").read_text(encoding="utf-8")


LEVELS = """
{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: one, labels: {app: a}}, spec: {containers: []}}
---
{apiVersion: v1, kind: Pod, metadata: {name: b, namespace: one, labels: {app: b}}, spec: {containers: []}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: all, namespace: one}
spec: {podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{}], egress: [{}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: b, namespace: one}
spec: {podSelector: {matchLabels: {app: b}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {}}]}]}
"""


@pytest.mark.parametrize("form", ["svg", "dot", "mermaid", "html"])
def test_a_collapsed_namespace_tells_its_flows_and_its_third_level(tmp_path, form):
    path = tmp_path / "x.yaml"
    path.write_text(LEVELS, encoding="utf-8")
    text = graph(path, "--detail", "namespaces", "--output", form).stdout
    assert "1 flow inside" in text or "2 flows inside" in text
    assert "open to all" in text.lower()
    without = [line for line in text.lower().splitlines() if "without a policy in some direction" in line]
    assert all("${" in line for line in without), "every pod has policies"
