"""What a round found, as a report and as a picture (pure)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tenantprofile.analysis.evidence import Circumstances, evidence, markdown
from tenantprofile.analysis.following import Found
from tenantprofile.connectivity.connections import ConnectionMap
from tenantprofile.connectivity.policies import DIRECTIONS
from tenantprofile.connectivity.settings import Settings
from tenantprofile.connectivity.world import World
from tenantprofile.drawing.page import as_page
from tenantprofile.drawing.topology import TooLargeError, topology
from tenantprofile.linting.data import as_data

DRAWN_PODS: Final = 5_000
"""Pods up to which the whole cluster is drawn."""
DRAWN_NAMESPACES: Final = 40
"""Namespaces in the picture of a larger one: those with something open first."""
TOLD: Final = 1_000
"""Findings of lint that the report holds; the summary counts all."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """How well the cluster is known. problems: why kinds cannot be followed, by kind; ages: in seconds, by kind."""

    ages: Mapping[str, float]
    problems: Mapping[str, str]
    unreadable: Mapping[str, int]
    others: tuple[str, ...] = ()
    """What else keeps the report from being the present."""

    @property
    def complete(self) -> bool:
        """Whether the report can be relied on."""
        return not self.problems and not self.others

    def lines(self) -> list[str]:
        """What is wrong, for people."""
        lost = [f"{count} {kind} cannot be read" for kind, count in self.unreadable.items() if count]
        return [*self.problems.values(), *self.others, *lost]


def report(found: Found, circumstances: Circumstances, inputs: Inputs) -> dict[str, Any]:
    """What `audit -o json` says, without pods that are restricted, and with lint, assertions and inputs."""
    data = evidence(found.assembly, found.audit, circumstances, restricted_pods=False)
    linted = as_data(found.lint)
    return {
        **data,
        "complete": inputs.complete,
        "inputs": {
            kind: {
                "ageSeconds": round(age, 1),
                "problem": inputs.problems.get(kind, ""),
                "unreadable": inputs.unreadable.get(kind, 0),
            }
            for kind, age in inputs.ages.items()
        },
        "problems": inputs.lines(),
        "assertions": [outcome.data() for outcome in found.assertions],
        "lint": {
            "summary": linted["summary"],
            "findings": linted["findings"][:TOLD],
            "omitted": max(0, len(linted["findings"]) - TOLD),
        },
    }


def report_text(data: Mapping[str, Any]) -> str:
    """The same for people."""
    lines = []
    if data["problems"]:
        word = "not up to date" if not data["complete"] else "incomplete"
        lines += [f"**This report is {word}:**", "", *(f"- {text}" for text in data["problems"]), ""]
    lines += [markdown(data).rstrip("\n"), "", "## Assertions", ""]
    violated = [one for one in data["assertions"] if one["status"] in ("failed", "error")]
    lines += [f"- {one['suite']}: {one['name']}: {one.get('message', one['status'])}" for one in violated]
    lines += [] if violated else ["None is violated." if data["assertions"] else "There are none."]
    lines += ["", "## Lint", ""]
    for one in data["lint"]["findings"]:
        item = one["object"]
        name = f"{item['namespace']}/{item['name']}" if item["namespace"] else item["name"]
        lines.append(f"- {one['severity']} {one['rule']}: {item['kind']} {name}: {one['message']}")
    if data["lint"]["omitted"]:
        lines.append(f"- and {data['lint']['omitted']} more")
    lines += [] if data["lint"]["findings"] else ["Nothing was found."]
    return "\n".join(lines) + "\n"


def picture(found: Found, settings: Settings, wanted: Collection[str] = (), *, stale: bool = False) -> str:
    """The page with what policies allow: of the wanted namespaces, or else of the cluster or its worst part.

    Raises TooLargeError where even that is too much to draw.
    """
    world = found.assembly.world
    known = [name for name in world.namespaces if name in wanted]
    title = "NOT UP TO DATE: what policies allowed" if stale else "What policies allow"
    if known:
        title += " in " + ", ".join(known)
        world = _only(world, known[:DRAWN_NAMESPACES])
    elif len(world.workloads) <= DRAWN_PODS:
        try:
            return as_page(topology(ConnectionMap(world, settings)), title=title)
        except TooLargeError:
            pass
    if not known:
        shown = _worst(found)
        title += f" ({len(shown)} of {len(world.namespaces)} namespaces, those with something open first)"
        world = _only(world, shown)
    return as_page(topology(ConnectionMap(world, settings)), title=title)


def _worst(found: Found) -> list[str]:
    """Namespaces with something open, then others, by name; so many that there are not too many pods."""
    widened = {one.policy.namespace for one in found.audit.widenings}

    def order(name: str) -> tuple[bool, str]:
        space = spaces.get(name)
        bad = name in widened or (
            space is not None
            and not space.system
            and (not space.covered or any(space.uncovered(d) or space.wide(d) for d in DIRECTIONS))
        )
        return not bad, name

    spaces = {space.name: space for space in found.audit.namespaces}
    world = found.assembly.world
    chosen: list[str] = []
    pods = 0
    for name in sorted(world.namespaces, key=order):
        pods += len(world.workloads_in(name))
        if chosen and pods > DRAWN_PODS:
            break
        chosen.append(name)
        if len(chosen) == DRAWN_NAMESPACES:
            break
    return chosen


def _only(world: World, names: Collection[str]) -> World:
    """A world of some namespaces. What the others have in common with them is not drawn."""
    return World(
        [world.namespaces[name] for name in names],
        [workload for name in names for workload in world.workloads_in(name)],
        [service for service in world.services.values() if service.namespace in names],
        [policy for name in names for policy in world.policies_in(name)],
        world.nodes,
    )
