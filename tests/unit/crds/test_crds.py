"""What can be known about the CRDs without an API server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tenantprofile import names

ROOT = Path(__file__).resolve().parents[3]
FILES = sorted((ROOT / "crds").glob(f"{names.GROUP}_*.yaml"))
COMPOSITIONS = ("allOf", "anyOf", "oneOf", "not")


def load(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return document


def schemas(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """A schema and everything below it, each with its path."""
    yield path, schema
    for name, below in schema.get("properties", {}).items():
        yield from schemas(below, f"{path}.{name}")
    for part in ("items", "additionalProperties"):
        if isinstance(schema.get(part), Mapping):
            yield from schemas(schema[part], f"{path}[{part}]")


def versions() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in FILES:
        crd = load(path)
        for version in crd["spec"]["versions"]:
            yield f"{crd['spec']['names']['kind']} {version['name']}", version


EVERY_SCHEMA = [
    pytest.param(schema, id=path)
    for title, version in versions()
    for path, schema in schemas(version["schema"]["openAPIV3Schema"], title)
]


def test_both_kinds_are_there() -> None:
    assert {load(path)["spec"]["names"]["kind"] for path in FILES} == {"TenantProfile", "PolicyTemplate"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_is_named_after_its_crd_and_the_code_speaks_of_the_same_group_and_version(path: Path) -> None:
    crd = load(path)
    spec = crd["spec"]
    assert crd["metadata"]["name"] == f"{spec['names']['plural']}.{spec['group']}"
    assert path.name == f"{spec['group']}_{spec['names']['plural']}.yaml"
    assert spec["group"] == names.GROUP
    assert [version["name"] for version in spec["versions"] if version["storage"]] == [names.VERSION]
    assert spec["scope"] == "Cluster"


def test_the_kustomization_installs_every_crd_and_kubectl_apply_passes_over_it() -> None:
    """`kubectl apply -f crds/` reads every .json, .yaml and .yml there, and knows no kind Kustomization."""
    kustomization = load(ROOT / "crds" / "Kustomization")
    assert sorted(kustomization["resources"]) == [path.name for path in FILES]
    read_by_kubectl = [p for p in (ROOT / "crds").iterdir() if p.suffix in {".json", ".yaml", ".yml"}]
    assert sorted(read_by_kubectl) == FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_tool_deletes_a_crd_in_passing(path: Path) -> None:
    """Helm (helm.sh/docs/howto/charts_tips_and_tricks), Argo CD (sync options), Flux (Kustomization, prune)."""
    assert load(path)["metadata"]["annotations"] == {
        "helm.sh/resource-policy": "keep",
        "argocd.argoproj.io/sync-options": "Prune=false,Delete=false",
        "kustomize.toolkit.fluxcd.io/prune": "disabled",
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_category_hides_the_singular_name(path: Path) -> None:
    """Kubectl looks for categories first: `kubectl get tenantprofile x` would no longer work."""
    kind = load(path)["spec"]["names"]
    assert kind["categories"]
    assert not set(kind["categories"]) & {kind["singular"], kind["plural"], *kind["shortNames"]}


@pytest.mark.parametrize("version", [pytest.param(v, id=t) for t, v in versions()])
def test_the_status_is_a_subresource(version: dict[str, Any]) -> None:
    assert version["subresources"] == {"status": {}}


@pytest.mark.parametrize("schema", EVERY_SCHEMA)
def test_every_field_has_a_type_and_a_description(
    schema: Mapping[str, Any], request: pytest.FixtureRequest
) -> None:
    """A schema is structural when everything in it is typed (API documentation, CustomResourceDefinition)."""
    assert schema.get("type") or schema.get("x-kubernetes-int-or-string")
    assert not set(schema) & set(COMPOSITIONS)
    path = request.node.callspec.id
    if not path.endswith((".metadata", "[additionalProperties]")):
        assert schema.get("description", "").strip(), f"{path} has no description"


@pytest.mark.parametrize("schema", EVERY_SCHEMA)
def test_whatever_people_write_is_bounded(schema: Mapping[str, Any], request: pytest.FixtureRequest) -> None:
    path = request.node.callspec.id
    if path.endswith((".apiVersion", ".kind")) or "enum" in schema or "format" in schema:
        return
    if schema.get("x-kubernetes-int-or-string") or schema["type"] == "string":
        assert "maxLength" in schema
    if schema.get("type") == "array":
        assert "maxItems" in schema
        assert "x-kubernetes-list-type" in schema, "server-side apply has to know who owns the items"
    if "additionalProperties" in schema:
        assert "maxProperties" in schema


@pytest.mark.parametrize("schema", EVERY_SCHEMA)
def test_every_rule_has_a_message_on_one_line(schema: Mapping[str, Any]) -> None:
    for rule in schema.get("x-kubernetes-validations", ()):
        assert rule.get("message") or rule.get("messageExpression")
        assert "\n" not in rule.get("message", "")
        assert "\n" not in rule.get("messageExpression", "")


@pytest.mark.parametrize("version", [pytest.param(v, id=t) for t, v in versions()])
def test_every_column_shows_a_field_that_exists(version: dict[str, Any]) -> None:
    root = version["schema"]["openAPIV3Schema"]
    for column in version["additionalPrinterColumns"]:
        schema: Mapping[str, Any] = root
        path = column["jsonPath"].removeprefix(".")
        if path == "metadata.creationTimestamp":
            continue
        for part in path.replace('conditions[?(@.type=="Ready")]', "conditions").split("."):
            schema = (schema["items"] if schema["type"] == "array" else schema)["properties"][part]
        assert schema["type"] == column["type"]


def test_a_status_of_the_greatest_size_stays_below_32_kib() -> None:
    """Three conditions of a sensible length, and every problem that the schema lets through."""
    status = load(ROOT / "crds" / f"{names.GROUP}_tenantprofiles.yaml")["spec"]["versions"][0]["schema"][
        "openAPIV3Schema"
    ]["properties"]["status"]["properties"]
    problem = status["problems"]["items"]["properties"]
    one = sum(field["maxLength"] + len(name) + 6 for name, field in problem.items()) + 3
    assert one * status["problems"]["maxItems"] + 3 * 1024 < 32 * 1024
