"""`tenantprofile guard`: the admission policies that keep tenants in, rendered, looked at and removed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import yaml

from tenantprofile import __version__
from tenantprofile.cli.options import cluster_options, output_option
from tenantprofile.cli.output import data_text, document, say, stop, table
from tenantprofile.guard.inspection import Installed, PartReport, inspect, orphans
from tenantprofile.guard.manifests import (
    ACTIONS,
    GATE,
    OPERATOR_NAMESPACE,
    PARTS,
    GuardError,
    Values,
    default_parts,
    render,
    render_static,
)

Function = TypeVar("Function", bound=Callable[..., Any])

NEXT: Final = """\
The bindings and policies are gone. If you remove TenantProfile altogether, go on in this order:
  1. the operator      kubectl delete -k deploy/base, or helm uninstall
  2. the profiles      kubectl delete tenantprofiles,policytemplates --all
  3. the CRDs          kubectl delete -k crds, then kubectl delete -k deploy/crd-protection
Never the CRDs before the policies: a policy whose parameters are TenantProfiles refuses every request that it
matches while their CRD is missing, the administrator's too."""


def part_option(help: str) -> Callable[[Function], Function]:
    return click.option("--part", "parts", multiple=True, type=click.Choice(PARTS), help=help)


def action_option(help: str) -> Callable[[Function], Function]:
    return click.option(
        "--action", type=click.Choice(list(ACTIONS)), default="deny", show_default=True, help=help
    )


@click.group()
def guard() -> None:
    """The admission policies that keep tenants from undoing what profiles declare."""


@guard.command("render")
@part_option("Only this part. Repeatable. Without it: the parts that deploy/components/guard installs.")
@action_option("What becomes of a request that a part objects to. The pod gate can only deny.")
@click.option(
    "--distrust",
    multiple=True,
    metavar="USERNAME",
    help="A user that never passes, whatever its rights, such as a GitOps controller's ServiceAccount. Repeatable.",
)
@click.option(
    "--allow-kind",
    multiple=True,
    metavar="GROUP/RESOURCE",
    help="A kind that other-kinds lets everybody write, such as cilium.io/ciliumnetworkpolicies. Repeatable.",
)
@click.option(
    "--guard-label",
    multiple=True,
    metavar="PREFIX",
    help="Prefix of further label keys that only override may change in a profile's namespaces. Repeatable.",
)
@click.option(
    "--gate-selector",
    metavar="SELECTOR",
    help="The namespaces that the pod gate is for, as a label selector in YAML or JSON.",
)
@click.option(
    "--operator-namespace", default=OPERATOR_NAMESPACE, show_default=True, help="Where the operator runs."
)
@click.option(
    "--static",
    is_flag=True,
    help="Manifests that an API server reads from its disk (alpha in Kubernetes 1.36): without the policies that"
    " take parameters, and with one that protects the guard itself.",
)
def render_command(
    parts: tuple[str, ...],
    action: Any,
    distrust: tuple[str, ...],
    allow_kind: tuple[str, ...],
    guard_label: tuple[str, ...],
    gate_selector: str | None,
    operator_namespace: str,
    static: bool,
) -> None:
    """Print the guard's policies and bindings, to be applied with kubectl.

    Install with --action=warn or --action=audit first to find out who would be refused.

    Exit code 0 with manifests, 2 when what was asked for cannot be rendered.
    """
    chosen = parts or default_parts()
    if not parts and action != "deny" and GATE in chosen:
        chosen = tuple(part for part in chosen if part != GATE)
        say([f"{GATE} is left out: it can only deny"])
    values = Values(
        action,
        distrust,
        allow_kind,
        guard_label,
        operator_namespace,
        _selector(gate_selector) if gate_selector else {},
    )
    try:
        if static:
            documents, left = render_static(chosen, values)
            say(f"{name} takes parameters and has to be installed through the API" for name in left)
        else:
            documents = render(chosen, values)
    except GuardError as error:
        stop(str(error))
    click.echo(f"# tenantprofile {__version__}: the guard, {', '.join(chosen)}")
    click.echo(yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True, width=110).rstrip())


@guard.command("status")
@part_option("Only this part, which has to be installed. Repeatable. Without it: those that are installed.")
@action_option("What the parts are expected to do at least.")
@cluster_options
@output_option("table", "json", "yaml")
def status_command(
    parts: tuple[str, ...], action: Any, kubeconfig: Path | None, context: str | None, output: str
) -> None:
    """Tell of each part whether it is installed, as shipped with this version, broken, or off.

    Exit code 0 when the parts asked for are installed, or without --part some part is and none is broken; 1 when
    not; 2 when the cluster cannot be read.
    """
    _named(kubeconfig, context)
    from tenantprofile.doctor.guard import read

    installed = _asked(kubeconfig, context, read)
    found = inspect(installed, parts or PARTS, action)
    sound = _sound(found, asked=bool(parts)) and not orphans(installed)
    if output == "table":
        click.echo("\n".join(_lines(found, installed)))
    else:
        data = {
            "version": __version__,
            "sound": sound,
            "parts": [report.as_data() for report in found],
            "orphans": orphans(installed),
        }
        click.echo(data_text(document("GuardStatus", data), output))
    raise SystemExit(0 if sound else 1)


@guard.command("remove")
@part_option("Only this part. Repeatable. Without it: all of them.")
@click.option(
    "--purge",
    is_flag=True,
    help="Delete what the pod gate leaves behind, too: a policy and a binding for no namespace. Installed again, the"
    " gate then works only after a restart of every API server.",
)
@click.option(
    "--dry-run", is_flag=True, help="Delete nothing; the API server checks the requests all the same."
)
@click.option(
    "--within",
    type=click.FloatRange(min=1),
    default=30.0,
    show_default=True,
    help="Seconds to wait until bindings, and then policies, are gone.",
)
@cluster_options
def remove_command(
    parts: tuple[str, ...],
    purge: bool,
    dry_run: bool,
    within: float,
    kubeconfig: Path | None,
    context: str | None,
) -> None:
    """Remove the guard: bindings first, then policies, and say what is next.

    Every binding to a policy goes with it, also one that you made yourself. Works while the guard refuses
    everything, as it does when the CRD of TenantProfiles is gone: admission policies never judge each other.

    Exit code 0 when they are gone, or were not there; 2 when something is in the way.
    """
    _named(kubeconfig, context)
    from tenantprofile.doctor.guard import remove

    def work(connection: Any) -> Any:
        return remove(connection, parts or PARTS, purge=purge, dry_run=dry_run, within=within, say=click.echo)

    gone = _asked(kubeconfig, context, work)
    if not gone:
        click.echo("nothing of the guard is installed")
    elif not dry_run:
        click.echo(NEXT)


def _named(kubeconfig: Path | None, context: str | None) -> None:
    if kubeconfig is None and context is None:
        stop("no cluster is named; use --kubeconfig FILE or --context NAME")


def _asked(kubeconfig: Path | None, context: str | None, work: Callable[[Any], Any]) -> Any:
    """What comes of work with a connection; exit code 2 where it cannot be done."""
    from tenantprofile.cluster.api import ApiError
    from tenantprofile.doctor.connection import DoctorError, connect

    async def connected() -> Any:
        async with connect(kubeconfig, context) as connection:
            return await work(connection)

    try:
        return asyncio.run(connected())
    except (ApiError, DoctorError) as error:
        stop(str(error))


def _selector(text: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        stop(f"--gate-selector: {error}")
    if not isinstance(found, dict) or not found or found.keys() - {"matchLabels", "matchExpressions"}:
        stop(
            "--gate-selector: expected a label selector such as '{matchLabels: {tenant: \"true\"}}';"
            " an empty one would gate every namespace"
        )
    return found


def _sound(found: list[PartReport], *, asked: bool) -> bool:
    states = {report.state for report in found}
    return states == {"installed"} if asked else "installed" in states and "broken" not in states


def _lines(found: list[PartReport], installed: Installed) -> list[str]:
    rows = []
    for report in found:
        versions = "-" if report.state == "off" else f"as in tenantprofile {__version__}"
        if any("not as shipped" in problem.what for problem in report.problems):
            versions = "differs"
        rows.append((report.part, report.state, report.action or "-", versions))
    lines = [table(("part", "state", "action", "policies"), rows)]
    for report in found:
        lines += [f"{report.part}: {name} = {value}" for name, value in report.values.items()]
    for report in found:
        for problem in report.problems:
            lines += ["", f"{report.part}: {problem.what}", f"  fix: {problem.fix}"]
    for name in orphans(installed):
        lines += ["", f"binding {name} is for a policy that is not there"]
    return lines
