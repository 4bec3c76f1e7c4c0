"""`tenantprofile render`: exactly what the operator would apply, with or without a cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import yaml

from tenantprofile.analysis.world import manifest_of
from tenantprofile.cli.exits import Exit
from tenantprofile.cli.options import (
    Wishes,
    cluster_options,
    output_option,
    reading_options,
    selector_option,
    wishes,
)
from tenantprofile.cli.output import named, read_files, say, stop, table
from tenantprofile.cli.sources import SourceError
from tenantprofile.input.objects import SourceObject
from tenantprofile.names import ANNOTATION_TEMPLATE, API_VERSION, LABEL_NAMESPACE_NAME
from tenantprofile.planning.desired import ProfilePlan, Refusal
from tenantprofile.planning.loading import LoadError, load_templates, namespace_facts
from tenantprofile.planning.profile import Profile, ProfileError, parse_profile
from tenantprofile.rendering.facts import NamespaceFacts

Manifest = dict[str, Any]


@click.command()
@click.argument("files", nargs=-1, type=click.Path())
@click.option(
    "--profile",
    "profiles",
    multiple=True,
    type=click.Path(),
    help="File or folder with TenantProfiles, as if it were an argument. Repeatable.",
)
@click.option(
    "--template",
    "templates",
    multiple=True,
    type=click.Path(),
    help="File or folder with PolicyTemplates that the profiles use, as if it were an argument. Repeatable.",
)
@reading_options
@cluster_options
@selector_option("namespaces")
@output_option("yaml", "json", "name", "table", "wide")
def render(
    files: tuple[str, ...],
    profiles: tuple[str, ...],
    templates: tuple[str, ...],
    kubeconfig: Path | None,
    context: str | None,
    output: str,
) -> None:
    """Print the NetworkPolicies that the operator would apply; nothing is written.

    FILES are files or folders with TenantProfiles, PolicyTemplates and Namespaces; - is standard input. With
    --context or --kubeconfig those of a cluster take part: its Namespaces and PolicyTemplates, and its profiles
    where the files have none. -n NAMESPACE is one of these Namespaces or, if there is none of that name, one
    without labels, for which the selectors are not asked. Without -n it is done for every Namespace.

    Exit code 0 when all are printed, 1 when a policy is refused (the others are printed all the same),
    2 when the input cannot be read. A profile whose own assertions do not hold is refused as a whole.
    An owner reference needs the profile's uid, which a file lacks: it is left out where the file has
    none.
    """
    given = wishes()
    names = [name for name in given.namespaces if not _is_file(name)]
    inputs = (*files, *profiles, *templates, *(name for name in given.namespaces if _is_file(name)))
    if not named(inputs) and kubeconfig is None and context is None:
        stop("nothing to render; give files with TenantProfiles, or a cluster with --context")
    objects = _read(inputs, kubeconfig, context)
    unusable: dict[str, str] = {}
    known = load_templates(objects, lambda wrong: _refuse(wrong, unusable))
    plans = [ProfilePlan(profile, known, unusable=unusable) for profile in _profiles(objects)]
    printed: list[Manifest] = []
    refused = 0
    for facts, ask in _namespaces(objects, names, given):
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
    if printed or output == "json":
        click.echo(_printed(printed, output))
    if not printed and not refused:
        click.echo("nothing is selected: no profile matches any of the namespaces given", err=True)
    if refused:
        raise SystemExit(Exit.NO)


def _printed(policies: list[Manifest], output: str) -> str:
    if output == "json":
        return json.dumps({"apiVersion": "v1", "kind": "List", "items": policies}, indent=2)
    if output == "yaml":
        return str(yaml.safe_dump_all(policies, sort_keys=False, explicit_start=True)).rstrip("\n")
    if output == "name":
        return "\n".join(f"networkpolicy.networking.k8s.io/{p['metadata']['name']}" for p in policies)
    rows = []
    for policy in policies:
        metadata = policy["metadata"]
        row = [metadata["namespace"], metadata["name"], ", ".join(policy["spec"]["policyTypes"])]
        if output == "wide":
            row += [metadata["annotations"].get(ANNOTATION_TEMPLATE, "-")]
        rows.append(row)
    header = ("namespace", "name", "directions")
    return table((*header, "template") if output == "wide" else header, rows)


def _is_file(name: str) -> bool:
    """Whether what -n names is a file or a folder with Namespaces, as before -f; no namespace is called so."""
    return name == "-" or (("." in name or "/" in name) and Path(name).exists())


def _read(inputs: tuple[str, ...], kubeconfig: Path | None, context: str | None) -> list[SourceObject]:
    """Every object in files, folders or standard input, and of the cluster what a profile needs."""
    try:
        found = read_files(
            inputs,
            kubeconfig=kubeconfig,
            context=context,
            indispensable=frozenset({"TenantProfile", "PolicyTemplate"}),
            kinds=frozenset({"Namespace", "TenantProfile", "PolicyTemplate"}),
        )
    except SourceError as error:
        stop(str(error))
    say(found.notes)
    if any(item.kind == "TenantProfile" and item.origin.is_file for item in found.objects):
        return [item for item in found.objects if item.kind != "TenantProfile" or item.origin.is_file]
    return found.objects


def _refuse(wrong: LoadError, unusable: dict[str, str]) -> None:
    """A PolicyTemplate of a file is what was asked about; one of the cluster is told, and its entries are refused."""
    if wrong.item.origin.is_file:
        stop(str(wrong))
    say([f"{wrong}; profiles that use it are refused"])
    unusable[wrong.item.name] = wrong.message


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
        stop(f"no TenantProfile of {API_VERSION} in what was given")
    return parsed


def _namespaces(
    objects: list[SourceObject], names: list[str], given: Wishes
) -> Iterator[tuple[NamespaceFacts, bool]]:
    """Facts, and whether the profiles' selectors are to be asked (not for a name without an object)."""
    found: dict[str, NamespaceFacts] = {}
    for item in objects:
        if item.kind == "Namespace" and item.api_version == "v1":
            try:
                facts = namespace_facts(item)
            except LoadError as error:
                stop(str(error))
            found[facts.name] = facts
    if not names and not found:
        stop("no Namespace; name one with -n, or give files or a cluster that hold some")
    for name in names or list(found):
        facts = found.get(name) or NamespaceFacts(name, {LABEL_NAMESPACE_NAME: name}, {})
        if given.selector.matches(facts.labels):
            yield facts, name in found
