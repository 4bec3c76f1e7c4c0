"""`tenantprofile doctor`: whether an installation is sound, and whether its policies are enforced."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tenantprofile.cli.options import cluster_options, operator_namespace_option
from tenantprofile.cli.output import data_text, document, markdown_table, output_option, say, stop, table

if TYPE_CHECKING:
    from tenantprofile.doctor.enforcement import Wishes
    from tenantprofile.doctor.observation import Observation
    from tenantprofile.enforcement.report import Report
    from tenantprofile.guard.probes import Verdict

Result = TypeVar("Result")


class Interrupted(Exception):
    """A signal came, and what there was to clean up is cleaned up."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@click.command()
@cluster_options
@operator_namespace_option
@click.option("--namespace", "old_namespace", hidden=True)
@click.option(
    "--enforcement",
    is_flag=True,
    help="Find out whether the network plugin enforces policies, with two short-lived pods in a namespace"
    " of their own.",
)
@click.option("--image", help="The image of the two pods: the operator's. By default that of its Deployment.")
@click.option(
    "--portability",
    is_flag=True,
    help="Try what some plugins are known to get wrong as well; the built-in templates keep clear of it.",
)
@click.option("--leave-out", multiple=True, metavar="CHECK", help="Leave a check out. Repeatable.")
@click.option(
    "--patience",
    type=click.FloatRange(min=2),
    default=30.0,
    show_default=True,
    help="Seconds until a policy that is not in force counts as not enforced.",
)
@click.option(
    "--start-within",
    type=click.FloatRange(min=1),
    default=120.0,
    show_default=True,
    help="Seconds within which the two pods have to run.",
)
@click.option(
    "--guard",
    is_flag=True,
    help="Find out whether the guard refuses what it should, by dry-runs in the namespace tenantprofile-probe.",
)
@click.option("--cleanup", is_flag=True, help="Only remove what killed runs have left behind.")
@output_option("table", "wide", "json", "yaml", "name", "markdown")
def doctor(
    kubeconfig: Path | None,
    context: str | None,
    operator_namespace: str,
    old_namespace: str | None,
    enforcement: bool,
    image: str | None,
    portability: bool,
    leave_out: tuple[str, ...],
    patience: float,
    start_within: float,
    guard: bool,
    cleanup: bool,
    output: str,
) -> None:
    """Look whether an installation is sound; with --enforcement, whether policies are enforced.

    Without --enforcement nothing is written: versions, CRDs, the operator, its lease, its rights and the guard are
    looked at, and whether admission holds back pods that come before their policies, and pods with hostNetwork.
    With it a namespace tenantprofile-doctor-… is made, and removed in the end, also after
    Ctrl-C. With --guard every part of the guard is tried by dry-runs, which write nothing either.

    Without --kubeconfig and --context the cluster is that of the pod this runs in.

    Exit code 0 when all is well, 1 when something is not (not enforced, too strict, broken, or unknown), 2 when
    the command could not do its work, 130 or 143 when it was interrupted.
    """
    namespace = old_namespace or operator_namespace
    # Imported here: the other commands need no cluster, and the client takes a third of a second to load.
    from tenantprofile.cluster.api import ApiError
    from tenantprofile.doctor.condition import observe
    from tenantprofile.doctor.connection import DoctorError, connect
    from tenantprofile.doctor.enforcement import clean_up
    from tenantprofile.doctor.guard import prove

    if guard and (enforcement or cleanup):
        raise click.UsageError("--guard is a run of its own; leave --enforcement and --cleanup out")

    async def work() -> int:
        async with connect(kubeconfig, context) as connection:
            if cleanup:
                return 0 if await clean_up(connection, _tell) else 1
            if guard:
                return _show_guard(await prove(connection), output)
            if enforcement:
                wishes = await _wishes(
                    connection, namespace, image, portability, leave_out, patience, start_within
                )
                return await _examine(connection, wishes, output)
            return _show_condition(await observe(connection, namespace), output)

    try:
        raise SystemExit(asyncio.run(_interruptible(work())))
    except Interrupted as error:
        raise SystemExit(128 + error.number) from error
    except (ApiError, DoctorError) as error:
        stop(str(error))


async def _wishes(
    connection: Any,
    namespace: str,
    image: str | None,
    portability: bool,
    leave_out: tuple[str, ...],
    patience: float,
    start_within: float,
) -> Wishes:
    from tenantprofile.doctor.condition import image_of_operator
    from tenantprofile.doctor.connection import DoctorError
    from tenantprofile.doctor.enforcement import Wishes, check_names

    known = check_names()
    for name in leave_out:
        if name not in known:
            raise DoctorError(f"--leave-out: there is no check {name!r}; there are {', '.join(known)}")
    chosen = image or await image_of_operator(connection, namespace)
    return Wishes(chosen, patience, start_within, portability, frozenset(leave_out))


async def _examine(connection: Any, wishes: Wishes, output: str) -> int:
    from tenantprofile.doctor.enforcement import examine

    report = await examine(connection, wishes, _tell)
    click.echo(_printed(report, output))
    return 0 if report.enforced else 1


async def _interruptible(work: Coroutine[Any, Any, Result]) -> Result:
    """Cancel the work on the first signal, so that it cleans up; others change nothing about that."""
    task = asyncio.ensure_future(work)
    caught: list[int] = []

    def interrupt(number: int) -> None:
        if not caught:
            _tell("interrupted; cleaning up")
            task.cancel()
        caught.append(number)

    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, interrupt, number)
    try:
        return await task
    except asyncio.CancelledError:
        if caught:
            raise Interrupted(caught[0]) from None
        raise
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _tell(message: str) -> None:
    """Progress, beside the answer."""
    click.echo(message, err=True)


# --- output ---


def _printed(report: Report, output: str) -> str:
    from tenantprofile.enforcement.report import as_data, details, header, rows, summary

    if output in ("json", "yaml"):
        return data_text(document("EnforcementReport", as_data(report)), output)
    say(report.notes)
    if output == "name":
        return "\n".join(str(row[0]) for row in rows(report))
    shown = (markdown_table if output == "markdown" else table)(header(report), rows(report))
    found = list(details(report))
    if output == "markdown":
        found = [f"- {line.strip()}" for line in found]
    return "\n".join([shown, "", *found, *([""] if found else []), summary(report)])


def _show_guard(found: list[Verdict], output: str) -> int:
    from tenantprofile.guard.probes import sound

    fine = sound(found)
    if output in ("json", "yaml"):
        data = {"sound": fine, "parts": [one.as_data() for one in found]}
        click.echo(data_text(document("GuardReport", data), output))
        return 0 if fine else 1
    if output == "name":
        click.echo("\n".join(one.part or "must-pass" for one in found if one.state not in ("on", "off")))
        return 0 if fine else 1
    rows = [(one.part or "(must pass)", one.state, "; ".join(one.seen)) for one in found]
    click.echo((markdown_table if output == "markdown" else table)(("part", "state", "seen"), rows))
    for one in found:
        if one.fix and one.state != "off":
            click.echo(f"\n{one.part or 'what must pass'}: fix: {one.fix}")
    return 0 if fine else 1


def _show_condition(found: list[Observation], output: str) -> int:
    sound = all(one.state in ("ok", "note") for one in found)
    if output in ("json", "yaml"):
        data = {"sound": sound, "observations": [one.as_data() for one in found]}
        click.echo(data_text(document("ConditionReport", data), output))
    elif output == "name":
        click.echo("\n".join(one.what for one in found if one.state != "ok"))
    else:
        write = markdown_table if output == "markdown" else table
        click.echo(write(("what", "state", "seen"), ((one.what, one.state, one.seen) for one in found)))
    return 0 if sound else 1
