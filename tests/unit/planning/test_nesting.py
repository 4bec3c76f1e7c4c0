"""What the API server stores however deeply it is nested is refused with its place, and not by the stack."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tenantprofile.input.documents import DocumentError, read_documents
from tenantprofile.input.nesting import deeper_than
from tenantprofile.input.objects import read_text
from tenantprofile.planning.profile import MAX_LEVELS, ProfileError, parse_profile
from tenantprofile.rendering.errors import RenderError
from tenantprofile.rendering.parameters import resolve
from tenantprofile.rendering.templates import TemplateError, load_policy_template

DEPTHS = [100, 1100, 9900]


def nested(levels: int, lists: bool) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value] if lists else {"a": value}
    return value


def profile(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "uid": "u"},
        "spec": {
            "namespaceSelector": {"matchLabels": {"a": "b"}},
            "policies": [{"template": "default-deny"}],
            **spec,
        },
    }


@pytest.mark.parametrize("lists", [False, True])
@pytest.mark.parametrize("levels", DEPTHS)
@pytest.mark.parametrize(
    ("wrap", "place"),
    [
        (lambda d: profile(parameters={"x": d}), "spec.parameters.x"),
        (lambda d: profile(parameters=d), "spec.parameters"),
        (
            lambda d: profile(policies=[{"template": "t", "parameters": {"x": d}}]),
            "spec.policies[0].parameters.x",
        ),
        (lambda d: profile(policies=d), "spec.policies"),
        (lambda d: profile(policies=[{"template": d}]), "spec.policies[0].template"),
        (
            lambda d: profile(namespaceSelector={"matchLabels": {"a": d}}),
            "spec.namespaceSelector.matchLabels.a",
        ),
        (lambda d: profile(assertions=d), "spec.assertions"),
        (lambda d: profile(drift=d), "spec.drift"),
        (lambda d: profile(excludedNamespaces=d), "spec.excludedNamespaces"),
    ],
)
def test_a_profile_of_any_depth_is_refused_with_its_place(
    wrap: Any, place: str, levels: int, lists: bool
) -> None:
    with pytest.raises(ProfileError) as raised:
        parse_profile(wrap(nested(levels, lists)))
    assert place in str(raised.value)
    assert f"deeper than {MAX_LEVELS} levels" in str(raised.value)
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize(
    "metadata", [None, [1], {"name": nested(9900, True)}, {"name": "p", "generation": {}}]
)
def test_metadata_of_another_shape_is_refused_or_left_out(metadata: Any) -> None:
    with pytest.raises(ProfileError):
        parse_profile({"metadata": metadata, "spec": {}})


def test_a_json_file_of_any_depth_is_refused_with_its_line() -> None:
    text = '{"apiVersion":' * 9900 + "1" + "}" * 9900
    with pytest.raises(DocumentError, match="levels of nesting"):
        list(read_text(text, "file.json"))


def test_parameters_that_a_profile_may_have_are_still_refused_where_no_template_takes_them() -> None:
    made = parse_profile(profile(parameters={"x": nested(50, False)}))
    template = load_policy_template({"metadata": {"name": "t"}, "spec": {"template": "podSelector: {}\n"}})
    with pytest.raises(RenderError, match="nested deeper than 40"):
        resolve(template, made.parameters, {})


@pytest.mark.parametrize("lists", [False, True])
@pytest.mark.parametrize("levels", [*DEPTHS, 200])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda d: {"properties": {"a": {"default": d}}},
        lambda d: {"properties": {"a": {"enum": [d]}}},
        lambda d: {"properties": {"a": {"const": d}}},
        lambda d: {"properties": {"a": {"format": d}}},
        lambda d: {"properties": {"a": {"items": d}}},
        lambda d: {"properties": d},
        lambda d: {"required": d},
        lambda d: {"type": d},
        lambda d: d,
    ],
)
def test_a_schema_of_any_depth_is_refused(wrap: Any, levels: int, lists: bool) -> None:
    with pytest.raises(TemplateError):
        load_policy_template(
            {
                "metadata": {"name": "t"},
                "spec": {"template": "a: 1", "parameters": wrap(nested(levels, lists))},
            }
        )


@pytest.mark.parametrize("field", ["template", "description"])
def test_a_template_s_texts_may_be_no_structures(field: str) -> None:
    spec = {"template": "a: 1", field: nested(9900, False)}
    with pytest.raises(TemplateError, match=f"spec.{field}"):
        load_policy_template({"metadata": {"name": "t"}, "spec": spec})


@pytest.mark.parametrize("text", ["[" * 9900, '{"a":' * 9900, "- " * 9900, "[" * 9900 + "]" * 9900])
def test_a_file_of_any_depth_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(DocumentError, match=r":1:\d+: "):
        read_documents(text)


def test_levels_are_counted_of_maps_and_lists() -> None:
    assert deeper_than({"a": [{"b": 1}]}, 3) is None
    assert deeper_than({"a": [{"b": 1}], "c": {}}, 2) == ("a", 0)
    assert deeper_than({"z": 1, "a": {}, "c": [1, [2, [3]]]}, 3) == ("c", 1, 1)
    assert deeper_than("text", 1) is None
    assert json.dumps(nested(60, True))
