"""Lint over a text, and what it found, in the words of tests."""

from __future__ import annotations

from textwrap import dedent

from tenantprofile.input.objects import SourceObject, read_text
from tenantprofile.linting.catalogue import RULES
from tenantprofile.linting.judge import Result, lint
from tenantprofile.linting.placed import Placed

TODAY = "2026-11-21"
ALL = frozenset(RULES)


def objects(*texts: str) -> list[SourceObject]:
    """The objects of texts, which are files 1.yaml, 2.yaml and so on."""
    return [
        item
        for number, text in enumerate(texts, 1)
        for item in read_text(dedent(text).lstrip("\n"), f"{number}.yaml")
    ]


def judge(*texts: str, chosen: frozenset[str] = ALL, complete: bool = False) -> Result:
    return lint(objects(*texts), TODAY, chosen, complete)


def found(rule: str, *texts: str, complete: bool = False) -> list[Placed]:
    """The findings of one rule, judged with all the others."""
    return [placed for placed in judge(*texts, complete=complete).findings if placed.rule.id == rule]


def places(rule: str, *texts: str, complete: bool = False) -> list[str]:
    """Line and field of each finding of a rule."""
    return [f"{placed.line}: {placed.field}" for placed in found(rule, *texts, complete=complete)]


def ids(*texts: str) -> set[str]:
    return {placed.rule.id for placed in judge(*texts).findings}
