"""Whatever a value holds, it becomes a scalar or a structure where it is printed, and never YAML."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenantprofile.input.documents import DocumentError
from tenantprofile.rendering.environment import RunError, compile_source
from tenantprofile.rendering.parameters import resolve
from tenantprofile.rendering.placeholders import SlotReader
from tenantprofile.rendering.render import NamespaceFacts, ProfileFacts, RenderError, render
from tenantprofile.rendering.templates import Example, Template, builtin_templates

EXAMPLES = [
    pytest.param(template, example, id=f"{name}: {example.title}")
    for name, template in builtin_templates().items()
    for example in template.examples
]
ATTACKS = [
    "x\ningress: [{}]",
    "x\n- podSelector: {}",
    "}\npolicyTypes: []",
    "x: y",
    "'",
    '"',
    '", "x": "',
    "\\",
    "# comment",
    " #",
    "{{ params }}",
    "{% if true %}",
    "{# x #}",
    "{}",
    "[]",
    "null",
    "~",
    "true",
    "1",
    "0x10",
    "<<",
    "*alias",
    "&anchor",
    "!!map {}",
    "!tag",
    "---",
    "...",
    "|",
    ">",
    "%YAML 1.1",
    "\ue0000\ue001",
    "\ue0021\ue003",
    "\x00",
    "\x85",
    "\u2028",
    "\ufeff",
    "\r\n",
    "\t",
    "🙂",
    "",
    " ",
    "a" * 70_000,
]
hostile = st.sampled_from(ATTACKS) | st.text(max_size=40)
relaxed = settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))


def document(template: Template, parameters: dict[str, Any], labels: dict[str, str]) -> Any:
    """What a template renders before any schema and any rule has looked at it."""
    output = template.compiled.run(
        parameters, {"name": "shop", "labels": labels, "annotations": {}}, {"name": "p", "parameters": {}}
    )
    (found,) = SlotReader(output.text, "test", output.slots)
    return found.data


def strings(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every string in a value; a key of a map is the path of its value and `KEY`."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield (*path, key, KEY)
            yield from strings(part, (*path, key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from strings(part, (*path, index))
    elif isinstance(value, str):
        yield path


KEY = object()


def replaced(value: Any, path: tuple[Any, ...], text: str) -> Any:
    changed = copy.deepcopy(value)
    if path[-1] is KEY:
        *steps, key = path[:-1]
    else:
        *steps, key = path
    inner = changed
    for step in steps:
        inner = inner[step]
    if path[-1] is KEY:
        kept = {text if old == key else old: part for old, part in inner.items()}
        inner.clear()
        inner.update(kept)
    else:
        inner[key] = text
    return changed


def shape(value: Any, text: str) -> Any:
    """A value with the text, wherever it is or is part of something, taken out of sight."""
    if isinstance(value, dict):
        return {shape(key, text): shape(part, text) for key, part in value.items()}
    if isinstance(value, list):
        return [shape(part, text) for part in value]
    if isinstance(value, str) and (text in value or text.lower() in value):
        return "…"
    return value


@pytest.mark.parametrize(("template", "example"), EXAMPLES)
@relaxed
@given(data=st.data())
def test_a_string_in_any_parameter_of_any_template_stays_a_scalar_at_its_place_or_is_refused(
    template: Template, example: Example, data: st.DataObject
) -> None:
    parameters = resolve(template, {}, example.parameters)
    paths = [path for path in strings(parameters) if len(path) > 2 or path[-1] is not KEY]
    path = data.draw(st.sampled_from(paths)) if paths else None
    if path is None:
        return
    attack = data.draw(hostile)
    labels = dict(example.namespace_labels)
    # A harmless text that no template can tell from the attack: the filters look for / and : only.
    harmless = "zq" + re.sub("[^/:]", "q", attack)
    marked = f"zq{attack}"
    try:
        attacked = document(template, replaced(parameters, path, marked), labels)
    except (RunError, DocumentError):
        return
    expected = document(template, replaced(parameters, path, harmless), labels)
    assert shape(attacked, marked) == shape(expected, harmless)


@pytest.mark.parametrize(("template", "example"), EXAMPLES)
@relaxed
@given(data=st.data())
def test_what_comes_through_the_schema_and_the_rules_has_not_lost_a_peer_or_a_port(
    template: Template, example: Example, data: st.DataObject
) -> None:
    facts = (NamespaceFacts("shop", example.namespace_labels), ProfileFacts("p"))
    good = render(template, resolve(template, {}, example.parameters), *facts)
    paths = [path for path in strings(example.parameters) if len(path) > 2 or path[-1] is not KEY]
    if not paths:
        return
    path, attack = data.draw(st.sampled_from(paths)), data.draw(hostile)
    try:
        parameters = resolve(template, {}, replaced(example.parameters, path, attack))
        spec = render(template, parameters, *facts)
    except RenderError:
        return
    assert restrictions(spec) >= restrictions(good) or attack in ("Ingress", "Egress", "Both")


def restrictions(spec: Any) -> set[tuple[Any, ...]]:
    """Which rules have peers and ports, and how much each of them says."""
    return {
        (direction, index, field)
        for direction in ("ingress", "egress")
        for index, rule in enumerate(spec.get(direction, []))
        for field in rule
    } | {("isolates", direction) for direction in spec["policyTypes"]}


def lists(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from lists(part, (*path, key))
    elif isinstance(value, list):
        yield path
        for index, part in enumerate(value):
            yield from lists(part, (*path, index))


@pytest.mark.parametrize(("template", "example"), EXAMPLES)
def test_an_empty_list_in_any_parameter_is_refused_and_never_widens_even_without_its_schema(
    template: Template, example: Example
) -> None:
    facts = (NamespaceFacts("shop", example.namespace_labels), ProfileFacts("p"))
    parameters = resolve(template, {}, example.parameters)
    good = render(template, parameters, *facts)
    for path in lists(parameters):
        emptied = replaced(parameters, path, [])  # type: ignore[arg-type]
        with pytest.raises(RenderError) as raised:
            resolve(template, {}, emptied)
        assert raised.value.kind == "InvalidParameters"
        try:
            spec = render(template, emptied, *facts)
        except RenderError:
            continue
        if path not in {("alsoFrom",), ("except",)}:
            # Without a list of exceptions the range is whole, but only the schema's bypass gets here.
            assert spec == good, path
        assert restrictions(spec) == restrictions(good)


PLACES = """
podSelector:
  matchLabels:
    plain: {{ params.text }}
    quoted: "{{ params.text }}"
    single: '{{ params.text }}'
    inside: a-{{ params.text }}-b
    block: |
      {{ params.text }}
    "k{{ params.text }}": key
flow: [{{ params.text }}, {a: {{ params.text }}}]
# {{ params.text }}
"""


@relaxed
@given(text=hostile | st.text())
def test_a_text_arrives_exactly_at_every_kind_of_place(text: str) -> None:
    try:
        output = compile_source(PLACES).run({"text": text}, {}, {})
    except RunError as error:
        assert "reserved" in error.message
        assert re.search("[\ue000-\ue003]", text)
        return
    (found,) = SlotReader(output.text, "test", output.slots)
    assert found.data == {
        "podSelector": {
            "matchLabels": {
                "plain": text,
                "quoted": text,
                "single": text,
                "inside": f"a-{text}-b",
                "block": f"{text}\n",
                f"k{text}": "key",
            }
        },
        "flow": [text, {"a": text}],
    }


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | hostile,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(hostile, inner, max_size=3),
    max_leaves=10,
)


@relaxed
@given(value=json_values)
def test_a_structure_arrives_exactly_where_it_is_printed(value: Any) -> None:
    try:
        output = compile_source("a: {{ params.value }}\nb: 1").run({"value": value}, {}, {})
    except RunError as error:
        assert "reserved" in error.message
        return
    (found,) = SlotReader(output.text, "test", output.slots)
    assert found.data == {"a": value, "b": 1}


@relaxed
@given(labels=st.dictionaries(hostile, hostile, max_size=4), name=hostile)
def test_labels_and_names_of_a_namespace_are_values_as_well(labels: dict[str, str], name: str) -> None:
    source = "name: {{ namespace.name }}\nlabels: {{ namespace.labels }}\n"
    try:
        output = compile_source(source).run({}, {"name": name, "labels": labels, "annotations": {}}, {})
    except RunError as error:
        assert "reserved" in error.message
        return
    (found,) = SlotReader(output.text, "test", output.slots)
    assert found.data == {"name": name, "labels": labels}
