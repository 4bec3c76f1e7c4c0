"""TenantProfiles: read, rendered by the operator's own code, and each policy traced to its entry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tenantprofile.connectivity.policies import PolicySpec
from tenantprofile.input.objects import SourceObject
from tenantprofile.linting import catalogue
from tenantprofile.linting.crds import check_object
from tenantprofile.linting.placed import Placed, PolicyHere
from tenantprofile.linting.reading import Input, parsed
from tenantprofile.linting.templates import Known
from tenantprofile.names import (
    ANNOTATION_OWNER,
    ANNOTATION_PURPOSE,
    LABEL_NAMESPACE_NAME,
    LABEL_PROFILE,
)
from tenantprofile.planning.profile import PolicyEntry, Profile, ProfileError, parse_profile
from tenantprofile.policy.findings import Finding, Path, Rule, nearest
from tenantprofile.policy.rules import check_spec
from tenantprofile.rendering.errors import RenderError
from tenantprofile.rendering.facts import NamespaceFacts, ProfileFacts
from tenantprofile.rendering.parameters import PARAMETER, resolve
from tenantprofile.rendering.render import Written, write
from tenantprofile.rendering.templates import Template
from tenantprofile.selectors import Selector

MADE_UP: Final = "any namespace of "
"""Begins the name of a namespace that only stands for those that a profile would select."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """What one entry writes for some namespaces, judged by itself."""

    written: Written
    spec: PolicySpec | None
    findings: tuple[Finding, ...]


class Profiles:
    """Every profile of an input, rendered for the namespaces that it selects."""

    def __init__(self, given: Input, known: Known, operator_namespace: str) -> None:
        self.findings: list[Placed] = []
        self.policies: list[PolicyHere] = []
        """The policies in namespaces of the input, for rules that look at several of them."""
        self.used: set[str] = set()
        self.names: set[str] = set()
        self._given = given
        self._known = known
        self._operator_namespace = operator_namespace
        for item in given.profiles:
            self._profile(item)

    def _profile(self, item: SourceObject) -> None:
        refused = [Placed(found, item, found.path) for found in check_object("TenantProfile", item.raw)]
        self.findings.extend(refused)
        self.names.add(item.name)
        try:
            profile = parse_profile(item.raw)
        except ProfileError as error:
            told = {placed.path for placed in refused}
            for complaint in error.complaints:
                if complaint.path not in told:
                    self._add(item, catalogue.PROFILE, complaint.path, complaint.message)
            return
        selected = [
            facts
            for facts in self._given.namespaces.values()
            if profile.selects(facts.name, facts.labels, operator_namespace=self._operator_namespace)
        ]
        if not selected and self._given.namespaces_given:
            there = len(self._given.namespaces_given)
            self._add(
                item,
                catalogue.SELECTS_NO_NAMESPACE,
                ("spec", "namespaceSelector"),
                f"selects none of the {there} namespace{'s' * (there != 1)} given",
            )
        self._parameters(profile, item)
        for index, entry in enumerate(profile.entries):
            _EntryJudge(self, profile, item, entry, ("spec", "policies", index), selected).judge()

    def _add(self, item: SourceObject, rule: Rule, path: Path, message: str, entry: str = "") -> None:
        self.findings.append(Placed(Finding(rule, path, message), item, path, entry))

    def _parameters(self, profile: Profile, item: SourceObject) -> None:
        """Parameters for all entries that no entry's template has."""
        known: set[str] = set()
        for entry in profile.entries:
            template = self._known.templates.get(entry.template)
            if template is None:
                return  # it might be one of that template's
            known |= set(template.schema.get("properties", {}))
        for name in profile.parameters:
            if name not in known:
                message = f"no template of this profile has a parameter {name!r}{nearest(name, known)}"
                self._add(item, catalogue.UNUSED_PARAMETER, ("spec", "parameters", name), message)


class _EntryJudge:
    """One entry of a profile."""

    def __init__(
        self,
        profiles: Profiles,
        profile: Profile,
        item: SourceObject,
        entry: PolicyEntry,
        path: Path,
        selected: list[NamespaceFacts],
    ) -> None:
        self._all = profiles
        self._profile = profile
        self._item = item
        self._entry = entry
        self._path = path
        self._selected = selected
        self._kept: dict[tuple[Any, ...], Rendering | RenderError] = {}
        self._known = profiles._known

    def judge(self) -> None:
        template = self._known.templates.get(self._entry.template)
        self._records(template)
        if template is None:
            found = self._entry.template
            self._add(
                catalogue.TEMPLATE_NOT_FOUND,
                (*self._path, "template"),
                f"no template {found!r}{nearest(found, self._known.templates)}",
            )
            return
        self._all.used.add(template.name)
        try:
            parameters = resolve(template, self._profile.parameters, self._entry.parameters)
        except RenderError as error:
            self._refused(error, template, ())
            return
        if self._selected:
            self._everywhere(template, parameters)
        else:
            self._somewhere(template, parameters)

    def _records(self, template: Template | None) -> None:
        if not self._entry.purpose and not (template is not None and template.purpose):
            self._add(catalogue.MISSING_PURPOSE, self._path, f"the entry {self._entry.name!r} has no purpose")
        if not self._entry.owner:
            self._add(catalogue.MISSING_OWNER, self._path, f"the entry {self._entry.name!r} has no owner")

    def _everywhere(self, template: Template, parameters: Mapping[str, Any]) -> None:
        told: dict[int, tuple[Rendering | RenderError, list[str]]] = {}
        for facts in self._selected:
            rendering = self._rendered(template, parameters, facts)
            told.setdefault(id(rendering), (rendering, []))[1].append(facts.name)
            self._stands(template, rendering, facts.name)
        for rendering, namespaces in told.values():
            where = tuple(namespaces) if template.uses else ()
            if isinstance(rendering, RenderError):
                self._refused(rendering, template, tuple(namespaces))
            else:
                self._judged(template, rendering, where)

    def _stands(self, template: Template, rendering: Rendering | RenderError, namespace: str) -> None:
        """Puts the policy in its namespace, for rules that look at several."""
        if isinstance(rendering, RenderError) or rendering.spec is None:
            return
        source, _ = self._known.place(template, None)
        name = self._profile.object_name(self._entry.name)
        lines = _lines(self._known, template, rendering.written)
        self._all.policies.append(
            PolicyHere(
                namespace,
                name,
                rendering.spec,
                self._item,
                self._path,
                True,
                self._entry.name,
                source,
                lines,
            )
        )

    def _somewhere(self, template: Template, parameters: Mapping[str, Any]) -> None:
        """No namespace is known that the profile selects: judged for one that it would select."""
        rendering = self._rendered(template, parameters, made_up(self._profile.selector))
        if isinstance(rendering, Rendering):
            self._judged(template, rendering, ())
            self._stands(template, rendering, f"{MADE_UP}{self._profile.name}")
        elif any(use.startswith("namespace.") for use in template.uses):
            self._add(
                catalogue.NOT_JUDGED,
                self._path,
                f"the template {template.name!r} needs to know the namespace: {rendering.message}",
            )
        else:
            self._refused(rendering, template, ())

    def _rendered(
        self, template: Template, parameters: Mapping[str, Any], facts: NamespaceFacts
    ) -> Rendering | RenderError:
        key = tuple(_fact(facts, use) for use in sorted(template.uses) if use.startswith("namespace."))
        found = self._kept.get(key)
        if found is None:
            try:
                profile = ProfileFacts(self._profile.name, self._profile.parameters)
                written = write(template, parameters, facts, profile)
                findings = tuple(check_spec(written.spec))
                found = Rendering(written, parsed(written.spec), findings)
            except RenderError as error:
                found = error
            self._kept[key] = found
        return found

    def _judged(self, template: Template, rendering: Rendering, namespaces: tuple[str, ...]) -> None:
        for finding in rendering.findings:
            source, line = self._known.place(template, rendering.written.line(finding.path))
            self._all.findings.append(
                Placed(finding, self._item, self._path, self._entry.name, source, line, namespaces)
            )

    def _refused(self, error: RenderError, template: Template, namespaces: tuple[str, ...]) -> None:
        """Parameters that the template refuses, or a template that cannot be carried out."""
        if error.kind == "InvalidParameters":
            for finding in error.findings or (Finding(PARAMETER, error.path, error.message),):
                path = self._parameter(finding.path)
                self._all.findings.append(
                    Placed(finding, self._item, path, self._entry.name, namespaces=namespaces)
                )
            return
        source, line = self._known.place(template, error.line)
        finding = Finding(catalogue.RENDER_FAILED, (), error.message)
        self._all.findings.append(
            Placed(finding, self._item, self._path, self._entry.name, source, line, namespaces)
        )

    def _parameter(self, path: Path) -> Path:
        """Where a parameter was written: in the entry, for the whole profile, or nowhere."""
        if path and path[0] not in self._entry.parameters and path[0] in self._profile.parameters:
            return ("spec", "parameters", *path)
        return (*self._path, "parameters", *path)

    def _add(self, rule: Rule, path: Path, message: str) -> None:
        self._all._add(self._item, rule, path, message, self._entry.name)


def made_up(selector: Selector) -> NamespaceFacts:
    """A namespace that a selector matches, where one can be made up from its conditions."""
    labels: dict[str, str] = {}
    for requirement in selector.requirements:
        if requirement.operator == "In":
            labels[requirement.key] = min(requirement.values)
        elif requirement.operator == "Exists":
            labels.setdefault(requirement.key, "any")
    name = labels.setdefault(LABEL_NAMESPACE_NAME, "tenant")
    return NamespaceFacts(name, labels)


def _lines(known: Known, template: Template, written: Written) -> Any:
    return lambda path: known.place(template, written.line(path))[1]


def _fact(facts: NamespaceFacts, use: str) -> Any:
    value = getattr(facts, use.partition(".")[2])
    return tuple(sorted(value.items())) if isinstance(value, Mapping) else value


def missing_records(items: list[SourceObject], profiles: set[str]) -> Iterator[Placed]:
    """Managed policies without purpose or owner, where their profile is not there to be told."""
    for item in items:
        labels, annotations = item.metadata.get("labels"), item.metadata.get("annotations")
        if isinstance(labels, Mapping) and labels.get(LABEL_PROFILE) in profiles:
            continue
        written = annotations if isinstance(annotations, Mapping) else {}
        for key, rule, what in (
            (ANNOTATION_PURPOSE, catalogue.MISSING_PURPOSE, "purpose"),
            (ANNOTATION_OWNER, catalogue.MISSING_OWNER, "owner"),
        ):
            if not written.get(key):
                path: Path = ("metadata", "annotations")
                yield Placed(Finding(rule, path, f"no annotation says the {what}", expected=key), item, path)
