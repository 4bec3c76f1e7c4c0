"""One NetworkPolicySpec from a template, parameters and facts; or the reason why there is none.

    body ── environment ──> text with placeholders ── placeholders ──> data ── rules ──> normal form

Promises: the same input gives the same bytes; a value is never read as YAML; nothing that the rules
refuse in templates comes out; defaults of the API server are explicit, so that what is applied is
what is read back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from tenantprofile.input.documents import Document, DocumentError
from tenantprofile.policy.findings import Path
from tenantprofile.policy.normalize import normalize
from tenantprofile.policy.rules import check_spec, refused
from tenantprofile.rendering.environment import Output, RunError
from tenantprofile.rendering.errors import RenderError
from tenantprofile.rendering.facts import NamespaceFacts, ProfileFacts
from tenantprofile.rendering.placeholders import SlotReader
from tenantprofile.rendering.templates import Template

__all__ = ["NamespaceFacts", "ProfileFacts", "RenderError", "Written", "render", "write"]

_MANIFEST_FIELDS: Final = ("apiVersion", "kind", "metadata", "spec")


@dataclass(frozen=True, slots=True)
class Written:
    """A policy as its template wrote it: neither judged nor normalised, for whoever judges the template."""

    spec: Mapping[str, Any]
    _template: Template
    _output: Output
    _document: Document

    def line(self, path: Path) -> int | None:
        """The line of the template's source that wrote a field, or what is nearest around it."""
        return _line(self._template, self._output, self._document.line(path))


def write(
    template: Template, parameters: Mapping[str, Any], namespace: NamespaceFacts, profile: ProfileFacts
) -> Written:
    """Runs a template, and leaves what it wrote as it is. Raises RenderError where it wrote no spec."""
    output = _run(template, parameters, namespace, profile)
    document = _document(template, output)
    return Written(document.data, template, output, document)


def render(
    template: Template, parameters: Mapping[str, Any], namespace: NamespaceFacts, profile: ProfileFacts
) -> Mapping[str, Any]:
    """The NetworkPolicySpec, in normal form, of a template with parameters that `parameters.resolve` gave.

    Raises RenderError.
    """
    output = _run(template, parameters, namespace, profile)
    return _judged(template, output, _document(template, output))


def _run(
    template: Template, parameters: Mapping[str, Any], namespace: NamespaceFacts, profile: ProfileFacts
) -> Output:
    try:
        return template.compiled.run(
            dict(parameters),
            {
                "name": namespace.name,
                "labels": dict(namespace.labels),
                "annotations": dict(namespace.annotations),
            },
            {"name": profile.name, "parameters": dict(profile.parameters)},
        )
    except RunError as error:
        raise RenderError(
            "InvalidParameters" if error.refusal and error.parameter else "RenderFailed",
            template.name,
            template.source,
            error.message,
            template.line(error.line),
            (error.parameter,) if error.parameter else (),
        ) from None


def _document(template: Template, output: Output) -> Document:
    """The one document of a text."""

    def failed(message: str, line: int) -> RenderError:
        return RenderError(
            "RenderFailed", template.name, template.source, message, _line(template, output, line)
        )

    try:
        documents = list(SlotReader(output.text, template.source, output.slots))
    except DocumentError as error:
        raise failed(error.message, error.line) from None
    if not documents or documents[0].data is None:
        raise failed("renders nothing; expected one NetworkPolicySpec", 1)
    if len(documents) > 1:
        raise failed(
            f"renders {len(documents)} documents; expected one NetworkPolicySpec", documents[1].line(())
        )
    document = documents[0]
    if not isinstance(document.data, dict):
        raise failed("renders no map; expected a NetworkPolicySpec with podSelector, policyTypes, …", 1)
    for field in _MANIFEST_FIELDS:
        if field in document.data:
            raise failed(
                f"renders a manifest with {field!r}; expected only what belongs under spec, because name,"
                " namespace and labels are the operator's",
                document.line((field,)),
            )
    return document


def _judged(template: Template, output: Output, document: Document) -> Mapping[str, Any]:
    findings = refused(check_spec(document.data))
    if findings:
        raise RenderError(
            "PolicyRefused",
            template.name,
            template.source,
            findings=[
                replace(finding, line=_line(template, output, document.line(finding.path)))
                for finding in findings
            ],
        )
    return normalize(document.data)


def _line(template: Template, output: Output, line: int) -> int | None:
    """A line of the text as a line of the template's source."""
    table = output.lines
    return template.line(table[min(max(line, 1), len(table)) - 1]) if table else None
