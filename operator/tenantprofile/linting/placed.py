"""A finding at its place: in which object, field, file and line, and in which template's line."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from tenantprofile.connectivity.policies import PolicySpec
from tenantprofile.input.objects import SourceObject
from tenantprofile.policy.findings import Finding, Path, Rule, field_path

TemplateLine: TypeAlias = Callable[[Path], int | None]


@dataclass(frozen=True, slots=True)
class Waiver:
    """Somebody's word that a finding is known and accepted. entry: only in this entry of the profile."""

    rule: str
    reason: str
    until: str
    entry: str = ""


@dataclass(frozen=True, slots=True)
class Placed:
    """One finding where a person can go and fix it.

    path leads into the object. Where a profile's entry rendered what is wrong, it leads to the entry,
    `finding.path` leads into the rendered spec, and `template` and `template_line` are what wrote it.
    namespaces: where a rendered policy shows the finding; empty for all and for other objects.
    """

    finding: Finding
    item: SourceObject
    path: Path
    entry: str = ""
    template: str = ""
    template_line: int | None = None
    namespaces: tuple[str, ...] = ()
    at: int | None = None
    waiver: Waiver | None = field(default=None, compare=False)

    @property
    def rule(self) -> Rule:
        return self.finding.rule

    @property
    def field(self) -> str:
        return field_path(self.path)

    @property
    def line(self) -> int | None:
        """The line in the file; None for an object that was read from a cluster."""
        return self.at if self.at is not None else self.item.origin.line(self.path)

    @property
    def column(self) -> int | None:
        document = self.item.origin.document
        if document is None:
            return None
        return 1 if self.at is not None else document.position((*self.item.origin.prefix, *self.path))[1]

    @property
    def message(self) -> str:
        """What was found and what would be right, in one sentence."""
        finding = self.finding
        rendered = f"rendered {finding.field_path}: " if self.template and finding.path else ""
        expected = f"; expected {finding.expected}" if finding.expected else ""
        return f"{rendered}{finding.message}{expected}"

    @property
    def template_place(self) -> str:
        """`file:line` of the template that rendered what is wrong, or nothing."""
        return f"{self.template}:{self.template_line}" if self.template_line else self.template

    @property
    def fingerprint(self) -> str:
        """The same for the same finding after lines have moved, in whatever file it then stands."""
        parts = (self.rule.id, str(self.item), self.entry, self.field, self.finding.message)
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]

    @property
    def order(self) -> tuple[object, ...]:
        """By file and line, then by object, field and rule: the same in whatever order objects came."""
        where = (self.item.origin.source, self.line or 0, self.item.kind, self.item.namespace, self.item.name)
        return (*where, self.field, self.finding.field_path, self.rule.id, self.finding.message)


@dataclass(frozen=True, slots=True, eq=False)
class PolicyHere:
    """A valid policy in one namespace: a NetworkPolicy as given, or what a profile's entry renders.

    base: the spec's path in the object, or the entry's. template_line: see Written.line.
    """

    namespace: str
    name: str
    spec: PolicySpec
    item: SourceObject
    base: Path
    managed: bool
    entry: str = ""
    template: str = ""
    template_line: TemplateLine | None = None

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    def place(self, finding: Finding, namespaces: tuple[str, ...] = ()) -> Placed:
        """A finding about this policy's spec, at the place where it was written."""
        if not self.entry:
            return Placed(finding, self.item, (*self.base, *finding.path))
        line = self.template_line(finding.path) if self.template_line and finding.path else None
        return Placed(finding, self.item, self.base, self.entry, self.template, line, namespaces)
