"""`tenantprofile templates`: the built-in templates, listed and documented."""

from __future__ import annotations

import json
from typing import Any, Literal

import click
import yaml

from tenantprofile.policy.findings import nearest
from tenantprofile.rendering.templates import Template, builtin_templates


@click.command()
@click.argument("name", required=False)
@click.option(
    "-o", "--output", type=click.Choice(["table", "json", "yaml"]), default="table", show_default=True
)
def templates(name: str | None, output: Literal["table", "json", "yaml"]) -> None:
    """List the built-in templates, or document one of them.

    Exit code 2 when there is no template of that name.
    """
    known = builtin_templates()
    if name is not None and name not in known:
        click.echo(
            f"tenantprofile templates: no template {name!r}{nearest(name, list(known))}; there are"
            f" {', '.join(known)}",
            err=True,
        )
        raise SystemExit(2)
    chosen = [known[name]] if name is not None else list(known.values())
    if output != "table":
        data: Any = [_data(template) for template in chosen]
        data = data[0] if name is not None else data
        text = json.dumps(data, indent=2) if output == "json" else yaml.safe_dump(data, sort_keys=False)
        click.echo(text.rstrip())
    elif name is None:
        width = max(map(len, known))
        click.echo(f"{'NAME':<{width}}  DESCRIPTION")
        for template in chosen:
            # The first sentence; the rest is for whoever asks for the template by name.
            sentence, dot, _ = " ".join(template.description.split()).partition(". ")
            click.echo(f"{template.name:<{width}}  {sentence}{dot.strip()}")
    else:
        _document(chosen[0])


def _data(template: Template) -> dict[str, Any]:
    return {
        "name": template.name,
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
