"""`tenantprofile templates`: the templates that profiles can use, listed and documented."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import yaml

from tenantprofile.cli import complete
from tenantprofile.cli.exits import Exit
from tenantprofile.cli.options import (
    cluster_options,
    filename_option,
    output_option,
    selector_option,
    wishes,
)
from tenantprofile.cli.output import data_text, document, read_files, stop, table
from tenantprofile.cli.sources import SourceError
from tenantprofile.planning.loading import LoadError, load_templates
from tenantprofile.policy.findings import nearest
from tenantprofile.rendering.templates import Template, builtin_templates


@click.command()
@click.argument("name", required=False, shell_complete=complete.templates)
@filename_option
@cluster_options
@selector_option("PolicyTemplates")
@output_option("table", "wide", "json", "yaml", "name")
def templates(name: str | None, kubeconfig: Path | None, context: str | None, output: str) -> None:
    """List the templates that profiles can use, or document one of them.

    These are the built-in ones, with -f FILE the PolicyTemplates of files, and with --context or --kubeconfig those
    of a cluster. A PolicyTemplate that cannot be used is said on standard error, with the reason.

    Exit code 0, 1 when a PolicyTemplate cannot be used, 2 when there is no template of that name or the cluster
    cannot be read.
    """
    try:
        sources = read_files(
            (),
            kubeconfig=kubeconfig,
            context=context,
            indispensable=frozenset({"PolicyTemplate"}),
            kinds=frozenset({"PolicyTemplate"}),
        )
    except SourceError as error:
        stop(str(error))
    wrong: list[LoadError] = []
    known = load_templates(sources.objects, wrong.append)
    selector = wishes().selector
    labels = {item.name: item.metadata.get("labels") or {} for item in sources.objects}
    known = {key: found for key, found in known.items() if selector.matches(labels.get(key, {}))}
    broken = [one for one in wrong if name in (None, one.item.name)]
    for one in broken:
        click.echo(str(one), err=True)
    if name is not None and name not in known:
        if broken:
            raise SystemExit(Exit.NO)
        stop(f"no template {name!r}{nearest(name, list(known))}; there are {', '.join(known)}")
    chosen = [known[name]] if name is not None else sorted(known.values(), key=lambda found: found.name)
    if output in ("json", "yaml"):
        items = [_data(template) for template in chosen]
        data = (
            document("Template", items[0]) if name is not None else document("TemplateList", {"items": items})
        )
        click.echo(data_text(data, output))
    elif output == "name":
        click.echo("\n".join(template.name for template in chosen))
    elif name is None:
        click.echo(_listed(chosen, output))
    else:
        _document(chosen[0])
    if broken:
        raise SystemExit(Exit.NO)


def _listed(chosen: list[Template], output: str) -> str:
    rows = []
    for template in chosen:
        # The first sentence; the rest is for whoever asks for the template by name.
        sentence, dot, _ = " ".join(template.description.split()).partition(". ")
        row = [template.name, sentence + dot.strip()]
        if output == "wide":
            parameters = ", ".join(template.schema.get("properties") or {})
            row[1:1] = [_origin(template), parameters or "-"]
        rows.append(row)
    wide = ("name", "origin", "parameters", "description")
    return table(wide if output == "wide" else ("name", "description"), rows)


def _origin(template: Template) -> str:
    return "built-in" if template.name in builtin_templates() else "PolicyTemplate"


def _data(template: Template) -> dict[str, Any]:
    return {
        "name": template.name,
        "origin": _origin(template),
        "description": template.description,
        "purpose": template.purpose,
        "parameters": template.schema,
        "template": template.body,
    }


def _document(template: Template) -> None:
    click.echo(f"{template.name}\n\n{template.description}\n")
    if template.purpose:
        click.echo(f"Purpose: {template.purpose}\n")
    properties = template.schema.get("properties") or {}
    click.echo("Parameters:" if properties else "Parameters: none")
    required = template.schema.get("required") or []
    for key, schema in properties.items():
        kind = schema.get("type", "any")
        default = f", default {json.dumps(schema['default'])}" if "default" in schema else ""
        need = ", required" if key in required else ""
        click.echo(f"  {key} ({kind}{need}{default})")
        if text := schema.get("description"):
            click.echo(f"      {' '.join(str(text).split())}")
    if template.examples:
        click.echo("\nExamples:")
        for example in template.examples:
            click.echo(f"  # {example.title}")
            entry = {"template": template.name}
            if example.parameters:
                entry["parameters"] = dict(example.parameters)  # type: ignore[assignment]
            for line in yaml.safe_dump([entry], sort_keys=False).splitlines():
                click.echo(f"  {line}")
