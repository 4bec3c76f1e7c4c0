"""What the judging commands share: their arguments, how they stop, and how they print."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import click
import yaml

from tenantprofile.analysis.listing import Row
from tenantprofile.analysis.world import Assembly, InputError, assemble
from tenantprofile.cli.exits import Exit
from tenantprofile.cli.options import Wishes, wishes
from tenantprofile.cli.options import output_option as output_option
from tenantprofile.cli.options import reading_options as reading_options
from tenantprofile.cli.options import world_options as world_options
from tenantprofile.cli.progress import working
from tenantprofile.cli.sources import INDISPENSABLE, KINDS, SourceError, Sources, read_sources
from tenantprofile.connectivity.settings import Settings
from tenantprofile.connectivity.workloads import Workload
from tenantprofile.connectivity.world import World
from tenantprofile.input.objects import SourceObject
from tenantprofile.names import CLI_API_VERSION
from tenantprofile.selectors import Selector


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read, and the world that it describes."""

    sources: Sources
    assembly: Assembly

    @property
    def notes(self) -> list[str]:
        """What a person should know of the reading, beside any answer."""
        return [*self.sources.notes, *self.assembly.notes, *self.assembly.violations()]


def settings_of(plugin: str) -> Settings:
    return Settings(ip_blocks_match_pods=plugin != "cilium")


def read_world(
    files: Sequence[str],
    kubeconfig: Path | None,
    context: str | None,
    *,
    extra: bool = False,
    filenames: bool = True,
) -> Reading:
    """The objects that were named and their world; exit code 2 when that cannot be had.

    How files are read is taken from the command's `reading_options`. extra: of a cluster, read also the
    kinds that say which flows are needed. filenames: what `-f` names belongs to it.
    """
    if not (named(files) if filenames else files) and kubeconfig is None and context is None:
        stop("nothing to read; name files, folders or - for standard input, or a cluster with --context")
    try:
        sources = read_files(files, kubeconfig=kubeconfig, context=context, extra=extra, filenames=filenames)
        with working("working out what policies allow"):
            return Reading(sources, assemble(sources.objects))
    except (SourceError, InputError) as error:
        stop(str(error))


def named(files: Iterable[str]) -> list[str]:
    """The files of the arguments and of `-f`."""
    return [*files, *wishes().filenames]


def read_files(
    files: Sequence[str],
    *,
    kubeconfig: Path | None = None,
    context: str | None = None,
    indispensable: frozenset[str] = INDISPENSABLE,
    kinds: frozenset[str] = frozenset(KINDS),
    extra: bool = False,
    filenames: bool = True,
) -> Sources:
    """What was named, read as the command's `reading_options` say. Raises SourceError."""
    given = wishes()
    sources = read_sources(
        named(files) if filenames else files,
        kubeconfig=kubeconfig,
        context=context,
        indispensable=indispensable,
        kinds=kinds,
        extra=extra,
        exclude=given.exclude_file,
        default_namespace=given.home,
    )
    if given.strict and sources.lacking:
        raise SourceError(
            "\n".join(["--strict: not everything that may bear on the answer was read", *sources.notes])
        )
    return sources


def chosen(assembly: Assembly) -> Wishes:
    """The shared options; exit code 2 for -n with a namespace that the input does not have."""
    given = wishes()
    for name in given.namespaces:
        if name not in assembly.world.namespaces:
            stop(f"--namespace: found {name!r}; there are {', '.join(assembly.world.namespaces) or 'none'}")
    return given


def with_labels(rows: Iterable[Row], worlds: Iterable[World], selector: Selector) -> Iterator[Row]:
    """Those with an end at pods that -l chooses."""
    if selector.is_everything:
        yield from rows
        return
    ends = {
        party_name(workload): selector.matches(workload.labels)
        for world in worlds
        for workload in world.workloads
    }
    for row in rows:
        here = [ends.get(row.source), ends.get(row.destination)]
        if here == [None, None]:
            stop("-l: there are too many connections to tell them by pod; choose namespaces with -n")
        if True in here:
            yield row


def party_name(workload: Workload) -> str:
    """What a pod or its workload is called as the end of a connection."""
    kind, name = workload.owner or (workload.kind, workload.name)
    return f"{workload.namespace}/{name}" if kind == "Pod" else f"{workload.namespace}/{kind}/{name}"


def resource_name(item: SourceObject) -> str:
    """As `kubectl -o name` has it: the kind, its group, and the name."""
    group = f".{item.group}" if item.group else ""
    return f"{item.kind.lower()}{group}/{item.name}"


def document(kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Data with the version and the kind that programs go by."""
    return {"apiVersion": CLI_API_VERSION, "kind": kind, **data}


def stop(message: str) -> NoReturn:
    """Could not run: say why, exit code 2."""
    click.echo(f"{click.get_current_context().command_path}: {message}", err=True)
    raise SystemExit(Exit.UNANSWERED)


def paint(text: str, colour: str) -> str:
    """In colour; click takes it away where the output is no terminal, and `main` where NO_COLOR is set."""
    return click.style(text, fg=colour)


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
