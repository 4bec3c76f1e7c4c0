"""PolicyTemplates: whether they compile, and where in the file they do not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tenantprofile.input.objects import SourceObject
from tenantprofile.linting.catalogue import TEMPLATE, TEMPLATE_NAME_TAKEN
from tenantprofile.linting.crds import check_object
from tenantprofile.linting.placed import Placed
from tenantprofile.policy.findings import Finding, Path
from tenantprofile.policy.rules import check_spec
from tenantprofile.rendering.errors import RenderError
from tenantprofile.rendering.facts import NamespaceFacts, ProfileFacts
from tenantprofile.rendering.parameters import resolve
from tenantprofile.rendering.render import write
from tenantprofile.rendering.schema import ParameterSchemaError, make_validator
from tenantprofile.rendering.templates import (
    Template,
    TemplateError,
    builtin_templates,
    load_policy_template,
)

_BODY: Path = ("spec", "template")


@dataclass(frozen=True, slots=True)
class Known:
    """The templates that profiles may name: the built-in ones and the usable ones of the input."""

    templates: Mapping[str, Template]
    items: Mapping[str, SourceObject]
    """The object of each template that is not built in."""

    def place(self, template: Template, line: int | None) -> tuple[str, int | None]:
        """A template's source and line as a file and line, where it was read from a file."""
        item = self.items.get(template.name)
        if item is None:
            return template.source, line
        return item.origin.source, _line(item, line)


def load(items: Iterable[SourceObject], findings: list[Placed]) -> Known:
    """Compiles every PolicyTemplate; one that cannot be used is a finding."""
    usable: dict[str, Template] = {}
    objects: dict[str, SourceObject] = {}
    for item in items:
        refused = [Placed(found, item, found.path) for found in check_object("PolicyTemplate", item.raw)]
        findings.extend(refused)
        if item.name in builtin_templates():
            taken = f"the built-in template {item.name!r} has this name"
            findings.append(_placed(TEMPLATE_NAME_TAKEN, item, ("metadata", "name"), taken))
            continue
        try:
            usable[item.name] = load_policy_template(item.raw)
            objects[item.name] = item
        except TemplateError as error:
            if not any(finding.path[:1] == ("spec",) for finding in refused):
                findings.append(_failure(item, error))
    return Known({**usable, **builtin_templates()}, objects)


def judge_unused(known: Known, used: frozenset[str]) -> Iterator[Placed]:
    """What a template renders from its defaults alone, where no profile of the input shows it at work."""
    for name, item in known.items.items():
        template = known.templates[name]
        if name in used or template.uses:
            continue
        try:
            parameters = resolve(template, {}, {})
            written = write(template, parameters, NamespaceFacts("tenant"), ProfileFacts("profile"))
        except RenderError:
            continue
        for finding in check_spec(written.spec):
            source, line = known.place(template, written.line(finding.path))
            yield Placed(finding, item, _BODY, template=source, template_line=line, at=line)


def _failure(item: SourceObject, error: TemplateError) -> Placed:
    spec = item.raw.get("spec")
    parameters: Any = spec.get("parameters") if isinstance(spec, Mapping) else None
    if error.line is not None:
        finding = Finding(TEMPLATE, _BODY, error.message)
        return Placed(finding, item, _BODY, at=_line(item, error.line))
    if parameters is not None:
        try:
            make_validator(parameters)
        except ParameterSchemaError as wrong:
            return _placed(TEMPLATE, item, ("spec", "parameters", *wrong.path), wrong.message)
    return _placed(TEMPLATE, item, _BODY, error.message)


def _line(item: SourceObject, line: int | None) -> int | None:
    """A line of the body as a line of the file: the body of a block scalar begins below its key."""
    start = item.origin.line(_BODY)
    if start is None or line is None:
        return None
    spec = item.raw.get("spec")
    body = spec.get("template") if isinstance(spec, Mapping) else None
    return start + line if isinstance(body, str) and "\n" in body else start


def _placed(rule: Any, item: SourceObject, path: Path, message: str) -> Placed:
    return Placed(Finding(rule, path, message), item, path)
