"""`tenantprofile help`, `version` and `completion`: the program about itself."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import click

from tenantprofile import __version__
from tenantprofile.cli import complete, exits
from tenantprofile.cli.connection import ConnectionFailed, connected, plain
from tenantprofile.cli.options import cluster_options, operator_namespace_option, output_option
from tenantprofile.cli.output import data_text, document, stop, table

PLUGIN = "kubectl-tenantprofile"
DEPLOYMENT = "tenantprofile-operator"


@click.command("help")
@click.argument("topic", metavar="[COMMAND]", required=False, shell_complete=complete.commands)
@click.pass_context
def show_help(ctx: click.Context, topic: str | None) -> None:
    """Show the help of a command, or the table of exit codes (`help exit-codes`)."""
    root = ctx.find_root()
    if topic is None:
        click.echo(root.get_help())
        return
    if topic == "exit-codes":
        click.echo(table(("code", "commands", "meaning"), exits.rows()))
        return
    group = root.command
    command = group.get_command(root, topic) if isinstance(group, click.Group) else None
    if command is None:
        stop(f"there is no command {topic!r}; see tenantprofile help")
    with click.Context(command, info_name=topic, parent=root) as context:
        click.echo(command.get_help(context))


@click.command()
@click.option("--client", "client_only", is_flag=True, help="Do not look at a cluster.")
@operator_namespace_option
@cluster_options
@output_option("table", "json", "yaml")
def version(
    client_only: bool,
    operator_namespace: str,
    kubeconfig: Path | None,
    context: str | None,
    output: str,
) -> None:
    """Show the version of this program, and of the operator in the cluster.

    The cluster is that of --kubeconfig or --context, or else of the current context. Where it cannot be reached,
    or has no operator, that is said beside the answer.

    Exit code 0, or 2 when a cluster that was named cannot be read.
    """
    data: dict[str, Any] = {"client": {"version": __version__, "python": sys.version.split()[0]}}
    if not client_only:
        try:
            data["operator"] = asyncio.run(_operator(kubeconfig, context, operator_namespace))
        except ConnectionFailed as error:
            if kubeconfig is not None or context is not None:
                stop(str(error))
            click.echo(f"note: the operator's version is unknown: {error}", err=True)
    if output != "table":
        click.echo(data_text(document("Version", data), output))
        return
    click.echo(f"Client: {__version__}")
    for found in data.get("operator", {}).get("containers", ()):
        click.echo(f"Operator: {found['version'] or 'unknown'} ({found['image']})")
    if "operator" in data:
        click.echo(f"Kubernetes: {data['operator']['kubernetes']}")
        if not data["operator"]["containers"]:
            click.echo(f"Operator: no Deployment {DEPLOYMENT} in namespace {operator_namespace}")


async def _operator(kubeconfig: Path | None, context: str | None, namespace: str) -> dict[str, Any]:
    from tenantprofile.cluster.api import ApiError

    async with connected(kubeconfig, context, current=True) as (api, credentials):
        try:
            server = await api.get("/version")
        except ApiError as error:
            raise ConnectionFailed(plain(error, credentials)) from error
        found: dict[str, Any] = {"kubernetes": str(server.get("gitVersion", "")), "containers": []}
        try:
            deployment = await api.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/{DEPLOYMENT}")
        except ApiError as error:
            if error.status == 404:
                return found
            raise ConnectionFailed(plain(error, credentials)) from error
    labels = deployment["metadata"].get("labels") or {}
    for container in deployment["spec"]["template"]["spec"]["containers"]:
        image = str(container["image"])
        found["containers"].append(
            {
                "name": container["name"],
                "image": image,
                "version": _tag(image) or str(labels.get("app.kubernetes.io/version", "")),
            }
        )
    return found


def _tag(image: str) -> str:
    """The tag of an image; empty for none, `latest` and a digest alone."""
    name = image.partition("@")[0].rpartition("/")[2]
    tag = name.partition(":")[2]
    return "" if tag == "latest" else tag


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish", "kubectl"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a completion script.

    \b
    bash:    source <(tenantprofile completion bash)
    zsh:     source <(tenantprofile completion zsh)
    fish:    tenantprofile completion fish | source
    kubectl: tenantprofile completion kubectl > ~/bin/kubectl_complete-tenantprofile
             chmod +x ~/bin/kubectl_complete-tenantprofile

    The last one is for `kubectl tenantprofile`: a program of that name, anywhere on PATH, is what kubectl asks.
    """
    from click.shell_completion import get_completion_class

    if shell == "kubectl":
        click.echo(KUBECTL_COMPLETION, nl=False)
        return
    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"no completion for {shell}")
    click.echo(kind(ctx.find_root().command, {}, "tenantprofile", "_TENANTPROFILE_COMPLETE").source())


KUBECTL_COMPLETION = f"""\
#!/bin/sh
# Completes `kubectl tenantprofile`: kubectl calls it with the words after the plugin's name.
exec {PLUGIN} __complete "$@"
"""

FILES = 0
NO_FILES = 4
"""Directives of Cobra, which kubectl reads after the candidates: complete files, or do not
(github.com/spf13/cobra, ShellCompDirective)."""


@click.command(
    "__complete", hidden=True, context_settings={"ignore_unknown_options": True, "help_option_names": []}
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def complete_for_kubectl(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Candidates for the last word, one a line, and a directive, as Cobra's programs answer."""
    from click.shell_completion import ShellComplete

    *before, incomplete = words or ("",)
    completer = ShellComplete(ctx.find_root().command, {}, "tenantprofile", "_TENANTPROFILE_COMPLETE")
    found = completer.get_completions(list(before), incomplete)
    for item in found:
        if item.type == "plain":
            click.echo(f"{item.value}\t{item.help}" if item.help else str(item.value))
    files = any(item.type in ("file", "dir") for item in found)
    click.echo(f":{FILES if files else NO_FILES}")


def plugin_completion() -> None:
    """The program `kubectl_complete-tenantprofile`, which comes with the wheel."""
    from tenantprofile.cli.main import main

    os.environ.pop("_TENANTPROFILE_COMPLETE", None)
    main(["__complete", *sys.argv[1:]], prog_name="tenantprofile")
