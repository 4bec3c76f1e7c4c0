"""What the shell completes: names that are cheap to find. A failure completes nothing and says nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

PATIENCE: Final = 2.0
"""Seconds that a cluster has for an answer; a person waits at the prompt."""

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def kubeconfig_files(named: object = None) -> list[Path]:
    """The kubeconfig files that kubectl would read: the one that is named, those of $KUBECONFIG, or ~/.kube/config."""
    if named:
        return [Path(str(named))]
    listed = [Path(name) for name in os.environ.get("KUBECONFIG", "").split(os.pathsep) if name]
    return listed or [Path.home() / ".kube" / "config"]


def _matching(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in sorted(set(names)) if name.startswith(incomplete)]


def contexts(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Contexts of the kubeconfig files."""
    import yaml

    names: list[str] = []
    for path in kubeconfig_files(ctx.params.get("kubeconfig")):
        try:
            raw = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
            names += [str(entry["name"]) for entry in raw["contexts"]]
        except (OSError, UnicodeError, yaml.YAMLError, KeyError, TypeError):
            continue
    return _matching(names, incomplete)


def namespaces(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Namespaces of the cluster that is named, or of the current context."""
    return _matching(_names_in_cluster(ctx, "/api/v1/namespaces"), incomplete)


def profiles(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """TenantProfiles of the cluster that is named, or of the current context."""
    from tenantprofile.names import API_VERSION

    return _matching(_names_in_cluster(ctx, f"/apis/{API_VERSION}/tenantprofiles"), incomplete)


def templates(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The built-in templates, and those of a cluster that is named."""
    from tenantprofile.names import API_VERSION
    from tenantprofile.rendering.templates import builtin_templates

    names = list(builtin_templates())
    if ctx.params.get("context") or ctx.params.get("kubeconfig"):
        names += _names_in_cluster(ctx, f"/apis/{API_VERSION}/policytemplates")
    return _matching(names, incomplete)


def rules(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Rules of lint and their groups, also after a comma."""
    from tenantprofile.linting.catalogue import GROUPS, RULES

    before, comma, last = incomplete.rpartition(",")
    return [
        CompletionItem(f"{before}{comma}{name}", help=RULES[name].title if name in RULES else "group")
        for name in sorted({*RULES, *GROUPS})
        if name.startswith(last)
    ]


def commands(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Commands and topics of help."""
    group = ctx.find_root().command
    names = group.list_commands(ctx) if isinstance(group, click.Group) else []
    return _matching([*names, "exit-codes"], incomplete)


def _names_in_cluster(ctx: click.Context, path: str) -> list[str]:
    async def read() -> list[str]:
        from tenantprofile.cluster.api import Api
        from tenantprofile.cluster.credentials import Credentials

        credentials = await Credentials.load(*named_or_current(ctx.params))
        async with Api(credentials, connections=1) as api:
            pages = [page async for page in api.pages(path)]
        return [str(item["metadata"]["name"]) for page in pages for item in page.items]

    async def in_time() -> list[str]:
        async with asyncio.timeout(PATIENCE):
            return await read()

    try:
        return asyncio.run(in_time())
    except Exception:
        # The prompt is no place for a complaint; the command itself tells it.
        return []


def named_or_current(params: Any) -> tuple[Path | None, str | None]:
    """The cluster that options name, and otherwise the current context of the files that kubectl reads."""
    from tenantprofile.cluster.credentials import default_kubeconfig

    kubeconfig, context = params.get("kubeconfig"), params.get("context")
    if kubeconfig is None and context is None:
        kubeconfig = default_kubeconfig()
    return (Path(kubeconfig) if kubeconfig is not None else None), context
