"""The recipes 01 to 14 that people copy: each promise they make holds."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest
import yaml

from tenantprofile.connectivity.connections import ConnectionMap
from tenantprofile.connectivity.verdict import verdict
from tenantprofile.connectivity.workloads import Workload
from tenantprofile.connectivity.world import World

RECIPES = yaml.safe_load((Path(__file__).parent / "recipes.yaml").read_text())


def manifest(kind, path, **fields):
    namespace, _, name = path.rpartition("/")
    metadata = {"name": name, "labels": fields.pop("labels", {})}
    if namespace:
        metadata["namespace"] = namespace
    version = "networking.k8s.io/v1" if kind == "NetworkPolicy" else "v1"
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **fields}


def world_of(recipe):
    for name, labels in recipe.get("namespaces", {}).items():
        yield manifest("Namespace", name, labels=labels)
    for path, facts in recipe["pods"].items():
        ports = [{"name": name, "containerPort": number} for name, number in facts.get("ports", {}).items()]
        spec = {"containers": [{"name": "main", "ports": ports}]}
        yield manifest("Pod", path, labels=facts.get("labels", facts), spec=spec)
    for path, spec in recipe["policies"].items():
        yield manifest("NetworkPolicy", path, spec=spec)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe["recipe"])
def test_the_recipe_keeps_its_promises(recipe):
    world = World.from_objects(world_of(recipe))
    table = ConnectionMap(world)
    for meaning in ("allowed", "blocked"):
        for promise in recipe.get(meaning, []):
            source, _, rest = promise.partition(" -> ")
            destination, protocol, port = rest.split()
            ends = [world.find(t)[0] if "/" in t else ip_address(t) for t in (source, destination)]
            expected = meaning == "allowed"
            assert verdict(world, *ends, protocol, int(port)).allowed == expected, promise
            assert mapped(table, *ends).contains(protocol, int(port)) == expected, promise


def mapped(table, source, destination):
    if isinstance(source, Workload) and isinstance(destination, Workload):
        return table.between(source, destination)
    scope, pod, address = (
        ("outbound", source, destination)
        if isinstance(source, Workload)
        else ("inbound", destination, source)
    )
    parts = table.addresses(table.classes.kind_of[pod.key].role, scope)
    (found,) = [ports for ports, addresses in parts.items() if addresses.contains(address)]
    return found


def test_all_recipes_are_here():
    assert {recipe["recipe"][:2] for recipe in RECIPES} == {f"{number:02}" for number in range(1, 15)}
