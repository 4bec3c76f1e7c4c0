"""The schema of a template's parameters: OpenAPI v3 as in a CRD, checked and made a validator.

Understood as JSON Schema 2020-12 after what OpenAPI writes differently is translated: `nullable`,
`x-kubernetes-int-or-string`, boolean exclusive bounds. References are refused: they would have to be
fetched from somewhere.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Final

import re2  # type: ignore[import-untyped]
from jsonschema import Draft202012Validator, SchemaError, ValidationError
from jsonschema._utils import equal
from jsonschema.protocols import Validator
from jsonschema.validators import extend

from tenantprofile.input.nesting import deeper_than
from tenantprofile.policy.findings import Path, field_path, nearest, shown
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
MAX_SUBSCHEMAS: Final = 500
"""Schemas within a schema; the largest built-in template has 20."""
MAX_SIZE: Final = 20_000
"""Values in a schema, with texts counted as one for each 50 characters."""
MAX_PATTERN: Final = 1000
"""Characters of a pattern."""
MAX_PATTERN_MEMORY: Final = 1 << 20
"""Bytes of a compiled pattern."""
MAX_STEPS: Final = 200_000
"""What validating one set of parameters may cost, in keywords applied and values compared: about half a second."""
MAX_DEFAULT_LEVELS: Final = 40

EMPTY: Final[Mapping[str, Any]] = {"type": "object", "properties": {}}


class ParameterSchemaError(ValueError):
    """A schema that cannot be used; `path` leads to the place in it."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(f"{field_path(path)}: {message}" if path else message)
        self.path = path
        self.message = message


class ValidationCostError(Exception):
    """Validation that wants more than parameters of a policy can need."""

    def __init__(self) -> None:
        super().__init__(
            f"the schema needs more than {MAX_STEPS} steps to check these parameters; simplify either"
        )


_steps: ContextVar[int] = ContextVar("steps")


@contextmanager
def charged_validation() -> Iterator[None]:
    """Within, validation may cost MAX_STEPS in all. Raises ValidationCostError."""
    token = _steps.set(0)
    try:
        yield
    finally:
        _steps.reset(token)


def _charge(steps: int) -> None:
    taken = _steps.get(0) + steps
    _steps.set(taken)
    if taken > MAX_STEPS:
        raise ValidationCostError


Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]


def _charged(keyword: Keyword) -> Keyword:
    def paying(validator: Any, wanted: Any, found: Any, schema: Any) -> Iterator[ValidationError]:
        _charge(1 + (len(wanted) if isinstance(wanted, list | Mapping) else 0))
        for error in keyword(validator, wanted, found, schema) or ():
            # Its message shows the whole value.
            _charge(10 + _size(found))
            yield error

    return paying


def _size(value: Any) -> int:
    """The values in a value, with texts counted as one for each 50 characters."""
    if isinstance(value, str):
        return 1 + len(value) // 50
    if isinstance(value, Mapping):
        return 1 + len(value) + sum(map(_size, value.values()))
    return 1 + sum(map(_size, value)) if isinstance(value, list) else 1


def _equal_to_one(_: Any, wanted: Any, found: Any, __: Any) -> Iterator[ValidationError]:
    _charge(_size(found) * (len(wanted) if isinstance(found, list | Mapping) else 1))
    if not any(equal(found, option) for option in wanted):
        yield ValidationError(f"{found!r} is not one of {wanted!r}")


def _pattern(_: Any, wanted: str, found: Any, __: Any) -> Iterator[ValidationError]:
    if isinstance(found, str):
        _charge(_size(found))
        if not _compiled(wanted).search(found):
            yield ValidationError(f"{found!r} does not match {wanted!r}")


def _pattern_properties(
    validator: Any, wanted: Mapping[str, Any], found: Any, _: Any
) -> Iterator[ValidationError]:
    if not isinstance(found, Mapping):
        return
    for pattern, subschema in wanted.items():
        for key, value in found.items():
            _charge(1 + len(key) // 50)
            if _compiled(pattern).search(key):
                yield from validator.descend(value, subschema, path=key, schema_path=pattern)


def _additional_properties(
    validator: Any, wanted: Any, found: Any, schema: Mapping[str, Any]
) -> Iterator[ValidationError]:
    if not isinstance(found, Mapping):
        return
    patterns = list(schema.get("patternProperties") or ())
    known = schema.get("properties") or {}
    _charge(1 + len(found) * (1 + len(patterns)))
    extra = [
        key
        for key in found
        if key not in known and not any(_compiled(pattern).search(key) for pattern in patterns)
    ]
    if isinstance(wanted, Mapping):
        for key in extra:
            yield from validator.descend(found[key], wanted, path=key)
    elif not wanted and extra:
        yield ValidationError(f"unknown: {', '.join(map(repr, extra[:5]))}")


def _unique_items(_: Any, wanted: bool, found: Any, __: Any) -> Iterator[ValidationError]:
    if not wanted or not isinstance(found, list):
        return
    _charge(_size(found))
    # Equal in JSON: 1 and 1.0 are, 1 and true are not (JSON Schema 2020-12, 4.2.2).
    seen = {json.dumps(_plain(item), sort_keys=True) for item in found}
    if len(seen) < len(found):
        yield ValidationError("has an item twice")


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value


_Validator: Final = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {
        **{name: _charged(keyword) for name, keyword in Draft202012Validator.VALIDATORS.items()},
        "enum": _charged(_equal_to_one),
        "const": _charged(lambda _, wanted, found, __: _equal_to_one(_, [wanted], found, __)),
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "uniqueItems": _unique_items,
    },
)
"""JSON Schema of which every step is charged; patterns run in linear time (RE2), so that none can be made to hang."""


def make_validator(schema: Any) -> Validator:
    """A validator for whole sets of parameters. Raises ParameterSchemaError."""
    if not isinstance(schema, Mapping):
        raise ParameterSchemaError((), "expected an OpenAPI v3 schema of type object")
    _check_size(schema)
    translated = _translate(schema, (), 0)
    if sum(1 for _ in _subschemas(translated, ())) > MAX_SUBSCHEMAS:
        raise ParameterSchemaError((), f"more than {MAX_SUBSCHEMAS} schemas in it")
    if translated.get("type", "object") != "object":
        raise ParameterSchemaError(("type",), f"found {translated['type']!r}; parameters are an object")
    translated.setdefault("type", "object")
    # A misspelt parameter that is silently dropped may be the one that restricts.
    translated.setdefault("additionalProperties", False)
    try:
        Draft202012Validator.check_schema(translated)
    except SchemaError as error:
        raise ParameterSchemaError(tuple(error.absolute_path), error.message) from None
    validator: Any = _Validator(translated, format_checker=CHECKER)
    try:
        with charged_validation():
            for path, subschema in _subschemas(translated, ()):
                if "default" in subschema:
                    problem = next(validator.evolve(schema=subschema).iter_errors(subschema["default"]), None)
                    if problem is not None:
                        raise ParameterSchemaError(
                            (*path, "default"), f"the schema refuses its own default: {problem.message[:500]}"
                        )
    except ValidationCostError:
        raise ParameterSchemaError((), f"checking its defaults takes more than {MAX_STEPS} steps") from None
    return validator  # type: ignore[no-any-return]


def _check_size(schema: Mapping[str, Any]) -> None:
    """Refuse what is nested too deeply to be walked, before anything walks it. Raises ParameterSchemaError."""
    levels = 2 * _MAX_DEPTH + MAX_DEFAULT_LEVELS
    if (path := deeper_than(schema, levels)) is not None:
        raise ParameterSchemaError(path[:6], f"nested deeper than {levels} levels")
    if _size(schema) > MAX_SIZE:
        raise ParameterSchemaError((), f"more than {MAX_SIZE} values, or as much text")


def _check_pattern(pattern: Any, path: Path) -> None:
    if not isinstance(pattern, str):
        raise ParameterSchemaError(path, f"found a {type(pattern).__name__}; expected a pattern")
    if len(pattern) > MAX_PATTERN:
        raise ParameterSchemaError(path, f"a pattern of more than {MAX_PATTERN} characters")
    try:
        _compiled(pattern)
    except re2.error as error:
        words = error.args[0] if error.args else ""
        reason = words.decode(errors="replace") if isinstance(words, bytes) else str(words)
        raise ParameterSchemaError(
            path, f"not a pattern of RE2 ({reason}); look-around and back-references are not supported"
        ) from None


@lru_cache(maxsize=2 * MAX_SUBSCHEMAS)
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MAX_PATTERN_MEMORY
    return re2.compile(pattern, options)


def with_defaults(schema: Mapping[str, Any], value: Any) -> Any:
    """A copy of a value with the schema's defaults filled in, as the API server does it for a CRD:
    inside of objects and list items that are there, and of defaults themselves.

    Raises ValidationCostError within `charged_validation`: a default may be filled into every item of a list.
    """
    _charge(1)
    if isinstance(value, Mapping):
        properties = schema.get("properties")
        known: Mapping[str, Any] = properties if isinstance(properties, Mapping) else {}
        filled = {
            key: with_defaults(known[key], part)
            if isinstance(known.get(key), Mapping)
            else with_defaults(EMPTY, part)
            for key, part in value.items()
        }
        _charge(len(known))
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
        if keyword == "pattern":
            _check_pattern(value, here)
        if keyword == "patternProperties" and isinstance(value, Mapping):
            for pattern in value:
                _check_pattern(pattern, (*here, pattern))
        if keyword not in _KEYWORDS:
            raise ParameterSchemaError(here, f"not a keyword of the schema{nearest(keyword, _KEYWORDS)}")
        if keyword in _MAPS_OF_SCHEMAS and isinstance(value, Mapping):
            made[keyword] = {name: _translate(part, (*here, name), depth + 1) for name, part in value.items()}
        elif keyword in _LISTS_OF_SCHEMAS and isinstance(value, list):
            made[keyword] = [_translate(part, (*here, i), depth + 1) for i, part in enumerate(value)]
        elif keyword in _SCHEMAS and not isinstance(value, bool):
            made[keyword] = _translate(value, here, depth + 1)
        elif keyword == "format" and not isinstance(value, str):
            raise ParameterSchemaError(here, f"found {shown(value)}; expected the name of a format")
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


def _subschemas(schema: object, path: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """A schema and those inside it. Of what is no schema nothing is said: the metaschema refuses it."""
    if not isinstance(schema, Mapping):
        return
    yield path, schema
    for keyword in _MAPS_OF_SCHEMAS:
        named = schema.get(keyword)
        for name, part in named.items() if isinstance(named, Mapping) else ():
            yield from _subschemas(part, (*path, keyword, name))
    for keyword in _LISTS_OF_SCHEMAS:
        listed = schema.get(keyword)
        for index, part in enumerate(listed if isinstance(listed, list) else ()):
            yield from _subschemas(part, (*path, keyword, index))
    for keyword in _SCHEMAS:
        part = schema.get(keyword)
        if isinstance(part, Mapping):
            yield from _subschemas(part, (*path, keyword))
