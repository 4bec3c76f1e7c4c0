"""The options that commands share, under the names and with the meanings that kubectl gives them.

A decorator adds options to a command; most values are not passed to it but kept with the invocation, and `wishes()`
returns them. So a command takes a new shared option without a change of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from tenantprofile.cli import complete
from tenantprofile.selectors import EVERYTHING, Requirement, Selector, is_label_key, is_label_value

Function = TypeVar("Function", bound=Callable[..., Any])

_REQUIREMENT: Final = re.compile(
    r"(?P<absent>!)?\s*(?P<key>[^\s=!,()]+)\s*"
    r"(?:(?P<operator>==|=|!=)\s*(?P<value>[^\s=!,()]*)|(?P<set>in|notin)\s*\((?P<values>[^()]*)\))?\s*"
)
_META: Final = f"{__name__}.wishes"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the shared options of this invocation say."""

    filenames: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    all_namespaces: bool = False
    selector: Selector = EVERYTHING
    default_namespace: str = ""
    exclude_file: tuple[str, ...] = ()
    strict: bool = False

    def concerns(self, namespace: str) -> bool:
        """Whether the answer is about this namespace."""
        return not self.namespaces or namespace in self.namespaces

    @property
    def home(self) -> str:
        """Where objects of files belong that name no namespace; empty: it was not said."""
        return self.default_namespace or (self.namespaces[0] if len(self.namespaces) == 1 else "")


def wishes() -> Wishes:
    """The shared options of the command that runs. Raises click.UsageError for -A together with -n."""
    given: Mapping[str, Any] = click.get_current_context().meta.get(_META, {})
    found = Wishes(**given)
    if found.all_namespaces and found.namespaces:
        raise click.UsageError(
            "-A, --all-namespaces and -n, --namespace exclude each other; give one of them"
        )
    return found


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    context.meta.setdefault(_META, {})[str(parameter.name)] = value


def cluster_options(function: Function) -> Function:
    """`--kubeconfig` and `--context`, as every command that can read a cluster has them."""
    function = click.option(
        "--context",
        shell_complete=complete.contexts,
        help="Read the cluster of this context, of the kubeconfig file or else of $KUBECONFIG (a list of files, as"
        " kubectl takes it) or ~/.kube/config.",
    )(function)
    return click.option(
        "--kubeconfig",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Read a cluster, by this kubeconfig file; its current context unless --context names another.",
    )(function)


def port_option(name: str, default: int, help: str) -> Callable[[Function], Function]:
    """A port that a process serves on; 0 for none."""
    return click.option(name, type=click.IntRange(0, 65535), default=default, show_default=True, help=help)


def certificate_option(name: str, help: str) -> Callable[[Function], Function]:
    """A file that has to exist: a certificate or its key."""
    file = click.Path(exists=True, dir_okay=False, path_type=Path)
    return click.option(name, type=file, help=help)


def log_options(
    format_help: str | None = None, level_help: str | None = None
) -> Callable[[Function], Function]:
    """`--log-format` and `--log-level`, as every process that runs until a signal has them."""

    def add(function: Function) -> Function:
        level = click.Choice(["debug", "info", "warning", "error"])
        function = click.option(
            "--log-level", type=level, default="info", show_default=True, help=level_help
        )(function)
        form = click.Choice(["json", "text"])
        return click.option("--log-format", type=form, default="json", show_default=True, help=format_help)(
            function
        )

    return add


def filename_option(function: Function) -> Function:
    """`-f/--filename`: input, beside the arguments."""
    return click.option(
        "-f",
        "--filename",
        "filenames",
        multiple=True,
        metavar="FILE",
        expose_value=False,
        callback=_remember,
        type=click.Path(),
        help="A file or folder to read, as if it were an argument; - is standard input. Repeatable.",
    )(function)


def namespace_options(function: Function) -> Function:
    """`-n/--namespace` and `-A/--all-namespaces`, with one meaning in every command."""
    function = click.option(
        "-A",
        "--all-namespaces",
        is_flag=True,
        expose_value=False,
        callback=_remember,
        help="Answer for all namespaces, which is the default.",
    )(function)
    return click.option(
        "-n",
        "--namespace",
        "namespaces",
        multiple=True,
        metavar="NAMESPACE",
        expose_value=False,
        callback=_remember,
        shell_complete=complete.namespaces,
        help="Answer for this namespace only. Objects of files that name no namespace belong to it. Repeatable.",
    )(function)


def selector_option(what: str) -> Callable[[Function], Function]:
    """`-l/--selector`; `what` says whose labels are asked."""
    return click.option(
        "-l",
        "--selector",
        metavar="SELECTOR",
        expose_value=False,
        callback=_remember,
        type=LabelSelector(),
        default="",
        help=f"Only {what} with these labels, such as app=web,tier!=cache or 'env in (prod, test)'.",
    )


def reading_options(
    function: Function, exclude: tuple[str, ...] = ("--exclude", "--exclude-file")
) -> Function:
    """How files are read: `-f`, `-n`, `-A`, `--default-namespace`, `--exclude` and `--strict`.

    exclude: the names of `--exclude`, for a command of which it means something else.
    """
    function = click.option(
        "--strict",
        is_flag=True,
        expose_value=False,
        callback=_remember,
        help="Stop with exit code 2 if anything that may bear on the answer was not read.",
    )(function)
    function = click.option(
        *exclude,
        "exclude_file",
        multiple=True,
        metavar="PATTERN",
        expose_value=False,
        callback=_remember,
        help="Pass over files and folders of this name in folders, such as 'charts' or '*.tpl.yaml'. Repeatable.",
    )(function)
    function = click.option(
        "--default-namespace",
        metavar="NAMESPACE",
        default="",
        expose_value=False,
        callback=_remember,
        help="Where objects belong that name no namespace, for an answer about all of them; -n says it, too.",
    )(function)
    return filename_option(namespace_options(function))


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


def output_option(*forms: str, also: Sequence[str] = ()) -> Callable[[Function], Function]:
    """`-o/--output`; the first form is the default. also: names of old, which mean the first form."""
    return click.option(
        "-o",
        "--output",
        type=Form(forms, also),
        default=forms[0],
        show_default=True,
        help="The form.",
    )


def operator_namespace_option(function: Function) -> Function:
    """`--operator-namespace`: where the operator and its lease are."""
    return click.option(
        "--operator-namespace",
        default="tenantprofile-system",
        show_default=True,
        metavar="NAMESPACE",
        help="The operator's own namespace, which holds its lease.",
    )(function)


class Form(click.Choice[str]):
    """A form of output. Old names of the first form are taken and not shown."""

    def __init__(self, forms: Sequence[str], old: Sequence[str] = ()) -> None:
        super().__init__(list(forms))
        self._old = frozenset(old)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return self.choices[0] if value in self._old else super().convert(value, param, ctx)


class LabelSelector(click.ParamType[Selector]):
    """A selector as kubectl takes it (Kubernetes documentation, Labels and Selectors)."""

    name = "selector"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Selector:
        if isinstance(value, Selector):
            return value
        try:
            return parse_label_selector(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def parse_label_selector(text: str) -> Selector:
    """`a=b,c!=d,e in (f,g),h notin (i),j,!k`. Raises ValueError."""
    found: list[Requirement] = []
    rest = text.strip()
    while rest:
        match = _REQUIREMENT.match(rest)
        if match is None or (match.end() < len(rest) and rest[match.end()] != ","):
            raise ValueError(f"found {rest!r}; expected key=value, key!=value, key in (…), key or !key")
        found.append(_requirement(match))
        tail = rest[match.end() :]
        rest = tail[1:].strip()
        if tail and not rest:
            raise ValueError(f"found nothing after the last comma of {text!r}")
    return Selector(tuple(found))


def _requirement(match: re.Match[str]) -> Requirement:
    key = match["key"]
    if not is_label_key(key):
        raise ValueError(f"found {key!r}, which is no label key")
    if match["absent"]:
        if match["operator"] or match["set"]:
            raise ValueError(f"found '!' before {key} with a value; expected !{key} alone")
        return Requirement(key, "DoesNotExist")
    if match["operator"]:
        values = frozenset({match["value"]})
    elif match["set"]:
        values = frozenset(value.strip() for value in match["values"].split(","))
    else:
        return Requirement(key, "Exists")
    if wrong := next((value for value in sorted(values) if not is_label_value(value)), None):
        raise ValueError(f"found {wrong!r}, which is no label value")
    return Requirement(
        key, "In" if (match["operator"] or match["set"]) in ("=", "==", "in") else "NotIn", values
    )


def labelled(items: Iterable[Any], labels: Callable[[Any], Mapping[str, str]]) -> list[Any]:
    """Those that -l chooses."""
    selector = wishes().selector
    return [item for item in items if selector.matches(labels(item))]
