"""Every built-in template does on the wire what the connectivity engine says of it.

Alone: every example of every template, for a namespace of its own. Together: the first, the second
and the third examples of all templates at once, as one profile. The operator renders and writes the
policies; the parties are those whom the policies name, and their near misses.
"""

from __future__ import annotations

import pytest

from packets import oracle
from packets.cast import cast_for
from packets.tenancy import Tenancy
from packets.world import World
from tenantprofile.rendering.templates import Example, builtin_templates

EXAMPLES = [
    pytest.param(name, example, id=f"{name}: {example.title}")
    for name, template in builtin_templates().items()
    for example in template.examples
]
LABEL = {"packets-test": "templates"}


def test_every_template_has_three_sets_of_parameters_to_try() -> None:
    few = {name: len(t.examples) for name, t in builtin_templates().items() if len(t.examples) < 3}
    assert not few


@pytest.mark.slow
@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_alone(name: str, example: Example, world: World, tenancy: Tenancy) -> None:
    _check(world, tenancy, {name: example})


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1, 2])
def test_together(number: int, world: World, tenancy: Tenancy) -> None:
    _check(world, tenancy, {name: t.examples[number] for name, t in builtin_templates().items()})


def _check(world: World, tenancy: Tenancy, chosen: dict[str, Example]) -> None:
    """One namespace, a second one under the same profile, and everybody whom the policies name."""
    labels = {k: v for example in chosen.values() for k, v in example.namespace_labels.items()} | LABEL
    namespaces = {"subject": labels, "sibling": labels}
    for name, own in namespaces.items():
        world.add_namespace(name, own)
    entries = [{"template": name, "parameters": dict(e.parameters)} for name, e in chosen.items()]
    tenancy.profile("wire", LABEL, entries)
    policies = []
    for namespace in namespaces:
        found = tenancy.expect(namespace, [f"wire.{name}" for name in chosen])
        policies += [(namespace, item["spec"]) for item in found.values()]
    cast = cast_for(policies, namespaces)
    cast.enter(world)
    comparison = oracle.compare(world, cast.flows(world))
    print(comparison)
    assert not comparison.differences, str(comparison)
    assert comparison.allowed < comparison.flows
