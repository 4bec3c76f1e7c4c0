"""Findings for a person: in a terminal, and as Markdown for a comment on a pull request."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final

from tenantprofile.linting.catalogue import GROUPS, RULES, SEVERITIES
from tenantprofile.linting.judge import Result
from tenantprofile.linting.placed import Placed
from tenantprofile.policy.findings import Rule

_WIDTH: Final = 100


def as_text(result: Result, *, show_waived: bool = False) -> str:
    """File by file, one finding after the other, each with why it matters and how to fix it."""
    blocks: list[str] = []
    explained: set[str] = set()
    for placed in result.findings:
        blocks.append("\n".join(_block(placed, explained)))
    if show_waived:
        blocks += ["\n".join(_waived(placed)) for placed in result.waived]
    return "\n\n".join([*blocks, summary(result)])


def _block(placed: Placed, explained: set[str]) -> Iterator[str]:
    rule = placed.rule
    yield f"{place(placed)}: {rule.severity}: {placed.message} [{rule.id}]"
    yield f"  at {where(placed)}"
    if placed.template:
        yield f"  rendered by {placed.template_place}{_in(placed.namespaces)}"
    if rule.id not in explained:  # once is enough
        yield from _wrapped("why: ", rule.why)
        yield from _wrapped("fix: ", rule.fix)
        explained.add(rule.id)


def _waived(placed: Placed) -> Iterator[str]:
    yield f"{place(placed)}: waived: {placed.message} [{placed.rule.id}]"
    yield f"  at {where(placed)}"
    if placed.waiver is not None:
        yield from _wrapped(f"until {placed.waiver.until}: ", placed.waiver.reason)


def _wrapped(head: str, text: str) -> list[str]:
    indent = " " * (len(head) + 2)
    return textwrap.wrap(
        text, _WIDTH, initial_indent=f"  {head}", subsequent_indent=indent, break_long_words=False
    )


def place(placed: Placed) -> str:
    """`file:line`, or the cluster."""
    line = placed.line
    source = placed.item.origin.source
    return source if line is None else f"{source}:{line}"


def where(placed: Placed) -> str:
    """The object and the field in it."""
    entry = f" (entry {placed.entry})" if placed.entry else ""
    field = f" {placed.field}" if placed.path else ""
    return f"{placed.item}{field}{entry}"


def _in(namespaces: tuple[str, ...]) -> str:
    if not namespaces:
        return ""
    shown = ", ".join(namespaces[:3])
    more = f" and {len(namespaces) - 3} more" if len(namespaces) > 3 else ""
    return f" in {shown}{more}"


def summary(result: Result) -> str:
    """One line: what was judged and what was found."""
    judged = f"{result.judged} object{'s' * (result.judged != 1)} judged"
    counts = [
        f"{count} {_plural(severity, count)}" for severity in SEVERITIES if (count := result.count(severity))
    ]
    waived = [f"{len(result.waived)} waived"] if result.waived else []
    return f"{judged}: {', '.join([*(counts or ['no findings']), *waived])}"


def _plural(severity: str, count: int) -> str:
    return severity if severity == "info" else f"{severity}{'s' * (count != 1)}"


def as_markdown(result: Result) -> str:
    """A table of findings, and below it what each rule means."""
    lines = ["# NetworkPolicy lint", "", f"{summary(result)}.", ""]
    if result.findings:
        lines += _table(
            ["Severity", "Where", "Object", "Finding", "Rule"],
            (
                [
                    placed.rule.severity,
                    f"`{place(placed)}`",
                    f"{placed.item} `{placed.field}`" if placed.path else str(placed.item),
                    placed.message,
                    f"`{placed.rule.id}`",
                ]
                for placed in result.findings
            ),
        )
        lines += ["", "## Why it matters, and how to fix it", ""]
        for rule in dict.fromkeys(placed.rule for placed in result.findings):
            lines.append(f"- **`{rule.id}`** {rule.title}. {rule.why} *{rule.fix}*")
    if result.waived:
        lines += ["", "## Waived", ""]
        lines += _table(
            ["Where", "Finding", "Rule", "Until", "Reason"],
            (
                [f"`{place(p)}`", p.message, f"`{p.rule.id}`", p.waiver.until, p.waiver.reason]
                for p in result.waived
                if p.waiver is not None
            ),
        )
    return "\n".join(lines)


def rules_as_text(rules: Iterable[Rule] = RULES.values()) -> str:
    """The list of rules, group by group."""
    listed = list(rules)
    width = max((len(rule.id) for rule in listed), default=0)
    lines = []
    for group, members in groupby(listed, key=lambda rule: rule.group):
        lines.append(f"{GROUPS[group]} ({group})")
        for rule in members:
            off = "" if rule.on else " (only when enabled)"
            lines.append(f"  {rule.id:<{width}}  {rule.severity:<7}  {rule.title}{off}")
        lines.append("")
    return "\n".join(lines).rstrip()


def rules_as_markdown(rules: Iterable[Rule] = RULES.values()) -> str:
    """The same as a table."""
    return "\n".join(
        _table(
            ["Rule", "Severity", "What it finds"],
            ([f"`{rule.id}`", rule.severity, rule.title] for rule in rules),
        )
    )


def _table(header: list[str], rows: Iterable[list[str]]) -> list[str]:
    return [_row(header), _row(["---"] * len(header)), *(_row(row) for row in rows)]


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"
