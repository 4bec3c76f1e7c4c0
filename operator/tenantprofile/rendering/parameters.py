"""What a profile gives to a template: defaults filled in, everything wrong told at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

from jsonschema import ValidationError

from tenantprofile.policy.findings import Finding, Path, Rule, nearest, shown
from tenantprofile.rendering.errors import RenderError
from tenantprofile.rendering.formats import FORMATS
from tenantprofile.rendering.schema import ValidationCostError, charged_validation, with_defaults
from tenantprofile.rendering.templates import Template

PARAMETER: Final = Rule(
    "parameter",
    "parameters",
    "error",
    "A parameter that its template refuses",
    "Nothing is rendered from parameters that the template does not understand.",
    "Correct the value; `tenantprofile templates NAME` documents every parameter.",
    refused_in_templates=True,
)

MAX_VALUES: Final = 20_000
MAX_LEVELS: Final = 40
FEW_VALUES: Final = 200
FEW_CHARACTERS: Final = 16 * 1024
MAX_FINDINGS: Final = 50
"""What is wrong with one set of parameters is told up to here."""

_TYPES: Final = {
    "object": "a map",
    "array": "a list",
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


def resolve(
    template: Template, profile_parameters: Mapping[str, Any], entry_parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """The parameters that a template is rendered with.

    The entry's own parameters win over the profile's, of which only those are taken that the template
    knows, because they are meant for all of the profile's policies. Then the schema's defaults are
    filled in and the whole is validated. Raises RenderError with every finding.
    """
    _bounded(template, profile_parameters)
    _bounded(template, entry_parameters)
    schema = template.schema
    known = schema.get("properties", {})
    merged = {
        **{key: value for key, value in profile_parameters.items() if key in known},
        **entry_parameters,
    }
    try:
        with charged_validation():
            resolved: dict[str, Any] = with_defaults(schema, merged)
            found = list(islice(_findings(template, resolved), MAX_FINDINGS))
    except ValidationCostError as error:
        raise RenderError("InvalidParameters", template.name, template.source, str(error)) from None
    findings = sorted(found, key=lambda finding: [str(step) for step in finding.path])
    if findings:
        raise RenderError("InvalidParameters", template.name, template.source, findings=findings)
    return resolved


def few_values(*parameters: Mapping[str, Any]) -> bool:
    """Whether parameters are so few that a built-in template renders them within a few milliseconds."""
    values, characters, stack = 0, 0, list[Any](parameters)
    while stack:
        value = stack.pop()
        characters += len(value) if isinstance(value, str) else 0
        if isinstance(value, Mapping):
            characters += sum(map(len, value))
        parts = list(value.values()) if isinstance(value, Mapping) else value
        if isinstance(parts, list):
            values += len(parts)
            stack.extend(parts)
        if values > FEW_VALUES or characters > FEW_CHARACTERS:
            return False
    return True


def _bounded(template: Template, parameters: Mapping[str, Any]) -> None:
    """Refuses what is larger than any policy needs, before the schema is tried on all of it."""
    values, stack = 0, [(0, parameters)]  # type: tuple[int, list[tuple[int, Any]]]
    while stack:
        depth, value = stack.pop()
        parts = list(value.values()) if isinstance(value, Mapping) else value
        if isinstance(parts, list):
            values += len(parts)
            stack.extend((depth + 1, part) for part in parts)
        if values > MAX_VALUES or depth > MAX_LEVELS:
            raise RenderError(
                "InvalidParameters",
                template.name,
                template.source,
                f"parameters of more than {MAX_VALUES} values, or nested deeper than {MAX_LEVELS};"
                " use several policies",
            )


def _findings(template: Template, parameters: Mapping[str, Any]) -> Iterator[Finding]:
    for error in template.validator.iter_errors(parameters):
        yield from _explain(error)


def _explain(error: ValidationError) -> Iterator[Finding]:
    path: Path = tuple(error.absolute_path)
    wanted: Any = error.validator_value
    schema: Any = error.schema
    keyword, found = error.validator, error.instance
    if keyword == "additionalProperties" and isinstance(found, Mapping):
        known = schema.get("properties", {})
        for key in found:
            if key not in known:
                expected = ", ".join(known) if known else "no parameters here"
                yield _finding(
                    (*path, key), f"unknown parameter {shown(key)}{nearest(key, known)}", found[key], expected
                )
    elif keyword == "required" and isinstance(found, Mapping):
        for key in wanted:
            if key not in found:
                described = schema.get("properties", {}).get(key, {}).get("description", "")
                yield _finding(
                    (*path, key), "missing, and required", None, described.rstrip(".") or "a value"
                )
    elif keyword in ("anyOf", "oneOf") and error.context:
        yield from _alternatives(error, path)
    else:
        yield _finding(path, *_words(str(keyword), wanted, found, error))


def _alternatives(error: ValidationError, path: Path) -> Iterator[Finding]:
    """The errors of the alternative that got furthest; all of them where none got past the type."""
    branches: dict[Any, list[ValidationError]] = {}
    for inner in error.context or ():
        branches.setdefault(inner.relative_schema_path[0], []).append(inner)
    fitting = [
        errors
        for errors in branches.values()
        if not any(inner.validator == "type" and not inner.relative_path for inner in errors)
    ]
    if fitting:
        for inner in min(fitting, key=len):
            yield from _explain(inner)
        return
    types = [_type_words(inner.validator_value) for errors in branches.values() for inner in errors]
    yield _finding(path, f"found {shown(error.instance)}", error.instance, " or ".join(dict.fromkeys(types)))


def _words(keyword: str, wanted: Any, found: Any, error: ValidationError) -> tuple[str, Any, str]:
    message = f"found {shown(found)}"
    if keyword == "type":
        return message, found, _type_words(wanted)
    if keyword == "enum":
        options = [str(option) for option in wanted]
        return f"{message}{nearest(found, options)}", found, f"one of {', '.join(options)}"
    if keyword == "format":
        expected = FORMATS[wanted][1] if wanted in FORMATS else str(wanted)
        doubt = (
            f", which {error.cause}" if str(error.cause).startswith(("has ", "is ")) else f": {error.cause}"
        )
        return f"{message}{doubt if error.cause else ''}", found, expected
    bounds = {
        "minimum": "at least {}",
        "maximum": "at most {}",
        "exclusiveMinimum": "more than {}",
        "exclusiveMaximum": "less than {}",
        "minLength": "at least {} characters",
        "maxLength": "at most {} characters",
        "minItems": "at least {} in the list",
        "maxItems": "at most {} in the list",
        "minProperties": "at least {} in the map",
        "maxProperties": "at most {} in the map",
        "pattern": "text that matches {}",
        "const": "{}",
    }
    if keyword in bounds:
        return message, found, bounds[keyword].format(wanted)
    if keyword == "uniqueItems":
        return f"{message} with an entry twice", found, "every entry once"
    return f"{message}: {error.message[:200]}", found, ""


def _type_words(wanted: Any) -> str:
    types = wanted if isinstance(wanted, list) else [wanted]
    return " or ".join(_TYPES.get(name, str(name)) for name in types)


def _finding(path: Path, message: str, found: Any, expected: str) -> Finding:
    return Finding(PARAMETER, path, message, found=found, expected=expected)
