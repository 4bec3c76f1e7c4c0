"""`tenantprofile render`: exactly what the operator would apply, without a cluster."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import click
import yaml

from tenantprofile.analysis.world import manifest_of
from tenantprofile.cli.output import output_option, say, stop
from tenantprofile.cli.sources import SourceError, read_sources
from tenantprofile.input.objects import SourceObject
from tenantprofile.names import API_VERSION, LABEL_NAMESPACE_NAME
from tenantprofile.planning.desired import ProfilePlan, Refusal
from tenantprofile.planning.loading import LoadError, load_templates, namespace_facts
from tenantprofile.planning.profile import Profile, ProfileError, parse_profile
from tenantprofile.rendering.facts import NamespaceFacts

Manifest = dict[str, Any]


@click.command()
@click.option(
    "--profile",
    "profiles",
    multiple=True,
    required=True,
    help="File or folder with TenantProfiles (and PolicyTemplates); - for standard input. Repeatable.",
)
@click.option(
    "--template",
    "templates",
    multiple=True,
    help="File or folder with PolicyTemplates that the profiles use. Repeatable.",
)
@click.option(
    "--namespace",
    "namespaces",
    multiple=True,
    required=True,
    help="A file or folder with Namespaces, or the name of a namespace without labels, for which"
    " the selectors are not asked. Repeatable.",
)
@output_option("yaml", "json")
def render(
    profiles: tuple[str, ...],
    templates: tuple[str, ...],
    namespaces: tuple[str, ...],
    output: Literal["yaml", "json"],
) -> None:
    """Print the NetworkPolicies that the operator would apply, offline.

    Exit code 0 when all are printed, 1 when a policy is refused (the others are printed all the same),
    2 when the input cannot be read. A profile whose own assertions do not hold is refused as a whole.
    An owner reference needs the profile's uid, which a file lacks: it is left out where the file has
    none.
    """
    objects = _read(*profiles, *templates)
    known = load_templates(objects, lambda wrong: stop(str(wrong)))
    plans = [ProfilePlan(profile, known) for profile in _profiles(objects)]
    printed: list[Manifest] = []
    refused = 0
    for facts, ask in _namespaces(namespaces):
        for plan in plans:
            profile = plan.profile
            if ask and not profile.selects(facts.name, facts.labels):
                continue
            for item in plan.desired(facts):
                if isinstance(item, Refusal):
                    refused += 1
                    if item.message:
                        name = f"{profile.name}/{item.entry}" if item.entry else profile.name
                        click.echo(f"{name} in {facts.name}: {item.reason}: {item.message}", err=True)
                else:
                    printed.append(manifest_of(item, profile, facts.name))
    if output == "json":
        click.echo(json.dumps({"apiVersion": "v1", "kind": "List", "items": printed}, indent=2))
    elif printed:
        click.echo(yaml.safe_dump_all(printed, sort_keys=False, explicit_start=True), nl=False)
    if not printed and not refused:
        click.echo("nothing is selected: no profile matches any of the namespaces given", err=True)
    if refused:
        raise SystemExit(1)


def _read(*names: str) -> list[SourceObject]:
    """Every object in files, folders or standard input."""
    try:
        found = read_sources(names)
    except SourceError as error:
        stop(str(error))
    say(found.notes)
    return found.objects


def _profiles(objects: list[SourceObject]) -> list[Profile]:
    parsed = []
    for item in objects:
        if item.kind == "TenantProfile" and item.api_version == API_VERSION:
            try:
                parsed.append(parse_profile(item.raw))
            except ProfileError as error:
                place = item.place(error.complaints[0].path)
                stop(f"{place}: {error}")
    if not parsed:
        stop(f"no TenantProfile of {API_VERSION} in the files given with --profile")
    return parsed


def _namespaces(names: tuple[str, ...]) -> Iterable[tuple[NamespaceFacts, bool]]:
    """Facts, and whether the profiles' selectors are to be asked (not for a bare name)."""
    for name in names:
        if not Path(name).exists() and name != "-":
            yield NamespaceFacts(name, {LABEL_NAMESPACE_NAME: name}, {}), False
            continue
        for item in _read(name):
            if item.kind == "Namespace" and item.api_version == "v1":
                try:
                    yield namespace_facts(item), True
                except LoadError as error:
                    stop(str(error))
