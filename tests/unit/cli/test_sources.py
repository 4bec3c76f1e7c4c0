"""Reading: files, folders and standard input; what is passed over is said, what is wrong ends it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tenantprofile.cli.main import main
from tenantprofile.cli.sources import SourceError, read_sources

SPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n"


def test_a_folder_is_read_to_the_bottom_in_order_and_without_what_is_hidden(tmp_path: Path) -> None:
    for name in ("b.yaml", "a/z.yml", "a/deep/x.json", ".git/c.yaml", "a/readme.md"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = SPACE % path.stem
        path.write_text(
            text
            if path.suffix != ".json"
            else '{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"x"}}'
        )
    found = read_sources([str(tmp_path)])
    assert [item.name for item in found.objects] == ["x", "z", "b"]
    assert found.notes == []


def test_other_yaml_in_a_folder_is_passed_over_and_said_but_not_in_a_named_file(tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text("replicas: 3\n")
    (tmp_path / "ns.yaml").write_text(SPACE % "shop")
    found = read_sources([str(tmp_path)])
    assert [item.name for item in found.objects] == ["shop"]
    (note,) = found.notes
    assert note.startswith(f"{values}:1: found a map with replicas; expected")
    with pytest.raises(SourceError, match="expected a Kubernetes object"):
        read_sources([str(values)])


def test_a_file_named_twice_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "ns.yaml"
    path.write_text(SPACE % "shop")
    assert len(read_sources([str(path), str(path)]).objects) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe", "not UTF-8"),
        (b"a: [", "x.yaml:2"),
        (None, "no such file or folder"),
    ],
)
def test_what_cannot_be_read_is_an_error_with_its_file(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "x.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=message) as caught:
        read_sources([str(path)])
    assert "x.yaml" in str(caught.value)


def test_standard_input_is_a_source_like_any_other() -> None:
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: %s, namespace: a}\n"
    done = CliRunner().invoke(
        main, ["connections", "-", "-o", "csv"], input="---\n".join(pod % name for name in ("one", "two"))
    )
    assert done.exit_code == 0
    assert "a/one,a/two,all" in done.stdout.splitlines()


@pytest.mark.parametrize("command", ["test", "audit", "connections"])
def test_without_anything_to_read_a_command_says_how_to_name_it(command: str) -> None:
    done = CliRunner(env={"KUBECONFIG": "/dev/null"}).invoke(main, [command])
    assert done.exit_code == 2
    assert "nothing to read; name files" in done.stderr


def test_the_current_context_is_never_used_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenantprofile.cli.sources._read_cluster", None)
    done = CliRunner(env={"KUBECONFIG": "/dev/null"}).invoke(main, ["connections", "-"], input=SPACE % "shop")
    assert "nothing between which connections could be" in done.stderr


NETWORK_POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress]}
"""


def test_what_bears_on_nothing_in_a_folder_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "deny.yaml").write_text(NETWORK_POLICY)
    (tmp_path / "chart.yaml").write_text("metadata:\n  name: {{ .Values.name }}\n")
    (tmp_path / "hass.yaml").write_text("password: !secret x\n")
    found = read_sources([str(tmp_path)])
    assert [item.name for item in found.objects] == ["deny"]
    notes = "\n".join(found.notes)
    assert "a Go template; render it first: helm template" in notes
    assert "hass.yaml:1:11: found a tag" in notes


def test_every_file_of_a_folder_that_should_be_read_and_cannot_is_named(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text("kind: NetworkPolicy\nspec: [\n")
    with pytest.raises(SourceError) as caught:
        read_sources([str(tmp_path)])
    assert "a.yaml" in str(caught.value)
    assert "b.yaml" in str(caught.value)
    assert read_sources([str(tmp_path)], exclude=["[ab].yaml"]).objects == []


def test_json_objects_may_follow_each_other(tmp_path: Path) -> None:
    one = '{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "%s"}}\n'
    file = tmp_path / "stream.json"
    file.write_text(one % "a" + one % "b")
    found = read_sources([str(file)]).objects
    assert [(item.name, item.origin.line(("metadata",))) for item in found] == [("a", 1), ("b", 2)]


def test_deep_json_is_an_error_and_no_stack(tmp_path: Path) -> None:
    file = tmp_path / "deep.json"
    file.write_text('{"kind": "Pod", "spec": ' + "[" * 3000 + "]" * 3000 + "}")
    with pytest.raises(SourceError, match="levels of nesting"):
        read_sources([str(file)])


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("extensions/v1beta1", "NetworkPolicy"),
        ("networking.k8s.io/v1beta1", "NetworkPolicy"),
        ("networking.k8s.io/v1", "NetworkPolcy"),
        ("networking.k8s.io/v1", "networkpolicy"),
        ("cilium.io/v2", "CiliumNetworkPolicy"),
        ("projectcalico.org/v3", "GlobalNetworkPolicy"),
        ("crd.antrea.io/v1beta1", "ClusterNetworkPolicy"),
        ("policy.networking.k8s.io/v1alpha1", "AdminNetworkPolicy"),
    ],
)
def test_policies_that_are_not_read_are_named(tmp_path: Path, version: str, kind: str) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(
        f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: p, namespace: shop}}\nspec: {{}}\n"
    )
    found = read_sources([str(file)])
    assert found.lacking
    assert f"1 {kind} ({version})" in found.notes[0]


def test_objects_without_a_namespace_are_placed_and_told_of(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(NETWORK_POLICY + "---" + NETWORK_POLICY.replace(", namespace: shop", ""))
    assert (
        "1 object without a namespace is taken as in namespace default" in read_sources([str(file)]).notes[0]
    )
    placed = read_sources([str(file)], default_namespace="team")
    assert [item.namespace for item in placed.objects] == ["shop", "team"]
    assert placed.notes == []
