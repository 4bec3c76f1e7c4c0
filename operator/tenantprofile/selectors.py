"""Label selectors as Kubernetes defines them (`metav1.LabelSelector`), parsed once and matched often.

An empty selector matches everything; a missing one is the caller's business, because its meaning
differs from field to field (API documentation, LabelSelector).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tenantprofile.paths import Complaint, Path, path_of

Operator = Literal["In", "NotIn", "Exists", "DoesNotExist"]

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_PREFIX = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


class SelectorError(ValueError):
    """A selector that the API server would refuse; `path` leads to the field inside the selector."""

    def __init__(self, path: str | Path, message: str) -> None:
        self.path = path_of(path)
        self.message = message
        super().__init__(str(Complaint(self.path, message)))


def is_label_key(value: object) -> bool:
    """Whether a value is a qualified name: an optional DNS prefix, a slash, a name of at most 63."""
    if not isinstance(value, str):
        return False
    prefix, slash, name = value.rpartition("/")
    if slash and (len(prefix) > 253 or not _PREFIX.fullmatch(prefix)):
        return False
    return _NAME.fullmatch(name) is not None


def is_label_value(value: object) -> bool:
    """Whether a value is a string that a label may hold: empty, or a name of at most 63 characters."""
    return isinstance(value, str) and (value == "" or _NAME.fullmatch(value) is not None)


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition of a selector; all of a selector's conditions must hold."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """`NotIn` and `DoesNotExist` also match labels that lack the key (API documentation)."""
        value = labels.get(self.key)
        if self.operator == "In":
            return value is not None and value in self.values
        if self.operator == "NotIn":
            return value is None or value not in self.values
        return (value is not None) == (self.operator == "Exists")


@dataclass(frozen=True, slots=True)
class Selector:
    """A parsed label selector; no requirements match everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(requirement.matches(labels) for requirement in self.requirements)

    @property
    def is_everything(self) -> bool:
        return not self.requirements


EVERYTHING = Selector()


def parse_selector(raw: Mapping[str, Any] | None) -> Selector:
    """A LabelSelector as a value, in a canonical order, so that equal selectors compare equal.

    `None` (as the API server treats null maps and lists inside it) is the empty selector.
    Raises SelectorError for whatever the API server would refuse.
    """
    if raw is None:
        return EVERYTHING
    if not isinstance(raw, Mapping):
        raise SelectorError("", f"must be a map with matchLabels or matchExpressions, found {raw!r}")
    for field in raw:
        if field not in ("matchLabels", "matchExpressions"):
            raise SelectorError((str(field),), "unknown field; expected matchLabels or matchExpressions")
    found: set[Requirement] = set()
    labels = raw.get("matchLabels") or {}
    if not isinstance(labels, Mapping):
        raise SelectorError("matchLabels", f"must be a map of strings, found {labels!r}")
    for key, value in labels.items():
        _check_key(key, ("matchLabels", str(key)))
        _check_value(value, ("matchLabels", str(key)))
        found.add(Requirement(key, "In", frozenset({value})))
    expressions = raw.get("matchExpressions") or []
    if not isinstance(expressions, list):
        raise SelectorError("matchExpressions", f"must be a list, found {expressions!r}")
    for index, expression in enumerate(expressions):
        found.add(_parse_expression(expression, f"matchExpressions[{index}]"))
    return Selector(tuple(sorted(found, key=lambda r: (r.key, r.operator, sorted(r.values)))))


def _parse_expression(raw: object, path: str) -> Requirement:
    if not isinstance(raw, Mapping):
        raise SelectorError(path, f"must be a map with key, operator and values, found {raw!r}")
    for field in raw:
        if field not in ("key", "operator", "values"):
            raise SelectorError(
                (*path_of(path), str(field)), "unknown field; expected key, operator and values"
            )
    key, operator, values = raw.get("key"), raw.get("operator"), raw.get("values") or []
    _check_key(key, f"{path}.key")
    if not isinstance(values, list):
        raise SelectorError(f"{path}.values", f"must be a list of strings, found {values!r}")
    if operator in ("In", "NotIn"):
        if not values:
            raise SelectorError(f"{path}.values", f"must not be empty when the operator is {operator}")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            raise SelectorError(f"{path}.values", f"must be empty when the operator is {operator}")
    else:
        raise SelectorError(
            f"{path}.operator", f"found {operator!r}; expected In, NotIn, Exists or DoesNotExist"
        )
    for index, value in enumerate(values):
        _check_value(value, f"{path}.values[{index}]")
    return Requirement(str(key), operator, frozenset(values))


def _check_key(key: object, path: str | Path) -> None:
    if not is_label_key(key):
        raise SelectorError(path, f"{key!r} is not a label key; expected a form like app.kubernetes.io/name")


def _check_value(value: object, path: str | Path) -> None:
    if not is_label_value(value):
        raise SelectorError(
            path,
            f"{value!r} is not a label value; expected a string of at most 63 letters, digits, '-', '_', '.'"
            " that starts and ends with a letter or digit",
        )
