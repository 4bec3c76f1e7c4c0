"""`tenantprofile graph`: a picture of what policies allow, for a browser, a document or a pull request."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from tenantprofile.analysis.naming import words_of
from tenantprofile.analysis.world import Assembly
from tenantprofile.cli.output import chosen, read_world, say, settings_of, stop, world_options
from tenantprofile.connectivity.connections import ConnectionMap
from tenantprofile.connectivity.policies import Policy
from tenantprofile.drawing.dot import as_dot
from tenantprofile.drawing.mermaid import as_mermaid
from tenantprofile.drawing.page import PolicyText, as_page
from tenantprofile.drawing.svg import as_svg
from tenantprofile.drawing.topology import TooLargeError, topology
from tenantprofile.drawing.view import Detail, Ungoverned
from tenantprofile.names import ANNOTATION_OWNER, ANNOTATION_PURPOSE

FORMS = {".svg": "svg", ".dot": "dot", ".gv": "dot", ".mmd": "mermaid", ".md": "mermaid", ".html": "html"}
"""The form that the name of the file suggests."""

IMAGES = frozenset({".png", ".pdf", ".jpg", ".jpeg", ".gif", ".webp", ".ps"})
"""Endings that promise what no form of graph is."""


@click.command()
@click.argument("files", nargs=-1, type=click.Path())
@click.option(
    "--file",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file instead of standard output; its ending decides the form.",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["svg", "dot", "mermaid", "html"]),
    help="The form; svg unless the file's name says otherwise.",
)
@click.option(
    "--detail",
    type=click.Choice(["auto", "workloads", "namespaces"]),
    default="auto",
    show_default=True,
    help="Draw workloads or whole namespaces; auto: namespaces once there are many workloads.",
)
@click.option(
    "--ungoverned",
    type=click.Choice(["auto", "show", "hide"]),
    default="auto",
    show_default=True,
    help="Flows without a policy at either end; auto: left out and counted where they are many.",
)
@click.option("--title", default="What policies allow", show_default=True)
@world_options
def graph(
    files: tuple[str, ...],
    target: Path | None,
    output: str | None,
    detail: Detail,
    ungoverned: Ungoverned,
    title: str,
    kubeconfig: Path | None,
    context: str | None,
    plugin: str,
) -> None:
    """Draw namespaces, workloads and address ranges with the flows that policies allow.

    FILES are files or folders with Namespaces, Pods, workloads, NetworkPolicies, TenantProfiles and
    PolicyTemplates; - is standard input. With --context or --kubeconfig a cluster is read. The html
    form is one page for a browser, without a network: search, filter, and the rules behind every flow.
    The same input gives the same bytes.

    Exit code 0, or 2 when the input cannot be read, is too large to draw or holds nothing to draw.
    """
    form = _form(output, target)
    reading = read_world(files, kubeconfig, context)
    assembly = reading.assembly
    namespaces = chosen(assembly).namespaces
    try:
        found = topology(ConnectionMap(assembly.world, settings_of(plugin)), frozenset(namespaces))
    except TooLargeError as error:
        stop(str(error))
    say(reading.notes)
    if not found.groups:
        stop("no pod or workload in the input, so there is nothing to draw")
    if form == "html":
        text = as_page(found, described(assembly), title, detail, ungoverned)
    else:
        draw = {"svg": as_svg, "dot": as_dot, "mermaid": as_mermaid}[form]
        text = draw(found, title, detail, ungoverned)
    if target is None:
        click.echo(text, nl=False)
        return
    try:
        target.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        stop(f"{target}: {error.strerror or error}")


def _form(output: str | None, target: Path | None) -> str:
    """The form, by --output or else by the file's ending; they must not disagree, and one must decide."""
    if target is None:
        return output or "svg"
    suggested = FORMS.get(target.suffix.lower())
    endings = ", ".join(FORMS)
    if output is None and suggested is None:
        found = f"the ending {target.suffix!r}" if target.suffix else "no ending"
        stop(f"--file: found {found} in {target}; expected one of {endings}, or --output")
    if output is not None and (suggested or output) != output:
        stop(f"--file: found the ending {target.suffix!r} with --output {output}; they must agree")
    if suggested is None and target.suffix.lower() in IMAGES:
        stop(
            f"--file: found the ending {target.suffix!r}, which graph cannot write; expected one of {endings}"
        )
    return output or str(suggested)


def described(assembly: Assembly) -> Callable[[Policy], PolicyText]:
    """What a page tells of a policy: where it comes from, and the purpose written on it."""
    words = words_of(assembly)

    def describe(policy: Policy) -> PolicyText:
        source = assembly.source_of(policy)
        annotations = (source.manifest.get("metadata") or {}).get("annotations") or {}
        return PolicyText(
            origin=words.origin(policy),
            place=source.item.place(),
            purpose=str(annotations.get(ANNOTATION_PURPOSE) or ""),
            owner=str(annotations.get(ANNOTATION_OWNER) or ""),
            manifest=source.manifest,
        )

    return describe
