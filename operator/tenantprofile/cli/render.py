"""`tenantprofile render`: exactly what the operator would apply, without a cluster."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NoReturn

import click
import yaml

from tenantprofile.desired import ProfilePlan, Refusal
from tenantprofile.documents import DocumentError, read_documents
from tenantprofile.names import API_VERSION, LABEL_NAMESPACE_NAME
from tenantprofile.profiles import Profile, ProfileError, parse_profile
from tenantprofile.rendering.facts import NamespaceFacts
from tenantprofile.rendering.templates import (
    Template,
    TemplateError,
    builtin_templates,
    load_policy_template,
)

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
@click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
def render(
    profiles: tuple[str, ...],
    templates: tuple[str, ...],
    namespaces: tuple[str, ...],
    output: Literal["yaml", "json"],
) -> None:
    """Print the NetworkPolicies that the operator would apply, offline.

    Exit code 0 when all are printed, 1 when a policy is refused (the others are printed all the same),
    2 when the input cannot be read. An owner reference needs the profile's uid, which a file lacks: it
    is left out where the file has none.
    """
    objects = [m for name in (*profiles, *templates) for m in _read(name)]
    known = _templates(objects)
    parsed = _profiles(objects)
    printed: list[Manifest] = []
    refused = 0
    for facts, ask in _namespaces(namespaces):
        for profile in parsed:
            if ask and not profile.selects(facts.name, facts.labels):
                continue
            for item in ProfilePlan(profile, known).desired(facts):
                if isinstance(item, Refusal):
                    refused += 1
                    click.echo(
                        f"{profile.name}/{item.entry} in {facts.name}: {item.reason}: {item.message}",
                        err=True,
                    )
                else:
                    manifest = item.manifest(facts.name)
                    if not profile.uid:
                        manifest["metadata"].pop("ownerReferences", None)
                    printed.append(manifest)
    if output == "json":
        click.echo(json.dumps({"apiVersion": "v1", "kind": "List", "items": printed}, indent=2))
    elif printed:
        click.echo(yaml.safe_dump_all(printed, sort_keys=False, explicit_start=True), nl=False)
    if not printed and not refused:
        click.echo("nothing is selected: no profile matches any of the namespaces given", err=True)
    if refused:
        raise SystemExit(1)


def _read(name: str) -> Iterable[Manifest]:
    """Every object in a file, a folder or standard input; Lists are taken apart."""
    if name == "-":
        yield from _objects(sys.stdin.read(), "standard input")
        return
    path = Path(name)
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix in (".yaml", ".yml", ".json"))
    elif path.is_file():
        files = [path]
    else:
        _stop(f"{name}: no such file or folder")
    for file in files:
        yield from _objects(file.read_text(encoding="utf-8"), str(file))


def _objects(text: str, source: str) -> Iterable[Manifest]:
    try:
        documents = read_documents(text, source)
    except DocumentError as error:
        _stop(str(error))
    for document in documents:
        data = document.data
        if data is None:
            continue
        if not isinstance(data, dict) or "kind" not in data:
            _stop(f"{source}:{document.line(())}: expected a Kubernetes object with apiVersion and kind")
        yield from data["items"] if data["kind"] == "List" else [data]


def _templates(objects: list[Manifest]) -> dict[str, Template]:
    known: dict[str, Template] = {}
    for manifest in objects:
        if manifest["kind"] == "PolicyTemplate":
            try:
                template = load_policy_template(manifest)
            except TemplateError as error:
                _stop(str(error))
            if template.name in builtin_templates():
                _stop(f"PolicyTemplate {template.name}: a built-in template has this name; choose another")
            known[template.name] = template
    return {**known, **builtin_templates()}


def _profiles(objects: list[Manifest]) -> list[Profile]:
    parsed = []
    for manifest in objects:
        if manifest["kind"] == "TenantProfile" and manifest.get("apiVersion") == API_VERSION:
            try:
                parsed.append(parse_profile(manifest))
            except ProfileError as error:
                _stop(str(error))
    if not parsed:
        _stop(f"no TenantProfile of {API_VERSION} in the files given with --profile")
    return parsed


def _namespaces(names: tuple[str, ...]) -> Iterable[tuple[NamespaceFacts, bool]]:
    """Facts, and whether the profiles' selectors are to be asked (not for a bare name)."""
    for name in names:
        if not Path(name).exists() and name != "-":
            yield NamespaceFacts(name, {LABEL_NAMESPACE_NAME: name}, {}), False
            continue
        for manifest in _read(name):
            if manifest["kind"] == "Namespace":
                metadata = manifest["metadata"]
                labels = {**(metadata.get("labels") or {}), LABEL_NAMESPACE_NAME: metadata["name"]}
                yield NamespaceFacts(metadata["name"], labels, metadata.get("annotations") or {}), True


def _stop(message: str) -> NoReturn:
    click.echo(f"tenantprofile render: {message}", err=True)
    raise SystemExit(2)
