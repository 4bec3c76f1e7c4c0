"""The chart's README and schema come from values.yaml, and a value that nobody described is an error."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("chart_generate", ROOT / "deploy" / "helm" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)

    # dataclasses look their module up there
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_readme_and_schema_are_up_to_date(generate: ModuleType) -> None:
    assert generate.main(["--check"]) == 0


def test_every_value_is_read(generate: ModuleType) -> None:
    text = (generate.CHART / "values.yaml").read_text()
    read = {v.path for v in generate.read(text)}

    def paths(values: object, prefix: str = "") -> set[str]:
        if not isinstance(values, dict) or prefix.rstrip(".") in generate.FREE:
            return {prefix.rstrip(".")}
        return {p for k, v in values.items() for p in paths(v, f"{prefix}{k}.")} or {prefix.rstrip(".")}

    groups = {p.path for p in generate.read(text) if p.is_group}
    assert read - groups == paths(yaml.safe_load(text))


def test_a_value_without_a_comment_is_named(generate: ModuleType) -> None:
    with pytest.raises(generate.MissingCommentError, match=r"a\.c has no comment"):
        generate.read("a:\n  # about b\n  b: 1\n  c: 2\n")


def test_the_type_and_the_bounds_get_into_the_schema(generate: ModuleType) -> None:
    schema = generate.schema(generate.read("# how many\nreplicas: 1\n"))
    assert schema["properties"]["replicas"] == {
        "description": "how many", "type": "integer", "minimum": 0, "maximum": 20,
    }  # fmt: skip
    assert schema["additionalProperties"] is False
