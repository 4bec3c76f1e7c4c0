"""Templates as values, and the one loader that reads both kinds.

A built-in is a file `<name>.yaml.j2`: front matter between two lines of `---` (description, purpose,
parameters, examples) and below it the Jinja body of a NetworkPolicySpec. A PolicyTemplate object in
the cluster carries the same as fields. Both are compiled on loading, so that a template that loads
can be rendered, with the right parameters.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path as FilePath
from types import MappingProxyType
from typing import Any, Final, cast

from jsonschema.protocols import Validator

from tenantprofile.input.documents import Document, DocumentError, read_documents
from tenantprofile.policy.findings import nearest
from tenantprofile.rendering.environment import CompiledTemplate, LanguageError, compile_source
from tenantprofile.rendering.schema import EMPTY, ParameterSchemaError, make_validator

SUFFIX: Final = ".yaml.j2"

_FRONT_MATTER: Final = ("description", "purpose", "parameters", "examples")


class TemplateError(ValueError):
    """A template that cannot be used: which, where, and what is wrong with it."""

    def __init__(self, name: str, source: str, line: int | None, message: str) -> None:
        place = f"{source}:{line}" if line is not None else source
        super().__init__(f"template {name!r} ({place}): {message}")
        self.name = name
        self.source = source
        self.line = line
        self.message = message


@dataclass(frozen=True, slots=True)
class Example:
    """Parameters that show a template at work, and the labels of a namespace that they need."""

    title: str
    parameters: Mapping[str, Any]
    namespace_labels: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Template:
    """One template. `first_line` is the line of its source in which the body begins."""

    name: str
    description: str
    purpose: str
    parameters: Mapping[str, Any]
    body: str
    source: str
    built_in: bool
    first_line: int = 1
    examples: tuple[Example, ...] = field(default=())

    @cached_property
    def digest(self) -> str:
        """The same for templates that render the same from the same parameters."""
        # Not before the schema has been checked: it may be nested too deeply to be walked.
        content = json.dumps([self.name, self.parameters, self.body], sort_keys=True, default=str)
        return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def compiled(self) -> CompiledTemplate:
        return compile_source(self.body)

    @cached_property
    def validator(self) -> Validator:
        return make_validator(self.parameters)

    @property
    def schema(self) -> Mapping[str, Any]:
        """The parameters as JSON Schema, with what is implied written out."""
        return cast(Mapping[str, Any], self.validator.schema)

    @property
    def uses(self) -> frozenset[str]:
        """Which facts a render depends on besides the parameters; see CompiledTemplate."""
        return self.compiled.uses

    def line(self, body_line: int | None) -> int | None:
        """A line of the body as a line of the source."""
        return None if body_line is None else body_line + self.first_line - 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Template) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


def load_template_text(name: str, text: str, source: str, built_in: bool = False) -> Template:
    """A template from the text of a file. Raises TemplateError."""
    lines = text.replace("\r\n", "\n").split("\n")
    ends = [number for number, line in enumerate(lines) if line.rstrip() == "---"][:2]
    if len(ends) < 2 or ends[0] != 0:
        raise TemplateError(name, source, 1, "expected front matter between two lines of ---")
    # The blank first line keeps the line numbers of the file.
    matter = _front_matter(name, "\n" + "\n".join(lines[1 : ends[1]]), source)
    fields = matter.data
    for key in fields:
        if key not in _FRONT_MATTER:
            raise TemplateError(
                name,
                source,
                matter.line((key,)),
                f"front matter has no {key!r}{nearest(key, _FRONT_MATTER)};"
                f" expected {', '.join(_FRONT_MATTER)}",
            )
    for key in ("description", "purpose"):
        if not isinstance(fields.get(key, ""), str):
            raise TemplateError(name, source, matter.line((key,)), f"{key} must be text")
    template = Template(
        name=name,
        description=fields.get("description", "").strip(),
        purpose=fields.get("purpose", "").strip(),
        parameters=EMPTY if fields.get("parameters") is None else fields["parameters"],
        body="\n".join(lines[ends[1] + 1 :]),
        source=source,
        built_in=built_in,
        first_line=ends[1] + 2,
        examples=_examples(name, source, matter),
    )
    return _checked(template, matter)


def load_policy_template(manifest: Mapping[str, Any]) -> Template:
    """A template from a PolicyTemplate object, compiled and checked. Raises TemplateError."""
    return _checked(read_policy_template(manifest), None)


def read_policy_template(manifest: Mapping[str, Any]) -> Template:
    """The same without looking into its body and parameters, which costs nothing. Raises TemplateError."""
    metadata = manifest.get("metadata")
    found = metadata.get("name") if isinstance(metadata, Mapping) else None
    name = found if isinstance(found, str) else ""
    source = f"PolicyTemplate/{name}"
    spec = manifest.get("spec")
    if not isinstance(spec, Mapping):
        raise TemplateError(name, source, None, "spec: expected description, parameters and template")
    body, description = spec.get("template"), spec.get("description") or ""
    if not isinstance(body, str) or not body.strip():
        raise TemplateError(
            name, source, None, "spec.template: expected the Jinja text of a NetworkPolicySpec"
        )
    if not isinstance(description, str):
        raise TemplateError(name, source, None, "spec.description: expected text")
    return Template(
        name=name,
        description=description.strip(),
        purpose="",
        parameters=EMPTY if spec.get("parameters") is None else spec["parameters"],
        body=body.replace("\r\n", "\n"),
        source=source,
        built_in=False,
    )


@lru_cache(maxsize=1)
def builtin_templates() -> Mapping[str, Template]:
    """Every built-in template by its name; read once. Raises TemplateError."""
    return MappingProxyType(load_folder(_builtin_folder(), built_in=True))


def load_folder(folder: FilePath, built_in: bool = False) -> dict[str, Template]:
    """Every template file of a folder by its name, in order of the names."""
    return {
        path.name.removesuffix(SUFFIX): load_template_text(
            path.name.removesuffix(SUFFIX),
            path.read_text(encoding="utf-8"),
            f"templates/{path.name}",
            built_in,
        )
        for path in sorted(folder.glob(f"*{SUFFIX}"))
    }


def _builtin_folder() -> FilePath:
    package = FilePath(__file__).resolve().parents[1]
    in_wheel = package / "builtin" / "templates"
    in_checkout = package.parents[1] / "templates"
    for folder in (in_wheel, in_checkout):
        if folder.is_dir():
            return folder
    raise TemplateError("", str(in_wheel), None, "the built-in templates are missing from the installation")


def _front_matter(name: str, text: str, source: str) -> Document:
    try:
        documents = read_documents(text, source)
    except DocumentError as error:
        raise TemplateError(name, source, error.line, f"front matter: {error.message}") from None
    if len(documents) != 1 or not isinstance(documents[0].data, dict):
        raise TemplateError(name, source, 1, f"front matter: expected a map with {', '.join(_FRONT_MATTER)}")
    return documents[0]


def _examples(name: str, source: str, matter: Document) -> tuple[Example, ...]:
    made = []
    entries = matter.data.get("examples") or []
    if not isinstance(entries, list):
        raise TemplateError(name, source, matter.line(("examples",)), "examples: expected a list")
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict) or set(entry) - {"title", "parameters", "namespaceLabels"}:
            raise TemplateError(
                name,
                source,
                matter.line(("examples", index)),
                "an example has title, parameters and namespaceLabels",
            )
        made.append(
            Example(
                str(entry.get("title", "")), entry.get("parameters") or {}, entry.get("namespaceLabels") or {}
            )
        )
    return tuple(made)


def _checked(template: Template, matter: Document | None) -> Template:
    """Compiles the body and the schema, and holds the one against the other."""
    name, source = template.name, template.source
    try:
        schema = template.schema
    except ParameterSchemaError as error:
        line = matter.line(("parameters", *error.path)) if matter is not None else None
        raise TemplateError(name, source, line, f"parameters: {error}") from None
    try:
        compiled = template.compiled
    except LanguageError as error:
        raise TemplateError(name, source, template.line(error.line), error.message) from None
    if schema.get("additionalProperties") is False:
        known = schema.get("properties", {})
        for parameter in sorted(compiled.parameters_named - set(known)):
            raise TemplateError(
                name,
                source,
                None,
                f"the body reads params.{parameter}, which its parameters lack{nearest(parameter, known)}",
            )
    return template
