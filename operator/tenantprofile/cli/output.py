"""What the judging commands share: their arguments, how they stop, and how they print."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import click
import yaml

from tenantprofile.analysis.world import Assembly, InputError, assemble
from tenantprofile.cli.sources import INDISPENSABLE, SourceError, Sources, cluster_options, read_sources
from tenantprofile.connectivity.settings import Settings

Function = TypeVar("Function", bound=Callable[..., Any])

FILES_HELP: Final = (
    "FILES are files or folders with Namespaces, Pods, workloads, Services, NetworkPolicies,"
    " TenantProfiles and PolicyTemplates; - is standard input."
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read, and the world that it describes."""

    sources: Sources
    assembly: Assembly

    @property
    def notes(self) -> list[str]:
        """What a person should know of the reading, beside any answer."""
        return [*self.sources.notes, *self.assembly.notes, *self.assembly.violations()]


def reading_options(
    function: Function, exclude: tuple[str, ...] = ("--exclude", "--exclude-file")
) -> Function:
    """`-n`, `--exclude` and `--strict`, as every command that reads files has them; `read_files` obeys them.

    exclude: the names of the second one, for a command of which `--exclude` means something else.
    """

    def remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        context.meta[f"{__name__}.{parameter.name}"] = value

    function = click.option(
        "--strict",
        is_flag=True,
        expose_value=False,
        callback=remember,
        help="Stop with exit code 2 if anything that may bear on the answer was not read.",
    )(function)
    function = click.option(
        *exclude,
        "exclude_file",
        multiple=True,
        metavar="PATTERN",
        expose_value=False,
        callback=remember,
        help="Pass over files and folders of this name in folders, such as 'charts' or '*.tpl.yaml'. Repeatable.",
    )(function)
    return click.option(
        "-n",
        "--default-namespace",
        metavar="NAMESPACE",
        default="",
        expose_value=False,
        callback=remember,
        help="Where objects belong that name no namespace, as with kubectl apply -n.",
    )(function)


def world_options(function: Function, exclude: tuple[str, ...] = ("--exclude", "--exclude-file")) -> Function:
    """`--kubeconfig`, `--context` and `--plugin`, and how files are read (`reading_options`)."""
    function = reading_options(function, exclude)
    function = click.option(
        "--plugin",
        type=click.Choice(["generic", "cilium"]),
        default="generic",
        show_default=True,
        help="Whose reading of ipBlock counts: generic matches pods by their addresses, as the upstream"
        " tests expect; cilium never does.",
    )(function)
    return cluster_options(function)


def output_option(*forms: str) -> Callable[[Function], Function]:
    """`-o/--output`; the first form is the default."""
    return click.option(
        "-o", "--output", type=click.Choice(forms), default=forms[0], show_default=True, help="The form."
    )


def settings_of(plugin: str) -> Settings:
    return Settings(ip_blocks_match_pods=plugin != "cilium")


def read_world(
    files: Sequence[str], kubeconfig: Path | None, context: str | None, *, extra: bool = False
) -> Reading:
    """The objects that were named and their world; exit code 2 when that cannot be had.

    How files are read is taken from the command's `reading_options`. extra: of a cluster, read also the
    kinds that say which flows are needed.
    """
    if not files and kubeconfig is None and context is None:
        stop("nothing to read; name files, folders or - for standard input, or a cluster with --context")
    try:
        sources = read_files(files, kubeconfig=kubeconfig, context=context, extra=extra)
        return Reading(sources, assemble(sources.objects))
    except (SourceError, InputError) as error:
        stop(str(error))


def read_files(
    files: Sequence[str],
    *,
    kubeconfig: Path | None = None,
    context: str | None = None,
    indispensable: frozenset[str] = INDISPENSABLE,
    extra: bool = False,
) -> Sources:
    """What was named, read as the command's `reading_options` say. Raises SourceError."""
    meta = click.get_current_context().meta
    given = {name: meta.get(f"{__name__}.{name}") for name in ("strict", "exclude_file", "default_namespace")}
    sources = read_sources(
        files,
        kubeconfig=kubeconfig,
        context=context,
        indispensable=indispensable,
        extra=extra,
        exclude=given["exclude_file"] or (),
        default_namespace=given["default_namespace"] or "",
    )
    if given["strict"] and sources.lacking:
        raise SourceError(
            "\n".join(["--strict: not everything that may bear on the answer was read", *sources.notes])
        )
    return sources


def stop(message: str) -> NoReturn:
    """Could not run: say why, exit code 2."""
    click.echo(f"{click.get_current_context().command_path}: {message}", err=True)
    raise SystemExit(2)


def say(notes: Iterable[str]) -> None:
    """Notes go beside the answer, never into it."""
    for note in notes:
        click.echo(f"note: {note}", err=True)


def data_text(data: Any, form: str) -> str:
    """JSON or YAML."""
    if form == "json":
        return json.dumps(data, indent=2, ensure_ascii=False)
    return str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True)).rstrip()


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns two spaces apart, upper-case header."""
    listed = [tuple(word.upper() for word in header), *rows]
    widths = [max(len(row[column]) for row in listed) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in listed
    )


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def csv_text(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """RFC 4180, but with plain line ends, so that `diff` and `sort` like it."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue().rstrip("\n")


def counted(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
