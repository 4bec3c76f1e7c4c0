"""What the CustomResourceDefinitions refuse by their schema, checked without an API server.

The operator reads only the fields that it knows; a misspelt one would be dropped by the API server
without a word, and a purpose or a restriction with it. CEL rules are not evaluated here: what they
say, `profiles.parse_profile` and `rendering.templates` say as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path as FilePath
from typing import Any, Final

import yaml
from jsonschema import Draft202012Validator, ValidationError

from tenantprofile.linting.catalogue import SCHEMA
from tenantprofile.policy.findings import Finding, Path, nearest, shown
from tenantprofile.policy.validity import UNKNOWN_FIELD

_PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"
_TYPES: Final = {
    "object": "a map",
    "array": "a list",
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}
_BOUNDS: Final = {
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} in the list",
    "maxItems": "at most {} in the list",
    "minProperties": "at least {} in the map",
    "maxProperties": "at most {} in the map",
    "pattern": "text that matches {}",
}


def check_object(kind: str, raw: Mapping[str, Any]) -> Iterator[Finding]:
    """Every finding about a TenantProfile or PolicyTemplate: unknown fields, types, bounds, options."""
    schema = _schema(kind)
    yield from _unknown(raw, schema, ())
    for error in Draft202012Validator(schema).iter_errors(dict(raw)):
        yield from _explain(error)


@lru_cache(maxsize=2)
def _schema(kind: str) -> Mapping[str, Any]:
    name = f"tenantprofile.dev_{kind.lower()}s.yaml"
    package = FilePath(__file__).resolve().parents[1]
    in_wheel, in_checkout = package / "builtin" / "crds" / name, package.parents[1] / "crds" / name
    file = in_wheel if in_wheel.is_file() else in_checkout
    crd = yaml.safe_load(file.read_text(encoding="utf-8"))
    schema: Mapping[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def _unknown(value: Any, schema: Mapping[str, Any], path: Path) -> Iterator[Finding]:
    properties, values = schema.get("properties"), schema.get("additionalProperties")
    if isinstance(value, list) and isinstance(schema.get("items"), Mapping):
        for index, item in enumerate(value):
            yield from _unknown(item, schema["items"], (*path, index))
    if not isinstance(value, Mapping):
        return
    for key, part in value.items():
        if isinstance(properties, Mapping) and key in properties:
            yield from _unknown(part, properties[key], (*path, key))
        elif isinstance(values, Mapping):
            yield from _unknown(part, values, (*path, key))
        elif isinstance(properties, Mapping) and not schema.get(_PRESERVE):
            yield Finding(
                UNKNOWN_FIELD,
                (*path, key),
                f"the API has no field {shown(key)} here{nearest(key, properties)}",
                found=part,
                expected=", ".join(properties),
            )


def _explain(error: ValidationError) -> Iterator[Finding]:
    path: Path = tuple(error.absolute_path)
    keyword, wanted, found = str(error.validator), error.validator_value, error.instance
    if keyword == "required" and isinstance(found, Mapping) and isinstance(wanted, list):
        for key in wanted:
            if key not in found:
                yield Finding(SCHEMA, (*path, key), "missing, and required")
        return
    if keyword == "type":
        types = wanted if isinstance(wanted, list) else [wanted]
        expected = " or ".join(_TYPES.get(str(name), str(name)) for name in types)
    elif keyword == "enum" and isinstance(wanted, list):
        expected = " or ".join(str(option) for option in wanted)
    elif keyword in _BOUNDS:
        expected = _BOUNDS[keyword].format(wanted)
    else:
        expected = error.message[:200]
    yield Finding(SCHEMA, path, f"found {shown(found)}", found=found, expected=expected)
