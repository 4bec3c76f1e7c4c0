"""The schema of a template's parameters: OpenAPI v3 as in a CRD, checked and made a validator.

Understood as JSON Schema 2020-12 after what OpenAPI writes differently is translated: `nullable`,
`x-kubernetes-int-or-string`, boolean exclusive bounds. References are refused: they would have to be
fetched from somewhere.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Final

from jsonschema import Draft202012Validator, SchemaError

from tenantprofile.policy.findings import Path, field_path, nearest
from tenantprofile.rendering.formats import CHECKER, FORMATS

_MAPS_OF_SCHEMAS: Final = ("properties", "patternProperties")
_LISTS_OF_SCHEMAS: Final = ("allOf", "anyOf", "oneOf")
_SCHEMAS: Final = ("items", "additionalProperties", "not")
_PLAIN: Final = frozenset(
    {"type", "title", "description", "default", "example", "examples", "enum", "const", "format", "nullable"}
    | {"required", "pattern", "minLength", "maxLength", "minItems", "maxItems", "uniqueItems"}
    | {"minProperties", "maxProperties", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
    | {"multipleOf", "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields"}
    | {"x-kubernetes-list-type", "x-kubernetes-map-type"}
)
_KEYWORDS: Final = _PLAIN | frozenset((*_MAPS_OF_SCHEMAS, *_LISTS_OF_SCHEMAS, *_SCHEMAS))
_MAX_DEPTH: Final = 30

EMPTY: Final[Mapping[str, Any]] = {"type": "object", "properties": {}}


class ParameterSchemaError(ValueError):
    """A schema that cannot be used; `path` leads to the place in it."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(f"{field_path(path)}: {message}" if path else message)
        self.path = path
        self.message = message


def make_validator(schema: Any) -> Draft202012Validator:
    """A validator for whole sets of parameters. Raises ParameterSchemaError."""
    if not isinstance(schema, Mapping):
        raise ParameterSchemaError((), "expected an OpenAPI v3 schema of type object")
    translated = _translate(schema, (), 0)
    if translated.get("type", "object") != "object":
        raise ParameterSchemaError(("type",), f"found {translated['type']!r}; parameters are an object")
    translated.setdefault("type", "object")
    # A misspelt parameter that is silently dropped may be the one that restricts.
    translated.setdefault("additionalProperties", False)
    try:
        Draft202012Validator.check_schema(translated)
    except SchemaError as error:
        raise ParameterSchemaError(tuple(error.absolute_path), error.message) from None
    validator = Draft202012Validator(translated, format_checker=CHECKER)
    for path, subschema in _subschemas(translated, ()):
        if "default" in subschema:
            problem = next(validator.evolve(schema=subschema).iter_errors(subschema["default"]), None)
            if problem is not None:
                raise ParameterSchemaError(
                    (*path, "default"), f"the schema refuses its own default: {problem.message}"
                )
    return validator


def with_defaults(schema: Mapping[str, Any], value: Any) -> Any:
    """A copy of a value with the schema's defaults filled in, as the API server does it for a CRD:
    inside of objects and list items that are there, and of defaults themselves."""
    if isinstance(value, Mapping):
        properties = schema.get("properties")
        known: Mapping[str, Any] = properties if isinstance(properties, Mapping) else {}
        filled = {
            key: with_defaults(known[key], part)
            if isinstance(known.get(key), Mapping)
            else copy.deepcopy(part)
            for key, part in value.items()
        }
        for key, subschema in known.items():
            if key not in filled and isinstance(subschema, Mapping) and "default" in subschema:
                filled[key] = with_defaults(subschema, subschema["default"])
        return filled
    if isinstance(value, list | tuple):
        items = schema.get("items")
        return [with_defaults(items if isinstance(items, Mapping) else {}, part) for part in value]
    return value


def _translate(schema: Any, path: Path, depth: int) -> dict[str, Any]:
    if not isinstance(schema, Mapping):
        raise ParameterSchemaError(path, f"found a {type(schema).__name__}; expected a schema")
    if depth > _MAX_DEPTH:
        raise ParameterSchemaError(path, f"more than {_MAX_DEPTH} levels of nesting")
    made: dict[str, Any] = {}
    for keyword, value in schema.items():
        here = (*path, keyword)
        if keyword not in _KEYWORDS:
            raise ParameterSchemaError(here, f"not a keyword of the schema{nearest(keyword, _KEYWORDS)}")
        if keyword in _MAPS_OF_SCHEMAS and isinstance(value, Mapping):
            made[keyword] = {name: _translate(part, (*here, name), depth + 1) for name, part in value.items()}
        elif keyword in _LISTS_OF_SCHEMAS and isinstance(value, list):
            made[keyword] = [_translate(part, (*here, i), depth + 1) for i, part in enumerate(value)]
        elif keyword in _SCHEMAS and not isinstance(value, bool):
            made[keyword] = _translate(value, here, depth + 1)
        elif keyword == "format" and value not in FORMATS:
            # Formats of OpenAPI itself (int32, date-time, ...) are notes to the reader there too.
            continue
        else:
            made[keyword] = copy.deepcopy(value)
    _translate_openapi(made)
    return made


def _translate_openapi(made: dict[str, Any]) -> None:
    if made.pop("x-kubernetes-int-or-string", False):
        made["type"] = ["integer", "string"]
    made.pop("example", None)
    if made.pop("nullable", False) and "type" in made:
        types = made["type"] if isinstance(made["type"], list) else [made["type"]]
        made["type"] = [*types, "null"]
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(made.get(exclusive), bool) and made.pop(exclusive) and bound in made:
            made[exclusive] = made.pop(bound)


def _subschemas(schema: Mapping[str, Any], path: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    yield path, schema
    for keyword in _MAPS_OF_SCHEMAS:
        for name, part in (schema.get(keyword) or {}).items():
            yield from _subschemas(part, (*path, keyword, name))
    for keyword in _LISTS_OF_SCHEMAS:
        for index, part in enumerate(schema.get(keyword) or ()):
            yield from _subschemas(part, (*path, keyword, index))
    for keyword in _SCHEMAS:
        part = schema.get(keyword)
        if isinstance(part, Mapping):
            yield from _subschemas(part, (*path, keyword))
